"""Steps that take long, such as checking a signature, share the turns of the loop. A shell.

Reading has turns of its own (`transport.read_turns`), but what one chunk brings may wake hundreds of handlers at once: without
turns for them too, a peer that sends 250 messages together holds up everybody else for a tenth of a second. And without a turn
for each party, who sends them all the time makes everybody else wait for all of its own.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar, final
from weakref import WeakKeyDictionary

from cortexnet.host.fair_line import FairLine

T = TypeVar("T")

SHARE = 0.005
"""Seconds of such steps in one turn of the loop; a step that takes longer has its turn alone."""
_WOKEN = 16  # who may go on in one turn, if all are that quick


@final
class StepTurns:
    """One of each loop. Who waits comes first: one step of each party, then the next of each, in the order of asking."""

    def __init__(self) -> None:
        self._spent = 0.0  # in this turn
        self._line: FairLine[_Waiting] = FairLine()
        self._renewing = False

    async def run(self, step: Callable[[], T], *, of: Hashable) -> T:
        """What `step` returns, called when its turn has come. Raises what it raises. Cancelled: it is not called.

        `of` is the party it is done for: the `Connection.origin` of who caused it, or the peer where there is no connection; None
        is this node's own application. It waits for one step of each other party at most between two of its own.
        """
        loop = asyncio.get_running_loop()
        if self._line.parties or self._spent >= SHARE:
            await self._wait(loop, of)
        begin = loop.time()
        try:
            return step()
        finally:
            self._spent += loop.time() - begin
            self._renew_soon()

    async def _wait(self, loop: asyncio.AbstractEventLoop, of: Hashable) -> None:
        waiting, line = _Waiting(loop.create_future()), self._line
        line.append(waiting, of)
        try:
            while self._spent >= SHARE or line.first() is not waiting:
                await waiting.turn
                waiting.turn = loop.create_future()
            line.rotate()
        finally:
            line.remove(waiting, of)

    def _renew_soon(self) -> None:
        if not self._renewing:
            self._renewing = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        """A new turn. Of those who are woken, the ones it has no time for wait for the next, in their places."""
        self._renewing = False
        self._spent = 0.0
        for waiting in self._line.upcoming(_WOKEN):
            if not waiting.turn.done():
                waiting.turn.set_result(None)
        if self._line.parties:
            self._renew_soon()


@final
@dataclass(eq=False, slots=True)
class _Waiting:
    """Somebody's place in the line, and the turn it is woken in."""

    turn: asyncio.Future[None]


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, StepTurns] = WeakKeyDictionary()


def step_turns() -> StepTurns:
    """The turns of the loop that runs."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = StepTurns()
    return turns
