import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.bandwidth import BURST, Bandwidth, ByteBucket, Traffic
from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Resources
from cortexnet.errors import ConfigInvalid
from cortexnet.identity.peer_id import PeerId

A, B = (PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in (1, 2))
MIB = 1024 * 1024


@pytest.mark.parametrize(("size", "wait"), [(99_999, 0.0), (100_000, 0.0), (100_001, 1e-6), (1_100_000, 1.0)])
def test_a_burst_passes_and_what_is_above_it_has_to_wait(size: int, wait: float) -> None:
    assert ByteBucket(1_000_000).spend(size, 5.0) == pytest.approx(wait)


def test_a_slow_bucket_lets_a_record_pass_at_once() -> None:
    bucket = ByteBucket(16_384)
    assert bucket.spend(65_536, 0.0) == 0
    assert bucket.spend(16_384, 0.0) == 1


def test_debt_is_paid_by_time_and_no_more_than_a_burst_is_saved() -> None:
    bucket = ByteBucket(1_000_000)
    assert bucket.spend(600_000, 0.0) == pytest.approx(0.5)
    assert bucket.spend(0, 0.3) == pytest.approx(0.2)
    assert bucket.spend(0, 0.5) == 0
    assert bucket.spend(200_000, 100.0) == pytest.approx(0.1)


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = ByteBucket(1_000_000)
    bucket.spend(1_100_000, 10.0)
    assert bucket.spend(0, 0.0) == pytest.approx(1.0)
    assert bucket.spend(0, 10.5) == pytest.approx(0.5)


@given(st.integers(16_384, 10**9), st.lists(st.integers(1, 131_072), min_size=1, max_size=50))
def test_who_waits_as_told_moves_the_rate_and_one_burst(rate: int, sizes: list[int]) -> None:
    bucket, now, moved = ByteBucket(rate), 0.0, 0
    for size in sizes:
        moved += size
        now += bucket.spend(size, now)
        assert moved <= max(rate * BURST, 65_536) + rate * now + 1
    if now:
        assert moved >= rate * now - 1


def test_without_caps_nothing_is_asked_and_nothing_kept() -> None:
    bandwidth = Bandwidth(Limits())
    traffic = bandwidth.open(A)
    assert not traffic.is_limited
    assert (traffic.wait_to_read(MIB, 0.0), traffic.wait_to_write(MIB, 0.0), len(bandwidth)) == (0.0, 0.0, 0)
    bandwidth.close(A)


def test_all_connections_share_what_the_node_may() -> None:
    bandwidth = Bandwidth(Limits(bandwidth_in=MIB))
    first, second = bandwidth.open(A), bandwidth.open(B)
    assert first.is_limited
    assert first.wait_to_read(MIB, 0.0) == pytest.approx(0.9)
    assert second.wait_to_read(MIB, 0.0) == pytest.approx(1.9)
    assert second.wait_to_write(10 * MIB, 0.0) == 0


def test_the_connections_of_a_peer_share_what_it_may() -> None:
    bandwidth = Bandwidth(Limits(bandwidth_out_per_peer=MIB))
    first, second, other = bandwidth.open(A), bandwidth.open(A), bandwidth.open(B)
    assert first.wait_to_write(MIB, 0.0) == pytest.approx(0.9)
    assert second.wait_to_write(MIB, 0.0) == pytest.approx(1.9)
    assert other.wait_to_write(MIB, 0.0) == pytest.approx(0.9)
    assert first.wait_to_read(10 * MIB, 0.0) == 0
    assert len(bandwidth) == 2
    for peer in (A, A, B):
        bandwidth.close(peer)
    assert len(bandwidth) == 0


def test_the_longer_of_two_waits_counts() -> None:
    traffic = Bandwidth(Limits(bandwidth_in=10 * MIB, bandwidth_in_per_peer=MIB)).open(A)
    assert traffic.wait_to_read(2 * MIB, 0.0) == pytest.approx(1.9)


@pytest.mark.parametrize("setting", ["bandwidth_in", "bandwidth_out", "bandwidth_in_per_peer", "bandwidth_out_per_peer"])
@pytest.mark.parametrize(("value", "fits"), [(16_383, False), (16_384, True), (16_385, True), (None, True)])
def test_a_cap_is_none_or_enough_to_stay_alive(setting: str, value: int | None, fits: bool) -> None:
    if fits:
        assert not Traffic().is_limited
        Limits(**{setting: value})
    else:
        with pytest.raises(ConfigInvalid, match="at least 16384"):
            Limits(**{setting: value})


def test_what_has_moved_is_counted_by_node_and_peer() -> None:
    resources = Resources(Limits(bandwidth_in_per_peer=MIB))
    first = resources.admit_connection("inbound", None, A)
    second = resources.admit_dial(None, None)
    second.authenticated(B)
    for reservation, received, sent in ((first, 100, 1), (second, 20, 2)):
        reservation.traffic.received += received
        reservation.traffic.sent += sent
    assert resources.traffic() == (120, 3)
    of_a = resources.of_peer(A)
    assert (of_a["bytes_received"], of_a["bytes_sent"]) == (100, 1)
    first.release()
    first.release()
    assert resources.of_peer(A)["bytes_received"] == 0
    second.release()
    assert resources.traffic() == (120, 3)
    assert not any(resources.snapshot().values())


def test_a_handshake_that_fails_takes_no_cap_of_a_peer_away() -> None:
    resources = Resources(Limits(bandwidth_in_per_peer=MIB))
    with resources.admit_connection("inbound", None, A):
        resources.admit_dial(A, None).release()
        assert len(resources.bandwidth) == 1
    assert len(resources.bandwidth) == 0
