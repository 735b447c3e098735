"""The last 100 response times of a peer."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.reputation.times import LIMIT, ResponseTimes

times = st.lists(st.floats(0, 1e6, width=32), max_size=3 * LIMIT)


def test_of_none_there_is_no_quantile() -> None:
    assert ResponseTimes().quantile(0.5) is None


@pytest.mark.parametrize(("q", "expected"), [(0.0, 1.0), (0.5, 51.0), (0.95, 96.0), (1.0, 100.0)])
def test_quantiles(q: float, expected: float) -> None:
    assert ResponseTimes(range(100, 0, -1)).quantile(q) == expected


@given(times)
def test_the_last_hundred_count_in_their_order(values: list[float]) -> None:
    kept = ResponseTimes()
    for value in values:
        kept.add(value)
    last = values[-LIMIT:]
    assert list(kept) == last
    assert kept.count == len(last)
    assert kept.median == (sorted(last)[len(last) // 2] if last else 0.0)
    assert [kept.quantile(place / LIMIT) for place in range(LIMIT)] == [
        sorted(last)[int(place / LIMIT * len(last))] if last else None for place in range(LIMIT)
    ]


@given(times, st.integers(0, 3 * LIMIT))
def test_what_is_kept_can_be_taken_up_again_anywhere(values: list[float], cut: int) -> None:
    whole, first = ResponseTimes(), ResponseTimes()
    for value in values:
        whole.add(value)
    for value in values[:cut]:
        first.add(value)
    second = ResponseTimes(array("f", first))
    for value in values[cut:]:
        second.add(value)
    assert list(second) == list(whole)
    assert second.quantile(0.5) == whole.quantile(0.5)
