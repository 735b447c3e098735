"""Steps that take long, such as checking a signature, share the turns of the loop. A shell.

Reading has turns of its own (`transport.read_turns`), but what one chunk brings may wake hundreds of handlers at once: without
turns for them too, a peer that sends 250 messages together holds up everybody else for a tenth of a second.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar, final
from weakref import WeakKeyDictionary

T = TypeVar("T")

SHARE = 0.005
"""Seconds of such steps in one turn of the loop; a step that takes longer has its turn alone."""
_WOKEN = 16  # who may go on in one turn, if all are that quick


@final
class StepTurns:
    """One of each loop. Who waits comes first, in the order of asking."""

    def __init__(self) -> None:
        self._spent = 0.0  # in this turn
        self._waiting: deque[_Waiting] = deque()
        self._renewing = False

    async def run(self, step: Callable[[], T]) -> T:
        """What `step` returns, called when its turn has come. Raises what it raises. Cancelled: it is not called."""
        loop = asyncio.get_running_loop()
        if self._waiting or self._spent >= SHARE:
            await self._wait(loop)
        begin = loop.time()
        try:
            return step()
        finally:
            self._spent += loop.time() - begin
            self._renew_soon()

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = _Waiting(loop.create_future())
        self._waiting.append(waiting)
        try:
            while self._spent >= SHARE or self._waiting[0] is not waiting:
                await waiting.turn
                waiting.turn = loop.create_future()
        finally:
            self._waiting.remove(waiting)

    def _renew_soon(self) -> None:
        if not self._renewing:
            self._renewing = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        """A new turn. Of those who are woken, the ones it has no time for wait for the next, in their places."""
        self._renewing = False
        self._spent = 0.0
        for waiting in islice(self._waiting, _WOKEN):
            if not waiting.turn.done():
                waiting.turn.set_result(None)
        if self._waiting:
            self._renew_soon()


@final
@dataclass(eq=False, slots=True)
class _Waiting:
    """Somebody's place in the queue, and the turn it is woken in."""

    turn: asyncio.Future[None]


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, StepTurns] = WeakKeyDictionary()


def step_turns() -> StepTurns:
    """The turns of the loop that runs."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = StepTurns()
    return turns
