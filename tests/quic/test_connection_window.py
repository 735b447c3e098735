"""The window of a QUIC connection: what was read comes back in portions, what was granted beyond a stream's window at once."""

from cortexnet.quic.connection_window import ConnectionWindow


class Limit:
    value = 800


class Stream:
    prepaid = 0


def test_what_was_read_is_given_back_an_eighth_at_a_time() -> None:
    limit, stream = Limit(), Stream()
    window = ConnectionWindow(800, limit)
    assert not window.consume(stream, 99)
    assert limit.value == 800
    assert window.consume(stream, 1)
    assert limit.value == 900


def test_what_was_granted_to_a_reader_is_not_given_back_again_when_it_is_read() -> None:
    limit, stream, other = Limit(), Stream(), Stream()
    window = ConnectionWindow(800, limit)
    window.prepay(stream, 500)
    assert (limit.value, stream.prepaid) == (1_300, 500)
    assert not window.consume(stream, 400)
    assert (limit.value, stream.prepaid) == (1_300, 100)
    assert window.consume(other, 200)
    assert limit.value == 1_500
    assert window.consume(stream, 300)
    assert (limit.value, stream.prepaid) == (1_700, 0)


def test_what_was_granted_and_never_came_is_owed_again() -> None:
    limit, stream, other = Limit(), Stream(), Stream()
    window = ConnectionWindow(800, limit)
    window.prepay(stream, 500)
    window.forget(stream)
    assert stream.prepaid == 0
    assert not window.consume(other, 500)
    assert limit.value == 1_300
    assert window.consume(other, 100)
    assert limit.value == 1_400
