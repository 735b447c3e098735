"""From a socket to a connection: the handshakes as cores, then over links, with deadlines, limits and cancellation."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.limits import Limits
from cortexnet.errors import (
    ConnectionClosed,
    ConnectionCode,
    HandshakeFailed,
    LimitExceeded,
    MessageTooLarge,
    NegotiationFailed,
    PeerIdMismatch,
    PeerTimeout,
    ProtocolViolation,
    RemoteError,
)
from cortexnet.handshake import Handshake
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multistream import propose
from cortexnet.security.noise import NoiseChannel, NoiseKeys
from cortexnet.security.session import SecureChannel
from cortexnet.testing.handshakes import run_over, run_pair
from cortexnet.testing.hostile import hostile_multistream, hostile_noise_frames
from cortexnet.transport.byte_link import ByteLink
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.upgrade import dial_over
from cortexnet.transport.upgrade_steps import Upgraded, upgrade_inbound, upgrade_outbound
from tests.support.hosted import counts
from tests.support.pairs import Net, Station, network, settle
from tests.support.raw_peer import RawPeer
from tests.transport.recorder import Recorder

YAMUX = "/yamux/1.0.0"
ALICE, BOB = Identity.generate(), Identity.generate()


def outbound(
    muxers: tuple[str, ...] = (YAMUX,), *, early: bool = True, expected: PeerId | None = BOB.peer_id
) -> Handshake[Upgraded]:
    return upgrade_outbound(noise(ALICE, muxers, early=early)[0], muxers, expected)


def inbound(muxers: tuple[str, ...] = (YAMUX,), *, early: bool = True) -> Handshake[Upgraded]:
    return upgrade_inbound(noise(BOB, muxers, early=early), muxers)


def noise(identity: Identity, muxers: tuple[str, ...] = (YAMUX,), *, early: bool = True) -> list[SecureChannel]:
    return [NoiseChannel(NoiseKeys.create(identity.private_key, muxers if early else ()))]


# --- the handshakes alone


@pytest.mark.parametrize("early", [(True, True), (True, False), (False, True), (False, False)])
def test_both_sides_agree_on_noise_and_a_muxer(early: tuple[bool, bool]) -> None:
    one, other = run_pair(outbound(early=early[0]), inbound(early=early[1]))
    assert one.error is other.error is None
    assert one.result.session.remote_peer == BOB.peer_id
    assert other.result.session.remote_peer == ALICE.peer_id
    assert one.result.muxer == other.result.muxer == YAMUX
    assert one.result.leftover == other.result.leftover == one.rest == other.rest == b""
    record = bytes(one.result.session.encrypt([b"hello"]))
    assert other.result.session.decrypt(record) == ([b"hello"], len(record))


def test_the_dialers_preference_decides_about_the_muxer() -> None:
    for early in (True, False):
        one, other = run_pair(outbound(("/b", "/a"), early=early), inbound(("/a", "/b"), early=early))
        assert (one.result.muxer, other.result.muxer) == ("/b", "/b")


def test_without_a_muxer_in_common_there_is_no_connection() -> None:
    one, other = run_pair(outbound(("/a",)), inbound(("/b",)))
    assert isinstance(one.error, NegotiationFailed)
    assert other.result is None


def test_who_is_somebody_else_than_was_asked_for_is_refused() -> None:
    one, other = run_pair(outbound(expected=ALICE.peer_id), inbound())
    assert isinstance(one.error, PeerIdMismatch)
    assert one.error.actual == BOB.peer_id
    assert other.result is None


def test_whoever_answers_will_do_where_nobody_was_asked_for() -> None:
    one, _ = run_pair(outbound(expected=None), inbound())
    assert one.result.session.remote_peer == BOB.peer_id


def test_the_proposal_and_the_first_message_of_noise_leave_together() -> None:
    outcome = run_over(outbound(), [])
    opening = propose("/noise")
    assert outcome.sent.startswith(opening)
    assert len(outcome.sent) == len(opening) + 2 + 32


def test_a_refusal_of_noise_is_told_as_one() -> None:
    outcome = run_over(outbound(), [b"\x13/multistream/1.0.0\n\x03na\n"])
    assert isinstance(outcome.error, NegotiationFailed)
    assert outcome.error.protocols == ("/noise",)


def test_a_peer_that_breaks_the_secure_channel_while_it_chooses_a_muxer_is_refused() -> None:
    """Only inside the channel is there a choice: the first record of it is damaged here."""
    damaged: list[bytes] = []

    def damage(data: bytes) -> bytes:
        damaged.append(data)
        return data[:-1] + bytes([data[-1] ^ 1]) if len(damaged) > 6 and len(data) > 2 else data

    one, other = run_pair(outbound(early=False), inbound(early=False), on_the_way=damage)
    assert {type(one.error), type(other.error)} & {ProtocolViolation}
    assert one.result is None


@given(st.integers(1, 40), st.booleans())
def test_cutting_the_bytes_elsewhere_changes_nothing(size: int, early: bool) -> None:
    channels = noise(BOB, early=early)
    sent = run_over(outbound(early=early), []).sent
    whole = run_over(upgrade_inbound(channels, [YAMUX]), [sent])
    cut = run_over(upgrade_inbound(channels, [YAMUX]), [sent[start : start + size] for start in range(0, len(sent), size)])
    assert whole.error is cut.error is None
    assert len(whole.sent) == len(cut.sent)


HOSTILE = {
    **{f"multistream: {name}": raw for name, raw in hostile_multistream().items()},
    **{f"noise: {name}": propose("/noise") + raw for name, raw in hostile_noise_frames().items()},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_bytes_make_a_connection_or_another_error_than_a_remote_one(name: str) -> None:
    raw = HOSTILE[name]
    for side in (inbound, outbound):
        for pieces in ([raw], [raw[index : index + 1] for index in range(min(len(raw), 3_000))]):
            outcome = run_over(side(), pieces)
            assert outcome.result is None
            assert outcome.error is None or isinstance(outcome.error, RemoteError)


@given(st.binary(max_size=300))
def test_garbage_behind_a_proposal_ends_in_typed_errors(raw: bytes) -> None:
    outcome = run_over(inbound(), [propose("/noise"), raw])
    assert outcome.result is None
    assert outcome.error is None or isinstance(outcome.error, RemoteError)


# --- over links


class Sockets:
    """A station that listens, and sockets of strangers that are connected to it."""

    def __init__(self, net: Net, limits: Limits | None = None) -> None:
        self.net = net
        self.station = net.station(limits)
        self.strangers: list[Recorder] = []

    async def listen(self) -> None:
        place = "/memory/0" if self.net.memory is not None else "/ip4/127.0.0.1/tcp/0"
        self.listener = await self.station.transport.listen(Multiaddr.parse(place), self.station.accepted.put_nowait)

    async def connect(self) -> Recorder:
        """A socket over which nothing was sent yet."""
        stranger = Recorder(keep_open=False)
        if self.net.memory is not None:
            await self.net.memory.connect(int(self.listener.address.value_of("memory")), lambda: stranger)
        else:
            port = int(self.listener.address.value_of("tcp"))
            await asyncio.get_running_loop().create_connection(lambda: stranger, "127.0.0.1", port)
        self.strangers.append(stranger)
        return stranger

    async def close(self) -> None:
        self.listener.close()
        for stranger in self.strangers:
            if not is_lost(stranger):
                stranger.transport.abort()
                await stranger.until("lost")
        await settle()
        assert counts(self.station) == {}


def is_lost(recorder: Recorder) -> bool:
    return recorder.events[-1].startswith("lost")


async def test_who_says_nothing_is_closed_after_ten_seconds_and_slow_bytes_do_not_help() -> None:
    async with network() as net:
        sockets = Sockets(net)
        await sockets.listen()
        silent, slow = await sockets.connect(), await sockets.connect()
        hello = propose("/noise") + b"\x00\x20" + bytes(32)
        for index in range(19):
            slow.transport.write(hello[index : index + 1])
            await asyncio.sleep(0.5)
        assert not is_lost(silent)
        assert counts(sockets.station)["unauthenticated"] == 2
        await asyncio.sleep(0.6)
        assert is_lost(silent)
        assert is_lost(slow)
        assert counts(sockets.station).get("unauthenticated") is None
        await sockets.close()


async def test_who_listens_but_never_answers_holds_a_dial_no_longer_than_its_timeout() -> None:
    async with network() as net:
        station, stranger = net.station(), Recorder(keep_open=False)
        listener = await net.memory.listen(5, lambda: stranger)
        reservation = station.resources.admit_dial(None, None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await station.transport.dial(Multiaddr.parse("/memory/5"), None, reservation)
        await stranger.until("lost")
        assert counts(station) == {}
        listener.close()


async def test_where_there_is_no_room_the_oldest_that_has_proved_nothing_goes() -> None:
    async with network() as net:
        sockets = Sockets(net, Limits(unauthenticated=3))
        await sockets.listen()
        first, second, third = [await sockets.connect() for _ in range(3)]
        await settle()
        assert counts(sockets.station)["unauthenticated"] == 3
        fourth = await sockets.connect()
        await settle()
        assert [is_lost(one) for one in (first, second, third, fourth)] == [True, False, False, False]
        honest = RawPeer()
        await net.memory.connect(int(sockets.listener.address.value_of("memory")), lambda: honest)
        connection = await sockets.station.accepted.get()
        sockets.station.started(connection)
        assert [is_lost(one) for one in (second, third, fourth)] == [True, False, False]
        honest.io.abort()
        await sockets.close()


async def test_three_hundred_silent_sockets_do_not_keep_an_honest_peer_out() -> None:
    async with network(tcp=True) as net:
        sockets = Sockets(net)
        await sockets.listen()
        for _ in range(300):
            await sockets.connect()
        assert counts(sockets.station)["unauthenticated"] <= 64
        alice = net.station()
        address = sockets.listener.address
        connection = await alice.transport.dial(address, None, alice.resources.admit_dial(None, "127.0.0.1"))
        alice.started(connection)
        sockets.station.started(await sockets.station.accepted.get())
        await connection.close()
        await sockets.close()


async def test_one_address_has_its_share_of_them_where_loopback_is_limited() -> None:
    async with network(tcp=True) as net:
        sockets = Sockets(net, Limits(limit_loopback=True, unauthenticated_per_address=2, connect_burst_per_address=5))
        await sockets.listen()
        strangers = [await sockets.connect() for _ in range(3)]
        await strangers[0].until("lost")
        assert counts(sockets.station)["unauthenticated"] == 2
        assert not is_lost(strangers[2])
        too_often = [await sockets.connect() for _ in range(3)][2]
        await too_often.until("lost")
        await sockets.close()


async def test_more_connections_of_one_peer_than_allowed_are_closed_with_the_reason() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station(Limits(connections_per_peer=1))
        await net.connect(alice, bob)
        listener = await bob.transport.listen(Multiaddr.parse("/memory/9"), bob.accepted.put_nowait)
        connection = await alice.transport.dial(listener.address, bob.peer_id, alice.resources.admit_dial(None, None))
        alice.started(connection)
        await connection.closed
        assert (connection.error.by, connection.error.code) == ("remote", ConnectionCode.LIMIT_EXCEEDED)
        assert bob.accepted.empty()
        assert counts(bob)["connections"] == 1
        listener.close()


async def test_more_connections_to_one_peer_than_allowed_are_not_made() -> None:
    async with network() as net:
        alice, bob = net.station(Limits(connections_per_peer=1)), net.station()
        await net.connect(alice, bob)
        listener = await bob.transport.listen(Multiaddr.parse("/memory/9"), bob.started)
        with pytest.raises(LimitExceeded) as caught:
            await alice.transport.dial(listener.address, None, alice.resources.admit_dial(None, None))
        assert caught.value.setting == "limits.connections_per_peer"
        assert counts(alice)["connections"] == 1
        listener.close()
        await settle()


@pytest.mark.parametrize("name", HOSTILE)
async def test_garbage_on_the_port_costs_its_own_socket_alone(name: str) -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    async with network() as net:
        sockets = Sockets(net)
        await sockets.listen()
        stranger = await sockets.connect()
        stranger.transport.write(HOSTILE[name])
        await settle()
        await asyncio.sleep(11)
        assert is_lost(stranger)
        assert sockets.station.accepted.empty()
        await sockets.close()
    assert problems == []


async def test_handshakes_wait_for_their_turn_of_the_loop() -> None:
    async with network() as net:
        sockets = Sockets(net)
        await sockets.listen()
        stranger = await sockets.connect()
        await settle()
        (upgrade,) = sockets.station.transport._upgrader._pending.values()
        turns = upgrade._turns = NoTimeLeft()
        stranger.transport.write(propose("/noise"))
        await settle()
        assert stranger.data == b"\x13/multistream/1.0.0\n", "the greeting alone: that needs nothing of the peer's"
        turns.resume()
        await stranger.until_bytes(27)
        stranger.transport.write(b"\x00\x01x")
        await settle()
        turns.resume()
        await stranger.until("lost")
        stranger = await sockets.connect()
        await settle()
        (upgrade,) = sockets.station.transport._upgrader._pending.values()
        turns = upgrade._turns = NoTimeLeft()
        stranger.transport.write(propose("/noise"))
        await settle()
        upgrade.fail(ConnectionClosed())
        turns.resume()
        await sockets.close()


class NoTimeLeft:
    """Others have used up the time of the turn."""

    is_over_for_changes = True

    def __init__(self) -> None:
        self.deferred: list[Callable[[], None]] = []

    def spend_on_change(self, seconds: float) -> None:
        pass

    def defer_change(self, resume: Callable[[], None]) -> None:
        self.deferred.append(resume)

    def resume(self) -> None:
        deferred, self.deferred = self.deferred, []
        for resume in deferred:
            resume()


async def test_upgrades_that_are_under_way_end_with_the_node() -> None:
    async with network() as net:
        sockets = Sockets(net)
        await sockets.listen()
        strangers = [await sockets.connect() for _ in range(3)]
        await settle()
        sockets.station.transport._upgrader.abort_pending(ConnectionClosed("the node is closing"))
        for stranger in strangers:
            await stranger.until("lost")
        await sockets.close()


async def test_bytes_that_a_peer_does_not_read_do_not_keep_a_failed_upgrade_open() -> None:
    async with network() as net:
        sockets = Sockets(net)
        await sockets.listen()
        stranger = await sockets.connect()
        await settle()
        (upgrade,) = sockets.station.transport._upgrader._pending.values()
        net.memory.links[0].silence()
        upgrade._io.write(bytes(400_000))
        upgrade.fail(ConnectionClosed("enough"))
        await settle()
        assert counts(sockets.station) == {}
        net.memory.links[0].cut()
        await stranger.until("lost")
        await sockets.close()


@pytest.mark.parametrize("answer", [b"", b"\x13/multistream/1.0.0\n\x03na\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"\xff\xff\xff\x7f"])
async def test_a_dial_of_somebody_who_is_no_peer_says_what_is_wrong(answer: bytes) -> None:
    async with network() as net:
        station, stranger = net.station(), Recorder(keep_open=False)
        listener = await net.memory.listen(5, lambda: stranger)
        reservation = station.resources.admit_dial(None, None)
        dial = asyncio.ensure_future(station.transport.dial(Multiaddr.parse("/memory/5"), None, reservation))
        await settle()
        stranger.transport.write(answer)
        await settle()
        stranger.transport.close()
        with pytest.raises((HandshakeFailed, ConnectionClosed, ProtocolViolation, MessageTooLarge)):
            await dial
        await stranger.until("lost")
        assert counts(station) == {}
        listener.close()


async def test_a_link_that_breaks_during_the_handshake_is_told_with_its_reason() -> None:
    async with network(latency=0.1) as net:
        station, stranger = net.station(), Recorder()
        listener = await net.memory.listen(5, lambda: stranger)
        reservation = station.resources.admit_dial(None, None)
        dial = asyncio.ensure_future(station.transport.dial(Multiaddr.parse("/memory/5"), None, reservation))
        await asyncio.sleep(0.3)
        net.memory.links[0].cut(ConnectionResetError("the cable was pulled"))
        with pytest.raises(ConnectionClosed, match="the cable was pulled") as caught:
            await dial
        assert caught.value.by == "remote"
        listener.close()


# --- cancelled dials


async def dial_to(station: Station, address: Multiaddr) -> Connection:
    return await station.transport.dial(address, None, station.resources.admit_dial(None, None))


async def test_a_dial_that_is_cancelled_at_any_moment_leaves_nothing() -> None:
    """At every turn of the loop, until it comes through uncancelled: both ends return to nothing."""
    for turns in range(200):
        async with network() as net:
            alice, bob = net.station(), net.station()
            listener = await bob.transport.listen(Multiaddr.parse("/memory/0"), bob.started)
            dial = asyncio.ensure_future(dial_to(alice, listener.address))
            await settle(turns)
            finished = dial.done()
            dial.cancel()
            await asyncio.wait([dial])
            if not dial.cancelled():
                dial.result().abort()
            listener.close()
            await settle()
            assert counts(alice) == {}
            assert bob.open == []
            assert net.memory.links == ()
        if finished:
            return
    raise AssertionError("the dial never ended")


async def test_a_dial_cancelled_in_the_turn_in_which_it_succeeds_closes_its_connection() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        listener = await bob.transport.listen(Multiaddr.parse("/memory/0"), bob.started)
        upgrader = alice.transport._upgrader
        dial = asyncio.ensure_future(dial_to(alice, listener.address))
        made = upgrader.connection
        connections: list[Connection] = []

        def make(*arguments: object) -> tuple[ByteLink, Connection]:
            link, connection = made(*arguments)
            connections.append(connection)
            asyncio.get_running_loop().call_soon(dial.cancel)
            return link, connection

        upgrader.connection = make
        with pytest.raises(asyncio.CancelledError):
            await dial
        await connections[0].closed
        await settle()
        assert counts(alice) == {}
        listener.close()


async def test_a_socket_that_is_made_after_the_dial_was_given_up_is_aborted() -> None:
    async with network() as net:
        station = net.station()
        factories = []

        async def create(factory: Callable[[], object]) -> None:
            factories.append(factory)
            raise ConnectionRefusedError

        upgrader = station.transport._upgrader
        reservation = station.resources.admit_dial(None, None)
        with pytest.raises(ConnectionRefusedError):
            await dial_over(create, upgrader, lambda _: None, reservation, None)
        assert counts(station) == {}
        stranger = Recorder(keep_open=False)
        listener = await net.memory.listen(5, lambda: stranger)
        await net.memory.connect(5, factories[0])
        await stranger.until("lost")
        assert stranger.data == b""
        listener.close()


async def test_a_connection_that_comes_after_the_dial_has_failed_is_aborted() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        listener = await bob.transport.listen(Multiaddr.parse("/memory/0"), bob.started)
        upgrader = alice.transport._upgrader
        number = int(listener.address.value_of("memory"))

        async def create(factory: Callable[[], object]) -> None:
            await net.memory.connect(number, factory)
            await settle()
            raise OSError("too late")

        with pytest.raises(OSError, match="too late"):
            await dial_over(create, upgrader, _nowhere, alice.resources.admit_dial(None, None), None)
        await settle()
        assert counts(alice) == {}
        assert bob.open == []
        listener.close()


def _nowhere(io: asyncio.Transport) -> Endpoints:
    nowhere = Multiaddr.parse("/memory/1")
    return Endpoints(local=nowhere, remote=nowhere, direction="outbound", transport="memory")


async def test_a_socket_that_is_aborted_by_its_owner_during_the_handshake_is_reported_once() -> None:
    random = Random(7)
    async with network() as net:
        sockets = Sockets(net)
        await sockets.listen()
        for _ in range(5):
            stranger = await sockets.connect()
            stranger.transport.write(random.randbytes(random.randrange(1, 60)))
            await settle()
        await asyncio.sleep(10)
        await sockets.close()


async def test_a_deadline_that_has_passed_says_how_long_it_was() -> None:
    async with network() as net:
        sockets = Sockets(net)
        await sockets.listen()
        outcomes: list[object] = []
        await sockets.connect()
        await settle()
        (upgrade,) = sockets.station.transport._upgrader._pending.values()
        finished = upgrade._finished
        upgrade._finished = lambda outcome: (outcomes.append(outcome), finished(outcome))
        await asyncio.sleep(10.1)
        assert isinstance(outcomes[0], PeerTimeout)
        assert "10 s" in str(outcomes[0])
        await sockets.close()
