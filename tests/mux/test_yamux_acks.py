"""AckPacer: acknowledgements at once, up to the rate; the others later, in order, each once."""

from cortexnet.mux.yamux_acks import AckPacer


def test_streams_up_to_the_rate_are_acknowledged_at_once_and_the_next_one_is_not() -> None:
    pacer = AckPacer(3)
    assert [pacer.opened(stream_id, 0.0) for stream_id in (1, 3, 5, 7)] == [True, True, True, False]
    assert pacer.next_timeout() == 1.0
    assert pacer.take_due(0.9) == []
    assert pacer.take_due(1.0) == [7]
    assert pacer.next_timeout() == float("inf")


def test_what_is_held_goes_before_what_comes_later() -> None:
    pacer = AckPacer(1)
    assert pacer.opened(1, 0.0)
    assert not pacer.opened(3, 0.0)
    assert not pacer.opened(5, 5.0)
    assert pacer.take_due(5.0) == [3]
    assert pacer.next_timeout() == 6.0
    assert pacer.take_due(6.0) == [5]


def test_a_stream_that_is_over_is_not_acknowledged_any_more() -> None:
    pacer = AckPacer(0)
    for stream_id in (1, 3, 5):
        assert not pacer.opened(stream_id, 0.0)
    pacer.remove(3)
    pacer.remove(7)
    pacer._allowance.grant(10)
    assert pacer.take_due(0.0) == [1, 5]


def test_a_stream_that_is_opened_again_and_again_is_held_once() -> None:
    """The same id opened and reset for ever made a queue grow for ever."""
    pacer = AckPacer(0)
    for _ in range(1_000):
        pacer.opened(1, 0.0)
        pacer.remove(1)
    assert not pacer._held
    pacer.opened(1, 0.0)
    pacer.clear()
    assert pacer.next_timeout() == float("inf")
