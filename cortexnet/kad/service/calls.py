"""One call of the application, carried out by one DHT or by both at once. A shell."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, final

from cortexnet.errors import CortexError, NotRunning
from cortexnet.kad.engine.operation import Operation, OperationEvent, Progress

if TYPE_CHECKING:
    from cortexnet.kad.dht import Dht
    from cortexnet.kad.service.half import Half

R = TypeVar("R")

OnProgress = Callable[[Progress], None]
"""Called while an operation goes on, each time it has come further. Must not raise."""


@final
class Calls(Generic[R]):
    """The operations behind a call, the more important one first. `close` it in any case: then nothing of it goes on."""

    def __init__(
        self, halves: "Sequence[Half]", start: "Callable[[Dht, float], Operation[R]]", on_progress: OnProgress | None = None
    ) -> None:
        """Raises NotRunning, and what starting an operation raises."""
        self._halves = halves
        self._changed = asyncio.Event()
        self._on_progress = on_progress
        self._operations: list[Operation[R]] = []
        try:
            for half in halves:
                operation = half.begin(partial(start, half.dht))
                operation.on_change = self._changed.set
                self._operations.append(operation)
        except BaseException:
            self.close()
            raise

    @property
    def is_done(self) -> bool:
        """Whether none goes on."""
        return all(operation.is_done for operation in self._operations)

    @property
    def progress(self) -> Progress:
        """How far they are, taken together."""
        parts = [operation.progress for operation in self._operations]
        return Progress(
            hops=max(part.hops for part in parts),
            asked=sum(part.asked for part in parts),
            answered=sum(part.answered for part in parts),
            failed=sum(part.failed for part in parts),
            find_nodes=sum(part.find_nodes for part in parts),
            best=min([part.best for part in parts if part.best is not None], default=None),
        )

    async def step(self) -> None:
        """Wait until something has come of it. Raises NotRunning where the node has closed. Cancelled: nothing changes."""
        await self._changed.wait()
        self._changed.clear()
        if any(half.is_closed for half in self._halves):
            raise NotRunning("the node is closed")
        if self._on_progress is not None:
            self._on_progress(self.progress)

    def finished(self) -> list[R]:
        """The results of those that are over. Raises what they raise where none has one, and none goes on."""
        found: list[R] = []
        failure: CortexError | None = None
        for operation in self._operations:
            if operation.is_done:
                try:
                    found.append(operation.result())
                except CortexError as error:
                    failure = failure or error
        if failure is not None and not found and self.is_done:
            raise failure
        return found

    def events(self) -> Iterator[OperationEvent]:
        """What was found since the last time."""
        for operation in self._operations:
            yield from operation.take_events()

    async def results(self) -> list[R]:
        """The results, once all are over, those that failed left out. Raises as `finished` and `step`. Closed in any case."""
        try:
            while not self.is_done:
                await self.step()
            return self.finished()
        finally:
            self.close()

    def close(self) -> None:
        """Give up what goes on."""
        for half, operation in zip(self._halves, self._operations, strict=False):
            operation.on_change = None
            if not operation.is_done:
                operation.cancel()
                half.pump_soon()
