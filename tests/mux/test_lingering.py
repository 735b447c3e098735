"""Lingering: how long a closed stream waits for its peer's end."""

from cortexnet.mux.lingering import Lingering

NEVER = float("inf")


def lingering() -> Lingering:
    return Lingering(2.0, 60.0)


def test_nothing_is_due_where_nothing_lingers() -> None:
    empty = lingering()
    assert empty.next_timeout() == NEVER
    assert empty.take_due(1_000.0) == []


def test_a_silent_stream_is_due_after_the_long_time() -> None:
    silent = lingering()
    silent.add(1, used_up=False)
    assert silent.next_timeout() == NEVER
    silent.stamp(10.0)
    assert silent.next_timeout() == 70.0
    assert silent.take_due(69.9) == []
    assert silent.take_due(70.0) == [1]
    assert silent.take_due(1_000.0) == []
    assert silent.next_timeout() == NEVER


def test_a_stream_whose_window_is_used_up_asks_for_the_time_and_is_due_after_the_short_one() -> None:
    """Its peer waits for credit that never comes, and cannot be told so but by a reset."""
    blocking = lingering()
    blocking.add(1, used_up=True)
    assert blocking.next_timeout() == float("-inf")
    assert blocking.take_due(10.0) == []
    assert blocking.next_timeout() == 12.0
    assert blocking.take_due(12.0) == [1]


def test_a_stream_that_goes_on_sending_is_due_after_the_short_time() -> None:
    sender = lingering()
    sender.add(1, used_up=False)
    sender.stamp(10.0)
    sender.sent(1)
    assert sender.next_timeout() == 12.0
    assert sender.take_due(11.9) == []
    assert sender.take_due(12.0) == [1]


def test_a_stream_that_sends_late_is_due_at_once() -> None:
    sender = lingering()
    sender.add(1, used_up=False)
    sender.stamp(10.0)
    assert sender.take_due(30.0) == []
    sender.sent(1)
    assert sender.next_timeout() < 30.0
    assert sender.take_due(30.0) == [1]


def test_sending_does_not_make_the_time_longer() -> None:
    sender = lingering()
    sender.add(1, used_up=True)
    sender.stamp(10.0)
    sender.sent(1)
    sender.sent(1)
    assert sender.take_due(12.0) == [1]


def test_data_of_streams_that_do_not_linger_is_none_of_its_business() -> None:
    other = lingering()
    other.sent(5)
    other.add(1, used_up=False)
    other.sent(1)  # in the chunk that the time is taken from
    other.stamp(0.0)
    assert other.next_timeout() == 60.0


def test_a_stream_that_is_over_is_never_due() -> None:
    over = lingering()
    over.add(1, used_up=True)
    over.stamp(0.0)
    over.add(3, used_up=True)
    over.remove(1)
    over.remove(3)
    over.remove(5)
    assert over.take_due(100.0) == []


def test_streams_are_named_in_the_order_they_were_closed() -> None:
    several = lingering()
    for stream_id in (3, 1, 5):
        several.add(stream_id, used_up=False)
        several.stamp(0.0)
    several.add(2, used_up=False)
    several.sent(3)
    assert list(several.stream_ids()) == [3, 1, 5, 2]


def test_the_rest_is_due_in_its_own_time() -> None:
    several = lingering()
    several.add(1, used_up=True)
    several.stamp(0.0)
    several.add(3, used_up=False)
    several.stamp(1.0)
    assert several.take_due(2.0) == [1]
    assert several.next_timeout() == 61.0


def test_after_clearing_nothing_is_due() -> None:
    several = lingering()
    several.add(1, used_up=True)
    several.stamp(0.0)
    several.add(3, used_up=True)
    several.clear()
    assert list(several.stream_ids()) == []
    assert several.take_due(100.0) == []
