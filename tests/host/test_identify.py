"""identify and its push between real connections, and against peers that answer late, wrongly or never."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence

import pytest

from cortexnet.admission.limits import KIB, Limits
from cortexnet.errors import (
    ConnectionClosed,
    CortexError,
    MessageTooLarge,
    NegotiationFailed,
    PeerTimeout,
    ProtocolViolation,
    StreamCode,
    StreamReset,
)
from cortexnet.host.identify import (
    PROTOCOL,
    PUSH_BURST,
    PUSH_BURST_SENT,
    PUSH_CONCURRENCY,
    PUSH_DELAY,
    PUSH_PROTOCOL,
    Identify,
    PeerInfo,
)
from cortexnet.host.identify_message import IdentifyMessage, decode
from cortexnet.identity.envelope import PeerRecord
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import field_bytes
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from tests.support.pairs import Net, Station, network, settle

LISTENING = Multiaddr.parse("/ip4/11.0.0.1/tcp/4001")
LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
FAR, NEAR = "/ip4/11.0.0.1/tcp/4001", "/ip4/12.0.0.1/tcp/9"


def identify_of(station: Station) -> Identify:
    """An identify service, spoken by the station."""
    identify = Identify(
        station.identity,
        station,
        agent_version="test/1",
        protocol_version="network/1",
        limits=station.limits,
        peerstore=station.peerstore,
        unix_ns=lambda: 1_700_000_000_000_000_000,
    )
    station.handle(PROTOCOL, identify.serve)
    station.handle(PUSH_PROTOCOL, identify.serve_push)
    station.on_lost.append(identify.disconnected)
    return identify


def talker(*parts: bytes, tail: bytes = b"") -> Callable[[Stream], Awaitable[None]]:
    """A handler that says these messages, and bytes that are none behind them."""

    async def talk(stream: Stream) -> None:
        for part in parts:
            await stream.write_message(part)
        await stream.write(tail)

    return talk


async def asked(net: Net, handler: Callable[[Stream], Awaitable[None]], limits: Limits | None = None) -> PeerInfo:
    """What comes of asking a peer that answers with `handler`."""
    alice, bob = net.station(limits), net.station()
    identify = identify_of(alice)
    bob.handle(PROTOCOL, handler)
    connection, theirs = await net.connect(alice, bob)
    try:
        return await identify.identify(connection)
    finally:
        await settle()
        assert (connection.stream_count, theirs.stream_count) == (0, 0)


async def push(connection: Connection, message: IdentifyMessage) -> None:
    async with await connection.open_stream([PUSH_PROTOCOL]) as stream:
        await stream.write_message(message.encode())
        await stream.close_write()
        assert await stream.read() == b""


# --- asking and answering


@pytest.mark.parametrize("tcp", [False, True])
async def test_both_sides_learn_who_the_other_is(tcp: bool) -> None:
    async with network(tcp=tcp) as net:
        alice, bob = net.station(), net.station()
        alice.addresses, bob.addresses = [LOOPBACK], [LOOPBACK, LISTENING]
        asking, answering = identify_of(alice), identify_of(bob)
        bob.handle("/app/1", answering.serve)
        ours, theirs = await net.connect(alice, bob, dialer_at=NEAR)
        info, back = await asyncio.gather(asking.identify(ours), answering.identify(theirs))
        assert info == PeerInfo(
            peer_id=bob.peer_id,
            public_key=bob.identity.public_key,
            addresses=(LISTENING, LOOPBACK),
            protocols=(PROTOCOL, PUSH_PROTOCOL, "/app/1"),
            agent_version="test/1",
            protocol_version="network/1",
            observed_address=Multiaddr.parse(NEAR),
        )
        assert back.peer_id == alice.peer_id
        assert back.addresses == (), "bob is on the internet for alice, who is not told to reach her by loopback"


async def test_what_was_learned_stands_in_the_address_book() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.addresses = [LISTENING]
        identify = identify_of(alice)
        identify_of(bob)
        connection, _ = await net.connect(alice, bob)
        await identify.identify(connection)
        book, now = alice.peerstore, connection.loop.time()
        assert book.addresses(bob.peer_id, now) == [LISTENING]
        assert book.addresses(bob.peer_id, now + 1e9) == [LISTENING], "as long as it is connected"
        assert book.supports(bob.peer_id, PROTOCOL)
        assert book.supports(bob.peer_id, "/app/1") is False
        assert (book.agent_version(bob.peer_id), book.protocol_version(bob.peer_id)) == ("test/1", "network/1")
        assert book.public_key(bob.peer_id) == bob.identity.public_key


@pytest.mark.parametrize(("bob_at", "is_trusted"), [("/ip4/192.168.0.9/tcp/1", True), (FAR, False)])
async def test_names_of_a_peer_in_our_network_may_lead_into_it_those_of_others_not(bob_at: str, is_trusted: bool) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        name = Multiaddr.parse("/dns4/bob.example/tcp/4001")
        bob.addresses = [name]
        identify = identify_of(alice)
        identify_of(bob)
        connection, _ = await net.connect(alice, bob, listener_at=bob_at)
        await identify.identify(connection)
        assert alice.peerstore.addresses(bob.peer_id, 0) == [name]
        assert (name in alice.peerstore.private_names(bob.peer_id)) is is_trusted


async def test_addresses_that_a_peer_no_longer_names_do_not_stay() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.addresses = [LISTENING]
        identify = identify_of(alice)
        identify_of(bob)
        connection, _ = await net.connect(alice, bob)
        await identify.identify(connection)
        bob.addresses = [Multiaddr.parse("/ip4/11.0.0.2/tcp/4001")]
        await identify.identify(connection)
        assert alice.peerstore.addresses(bob.peer_id, connection.loop.time() + 3_600) == bob.addresses


async def test_a_long_answer_comes_in_two_messages_of_which_the_first_has_all_but_the_record() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.addresses = [Multiaddr.parse(f"/ip4/11.0.0.1/tcp/{port}") for port in range(1, 60)]
        for number in range(60):
            bob.handle(f"/some/protocol/{number}/1.0.0", identify_of(bob).serve)
        identify = identify_of(alice)
        connection, _ = await net.connect(alice, bob)
        async with await connection.open_stream([PROTOCOL]) as stream:
            first, second = await stream.read_message(), await stream.read_message()
            assert await stream.read() == b""
        assert len(first) <= 4 * KIB
        assert decode([first]).signed_peer_record is None
        assert decode([second]) == IdentifyMessage(signed_peer_record=decode([second]).signed_peer_record)
        info = await identify.identify(connection)
        assert list(info.addresses) == bob.addresses, "the record has those that did not fit beside the protocols"
        assert len(info.protocols) == 62


async def test_more_protocols_than_peers_take_are_told_to_our_user_once(caplog: pytest.LogCaptureFixture) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify, answering = identify_of(alice), identify_of(bob)
        for number in range(200):
            bob.handle(f"/{number}", answering.serve)
        connection, _ = await net.connect(alice, bob)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert len((await identify.identify(connection)).protocols) == 128
        assert [record.getMessage() for record in caplog.records] == [
            "peers are told 128 of 202 protocols: more of them go-libp2p would not take"
        ]


async def test_over_a_relay_nobody_says_where_the_other_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        monkeypatch.setattr(Connection, "is_relayed", property(lambda self: True))
        connection, _ = await net.connect(alice, bob)
        async with await connection.open_stream([PROTOCOL]) as stream:
            assert decode([await stream.read_message()]).observed_address is None
        assert (await identify.identify(connection)).observed_address is None


# --- answers that are none


async def test_parts_are_read_up_to_the_end_and_merged() -> None:
    async with network() as net:
        parts = [IdentifyMessage(protocols=(f"/{number}",)).encode() for number in range(10)]
        info = await asked(net, talker(*parts))
        assert info.protocols == tuple(f"/{number}" for number in range(10))


@pytest.mark.parametrize(
    ("parts", "tail", "error"),
    [
        ([], b"", ProtocolViolation),
        ([b""] * 11, b"", ProtocolViolation),
        ([field_bytes(99, bytes(8_000))], b"\x05abc", ProtocolViolation),
        ([], b"\x80", ProtocolViolation),
        ([], b"\xff" * 12, ProtocolViolation),
        ([b"\x0f"], b"", ProtocolViolation),
        ([field_bytes(99, bytes(8 * KIB - 3))], b"", MessageTooLarge),
        ([field_bytes(99, bytes(7 * KIB))] * 10, b"", MessageTooLarge),
        ([field_bytes(1, b"no key")], b"", ProtocolViolation),
    ],
    ids=[
        "nothing",
        "11 parts",
        "cut in a message",
        "cut in a length",
        "no length",
        "no protobuf",
        "a long part",
        "much in sum",
        "another key",
    ],
)
async def test_an_answer_that_breaks_the_rules_fails(parts: Sequence[bytes], tail: bytes, error: type[Exception]) -> None:
    async with network() as net:
        with pytest.raises(error):
            await asked(net, talker(*parts, tail=tail))


async def test_the_longest_part_and_the_largest_sum_are_taken() -> None:
    async with network() as net:
        part = field_bytes(99, bytes(8 * KIB - 4))
        assert len(part) == 8 * KIB
        await asked(net, talker(*[part] * 8))


async def test_a_record_of_somebody_else_does_not_fail_it() -> None:
    async with network() as net:
        other = net.station().identity
        record = PeerRecord(other.peer_id, 1, (LISTENING,)).seal(other.private_key)
        message = IdentifyMessage(protocols=("/a",), addresses=(LOOPBACK,), signed_peer_record=record)
        info = await asked(net, talker(message.encode()))
        assert (info.protocols, info.addresses) == (("/a",), (LOOPBACK,))


async def test_a_peer_without_identify_says_so() -> None:
    async with network() as net:
        alice = net.station()
        identify = identify_of(alice)
        connection, _ = await net.connect(alice, net.station())
        with pytest.raises(NegotiationFailed):
            await identify.identify(connection)


async def test_a_silent_peer_has_5_seconds() -> None:
    async with network() as net:
        begin = asyncio.get_running_loop().time()
        with pytest.raises(PeerTimeout):
            await asked(net, talker_that_hangs)
        assert asyncio.get_running_loop().time() == begin + 5


async def talker_that_hangs(stream: Stream) -> None:
    await stream.write_message(b"")
    await asyncio.sleep(1_000)


async def test_a_slow_byte_does_not_extend_the_time() -> None:
    async def drip(stream: Stream) -> None:
        for _ in range(100):
            await stream.write(b"\x00")
            await asyncio.sleep(0.9)

    async with network() as net:
        begin = asyncio.get_running_loop().time()
        with pytest.raises(PeerTimeout):
            await asked(net, drip, Limits(identify_timeout=3.0))
        assert asyncio.get_running_loop().time() == begin + 3


async def test_a_reset_is_passed_on() -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read(1)

    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        bob.handle(PROTOCOL, refuse)
        connection, theirs = await net.connect(alice, bob)
        task = asyncio.ensure_future(identify.identify(connection))
        await settle()
        theirs.streams[0].reset(StreamCode.LIMIT_EXCEEDED)
        with pytest.raises(StreamReset) as caught:
            await task
        assert caught.value.code == StreamCode.LIMIT_EXCEEDED


# --- several who ask


async def test_those_who_ask_at_the_same_time_share_one_question() -> None:
    async with network(latency=0.1) as net:
        alice, bob = net.station(), net.station()
        identify, answering, asked_times = identify_of(alice), identify_of(bob), 0

        async def count(stream: Stream) -> None:
            nonlocal asked_times
            asked_times += 1
            await answering.serve(stream)

        bob.handle(PROTOCOL, count)
        connection, _ = await net.connect(alice, bob)
        asking = [identify.identify(connection), identify.identify(connection), identify.identified(connection)]
        assert len(set(await asyncio.gather(*asking))) == 1
        assert asked_times == 1
        await identify.identified(connection)
        assert asked_times == 1
        await identify.identify(connection)
        assert asked_times == 2


async def test_who_is_cancelled_leaves_the_question_to_the_next() -> None:
    async with network(latency=0.1) as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        connection, theirs = await net.connect(alice, bob)
        first, second, third = (asyncio.ensure_future(identify.identify(connection)) for _ in range(3))
        await asyncio.sleep(0.15)
        first.cancel()
        third.cancel()
        assert (await second).peer_id == bob.peer_id
        for task in (first, third):
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(1)
        assert (connection.stream_count, theirs.stream_count) == (0, 0)


async def test_a_failure_is_shared_too_and_remembered_until_somebody_asks_again() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        connection, _ = await net.connect(alice, bob)
        outcomes = await asyncio.gather(*(identify.identify(connection) for _ in range(3)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {NegotiationFailed}
        identify_of(bob)
        with pytest.raises(NegotiationFailed):
            await identify.identified(connection)
        await identify.identify(connection)
        assert (await identify.identified(connection)).peer_id == bob.peer_id


async def test_after_the_end_of_a_connection_it_can_not_be_asked_and_nothing_is_kept() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        first, _ = await net.connect(alice, bob)
        second, _ = await net.connect(alice, bob)
        await asyncio.gather(identify.identify(first), identify.identify(second))
        await first.close()
        assert len(identify._peers) == 1
        await second.close()
        assert (identify._peers, identify._conversations) == ({}, {})
        for call in (identify.identify(first), identify.identified(first)):
            with pytest.raises(ConnectionClosed):
                await call
        assert identify._conversations == {}


async def test_a_connection_that_ends_under_the_question_raises_that_to_all() -> None:
    async with network(latency=1.0) as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        connection, theirs = await net.connect(alice, bob)
        tasks = [asyncio.ensure_future(identify.identify(connection)) for _ in range(2)]
        await asyncio.sleep(0.5)
        theirs.abort()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ConnectionClosed}
        assert identify._conversations == {}


# --- pushes of peers


async def test_a_push_replaces_what_it_names_and_is_told_to_who_wants_to_know() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.addresses = [LISTENING]
        identify = identify_of(alice)
        identify_of(bob)
        connection, theirs = await net.connect(alice, bob)
        heard: list[tuple[Connection, PeerInfo]] = []
        identify.on_updated = lambda *news: heard.append(news)
        first = await identify.identify(connection)
        await push(theirs, IdentifyMessage(protocols=("/new",)))
        second = await identify.identified(connection)
        assert (second.protocols, second.addresses, second.agent_version) == (("/new",), (LISTENING,), "test/1")
        assert heard == [(connection, first), (connection, second)]
        assert alice.peerstore.protocols(bob.peer_id) == {"/new"}


async def test_a_push_tells_about_all_connections_of_the_peer() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        one, _ = await net.connect(alice, bob, dialer_at=NEAR, listener_at=FAR)
        _, theirs = await net.connect(alice, bob)
        await identify.identify(one)
        await push(theirs, IdentifyMessage(protocols=("/new",)))
        info = await identify.identified(one)
        assert info.protocols == ("/new",)
        assert info.observed_address == Multiaddr.parse(NEAR), "of this connection"


async def test_an_answer_that_comes_after_a_push_does_not_undo_it() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify, pushed = identify_of(alice), asyncio.Event()

        async def late(stream: Stream) -> None:
            await pushed.wait()
            await stream.write_message(IdentifyMessage(protocols=("/old",), agent_version="old").encode())

        bob.handle(PROTOCOL, late)
        connection, theirs = await net.connect(alice, bob)
        task = asyncio.ensure_future(identify.identify(connection))
        await settle()
        await push(theirs, IdentifyMessage(protocols=("/new",)))
        pushed.set()
        info = await task
        assert (info.protocols, info.agent_version) == (("/new",), "old")
        assert alice.peerstore.protocols(bob.peer_id) == {"/new"}


@pytest.mark.parametrize("parts", [[], [field_bytes(1, b"no key")], [b"\x0f"]])
async def test_a_push_that_breaks_the_rules_resets_its_stream_and_changes_nothing(parts: list[bytes]) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        connection, theirs = await net.connect(alice, bob)
        before = await identify.identify(connection)
        async with await theirs.open_stream([PUSH_PROTOCOL]) as stream:
            for part in parts:
                await stream.write_message(part)
            await stream.close_write()
            with pytest.raises(StreamReset) as caught:
                await stream.read()
        assert caught.value.code == StreamCode.PROTOCOL_VIOLATION
        assert await identify.identified(connection) == before


async def test_a_push_that_does_not_come_to_its_end_is_given_up() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify_of(alice)
        connection, theirs = await net.connect(alice, bob)
        async with await theirs.open_stream([PUSH_PROTOCOL]) as stream:
            await stream.write(b"\x05a")
            begin = connection.loop.time()
            with pytest.raises(StreamReset):
                await stream.read()
            assert connection.loop.time() == begin + 5


@pytest.mark.parametrize(
    ("seen_at", "limit_loopback", "is_limited"),
    [(FAR, False, True), ("/ip4/127.0.0.1/tcp/1", False, False), ("/ip4/127.0.0.1/tcp/1", True, True)],
)
async def test_who_pushes_too_often_is_refused_unless_it_is_at_home(seen_at: str, limit_loopback: bool, is_limited: bool) -> None:
    async with network() as net:
        alice, bob = net.station(Limits(limit_loopback=limit_loopback)), net.station()
        identify = identify_of(alice)
        connection, theirs = await net.connect(alice, bob, listener_at=seen_at)
        for number in range(PUSH_BURST):
            await push(theirs, IdentifyMessage(protocols=(f"/{number}",)))
        if not is_limited:
            await push(theirs, IdentifyMessage(protocols=("/more",)))
            return
        with pytest.raises(StreamReset) as caught:
            await push(theirs, IdentifyMessage(protocols=("/more",)))
        assert caught.value.code == StreamCode.RATE_LIMITED
        await asyncio.sleep(5)
        await push(theirs, IdentifyMessage(protocols=("/later",)))
        assert alice.peerstore.protocols(bob.peer_id) == {"/later"}
        del identify, connection


# --- pushes of ours


@pytest.fixture
def pushes() -> list[PeerInfo]:
    return []


async def pushed_pair(net: Net, pushes: list[PeerInfo]) -> tuple[Station, Station, Identify, Identify]:
    """Two that know each other; what bob hears of alice later is noted."""
    alice, bob = net.station(), net.station()
    ours, theirs = identify_of(alice), identify_of(bob)
    connection, back = await net.connect(alice, bob)
    await asyncio.gather(ours.identify(connection), theirs.identify(back))
    theirs.on_updated = lambda _, info: pushes.append(info)
    return alice, bob, ours, theirs


async def test_a_change_is_pushed_whole_and_only_once(pushes: list[PeerInfo]) -> None:
    async with network() as net:
        alice, _, identify, _ = await pushed_pair(net, pushes)
        alice.handle("/new/1", identify.serve)
        await identify.push_all()
        await settle()
        await identify.push_all()
        await settle()
        (info,) = pushes
        assert info.protocols == (PROTOCOL, PUSH_PROTOCOL, "/new/1")
        assert info.agent_version == "test/1"


async def test_changes_one_after_the_other_are_one_push(pushes: list[PeerInfo]) -> None:
    async with network() as net:
        alice, _, identify, _ = await pushed_pair(net, pushes)
        calls = []
        for number in range(20):
            alice.handle(f"/{number}", identify.serve)
            calls.append(asyncio.ensure_future(identify.push_all()))
            await asyncio.sleep(PUSH_DELAY / 30)
        await asyncio.gather(*calls)
        await settle()
        assert [len(info.protocols) for info in pushes] == [22]


async def test_who_asks_meanwhile_needs_no_push(pushes: list[PeerInfo]) -> None:
    async with network() as net:
        alice, bob, identify, theirs = await pushed_pair(net, pushes)
        alice.handle("/new/1", identify.serve)
        await theirs.identify(bob.open[0])
        await identify.push_all()
        await settle()
        assert len(pushes) == 1, "its own question"


async def test_pushes_are_spaced_so_that_peers_take_them(pushes: list[PeerInfo]) -> None:
    async with network() as net:
        alice, _, identify, _ = await pushed_pair(net, pushes)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in range(PUSH_BURST_SENT + 2):
            alice.handle(f"/{number}", identify.serve)
            await identify.push_all()
        assert loop.time() - begin == pytest.approx(2 * 5.0, abs=0.3)
        await settle()
        assert len(pushes) == PUSH_BURST_SENT + 2


async def test_a_peer_that_takes_no_pushes_is_not_bothered() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        bob.unhandle(PUSH_PROTOCOL)
        _, theirs = await net.connect(alice, bob)
        await identify.push_all()
        bob.handle(PUSH_PROTOCOL, talker())
        alice.handle("/new/1", identify.serve)
        await identify.push_all()
        await settle()
        assert theirs.stream_count == 0


async def test_a_peer_that_is_being_identified_is_waited_for(pushes: list[PeerInfo]) -> None:
    async with network(latency=1.0) as net:
        alice, bob = net.station(), net.station()
        ours, theirs = identify_of(alice), identify_of(bob)
        theirs.on_updated = lambda _, info: pushes.append(info)
        connection, _ = await net.connect(alice, bob)
        task = asyncio.ensure_future(ours.identify(connection))
        await asyncio.sleep(0.1)
        await ours.push_all()
        await task
        await asyncio.sleep(3)
        assert len(pushes) == 1


async def test_pushes_that_fail_do_not_keep_others_from_theirs(pushes: list[PeerInfo]) -> None:
    async with network() as net:
        alice, _, identify, _ = await pushed_pair(net, pushes)
        silent, without, rude = net.station(), net.station(), net.station()

        async def refuse(stream: Stream) -> None:
            stream.reset(StreamCode.RATE_LIMITED)

        silent.handle(PROTOCOL, talker_that_hangs)
        identify_of(rude)
        rude.handle(PUSH_PROTOCOL, refuse)
        for station in (silent, without, rude):
            await net.connect(alice, station)
        alice.handle("/new/1", identify.serve)
        await identify.push_all()
        await settle()
        assert len(pushes) == 1


async def test_so_many_pushes_go_at_once_and_no_more() -> None:
    async with network() as net:
        alice = net.station()
        identify, may_answer, at_once, most = identify_of(alice), asyncio.Event(), 0, 0

        async def slow(stream: Stream) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await may_answer.wait()
            await stream.write_message(b"")
            at_once -= 1

        for _ in range(PUSH_CONCURRENCY + 2):
            peer = net.station()
            peer.handle(PROTOCOL, slow)
            await net.connect(alice, peer)
        task = asyncio.ensure_future(identify.push_all())
        await asyncio.sleep(1)
        assert most == PUSH_CONCURRENCY
        may_answer.set()
        await task
        assert at_once == 0


@pytest.mark.parametrize("delay", [0.0, PUSH_DELAY / 2, PUSH_DELAY, PUSH_DELAY + 1, PUSH_DELAY + 1.9])
async def test_a_cancelled_push_leaves_no_stream_and_the_next_one_is_whole(delay: float, pushes: list[PeerInfo]) -> None:
    async with network(latency=1.0) as net:
        alice, bob, identify, _ = await pushed_pair(net, pushes)
        alice.handle("/new/1", identify.serve)
        task = asyncio.ensure_future(identify.push_all())
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(10)
        assert (alice.open[0].stream_count, bob.open[0].stream_count) == (0, 0)
        alice.handle("/new/2", identify.serve)
        await identify.push_all()
        await asyncio.sleep(10)
        assert pushes[-1].protocols[-2:] == ("/new/1", "/new/2")


async def test_a_connection_that_is_gone_can_not_be_told_anything() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        identify_of(bob)
        connection, _ = await net.connect(alice, bob)
        async with await connection.open_stream([PROTOCOL]) as stream:
            await connection.close()
            for call in (identify.serve(stream), identify.serve_push(stream)):
                with pytest.raises(CortexError):
                    await call
        assert identify._conversations == {}


async def test_an_error_that_is_told_again_and_again_does_not_grow() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        identify = identify_of(alice)
        connection, _ = await net.connect(alice, bob)  # bob does not speak identify
        lengths = []
        for _ in range(5):
            with pytest.raises(NegotiationFailed) as caught:
                await identify.identified(connection)
            lengths.append(len(list(traceback.walk_tb(caught.tb))))
        assert lengths[1:] == [lengths[1]] * 4
