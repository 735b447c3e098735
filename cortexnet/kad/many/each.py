"""The same operation for many keys that lie apart: some at a time."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

if TYPE_CHECKING:
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.operation import Operation

Result = TypeVar("Result")


class Work(Protocol[Result]):
    """What is behind an operation."""

    operation: "Operation[Result]"

    def start(self, now: float) -> None:
        """Send the first requests."""


@final
class Each(Generic[Result]):
    """Makes and runs a work for each key, `at_once` at a time. `on_end` is told of each operation that is over; `on_done` is
    called when all are."""

    def __init__(
        self,
        engine: "Engine",
        make: "Callable[[bytes, float], Work[Result]]",
        on_end: "Callable[[bytes, Operation[Result]], None]",
        on_done: Callable[[float], None],
        *,
        at_once: int,
    ) -> None:
        self._engine = engine
        self._make = make
        self._on_end = on_end
        self._on_done = on_done
        self._at_once = at_once
        self._keys: deque[bytes] = deque()
        self._running: dict[bytes, Operation[Result]] = {}
        self._is_starting = False
        self._is_over = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left."""
        return not (self._keys or self._running)

    def add(self, keys: Iterable[bytes]) -> None:
        """Run it for these too; a key is given once."""
        self._keys.extend(keys)

    def run(self, now: float) -> None:
        """Start as many as may run."""
        if self._is_starting:
            return
        self._is_starting = True
        while self._keys and len(self._running) < self._at_once:
            key = self._keys.popleft()
            work = self._make(key, now)
            self._running[key] = work.operation
            work.operation.when_over(partial(self._ended, key))
            work.start(now)
        self._is_starting = False
        if self.is_idle and not self._is_over:
            self._is_over = True
            self._on_done(now)

    def _ended(self, key: bytes) -> None:
        operation = self._running.pop(key)
        if not self._is_over:
            self._on_end(key, operation)
            self.run(self._engine.now)

    def stop(self) -> None:
        """Give up what runs."""
        self._is_over = True
        self._keys.clear()
        for operation in list(self._running.values()):
            operation.cancel()
