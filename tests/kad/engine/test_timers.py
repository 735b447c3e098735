from cortexnet.kad.engine.timers import Timers


def test_calls_come_in_the_order_of_their_times_and_then_of_their_setting() -> None:
    timers, calls = Timers(), []
    timers.at(2.0, lambda now: calls.append(("c", now)))
    timers.at(1.0, lambda now: calls.append(("a", now)))
    timers.at(1.0, lambda now: calls.append(("b", now)))
    assert timers.next_timeout() == 1.0
    timers.run(0.5)
    assert calls == []
    timers.run(5.0)
    assert calls == [("a", 5.0), ("b", 5.0), ("c", 5.0)]
    assert timers.next_timeout() is None


def test_a_cancelled_call_is_neither_made_nor_counted() -> None:
    timers, calls = Timers(), []
    first = timers.at(1.0, lambda _: calls.append(1))
    timers.at(2.0, lambda _: calls.append(2))
    first.cancel()
    first.cancel()
    assert len(timers) == 1
    assert timers.next_timeout() == 2.0
    timers.run(2.0)
    assert calls == [2]


def test_a_call_may_cancel_another_that_is_due_at_the_same_time() -> None:
    timers, calls = Timers(), []
    timers.at(1.0, lambda _: second.cancel())
    second = timers.at(1.0, lambda _: calls.append(2))
    timers.run(1.0)
    assert calls == []
    assert len(timers) == 0


def test_what_a_call_sets_for_now_waits_for_the_next_turn() -> None:
    timers, calls = Timers(), []

    def again(now: float) -> None:
        calls.append(now)
        timers.at(now, again)

    timers.at(1.0, again)
    timers.run(1.0)
    assert calls == [1.0]
    assert timers.next_timeout() == 1.0


def test_many_cancelled_entries_are_swept() -> None:
    timers, calls = Timers(), []
    entries = [timers.at(float(number), lambda now: calls.append(now)) for number in range(1000)]
    for entry in entries[:-1]:
        entry.cancel()
    assert len(timers._heap) <= 130
    assert len(timers) == 1
    timers.run(2000.0)
    assert calls == [2000.0]


def test_cleared_timers_are_silent() -> None:
    timers, calls = Timers(), []
    timer = timers.at(1.0, lambda now: calls.append(now))
    timers.clear()
    timer.cancel()
    timers.run(2.0)
    assert calls == []
    assert len(timers) == 0
