"""A task that iterates what others bring, waiting for the next. The queue is its owner's. A shell."""

import asyncio
from typing import final

from cortexnet.errors import Busy


@final
class OneReader:
    """Between a queue and the one task that reads it."""

    def __init__(self, what: str) -> None:
        """`what` it reads, as an error names it."""
        self.has_ended = False
        """Whether nothing more comes."""
        self._what = what
        self._waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something has come."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def end(self) -> None:
        """Nothing more comes."""
        self.has_ended = True
        self.wake()

    async def wait(self) -> None:
        """Until something comes, or the end: look again then. To be called where the queue is empty.

        Raises StopAsyncIteration after the end, Busy where another task waits. Cancelled: nothing is lost.
        """
        if self.has_ended:
            raise StopAsyncIteration
        if self._waiting is not None:
            raise Busy(f"another task reads {self._what}")
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None
