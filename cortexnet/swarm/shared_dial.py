"""One dial that several callers wait for. A shell."""

import asyncio
from typing import TYPE_CHECKING, final

from cortexnet.errors import CortexError, NotRunning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.scope import Scope


@final
class SharedDial:
    """Runs `dial` in `scope` for all who `join`; it is given up with the last of them.

    `on_end` is called once, when it is over or given up: from then on nobody should join. `discard` gets a connection that was
    made all the same.
    """

    def __init__(
        self,
        scope: "Scope",
        addresses: "Iterable[Multiaddr]",
        dial: "Callable[[], Awaitable[Connection]]",
        *,
        on_end: "Callable[[SharedDial], None]",
        discard: "Callable[[Connection], None]",
    ) -> None:
        self._addresses = frozenset(addresses)
        self._outcome: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._outcome.add_done_callback(lambda outcome: outcome.exception())  # it may be that nobody waits any more
        self._waiting = 0
        self._on_end: Callable[[SharedDial], None] | None = on_end
        self._discard = discard
        self._task = scope.spawn(self._run(dial), name="dial")
        # Not by the task itself alone: one that is cancelled before its first step never runs.
        self._task.add_done_callback(self._ended)

    async def _run(self, dial: "Callable[[], Awaitable[Connection]]") -> None:
        try:
            connection = await dial()
        except (CortexError, OSError) as error:
            self._end()  # first, and in this turn: who joined now would not wait
            self._outcome.set_exception(error)
        else:
            self._end()
            self._outcome.set_result(connection)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._outcome.done():
            error = None if task.cancelled() else task.exception()
            self._outcome.set_exception(error or NotRunning("the dial was given up: the node is closing"))
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)

    def knew(self, addresses: "Iterable[Multiaddr]") -> bool:
        """Whether it tried all of these."""
        return self._addresses.issuperset(addresses)

    def cancel(self) -> None:
        """Give the dial up; those who wait get NotRunning."""
        self._task.cancel()

    async def join(self) -> "Connection":
        """Its outcome. Cancelled: the dial goes on if others wait for it, else it is given up, and is over on return."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._outcome)
        except asyncio.CancelledError:
            if self._waiting == 1:
                await self._give_up()
            raise
        finally:
            self._waiting -= 1

    async def _give_up(self) -> None:
        self._end()
        self._task.cancel()
        while not self._task.done():
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError:
                continue  # it is cancelled already, and ends at once; the first cancellation is raised then
        if self._outcome.done() and self._outcome.exception() is None:
            self._discard(self._outcome.result())
