import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.limits import Limits
from cortexnet.admission.rate_limit import ConnectRateLimit, KeyedRateLimit, StreamRateLimit, TokenBucket
from cortexnet.admission.subnet import subnets_of
from cortexnet.errors import LimitExceeded


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=0.5, burst=3, now=10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(11.9)
    assert bucket.take(12.0)
    assert not bucket.take(12.0)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=1, burst=2, now=0.0)
    assert bucket.tokens(1e9) == 2
    assert bucket.is_full(1e9)


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=10.0)
    assert bucket.take(10.0)
    assert bucket.tokens(0.0) == 0
    assert bucket.tokens(10.5) == 0.5


def test_the_delay_says_when_to_come_back() -> None:
    bucket = TokenBucket(rate=2, burst=4, now=0.0)
    assert bucket.delay(0.0, 4) == 0
    assert bucket.take(0.0, 4)
    assert bucket.delay(0.0, 3) == 1.5
    assert bucket.delay(0.0, 5) == float("inf")
    assert TokenBucket(rate=0, burst=0.5, now=0.0).delay(0.0, 0.6) == float("inf")


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.01, 10), st.integers(1, 5))
def test_no_more_pass_than_burst_and_rate_allow(steps: list[float], rate: float, burst: int) -> None:
    bucket, now, passed = TokenBucket(rate, burst, 0.0), 0.0, 0
    for step in steps:
        now += step
        passed += bucket.take(now)
        assert passed <= burst + rate * now + 1e-6


def test_keys_have_buckets_of_their_own() -> None:
    limit: KeyedRateLimit[str] = KeyedRateLimit(1, 1, size_limit=10)
    assert limit.take("a", 0.0)
    assert (limit.has_token("a", 0.0), limit.has_token("b", 0.0)) == (False, True)
    assert not limit.take("a", 0.5)
    assert limit.take("b", 0.5)


def test_a_limit_without_a_burst_lets_nothing_pass() -> None:
    limit: KeyedRateLimit[str] = KeyedRateLimit(1, 0, size_limit=10)
    assert not limit.has_token("a", 0.0)
    assert not limit.take("a", 0.0)
    assert len(limit) == 0


@pytest.mark.parametrize(("keys", "kept"), [(3, 3), (4, 4), (5, 4)])
def test_the_table_is_bounded(keys: int, kept: int) -> None:
    limit: KeyedRateLimit[int] = KeyedRateLimit(0.001, 1, size_limit=4)
    for key in range(keys):
        assert limit.take(key, 0.0)
    assert len(limit) == kept


def test_the_least_recently_used_key_is_forgotten_first() -> None:
    limit: KeyedRateLimit[str] = KeyedRateLimit(0.001, 1, size_limit=2)
    for key in ("a", "b", "a", "c"):
        limit.take(key, 0.0)
    assert (limit.has_token("a", 0.0), limit.has_token("b", 0.0), limit.has_token("c", 0.0)) == (False, True, False)


def test_full_buckets_are_forgotten() -> None:
    limit: KeyedRateLimit[int] = KeyedRateLimit(1, 1, size_limit=100)
    for key in range(10):
        limit.take(key, 0.0)
    for key in range(10, 20):
        limit.take(key, 50.0)
    assert len(limit) == 10
    assert not limit.has_token(19, 50.0)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 2)), max_size=100), st.integers(1, 6))
def test_the_table_never_grows_past_its_size(events: list[tuple[int, float]], size: int) -> None:
    limit: KeyedRateLimit[int] = KeyedRateLimit(0.5, 2, size_limit=size)
    now = 0.0
    for key, step in events:
        now += step
        expected = limit.has_token(key, now)
        assert limit.take(key, now) == expected
        assert len(limit) <= size


def test_an_address_may_connect_in_a_burst_and_then_at_the_rate() -> None:
    limit = ConnectRateLimit(Limits(connect_burst_per_address=2, connect_rate_per_address=0.5))
    limit.admit("192.0.2.1", 0.0)
    limit.admit("::ffff:192.0.2.1", 0.0)
    with pytest.raises(LimitExceeded, match=r"from 192\.0\.2\.1 at once, then 0\.5 a second: 3 is over the limit of 2") as caught:
        limit.admit("192.0.2.1", 1.9)
    assert caught.value.setting == "limits.connect_burst_per_address"
    limit.admit("192.0.2.2", 1.9)
    limit.admit("192.0.2.1", 2.0)


def test_an_ipv6_household_counts_as_one_address() -> None:
    limit = ConnectRateLimit(Limits(connect_burst_per_address=1))
    limit.admit("2001:db8:0:100::1", 0.0)
    with pytest.raises(LimitExceeded, match="2001:db8:0:100::/56"):
        limit.admit("2001:db8:0:1ff::1", 0.0)


def test_an_ipv6_site_has_a_rate_over_its_households_and_a_refusal_costs_them_nothing() -> None:
    limit = ConnectRateLimit(Limits(connect_burst_per_ipv6_48=2, connect_rate_per_ipv6_48=1.0, connect_burst_per_address=1))
    limit.admit("2001:db8:0:100::1", 0.0)
    limit.admit("2001:db8:0:200::1", 0.0)
    with pytest.raises(LimitExceeded, match="2001:db8::/48") as caught:
        limit.admit("2001:db8:0:300::1", 0.0)
    assert caught.value.setting == "limits.connect_burst_per_ipv6_48"
    limit.admit("2001:db8:0:300::1", 1.0)


def test_loopback_and_connections_without_an_address_are_free() -> None:
    limit = ConnectRateLimit(Limits(connect_burst_per_address=0))
    for ip in ("127.0.0.1", "::1", None):
        limit.admit(ip, 0.0)
    with pytest.raises(LimitExceeded):
        ConnectRateLimit(Limits(connect_burst_per_address=0, limit_loopback=True)).admit("127.0.0.1", 0.0)


@pytest.mark.parametrize(("before", "passes"), [(1, True), (2, True), (3, False)])
def test_an_address_may_open_streams_of_a_protocol_in_a_burst_and_then_at_the_rate(before: int, passes: bool) -> None:
    limit = StreamRateLimit(Limits(stream_burst_per_protocol=3, stream_rate_per_protocol=2))
    here, there = subnets_of("192.0.2.1"), subnets_of("192.0.2.2")
    for _ in range(before):
        limit.admit("/a", here, 0.0)
    limit.admit("/b", here, 0.0)
    limit.admit("/a", there, 0.0)
    if passes:
        limit.admit("/a", here, 0.0)
        return
    with pytest.raises(
        LimitExceeded, match=r"of /a from 192\.0\.2\.1 at once, then 2 a second: 4 is over the limit of 3"
    ) as caught:
        limit.admit("/a", here, 0.4)
    assert caught.value.setting == "limits.stream_burst_per_protocol"
    limit.admit("/a", here, 0.5)


def test_an_ipv6_household_opens_streams_as_one_address() -> None:
    limit = StreamRateLimit(Limits(stream_burst_per_protocol=1))
    limit.admit("/a", subnets_of("2001:db8:0:100::1"), 0.0)
    with pytest.raises(LimitExceeded, match="2001:db8:0:100::/56"):
        limit.admit("/a", subnets_of("2001:db8:0:1ff::2"), 0.0)


def test_the_table_of_addresses_that_open_streams_is_bounded() -> None:
    limit = StreamRateLimit(Limits(stream_burst_per_protocol=2, rate_table_size=4))
    for number in range(10):
        limit.admit("/a", subnets_of(f"192.0.2.{number}"), 0.0)
    assert len(limit._limit) == 4
