from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexnet.errors import DialFailed, LimitExceeded, LocalError, in_one_line
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.dial_backoff import DialBackoff
from cortexnet.swarm.dial_plan import Choice, DialPlan, choose
from cortexnet.swarm.dial_ranking import ScheduledDial

A = PeerId(bytes([0x12, 32]) + b"a" * 32)
B = PeerId(bytes([0x12, 32]) + b"b" * 32)
REFUSED = ConnectionRefusedError("refused")


def public(number: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{number + 1}")


def every(step: float, count: int) -> list[ScheduledDial]:
    return [ScheduledDial(public(number), step * number) for number in range(count)]


def choose_text(*texts: str, expected: PeerId | None = A) -> Choice:
    addresses = [Multiaddr.parse(text) for text in texts]
    own = {Multiaddr.parse("/ip4/5.5.5.5/tcp/4001")}
    return choose(
        addresses, expected=expected, can_dial=lambda address: address.matches("/IP/tcp/p2p-circuit?"), own_addresses=own
    )


def start_all(plan: DialPlan, now: float) -> list[Multiaddr]:
    started = []
    while (address := plan.next(now)) is not None:
        started.append(address)
    return started


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"/p2p/{A}", "says who, but not where"),
        (f"/ip4/1.2.3.4/tcp/1/p2p/{B}", f"is an address of {B}, who was not asked for"),
        ("/ip4/5.5.5.5/tcp/4001", "is an address of our own: a node does not dial itself"),
        (f"/ip4/5.5.5.5/tcp/4001/p2p/{A}", "is an address of our own: a node does not dial itself"),
        ("/ip4/1.2.3.4/udp/1/quic-v1", "is not for any transport that is enabled: see Config.transports, or use another address"),
        ("/ip4/0.0.0.0/tcp/4001", "begins with the unspecified IP, which leads nowhere"),
        ("/ip6/::/tcp/4001", "begins with the unspecified IP, which leads nowhere"),
        ("/ip6/fe80::1/tcp/4001", "is link-local, but says no zone (/ip6zone/…)"),
        ("/ip6/febf::1/tcp/4001", "is link-local, but says no zone (/ip6zone/…)"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_with_the_reason(text: str, reason: str) -> None:
    choice = choose_text(text)
    assert choice.addresses == []
    [(address, error)] = choice.refused
    assert (address, str(error)) == (text, reason)
    assert isinstance(error, LocalError)


def test_a_good_address_is_kept_without_its_peer_and_once() -> None:
    choice = choose_text(
        f"/ip4/1.2.3.4/tcp/1/p2p/{A}", "/ip4/1.2.3.4/tcp/1", "/ip6/fec0::1/tcp/1", "/ip6zone/eth0/ip6/fe80::1/tcp/1"
    )
    kept = ["/ip4/1.2.3.4/tcp/1", "/ip6/fec0::1/tcp/1", "/ip6zone/eth0/ip6/fe80::1/tcp/1"]
    assert [str(address) for address in choice.addresses] == kept
    assert choice.refused == []


def test_without_an_expected_peer_an_address_of_a_named_one_is_refused() -> None:
    choice = choose_text(f"/ip4/1.2.3.4/tcp/1/p2p/{A}", "/ip4/1.2.3.4/tcp/1", expected=None)
    assert (choice.addresses, len(choice.refused)) == ([public(0)], 1)


def test_an_address_that_rests_is_refused_and_says_why() -> None:
    rests = {public(0): "rests"}
    choice = choose([public(0), public(1)], expected=A, can_dial=lambda _: True, resting=lambda address: rests.get(address, ""))
    assert choice.addresses == [public(1)]
    assert str(choice.refused[0][1]) == "rests"


def test_a_direct_dial_leaves_relays_out() -> None:
    relayed = Multiaddr.parse(f"/ip4/1.2.3.9/tcp/1/p2p/{B}/p2p-circuit")
    assert choose([relayed, public(0)], expected=A, can_dial=lambda _: True).addresses == [relayed, public(0)]
    choice = choose([relayed, public(0)], expected=A, can_dial=lambda _: True, direct=True)
    assert choice.addresses == [public(0)]
    assert [(text, str(error)) for text, error in choice.refused] == [
        (str(relayed), "leads through a relay, and a direct connection was asked for")
    ]


def test_worse_ways_to_the_same_port_are_dropped_without_a_word() -> None:
    choice = choose([Multiaddr.parse("/ip4/1.2.3.4/tcp/1/ws"), public(0)], expected=A, can_dial=lambda _: True)
    assert (choice.addresses, choice.refused) == ([public(0)], [])
    choice = choose([Multiaddr.parse("/ip4/1.2.3.4/tcp/1/ws"), public(0)], expected=A, can_dial=lambda address: address.has("ws"))
    assert [str(address) for address in choice.addresses] == ["/ip4/1.2.3.4/tcp/1/ws"], "the better one is of no use"


def test_what_the_network_swallows_is_refused_with_the_reason() -> None:
    asked: list[Sequence[Multiaddr]] = []

    def lost(addresses: Sequence[Multiaddr]) -> dict[Multiaddr, str]:
        asked.append(addresses)
        return {public(1): "never comes back"}

    choice = choose([public(0), public(1), Multiaddr.parse("/memory/1")], expected=A, can_dial=lambda a: a.has("tcp"), lost=lost)
    assert asked == [[public(0), public(1)]]
    assert choice.addresses == [public(0)]
    assert str(choice.refused[1][1]) == "never comes back"


def test_a_peers_text_in_a_message_is_escaped() -> None:
    choice = choose([Multiaddr.parse("/dns/a\nb/tcp/1")], expected=A, can_dial=lambda _: False)
    assert choice.refused[0][0] == r"'/dns/a\nb/tcp/1'"


def test_attempts_start_when_they_are_due() -> None:
    plan = DialPlan(every(0.25, 3), 10.0)
    assert plan.next_timeout() == 10.0
    assert start_all(plan, 10.0) == [public(0)]
    assert plan.next_timeout() == 10.25
    assert start_all(plan, 10.24) == []
    assert start_all(plan, 10.25) == [public(1)]
    assert start_all(plan, 10.6) == [public(2)]
    assert plan.next_timeout() is None


def test_the_next_attempt_waits_a_step_for_one_that_was_answered() -> None:
    private = Multiaddr.parse("/ip4/192.168.0.1/tcp/1")
    plan = DialPlan([*every(0.25, 3), ScheduledDial(private, 0.5), ScheduledDial(public(9), 0.53)], 0.0)
    assert start_all(plan, 0.0) == [public(0)]
    plan.on_reached(public(0), 0.2)
    assert plan.next_timeout() == 0.45
    assert start_all(plan, 0.44) == []
    assert start_all(plan, 0.45) == [public(1)]
    plan.on_reached(public(1), 0.5)
    plan.on_failure(public(1), REFUSED, 0.6)
    assert plan.next_timeout() == pytest.approx(0.7), "nobody waits for one that has failed"
    assert start_all(plan, 0.7) == [public(2), private]
    plan.on_reached(private, 0.7)
    plan.on_reached(public(1), 0.7)
    assert plan.next_timeout() == pytest.approx(0.73), "in private networks a handshake takes no time"
    plan.on_failure(public(0), REFUSED, 0.7)
    plan.on_failure(public(2), REFUSED, 0.7)
    plan.on_failure(private, REFUSED, 0.7)
    assert start_all(plan, 0.7) == [public(9)]


def test_a_late_loop_does_not_start_the_missed_ones_together() -> None:
    plan = DialPlan(every(0.25, 3), 0.0)
    assert start_all(plan, 0.0) == [public(0)]
    assert start_all(plan, 9.0) == [public(1)]
    assert plan.next_timeout() == 9.25


def test_equal_delays_start_together() -> None:
    plan = DialPlan(every(0.0, 3), 0.0)
    assert start_all(plan, 0.0) == [public(0), public(1), public(2)]


def test_the_next_starts_at_once_when_all_in_flight_have_failed() -> None:
    plan = DialPlan(every(0.25, 4), 0.0)
    start_all(plan, 0.0)
    start_all(plan, 0.25)
    plan.on_failure(public(0), REFUSED, 0.3)
    assert start_all(plan, 0.3) == []
    plan.on_failure(public(1), REFUSED, 0.4)
    assert plan.next_timeout() == 0.25
    assert start_all(plan, 0.4) == [public(2)]
    assert plan.next_timeout() == pytest.approx(0.65)


@pytest.mark.parametrize(("at_once", "started"), [(1, 1), (7, 7), (8, 8), (9, 9)])
def test_no_more_than_the_limit_are_in_flight(at_once: int, started: int) -> None:
    plan = DialPlan(every(0.0, 12), 0.0, at_once=at_once)
    assert len(start_all(plan, 0.0)) == started
    assert plan.next_timeout() is None
    plan.on_failure(public(0), REFUSED, 1.0)
    assert len(start_all(plan, 1.0)) == 1


@pytest.mark.parametrize("addresses", [15, 16, 17])
def test_no_more_than_sixteen_addresses_are_tried(addresses: int) -> None:
    plan = DialPlan(every(0.0, addresses), 0.0, at_once=100)
    assert len(start_all(plan, 0.0)) == min(addresses, 16)
    assert [(text, type(error)) for text, error in plan.attempts] == [("1 more addresses", LimitExceeded)] * (addresses == 17)


def test_addresses_that_become_known_later_come_behind_the_others() -> None:
    plan = DialPlan(every(0.25, 2), 0.0)
    assert start_all(plan, 0.0) == [public(0)]
    plan.add([public(1), public(2), public(3)], [("/dns4/x", LocalError("private"))])
    assert start_all(plan, 0.25) == [public(1)]
    assert plan.next_timeout() == 0.5
    assert start_all(plan, 0.5) == [public(2)]
    assert start_all(plan, 0.75) == [public(3)]
    assert (plan.next_timeout(), plan.attempts[0][0]) == (None, "/dns4/x")


def test_an_address_that_becomes_known_when_all_have_failed_is_tried_at_once() -> None:
    plan = DialPlan(every(0.0, 1), 0.0)
    start_all(plan, 0.0)
    plan.on_failure(public(0), REFUSED, 1.0)
    assert plan.is_over
    plan.add([public(0), public(1)])
    assert not plan.is_over
    assert start_all(plan, 1.0) == [public(1)]


@pytest.mark.parametrize(("before", "after", "tried", "left"), [(16, 1, 16, 1), (10, 6, 16, 0), (10, 7, 16, 1), (17, 3, 16, 3)])
def test_the_limit_of_addresses_counts_those_that_become_known_later(before: int, after: int, tried: int, left: int) -> None:
    plan = DialPlan(every(0.0, before), 0.0, at_once=100)
    plan.add([public(before + number) for number in range(after)])
    assert sum(len(start_all(plan, float(second))) for second in range(10)) == tried
    assert [text for text, _ in plan.attempts][1 if before > 16 else 0 :] == [f"{left} more addresses"] * (left > 0)


def test_success_ends_the_plan_and_names_the_losers() -> None:
    backoff = DialBackoff()
    backoff.on_failure(A, public(9), 0.0)
    plan = DialPlan(every(0.0, 3), 0.0, peer=A, backoff=backoff, at_once=2)
    start_all(plan, 0.0)
    assert not plan.is_over
    assert plan.on_success(public(1)) == [public(0)]
    assert plan.is_over
    assert (plan.next(9.0), plan.next_timeout()) == (None, None)
    plan.on_failure(public(0), REFUSED, 9.0)
    assert (len(backoff), plan.attempts) == (0, [])


def test_success_and_failure_without_a_known_peer_touch_no_backoff() -> None:
    backoff = DialBackoff()
    plan = DialPlan(every(0.0, 2), 0.0, backoff=backoff)
    start_all(plan, 0.0)
    plan.on_failure(public(0), REFUSED, 0.0)
    plan.on_success(public(1))
    assert len(backoff) == 0


@pytest.mark.parametrize(
    ("error", "rest"),
    [(REFUSED, 5.0), (TimeoutError(), 5.0), (LocalError("x"), 0.0), (LimitExceeded("x", limit=1, value=2, setting="y"), 0.0)],
)
def test_a_failed_address_is_left_alone_unless_the_fault_was_ours(error: BaseException, rest: float) -> None:
    backoff = DialBackoff()
    plan = DialPlan(every(0.0, 1), 0.0, peer=A, backoff=backoff)
    start_all(plan, 0.0)
    plan.on_failure(public(0), error, 1.0)
    assert backoff.remaining(A, public(0), 1.0) == rest
    assert in_one_line(error) in backoff.objection(A, public(0), 1.0) or not rest


def test_the_failure_lists_every_attempt_and_every_refusal() -> None:
    plan = DialPlan(every(0.0, 2), 0.0, peer=A, refused=[("/ip4/0.0.0.0/tcp/1", LocalError("nowhere"))])
    for address in start_all(plan, 0.0):
        plan.on_failure(address, REFUSED, 0.1)
    assert plan.is_over
    failure = plan.failure()
    assert isinstance(failure, DialFailed)
    assert [address for address, _ in failure.attempts] == ["/ip4/0.0.0.0/tcp/1", "/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2"]
    assert str(failure) == (
        f"a connection to {A} could not be made:\n  /ip4/0.0.0.0/tcp/1: nowhere"
        "\n  /ip4/1.2.3.4/tcp/1: refused\n  /ip4/1.2.3.4/tcp/2: refused"
    )


def test_a_plan_without_addresses_is_over_and_says_why() -> None:
    plan = DialPlan([], 0.0)
    assert plan.is_over
    assert str(plan.failure()) == "a connection could not be made, for no address is known: dial one, or find the peer first"


def test_the_end_of_an_attempt_that_was_not_started_is_the_callers_fault() -> None:
    plan = DialPlan(every(0.0, 1), 0.0)
    with pytest.raises(LocalError, match="no attempt"):
        plan.on_failure(public(0), REFUSED, 0.0)


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 0.5), max_size=20),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30)), max_size=60),
    st.integers(1, 8),
)
def test_every_address_is_tried_once_in_order_within_the_limits(
    steps: Sequence[float], events: Sequence[tuple[float, int]], at_once: int
) -> None:
    delays = [sum(steps[: index + 1]) for index in range(len(steps))]
    schedule = [ScheduledDial(public(number), delay) for number, delay in enumerate(delays)]
    plan = DialPlan(schedule, 0.0, at_once=at_once)
    flying: list[Multiaddr] = []
    started: list[Multiaddr] = []
    now = 0.0
    for step, pick in [*events, *[(1.0, 0)] * 40]:
        for address in start_all(plan, now):
            started.append(address)
            flying.append(address)
        assert len(flying) <= at_once
        if flying and pick % 5 == 0:
            plan.on_reached(flying[pick % len(flying)], now)
        # Never idle while there is something to try, and a time to wake up whenever a start is to come.
        assert flying or plan.is_over
        timeout = plan.next_timeout()
        assert timeout is None or timeout > now
        assert (timeout is None) == (len(started) == min(len(steps), 16) or len(flying) == at_once)
        now += step
        if flying and pick % 2 == 0:
            plan.on_failure(flying.pop(pick % len(flying)), REFUSED, now)
    assert started == [dial.address for dial in schedule[:16]]
    assert plan.is_over
