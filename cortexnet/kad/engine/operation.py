"""One call of the DHT that takes several requests: how far it is, what it found, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from cortexnet.errors import CortexError, LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact

Result = TypeVar("Result")


@final
@dataclass(frozen=True, slots=True)
class PeerFound:
    """`find_peer` heard of the peer asked for, or of more of its addresses."""

    contact: Contact


@final
@dataclass(frozen=True, slots=True)
class ProviderFound:
    """A provider of `key`; told again where it was without addresses at first."""

    key: bytes
    contact: Contact


@final
@dataclass(frozen=True, slots=True)
class ValueFound:
    """A valid value of `key` that is the best so far. `peer_id` is None for one of our own store."""

    key: bytes
    value: bytes
    peer_id: PeerId | None


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """`peer_id` took a value or a provider record of `key`."""

    key: bytes
    peer_id: PeerId


@final
@dataclass(frozen=True, slots=True)
class NameFound:
    """A key of the namespace that is listed."""

    key: bytes


OperationEvent = PeerFound | ProviderFound | ValueFound | Stored | NameFound


@final
@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is. `best` is the least distance to the target among the peers that answered, as an integer of 256
    bits; None before the first answer, and where there are many targets."""

    hops: int = 0
    asked: int = 0
    answered: int = 0
    failed: int = 0
    find_nodes: int = 0
    best: int | None = None


@final
class Operation(Generic[Result]):
    """A running or finished call of `Dht`. Made by it alone.

    Over when `is_done`: then `result()` gives what came of it, or raises. `cancel()` ends it at any moment; the requests under
    way are given up, and nothing of it stays. Once it is over it changes no more.
    """

    __slots__ = ("_ends", "_error", "_events", "_result", "is_done", "on_change", "progress")

    def __init__(self) -> None:
        self.on_change: Callable[[], None] | None = None
        """Called when there are new events, when `progress` has moved, and when it is over. It must not call the Dht; it may wake
        somebody up."""
        self.is_done = False
        self.progress = Progress()
        self._events: list[OperationEvent] = []
        self._result: Result | None = None
        self._error: CortexError | None = None
        self._ends: list[Callable[[], object]] = []

    def result(self) -> Result:
        """What came of it. Raises its error; LocalError while it runs, or where it was cancelled."""
        if not self.is_done:
            raise LocalError("the operation still runs: see is_done")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only where the result may be

    @property
    def has_failed(self) -> bool:
        """Whether it is over without a result."""
        return self._error is not None

    def take_events(self) -> list[OperationEvent]:
        """What was found since the last call."""
        events, self._events = self._events, []
        return events

    def cancel(self) -> None:
        """End it now; without effect where it is over. The driver then carries out `Dht.take_actions`."""
        self.fail(LocalError("the operation was cancelled"))

    # For the DHT

    def when_over(self, end: Callable[[], object]) -> None:
        """What ends with it, such as the work behind it: called once when it is over, however it ended; at once where it is."""
        if self.is_done:
            end()
        else:
            self._ends.append(end)

    def emit(self, event: OperationEvent) -> None:
        """Tell something found."""
        if not self.is_done:
            self._events.append(event)
            self.changed()

    def changed(self) -> None:
        """Progress has moved."""
        if self.on_change is not None:
            self.on_change()

    def finish(self, result: Result) -> None:
        """It is over, with this result."""
        if not self.is_done:
            self._result = result
            self._close()

    def fail(self, error: CortexError) -> None:
        """It is over, and has failed."""
        if not self.is_done:
            self._error = error
            self._close()

    def _close(self) -> None:
        self.is_done = True
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        self.changed()
