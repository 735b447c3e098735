"""When a quiet connection is pinged."""

from cortexnet.quic.keep_alive import KeepAlive

NEVER = float("inf")


def test_nothing_is_due_before_the_handshake() -> None:
    keep_alive = KeepAlive()
    keep_alive.heard(5.0)
    assert keep_alive.next_timeout() == NEVER
    assert not keep_alive.is_due(1e9)
    assert not keep_alive.is_silent(1e9)


def test_half_of_the_lower_idle_timeout_passes_between_pings() -> None:
    for ours, theirs, interval in (
        (30.0, 30.0, 15.0),
        (30.0, 10.0, 5.0),
        (30.0, None, 15.0),
        (30.0, 0.0, 15.0),
        (4.0, 30.0, 2.0),
        (90.0, 80.0, 15.0),
    ):
        keep_alive = KeepAlive()
        keep_alive.start(ours, theirs, 100.0)
        assert keep_alive.next_timeout() == 100.0 + interval
        assert not keep_alive.is_due(100.0 + interval - 0.01)
        assert keep_alive.is_due(100.0 + interval)
        assert keep_alive.next_timeout() == 100.0 + 2 * interval


def test_what_comes_puts_it_off() -> None:
    keep_alive = KeepAlive()
    keep_alive.start(30.0, 30.0, 0.0)
    keep_alive.heard(10.0)
    assert not keep_alive.is_due(24.0)
    assert keep_alive.is_due(25.0)


def test_a_doubt_is_over_when_something_comes() -> None:
    keep_alive = KeepAlive()
    keep_alive.start(30.0, 30.0, 0.0)
    keep_alive.doubt(3.0)
    assert keep_alive.next_timeout() == 3.0
    assert not keep_alive.is_silent(2.9)
    assert keep_alive.is_silent(3.0)
    keep_alive.heard(3.0)
    assert not keep_alive.is_silent(1e9)
