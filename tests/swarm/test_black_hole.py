import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.black_hole import BlackHoles, SuccessCounter

QUIC = Multiaddr.parse("/ip4/1.2.3.4/udp/1/quic-v1")
QUIC6 = Multiaddr.parse("/ip6/2001:470::1/udp/1/quic-v1")
TCP = Multiaddr.parse("/ip4/1.2.3.4/tcp/1")
TCP6 = Multiaddr.parse("/ip6/2001:470::1/tcp/1")
NEAR = Multiaddr.parse("/ip4/192.168.1.1/udp/1/quic-v1")


def counter(*results: bool) -> SuccessCounter:
    made = SuccessCounter("UDP", "use TCP")
    for success in results:
        made.on_result(success=success)
    return made


def blocked(*addresses: Multiaddr) -> BlackHoles:
    """After 100 failures at each of the addresses."""
    holes = BlackHoles()
    for address in addresses:
        for _ in range(100):
            holes.on_result(address, success=False)
    return holes


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ([False] * 99, "probing"),
        ([True] * 99, "probing"),
        ([False] * 100, "blocked"),
        ([True] * 4 + [False] * 96, "blocked"),
        ([True] * 5 + [False] * 95, "allowed"),
        ([True] * 5 + [False] * 96, "blocked"),
        ([False] * 95 + [True] * 5, "allowed"),
        ([False] * 96 + [True] * 4, "blocked"),
        ([False] * 100 + [True], "probing"),
        ([False] * 100 + [True] + [False] * 99, "probing"),
        ([False] * 100 + [True] + [False] * 100, "blocked"),
    ],
)
def test_fewer_than_5_successes_of_the_last_100_block_and_one_success_unblocks(results: list[bool], state: str) -> None:
    assert counter(*results).state == state


def test_every_hundredth_request_of_what_is_blocked_probes() -> None:
    bad = counter(*[False] * 100)
    assert [number for number in range(1, 301) if bad.request() == "probing"] == [100, 200, 300]
    assert "of the last 100 dials over UDP, 0 succeeded" in bad.objection()
    assert "the next in 100" in bad.objection()
    bad.request()
    assert "the next in 99" in bad.objection()
    bad.on_result(success=True)
    assert bad.request() == "probing"


def test_what_is_blocked_is_left_out_and_says_what_to_do() -> None:
    holes = blocked(QUIC)
    objections = holes.objections([QUIC, TCP, NEAR, QUIC6, TCP6])
    assert list(objections) == [QUIC], "IPv6 is not known yet, and probed with whatever there is"
    assert "use a TCP address" in objections[QUIC]
    for _ in range(100):
        holes.on_result(TCP6, success=False)
    objections = holes.objections([QUIC, TCP, NEAR, QUIC6, TCP6])
    assert list(objections) == [QUIC, QUIC6, TCP6]
    assert "over UDP" in objections[QUIC6]
    assert "use an IPv4 address" in objections[TCP6]


def test_while_one_kind_is_probed_the_other_one_is_no_objection() -> None:
    holes = blocked(QUIC, TCP6)
    for _ in range(50):
        assert list(holes.objections([TCP6])) == [TCP6]
    for _ in range(49):
        assert list(holes.objections([QUIC6])) == [QUIC6]
    assert list(holes.objections([QUIC6, QUIC, TCP6])) == [QUIC], "the hundredth of IPv6"


def test_what_works_is_never_an_objection() -> None:
    holes = BlackHoles()
    for _ in range(100):
        holes.on_result(QUIC, success=True)
    assert (holes.udp.state, holes.ip6.state) == ("allowed", "probing")
    assert holes.objections([QUIC, TCP, TCP6]) == {}


def test_private_addresses_are_neither_counted_nor_left_out() -> None:
    holes = blocked(NEAR, TCP)
    assert (holes.udp.state, holes.ip6.state) == ("probing", "probing")
    assert blocked(QUIC).objections([NEAR]) == {}


def test_of_another_network_nothing_is_known() -> None:
    holes = blocked(QUIC, TCP6)
    assert (holes.udp.state, holes.ip6.state) == ("blocked", "blocked")
    holes.clear()
    assert holes.objections([QUIC, TCP6]) == {}


@given(st.lists(st.one_of(st.booleans(), st.none()), max_size=600))
def test_nobody_is_left_out_for_ever(steps: list[bool | None]) -> None:
    """Requests (None) and results in any order: of 100 requests in a row at least one goes out."""
    made = SuccessCounter("UDP", "")
    for step in steps:
        if step is None:
            made.request()
        else:
            made.on_result(success=step)
    assert any(made.request() != "blocked" for _ in range(100))
