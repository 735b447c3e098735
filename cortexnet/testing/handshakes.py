"""Handshakes run in memory: both sides against each other, or one side over given bytes in given pieces."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from cortexnet.handshake import ByteQueue, Driver, Handshake

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


@final
@dataclass(slots=True)
class Outcome(Generic[T]):
    """What became of one side. Neither `result` nor `error`: it waits for more bytes."""

    sent: bytes
    result: T | None
    error: Exception | None
    rest: bytes
    """Bytes given to it that it did not ask for."""


def run_over(handshake: Handshake[T], pieces: Iterable[bytes]) -> Outcome[T]:
    """One side, started before the first piece of the peer's bytes comes."""
    queue = ByteQueue()
    driver = Driver(handshake, queue.take)
    driver.advance()
    for piece in pieces:
        queue.append(piece)
        driver.advance()
    return _outcome(driver, queue, driver.data_to_send())


def run_pair(
    first: Handshake[A], second: Handshake[B], *, on_the_way: Callable[[bytes], bytes] = bytes
) -> tuple[Outcome[A], Outcome[B]]:
    """Both sides until neither has anything to say; `on_the_way` may change what either sends."""
    queues = ByteQueue(), ByteQueue()
    one, other = Driver(first, queues[0].take), Driver(second, queues[1].take)
    sent = bytearray(), bytearray()
    moved = True
    while moved:
        one.advance()
        other.advance()
        from_one, from_other = one.data_to_send(), other.data_to_send()
        sent[0].extend(from_one)
        sent[1].extend(from_other)
        queues[1].append(on_the_way(from_one))
        queues[0].append(on_the_way(from_other))
        moved = bool(from_one or from_other)
    return _outcome(one, queues[0], bytes(sent[0])), _outcome(other, queues[1], bytes(sent[1]))


def _outcome(driver: Driver[T], queue: ByteQueue, sent: bytes) -> Outcome[T]:
    finished = driver.done and driver.error is None
    return Outcome(sent, driver.result if finished else None, driver.error, queue.take_all())
