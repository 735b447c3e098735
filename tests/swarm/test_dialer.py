"""Dialing: who is tried when, who wins, what is left of the losers. Transports are scripted; time is virtual."""

import asyncio
from collections.abc import Iterable

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Reservation, Resources
from cortexnet.errors import (
    ConnectionClosed,
    CortexError,
    DialFailed,
    LimitExceeded,
    LocalError,
    PeerIdMismatch,
    PeerTimeout,
    RemoteError,
)
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.dialer import Dialer
from tests.support.pairs import settle

PEER, OTHER = Identity.generate().peer_id, Identity.generate().peer_id
FIRST, SECOND, THIRD = (Multiaddr.parse(f"/ip4/1.2.3.{number}/tcp/1") for number in (1, 2, 3))
PRIVATE_FIRST, PRIVATE_SECOND = (Multiaddr.parse(f"/ip4/192.168.0.{number}/tcp/1") for number in (1, 2))


class Made:
    """A connection, as far as a dialer knows it."""

    def __init__(self, address: Multiaddr, reservation: Reservation) -> None:
        self.address = address
        self.reservation = reservation
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True
        self.reservation.release()


class Scripted:
    """A transport: at each address something happens after some seconds."""

    name = "tcp"

    def __init__(self) -> None:
        self.script: dict[Multiaddr, tuple[float, Exception | None]] = {}
        self.reached: dict[Multiaddr, float] = {}
        self.dials: list[tuple[float, str]] = []
        self.made: list[Made] = []
        self.under_way = 0
        self.most = 0

    def can_dial(self, address: Multiaddr) -> bool:
        return "tcp" in address.protocols

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Made:
        self.dials.append((round(asyncio.get_running_loop().time(), 3), str(address)))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        delay, error = self.script.get(address, (float("inf"), None))
        try:
            if address in self.reached:
                await asyncio.sleep(self.reached[address])
                reservation.on_reached()
            if delay == float("inf"):
                await asyncio.Event().wait()
            await asyncio.sleep(delay)
            if error is not None:
                raise error
            reservation.authenticated(expected or OTHER)
        except BaseException:
            reservation.release()
            raise
        finally:
            self.under_way -= 1
        self.made.append(Made(address, reservation))
        return self.made[-1]


class Setup:
    """A dialer with one scripted transport."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.resources = Resources(limits or Limits())
        self.transport = Scripted()
        self.own: set[Multiaddr] = set()
        self.names: dict[Multiaddr, list[Multiaddr] | CortexError] = {}
        self.look_up_time = 0.0
        self.dialer = Dialer([self.transport], self.resources, self.resolve, lambda: self.own)

    async def resolve(
        self, addresses: Iterable[Multiaddr], expected: PeerId | None
    ) -> dict[Multiaddr, list[Multiaddr] | CortexError]:
        asked = list(addresses)
        await asyncio.sleep(self.look_up_time)
        return {address: self.names[address] for address in asked}

    def at(self, address: Multiaddr, delay: float, error: Exception | None = None) -> None:
        self.transport.script[address] = delay, error

    @property
    def held(self) -> dict[str, int]:
        return {name: count for name, count in self.resources.snapshot().items() if count}


def now() -> float:
    return asyncio.get_running_loop().time()


# --- the order of attempts


async def test_of_too_many_addresses_the_first_ones_are_tried_however_good_the_others_look() -> None:
    """Anybody can tell the DHT of a peer at addresses that rank higher than its own."""
    setup = Setup(Limits(dial_addresses_per_peer=4))
    lies = [Multiaddr.parse(f"/ip4/5.6.7.{number}/tcp/1") for number in range(8)]
    true = Multiaddr.parse("/ip4/1.2.3.4/tcp/40000")
    for address in lies:
        setup.at(address, 0, ConnectionRefusedError(111, "refused"))
    setup.at(true, 0)
    assert (await setup.dialer.dial(PEER, [true, *lies])).address == true
    assert [text for _, text in setup.transport.dials] == [*map(str, lies[:3]), str(true)], "of those the best comes first"


@pytest.mark.parametrize(("hanging", "answering", "step"), [(FIRST, SECOND, 0.25), (PRIVATE_FIRST, PRIVATE_SECOND, 0.03)])
async def test_the_second_address_is_tried_soon_when_the_first_hangs(
    hanging: Multiaddr, answering: Multiaddr, step: float
) -> None:
    setup = Setup()
    setup.at(answering, 0.01)
    made = await setup.dialer.dial(PEER, [hanging, answering])
    assert made.address == answering
    assert setup.transport.dials == [(0.0, str(hanging)), (step, str(answering))]
    assert setup.transport.under_way == 0, "the loser is over"
    assert setup.held["connections"] == 1


async def test_who_has_answered_gets_a_step_for_the_handshake() -> None:
    setup = Setup()
    setup.transport.reached[FIRST] = 0.2
    setup.at(FIRST, 0.22)
    assert (await setup.dialer.dial(PEER, [FIRST, SECOND])).address == FIRST
    assert setup.transport.dials == [(0.0, str(FIRST))]
    setup.at(FIRST, 9)
    assert now() == pytest.approx(0.42)
    setup.at(SECOND, 0)
    assert (await setup.dialer.dial(PEER, [FIRST, SECOND])).address == SECOND
    assert now() == pytest.approx(0.42 + 0.2 + 0.25)


async def test_when_the_first_fails_the_second_does_not_wait() -> None:
    setup = Setup()
    setup.at(FIRST, 0.1, ConnectionRefusedError(111, "Connection refused"))
    setup.at(SECOND, 0.1)
    assert (await setup.dialer.dial(PEER, [FIRST, SECOND])).address == SECOND
    assert now() == pytest.approx(0.2)


async def test_the_first_to_succeed_wins_and_a_second_is_closed() -> None:
    setup = Setup()
    setup.at(FIRST, 0.5)
    setup.at(SECOND, 0.25)  # at the same time as the first
    winner = await setup.dialer.dial(PEER, [FIRST, SECOND])
    assert [made.is_aborted for made in setup.transport.made] == [made is not winner for made in setup.transport.made]
    assert setup.held["connections"] == 1


async def test_a_dial_tells_of_each_address_why_it_failed() -> None:
    setup = Setup()
    setup.own.add(THIRD)
    name, lost = Multiaddr.parse("/dns4/example.org/tcp/1"), Multiaddr.parse("/dns4/nowhere.example/tcp/1")
    setup.names = {name: [FIRST, SECOND], lost: RemoteError("no such name")}
    setup.at(FIRST, 0.1, ConnectionRefusedError(111, "Connect call failed ('1.2.3.1', 1)"))
    setup.at(SECOND, 0.1, PeerIdMismatch(PEER, OTHER))
    quic = Multiaddr.parse("/ip4/1.2.3.4/udp/1/quic-v1")
    with pytest.raises(DialFailed) as caught:
        await setup.dialer.dial(PEER, [lost, name, THIRD, quic])
    errors = dict(caught.value.attempts)
    assert list(errors) == [str(THIRD), str(quic), str(lost), str(FIRST), str(SECOND)]
    assert str(errors[str(FIRST)]) == "connection refused"
    assert isinstance(errors[str(FIRST)], ConnectionClosed)
    assert isinstance(errors[str(SECOND)], PeerIdMismatch)
    assert isinstance(errors[str(THIRD)], LocalError)
    assert setup.held == {}


NAME = Multiaddr.parse("/dns4/example.org/tcp/1")


async def test_addresses_are_tried_while_names_are_looked_up() -> None:
    setup = Setup()
    setup.look_up_time = 5
    setup.names[NAME] = [SECOND]
    setup.at(FIRST, 0.1)
    assert (await setup.dialer.dial(PEER, [NAME, FIRST])).address == FIRST
    assert now() == pytest.approx(0.1)


async def test_what_a_name_leads_to_is_tried_when_it_is_known() -> None:
    setup = Setup()
    setup.look_up_time = 0.1
    setup.names[NAME] = [FIRST, SECOND]
    setup.at(SECOND, 0.1)
    assert (await setup.dialer.dial(PEER, [FIRST, NAME])).address == SECOND
    assert setup.transport.dials == [(0.0, str(FIRST)), (0.25, str(SECOND))]


async def test_a_name_is_waited_for_when_all_addresses_have_failed() -> None:
    setup = Setup()
    setup.look_up_time = 5
    setup.names[NAME] = [SECOND]
    setup.at(FIRST, 0.1, ConnectionRefusedError(111, "refused"))
    setup.at(SECOND, 0.1)
    assert (await setup.dialer.dial(PEER, [FIRST, NAME])).address == SECOND
    assert now() == pytest.approx(5.1)


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "192.168.0.1", "169.254.169.254", "224.0.0.1", "192.0.2.1"])
async def test_names_lead_to_public_addresses_only_unless_it_is_said_otherwise(inside: str) -> None:
    """A name that leads into the network of whoever looks it up is how browsers were made to attack routers (DNS rebinding)."""
    setup = Setup()
    address = Multiaddr.parse(f"/ip4/{inside}/tcp/1")
    setup.names[NAME] = [address, SECOND]
    setup.at(address, 0.1)
    setup.at(SECOND, 0.1, ConnectionRefusedError(111, "refused"))
    with pytest.raises(DialFailed, match=r"/dns4/example\.org/tcp/1: leads to an address that is not public"):
        await setup.dialer.dial(PEER, [NAME])
    assert [address for _, address in setup.transport.dials] == [str(SECOND)]
    assert (await setup.dialer.dial(PEER, [NAME], private_names=[NAME])).address == address


async def test_a_peers_name_in_an_error_is_escaped() -> None:
    setup = Setup()
    name = Multiaddr.parse("/dns4/a\n\x1b[31m/tcp/1")
    setup.names[name] = RemoteError("no such name")
    with pytest.raises(DialFailed) as caught:
        await setup.dialer.dial(PEER, [name])
    assert [address for address, _ in caught.value.attempts] == [r"'/dns4/a\n\x1b[31m/tcp/1'"]
    assert str(caught.value).isprintable() or str(caught.value).replace("\n  ", "").isprintable()


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_dial_leaves_no_look_up(turns: int) -> None:
    setup = Setup()
    setup.look_up_time = 5
    setup.names[NAME] = [SECOND]
    dial = asyncio.create_task(setup.dialer.dial(PEER, [NAME, FIRST]))
    for _ in range(turns):
        await asyncio.sleep(0)
    dial.cancel()
    await asyncio.wait([dial])
    assert dial.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert setup.held == {}


async def test_an_error_of_the_system_without_a_number_is_told_as_it_is() -> None:
    setup = Setup()
    setup.at(FIRST, 0, OSError("multiple exceptions"))
    with pytest.raises(DialFailed, match="multiple exceptions"):
        await setup.dialer.dial(PEER, [FIRST])


async def test_without_any_address_a_dial_fails_at_once() -> None:
    with pytest.raises(DialFailed, match="no address is known"):
        await Setup().dialer.dial(PEER, [])


@pytest.mark.parametrize(
    ("address", "seconds", "setting"), [(FIRST, 15, "limits.dial_timeout"), (PRIVATE_FIRST, 5, "limits.dial_timeout_local")]
)
async def test_an_address_that_never_answers_is_given_up(address: Multiaddr, seconds: float, setting: str) -> None:
    setup = Setup()
    with pytest.raises(DialFailed) as caught:
        await setup.dialer.dial(PEER, [address])
    assert now() == pytest.approx(seconds)
    assert isinstance(caught.value.attempts[0][1], PeerTimeout)
    assert f"{seconds} s ({setting})" in str(caught.value)
    assert setup.held == {}


async def test_a_timeout_of_the_transports_own_is_passed_on() -> None:
    setup = Setup()
    setup.at(FIRST, 0, PeerTimeout("no handshake"))
    with pytest.raises(DialFailed, match="no handshake"):
        await setup.dialer.dial(PEER, [FIRST])


async def test_an_address_that_failed_is_left_alone_for_a_while_but_not_for_others() -> None:
    setup = Setup()
    setup.at(FIRST, 0, ConnectionRefusedError(111, "refused"))
    for peer in (PEER, OTHER):
        with pytest.raises(DialFailed, match="refused"):
            await setup.dialer.dial(peer, [FIRST])
    setup.at(FIRST, 0)
    with pytest.raises(DialFailed, match="left alone"):
        await setup.dialer.dial(PEER, [FIRST])
    await asyncio.sleep(5)
    assert (await setup.dialer.dial(PEER, [FIRST])).address == FIRST
    assert setup.dialer.backoff.remaining(PEER, FIRST, now()) == 0


async def test_whoever_answers_will_do_where_nobody_is_expected() -> None:
    setup = Setup()
    setup.at(FIRST, 0.1)
    assert (await setup.dialer.dial(None, [FIRST])).address == FIRST
    setup.at(SECOND, 0, ConnectionRefusedError(111, "refused"))
    for _ in range(2):
        with pytest.raises(DialFailed, match="refused"):
            await setup.dialer.dial(None, [SECOND])


async def test_sixteen_addresses_of_a_peer_are_tried_eight_at_a_time() -> None:
    setup = Setup()
    addresses = [Multiaddr.parse(f"/ip4/1.2.4.{number}/tcp/1") for number in range(30)]
    with pytest.raises(DialFailed) as caught:
        await setup.dialer.dial(PEER, addresses)
    assert len(setup.transport.dials) == 16
    assert setup.transport.most == 8
    assert "14 more addresses" in str(caught.value)


@pytest.mark.parametrize("others", [[], [SECOND]])
async def test_a_bug_costs_the_attempt_that_brought_it_out(others: list[Multiaddr], caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup()
    setup.at(FIRST, 0, ValueError("a bug"))
    setup.at(SECOND, 0, ConnectionRefusedError(111, "refused"))
    with pytest.raises(DialFailed) as caught:
        await setup.dialer.dial(PEER, [FIRST, *others])
    assert isinstance(dict(caught.value.attempts)[str(FIRST)], ValueError)
    assert "a bug" in caplog.text
    assert setup.held == {}


RELAYED = Multiaddr.parse(f"/ip4/1.2.3.9/tcp/1/p2p/{OTHER}/p2p-circuit")


async def test_a_relay_waits_for_direct_addresses_also_for_those_behind_a_name() -> None:
    setup = Setup()
    setup.look_up_time = 1
    setup.names[NAME] = [SECOND]
    setup.at(SECOND, 1)
    setup.at(RELAYED, 0.1)
    assert (await setup.dialer.dial(PEER, [RELAYED, NAME])).address == RELAYED
    assert setup.transport.dials == [(1.0, str(SECOND)), (1.5, str(RELAYED))]


async def test_a_direct_dial_leaves_relays_out_and_does_not_care_what_failed_lately() -> None:
    setup = Setup()
    setup.at(FIRST, 0, ConnectionRefusedError(111, "refused"))
    setup.at(RELAYED, 0.1)
    assert (await setup.dialer.dial(PEER, [FIRST, RELAYED])).address == RELAYED
    setup.dialer.backoff.on_failure(PEER, FIRST, now())
    setup.at(FIRST, 0)
    with pytest.raises(DialFailed, match="a direct connection was asked for"):
        await setup.dialer.dial(PEER, [RELAYED], direct=True)
    assert (await setup.dialer.dial(PEER, [RELAYED, FIRST], direct=True)).address == FIRST


async def test_a_network_that_swallows_a_kind_of_dials_is_noticed_and_told() -> None:
    setup = Setup()
    ip6 = [Multiaddr.parse(f"/ip6/2001:470::{number:x}/tcp/1") for number in range(1, 101)]
    for address in ip6:  # one a dial, since each is given up when the other one has succeeded
        await cancel(asyncio.ensure_future(setup.dialer.dial(None, [address])))
    with pytest.raises(DialFailed, match=r"of the last 100 dials over IPv6, 0 succeeded.*use an IPv4 address"):
        await setup.dialer.dial(PEER, [ip6[0]])
    setup.at(FIRST, 0)
    assert (await setup.dialer.dial(PEER, [ip6[0], FIRST])).address == FIRST
    setup.at(ip6[0], 0)
    for _ in range(97):
        with pytest.raises(DialFailed):
            await setup.dialer.dial(None, [ip6[0]])
    assert (await setup.dialer.dial(None, [ip6[0]])).address == ip6[0], "it is tried now and then"
    assert (await setup.dialer.dial(None, [ip6[0]])).address == ip6[0], "and then used again"


async def cancel(task: "asyncio.Future[Made]") -> None:
    await settle()
    task.cancel()
    await asyncio.wait([task])


# --- the number of dials


async def test_dials_wait_for_a_slot_in_the_order_they_came() -> None:
    setup = Setup(Limits(dials=2, connections_per_peer=8))
    order: list[int] = []
    addresses = [Multiaddr.parse(f"/ip4/1.2.4.{number}/tcp/1") for number in range(6)]
    for address in addresses:
        setup.at(address, 1)

    async def dial(number: int) -> None:
        await setup.dialer.dial(None, [addresses[number]])
        order.append(number)

    dials = [asyncio.ensure_future(dial(number)) for number in range(6)]
    await asyncio.sleep(0.5)
    dials[2].cancel()
    await asyncio.wait(dials)
    assert order == [0, 1, 3, 4, 5]
    assert now() == pytest.approx(3)
    assert setup.transport.most == 2
    assert setup.held["connections"] == 5
    assert setup.held.get("dials") is None


async def test_a_slot_that_one_can_not_use_goes_to_the_next() -> None:
    """Who is refused for another reason must not keep it from those behind."""
    setup = Setup(Limits(dials=1, connections_per_ipv4=1))
    setup.at(FIRST, 1)
    setup.at(SECOND, 1)
    begun = asyncio.ensure_future(setup.dialer.dial(None, [FIRST]))
    await settle()
    refused = [asyncio.ensure_future(setup.dialer.dial(None, [FIRST])) for _ in range(3)]
    fine = asyncio.ensure_future(setup.dialer.dial(None, [SECOND]))
    await asyncio.wait([begun, *refused, fine])
    for task in refused:
        assert isinstance(task.exception().attempts[0][1], LimitExceeded)
    assert fine.result().address == SECOND
    assert now() == pytest.approx(2)


async def test_a_peer_whose_slots_are_all_used_does_not_hold_up_others() -> None:
    setup = Setup(Limits(dials=3, dials_per_peer=1))
    setup.at(SECOND, 1)
    begun = asyncio.ensure_future(setup.dialer.dial(PEER, [FIRST]))
    await settle()
    same = asyncio.ensure_future(setup.dialer.dial(PEER, [THIRD]))
    await settle()
    assert (await setup.dialer.dial(OTHER, [SECOND])).address == SECOND
    assert now() == pytest.approx(1)
    for task in (begun, same):
        task.cancel()
        await asyncio.wait([task])
    assert setup.held["connections"] == 1


async def test_a_slot_given_in_the_turn_of_a_cancellation_goes_on_to_the_next() -> None:
    setup = Setup(Limits(dials=1))
    for address in (FIRST, SECOND, THIRD):
        setup.at(address, 1)
    first, second, third = (asyncio.ensure_future(setup.dialer.dial(None, [address])) for address in (FIRST, SECOND, THIRD))
    await settle()
    admit = setup.dialer._admit

    def cancel_in_that_turn(address: Multiaddr, peer: PeerId | None) -> Reservation:
        if address == SECOND:
            asyncio.get_running_loop().call_soon(second.cancel)
        return admit(address, peer)

    setup.dialer._admit = cancel_in_that_turn
    assert (await third).address == THIRD
    assert (await first).address == FIRST
    assert second.cancelled()
    assert setup.held["connections"] == 2
    assert now() == pytest.approx(2)


async def test_no_slot_is_given_to_who_is_being_cancelled() -> None:
    setup = Setup(Limits(dials=1))
    for address in (FIRST, SECOND):
        setup.at(address, 1)
    blocker = setup.resources.admit_dial(None, None)
    first, second = (asyncio.ensure_future(setup.dialer.dial(None, [address])) for address in (FIRST, SECOND))
    await settle()
    next(iter(setup.dialer._waiting)).reservation.cancel()  # as the cancellation of its task does, before that runs
    blocker.release()
    setup.dialer._give_slots()
    assert (await second).address == SECOND
    await asyncio.wait([first])
    assert setup.held["connections"] == 1


# --- cancellation


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancelled_dial_leaves_nothing(turns: int) -> None:
    setup = Setup(Limits(dials=1))
    name = Multiaddr.parse("/dns4/example.org/tcp/1")
    setup.names = {name: [FIRST, SECOND]}
    dial = asyncio.ensure_future(setup.dialer.dial(PEER, [name]))
    await settle(turns)
    dial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dial
    assert setup.held == {}
    assert len(setup.dialer._waiting) == 0
    assert setup.transport.under_way == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_winner_is_closed_when_the_dial_is_cancelled_while_the_losers_end() -> None:
    setup = Setup()
    setup.at(SECOND, 0.1)
    transport, ending = setup.transport, asyncio.Event()
    original = transport.dial

    async def slow_to_end(address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Made:
        try:
            return await original(address, expected, reservation)
        except asyncio.CancelledError:
            ending.set()
            await asyncio.sleep(1)
            raise

    transport.dial = slow_to_end
    dial = asyncio.ensure_future(setup.dialer.dial(PEER, [FIRST, SECOND]))
    await ending.wait()
    dial.cancel()
    await settle()
    assert not dial.done(), "it waits for the losers all the same"
    with pytest.raises(asyncio.CancelledError):
        await dial
    assert [made.is_aborted for made in transport.made] == [True]
    assert setup.held == {}


async def test_a_connection_that_comes_while_the_dial_is_given_up_is_closed() -> None:
    setup = Setup()
    transport = setup.transport
    original = transport.dial

    async def stubborn(address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Made:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await original(address, expected, reservation)

    setup.at(FIRST, 0.1)
    transport.dial = stubborn
    dial = asyncio.ensure_future(setup.dialer.dial(PEER, [FIRST, SECOND]))
    await settle()
    dial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dial
    assert [made.is_aborted for made in transport.made] == [True]
    assert setup.held == {}
