"""A queue of tasks that wait for room, first come first served. A shell."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import final


@final
class Turnstile:
    """Lets tasks pass one by one, in the order they came, while `has_room` says so.

    Who has passed must take its room before it next awaits; `wake` is to be called when there may be more.
    """

    def __init__(self, has_room: Callable[[], bool]) -> None:
        self._has_room = has_room
        self.waiting: deque[asyncio.Future[None]] = deque()
        """Who waits; a look at it is cheaper than a call of `wake`."""
        self._is_removed = False

    async def enter(self) -> None:
        """Wait until there is room and nobody has waited longer. Cancelled: the next one's turn comes."""
        if self._is_removed or (not self.waiting and self._has_room()):
            return
        waiter = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self.waiting.remove(waiter)
            self.wake()
            raise
        # Only now: had it left the queue when it was woken, a newcomer could have passed before it.
        self.waiting.remove(waiter)

    def wake(self) -> None:
        """There may be room: whose turn it is goes on."""
        if self.waiting and not self.waiting[0].done() and self._has_room():
            self.waiting[0].set_result(None)

    def remove(self) -> None:
        """Nobody has to wait any more."""
        self._is_removed = True
        self._has_room = _always
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


def _always() -> bool:
    return True
