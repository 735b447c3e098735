"""The driver of handshakes, and the queue it takes its bytes from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import HandshakeFailed, LocalError, MessageTooLarge
from cortexnet.handshake import ByteQueue, Driver, Handshake, Read, Send
from cortexnet.testing.handshakes import run_over, run_pair


def greeting(name: bytes) -> Handshake[bytes]:
    """Says its name, then reads the other one's: a length byte and as many bytes."""
    yield Send(bytes([len(name)]))
    yield Send(name)
    size = yield Read(1)
    return (yield Read(size[0]))


def refusal() -> Handshake[None]:
    yield Read(1)
    raise HandshakeFailed("no")


def test_two_sides_learn_what_the_other_has_sent() -> None:
    first, second = run_pair(greeting(b"ada"), greeting(b"charles"))
    assert (first.result, second.result) == (b"charles", b"ada")
    assert (first.sent, first.rest, second.rest) == (b"\x03ada", b"", b"")


def test_nothing_happens_before_the_first_advance_and_then_all_that_is_possible() -> None:
    queue = ByteQueue()
    driver = Driver(greeting(b"ada"), queue.take)
    assert (driver.data_to_send(), driver.wanted, driver.done) == (b"", 0, False)
    driver.advance()
    assert (driver.data_to_send(), driver.wanted, driver.done) == (b"\x03ada", 1, False)
    assert driver.data_to_send() == b""
    driver.advance()
    queue.append(b"\x02h")
    driver.advance()
    assert (driver.wanted, driver.done) == (2, False)
    queue.append(b"i!")
    driver.advance()
    assert (driver.result, driver.wanted, driver.done, driver.error) == (b"hi", 0, True, None)


def test_bytes_that_were_not_asked_for_are_left_in_the_queue() -> None:
    outcome = run_over(greeting(b""), [b"\x02hi and more"])
    assert (outcome.result, outcome.rest) == (b"hi", b" and more")


def test_one_that_is_closed_takes_no_more_bytes() -> None:
    queue = ByteQueue()
    driver = Driver(greeting(b"ada"), queue.take)
    driver.advance()
    queue.append(b"\x02hi")
    driver.close()
    driver.advance()
    assert (driver.done, len(queue)) == (False, 3)


def test_a_remote_error_ends_the_handshake_and_leaves_the_rest() -> None:
    outcome = run_over(refusal(), [b"xyz", b"w"])
    assert isinstance(outcome.error, HandshakeFailed)
    assert (outcome.result, outcome.rest) == (None, b"yzw")


def test_a_local_error_is_the_callers_to_see() -> None:
    def broken() -> Handshake[None]:
        yield Send(b"")
        raise LocalError("my fault")

    with pytest.raises(LocalError, match="my fault"):
        Driver(broken(), ByteQueue().take).advance()


def test_there_is_no_result_before_the_end_nor_after_a_failure() -> None:
    queue = ByteQueue()
    driver = Driver(refusal(), queue.take)
    driver.advance()
    with pytest.raises(LocalError):
        _ = driver.result
    queue.append(b"x")
    driver.advance()
    with pytest.raises(LocalError):
        _ = driver.result


@pytest.mark.parametrize(("size", "fails"), [(9, False), (10, False), (11, True)])
def test_no_read_may_ask_for_more_than_the_buffer_limit(size: int, fails: bool) -> None:
    finished: list[str] = []

    def reader() -> Handshake[bytes]:
        try:
            return (yield Read(size))
        finally:
            finished.append("closed")

    queue = ByteQueue()
    queue.append(bytes(20))
    driver = Driver(reader(), queue.take, buffer_limit=10)
    driver.advance()
    assert driver.done
    assert isinstance(driver.error, MessageTooLarge) == fails
    assert len(queue) == (20 if fails else 20 - size)
    assert finished == ["closed"]


@given(st.binary(max_size=40), st.lists(st.integers(0, 7), max_size=20))
def test_cutting_the_bytes_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    pieces = []
    rest = data
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert run_over(greeting(b"x"), [*pieces, rest]) == run_over(greeting(b"x"), [data])


def test_the_queue_gives_exact_sizes_from_the_front_or_nothing() -> None:
    queue = ByteQueue()
    queue.append(b"abc")
    assert queue.take(4) is None
    assert (queue.take(2), len(queue)) == (b"ab", 1)
    queue.append(memoryview(b"def"))
    assert (queue.take(0), queue.take(3), len(queue)) == (b"", b"cde", 1)
    queue.append(bytearray(b"g"))
    assert (queue.take_all(), queue.take_all(), len(queue)) == (b"fg", b"", 0)
