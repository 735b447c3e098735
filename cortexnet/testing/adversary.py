"""A wire between two cores that does to bytes whatever a network, or an attacker on it, can do.

A stateful test of a pair of cores draws how many bytes go where and when; the wires keep them meanwhile:

    class YamuxPair(RuleBasedStateMachine):
        def __init__(self) -> None:
            self.pair = CorePair(Yamux(initiator=True), Yamux(initiator=False))

        @rule(size=st.integers(0, 100))
        def deliver_to_the_right(self, size: int) -> None:
            self.pair.deliver_right(size)

An honest network cuts and delays, and reorders nothing but the two directions against each other; that is all a wire does on
its own. Damage is done by its verbs alone: `flip_bit`, `truncate`, `drop`, `repeat`, `insert`.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Protocol, final

from cortexnet.errors import LocalError


class ByteCore(Protocol):
    """A core at the end of a byte stream."""

    def receive(self, data: bytes, now: float) -> Sequence[object]:
        """Take in the peer's bytes; what they brought about."""

    def data_to_send(self) -> Sequence[bytes | bytearray | memoryview]:
        """Everything to be sent since the last call."""


@final
class AdversarialWire:
    """One direction of a byte stream. Bytes stay under way until `deliver` takes them off, in order and in any pieces."""

    def __init__(self) -> None:
        self._under_way = bytearray()
        self.is_ended = False
        """Truncated: what is sent now vanishes."""
        self.is_damaged = False
        """Whether the reader gets other bytes than the writer sent."""

    def __len__(self) -> int:
        """How many bytes are under way."""
        return len(self._under_way)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes on the wire."""
        if self.is_ended:
            self.is_damaged = self.is_damaged or len(data) > 0
        else:
            self._under_way += data

    def deliver(self, size: int) -> bytes:
        """The next `size` bytes, or all if there are fewer."""
        data = bytes(self._under_way[:size])
        del self._under_way[:size]
        return data

    def deliver_some(self, random: Random) -> bytes:
        """A random number of bytes, at least one where there is one; small pieces as often as large ones."""
        size = len(self._under_way)
        if size > 1:
            size = min(size, random.choice([1, random.randint(1, 16), random.randint(1, size), size]))
        return self.deliver(size)

    def truncate(self, keep: int = 0) -> None:
        """End the stream after the next `keep` bytes, as a cut connection does; what is behind them, or sent later, is lost."""
        self.is_damaged = self.is_damaged or len(self._under_way) > keep
        del self._under_way[keep:]
        self.is_ended = True

    def flip_bit(self, position: int, bit: int = 0) -> None:
        """Change one bit of the byte at `position` of what is under way (counted round where there are fewer); none: nothing."""
        if self._under_way:
            self._under_way[position % len(self._under_way)] ^= 1 << (bit % 8)
            self.is_damaged = True

    def drop(self, start: int, size: int) -> None:
        """Take bytes out of the middle, which no network does with TCP, but an attacker can."""
        self._replace(start, size, b"")

    def repeat(self, start: int, size: int) -> None:
        """Send bytes that are under way twice: a replay."""
        piece = bytes(self._under_way[start : start + size])
        self._replace(start, 0, piece)

    def insert(self, start: int, data: bytes) -> None:
        """Slip in bytes of the attacker's own."""
        self._replace(start, 0, data)

    def _replace(self, start: int, size: int, data: bytes) -> None:
        before = bytes(self._under_way)
        self._under_way[start : start + size] = data
        self.is_damaged = self.is_damaged or before != self._under_way


@final
class CorePair:
    """Two cores and the wires between them. Every verb first puts on the wires what both have to send.

    `now` is handed to the cores; set it to let time pass. Events are returned and kept in `left_events` and `right_events`.
    """

    def __init__(self, left: ByteCore, right: ByteCore, *, now: float = 0.0) -> None:
        self.left, self.right = left, right
        self.now = now
        self.to_left, self.to_right = AdversarialWire(), AdversarialWire()
        self.left_events: list[object] = []
        self.right_events: list[object] = []

    def collect(self) -> int:
        """Put on the wires what both cores have to send; how many bytes are under way now."""
        for core, wire in ((self.left, self.to_right), (self.right, self.to_left)):
            for data in core.data_to_send():
                wire.send(data)
        return len(self.to_left) + len(self.to_right)

    def deliver_left(self, size: int) -> list[object]:
        """Let up to `size` bytes arrive at the left core; what that brought about."""
        self.collect()
        events = list(self.left.receive(self.to_left.deliver(size), self.now))
        self.left_events += events
        return events

    def deliver_right(self, size: int) -> list[object]:
        """Let up to `size` bytes arrive at the right core; what that brought about."""
        self.collect()
        events = list(self.right.receive(self.to_right.deliver(size), self.now))
        self.right_events += events
        return events

    def step(self, random: Random) -> bool:
        """Let some bytes arrive in one direction, both chosen by chance; False where nothing is under way."""
        if not self.collect():
            return False
        to_left = random.random() * (len(self.to_left) + len(self.to_right)) < len(self.to_left)
        wire, deliver = (self.to_left, self.deliver_left) if to_left else (self.to_right, self.deliver_right)
        deliver(1 if random.random() < 0.2 else random.randint(1, len(wire)))
        return True

    def settle(self, random: Random | None = None, *, limit: int = 100_000) -> None:
        """Go on until neither core has anything to say, in random steps, or in whole deliveries without `random`.

        Raises LocalError after `limit` steps: they never come to rest.
        """
        for _ in range(limit):
            moved = self.step(random) if random is not None else self._exchange()
            if not moved and not self._poke():
                return
        raise LocalError(f"the cores are not at rest after {limit} steps")

    def _exchange(self) -> bool:
        if not self.collect():
            return False
        self.deliver_right(len(self.to_right))
        self.deliver_left(len(self.to_left))
        return True

    def _poke(self) -> bool:
        """Give both nothing, for a core that stopped at its share of frames goes on then."""
        events = self.deliver_left(0) + self.deliver_right(0)
        return bool(events) or self.collect() > 0


def mutations(data: bytes, random: Random, count: int) -> Iterator[bytes]:
    """`count` damaged copies of `data`: bits flipped, bytes dropped, repeated, slipped in, or cut off; one damage or several."""
    for _ in range(count):
        wire = AdversarialWire()
        wire.send(data)
        for _ in range(random.choice([1, 1, 1, 2, 5])):
            _damage(wire, random)
        yield wire.deliver(len(wire))


def _damage(wire: AdversarialWire, random: Random) -> None:
    start, size = random.randrange(len(wire) + 1), random.choice([1, 2, 4, random.randint(1, 64)])
    kind = random.randrange(5)
    if kind == 0:
        wire.flip_bit(start, random.randrange(8))
    elif kind == 1:
        wire.drop(start, size)
    elif kind == 2:
        wire.repeat(start, size)
    elif kind == 3:
        wire.insert(start, random.choice([bytes(size), b"\xff" * size, random.randbytes(size)]))
    else:
        wire.truncate(start)
