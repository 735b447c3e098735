import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.dial_backoff import DialBackoff

PEERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(10)]
A, B = PEERS[:2]


def address(number: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{number + 1}")


def test_an_address_rests_longer_with_each_failure_and_never_above_five_minutes() -> None:
    backoff = DialBackoff()
    now, rests = 0.0, []
    for _ in range(20):
        backoff.on_failure(A, address(0), now)
        rests.append(backoff.remaining(A, address(0), now))
        now += rests[-1]
        assert backoff.remaining(A, address(0), now) == 0
    assert rests[:4] == [5, 6, 9, 14]
    assert rests[17:] == [294, 300, 300]


def test_it_says_what_failed_and_for_how_long_it_is_left_alone() -> None:
    backoff = DialBackoff()
    backoff.on_failure(A, address(0), 0.0, "connection refused")
    backoff.on_failure(A, address(1), 0.0, "x" * 1000)
    backoff.on_failure(A, address(2), 0.0)
    assert backoff.objection(A, address(0), 0.8) == "has failed lately (connection refused), and is left alone for 5 s"
    assert f"({'x' * 160})" in backoff.objection(A, address(1), 0.0)
    assert backoff.objection(A, address(2), 4.5) == "has failed lately, and is left alone for 1 s"
    assert [backoff.objection(*known, 0.0) for known in ((A, address(3)), (B, address(0)))] == ["", ""]
    assert backoff.objection(A, address(0), 5.0) == ""


def test_other_addresses_and_other_peers_do_not_rest() -> None:
    backoff = DialBackoff()
    backoff.on_failure(A, address(0), 0.0)
    assert backoff.remaining(A, address(1), 0.0) == backoff.remaining(B, address(0), 0.0) == 0


def test_a_connection_to_the_peer_clears_all_its_addresses() -> None:
    backoff = DialBackoff()
    backoff.on_failure(A, address(0), 0.0)
    backoff.on_failure(A, address(1), 0.0)
    backoff.on_success(A)
    backoff.on_success(B)
    assert (len(backoff), backoff.remaining(A, address(0), 0.0)) == (0, 0)


def test_on_another_network_no_address_rests() -> None:
    backoff = DialBackoff()
    for peer in (A, B):
        backoff.on_failure(peer, address(0), 0.0)
    backoff.clear()
    assert (len(backoff), backoff.remaining(A, address(0), 0.0)) == (0, 0)


@pytest.mark.parametrize(("later", "rest"), [(9.9, 6), (10.0, 6), (10.1, 5)])
def test_a_failure_long_ago_does_not_count(later: float, rest: float) -> None:
    backoff = DialBackoff()
    backoff.on_failure(A, address(0), 0.0)
    backoff.on_failure(A, address(0), later)
    assert backoff.remaining(A, address(0), later) == rest


@pytest.mark.parametrize(("failures", "kept"), [(2, 2), (3, 3), (4, 3)])
def test_the_oldest_addresses_of_a_peer_are_forgotten_above_the_limit(failures: int, kept: int) -> None:
    backoff = DialBackoff(address_limit=3)
    for number in range(failures):
        backoff.on_failure(A, address(number), 0.0)
    assert len(backoff) == kept
    assert (backoff.remaining(A, address(0), 0.0) == 0) == (failures > 3)


@pytest.mark.parametrize(("failures", "kept"), [(2, 2), (3, 3), (4, 3)])
def test_the_oldest_peers_are_forgotten_above_the_limit(failures: int, kept: int) -> None:
    backoff = DialBackoff(peer_limit=3)
    for peer in PEERS[:failures]:
        backoff.on_failure(peer, address(0), 0.0)
    assert len(backoff) == kept
    assert backoff.remaining(PEERS[failures - 1], address(0), 0.0) == 5


def test_what_is_long_ago_is_forgotten() -> None:
    backoff = DialBackoff()
    for peer in PEERS[:5]:
        backoff.on_failure(peer, address(0), 0.0)
    for peer in PEERS[5:]:
        backoff.on_failure(peer, address(0), 100.0)
    assert len(backoff) == 5


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0, 400), st.booleans()), max_size=80))
def test_its_size_and_its_rests_stay_bounded(events: list[tuple[int, int, float, bool]]) -> None:
    backoff = DialBackoff(peer_limit=4, address_limit=3)
    now = 0.0
    for peer, number, step, failed in events:
        now += step
        if failed:
            backoff.on_failure(PEERS[peer], address(number), now)
            assert 4.999 < backoff.remaining(PEERS[peer], address(number), now) < 300.001
        else:
            backoff.on_success(PEERS[peer])
            assert backoff.remaining(PEERS[peer], address(number), now) == 0
        assert len(backoff) <= 12
