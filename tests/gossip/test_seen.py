"""What was seen, for how long, and how much of it."""

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.seen import SeenCache


def test_a_message_is_new_once_in_its_time() -> None:
    seen = SeenCache(10, 120.0)
    assert seen.add(b"1", 0.0)
    assert b"1" in seen
    assert not seen.add(b"1", 119.0)
    assert seen.add(b"1", 120.0), "seeing it again does not prolong its time"


def test_past_the_limit_the_oldest_is_forgotten() -> None:
    seen = SeenCache(2, 120.0)
    for number in (b"1", b"2", b"3"):
        seen.add(number, 0.0)
    assert [number in seen for number in (b"1", b"2", b"3")] == [False, True, True]
    assert len(seen) == 2


def test_what_is_old_goes_without_being_asked_for() -> None:
    seen = SeenCache(10, 5.0)
    seen.add(b"1", 0.0)
    seen.add(b"2", 1.0)
    seen.expire(5.5)
    assert (len(seen), b"2" in seen) == (1, True)
    seen.expire(6.0)
    seen.expire(7.0)
    assert len(seen) == 0


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=60), st.integers(1, 5))
def test_no_message_is_new_twice_in_the_window(events: list[tuple[int, int]], limit: int) -> None:
    seen = SeenCache(limit, 4.0)
    now, first, order = 0, dict[int, int](), list[int]()
    for number, wait in events:
        now += wait
        for old in [each for each in order if first[each] + 4 <= now]:
            order.remove(old)
        expected = number not in order
        assert seen.add(str(number).encode(), float(now)) == expected
        if expected:
            order = [*order[-(limit - 1) :], number] if limit > 1 else [number]
            first[number] = now
        assert len(seen) == len(order) <= limit
