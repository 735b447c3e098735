"""Nodes with a card that is wanted, one after the other as they are found. A shell."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from cortexnet.errors import CortexError, describe

if TYPE_CHECKING:
    from cortexnet.discovery.routing_discovery import PeerSearch
    from cortexnet.identity.card import Card
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.transport.scope import Scope


@final
class CardSearch(AsyncIterator["Card"]):
    """What `node.find` gives: `async for card in search`, each of a node that was reached lately.

    Some are asked at once, and who answers first comes first. Who was named by the DHT, but has no such card or does not answer,
    is left out, and told in `skipped`. The search goes on while it is iterated; leave it by `async with` or `aclose` to be sure
    that it ends.
    """

    def __init__(
        self,
        candidates: "PeerSearch",
        ask: "Callable[[PeerId], Awaitable[Card]]",
        is_wanted: "Callable[[Card], bool]",
        *,
        scope: "Scope",
        limit: int | None,
        at_once: int,
    ) -> None:
        self.skipped: dict[PeerId, str] = {}
        """Who was announced and is left out, and why."""
        self._candidates = candidates
        self._ask = ask
        self._is_wanted = is_wanted
        self._scope = scope
        self._room = limit
        self._at_once = at_once
        self._found: deque[Card] = deque()
        self._looking: asyncio.Task[None] | None = None
        self._asking: dict[asyncio.Task[None], None] = {}
        self._are_all_named = False
        self._failure: CortexError | None = None
        self._changed = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "Card":
        """The next one. Raises NoPeers where nobody can be asked, NotRunning. Cancelled: nothing is lost, ask again."""
        self._go_on()
        while not self._found and (self._looking or self._asking):
            self._changed.clear()
            await self._changed.wait()
            self._go_on()
        if not self._found:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            raise StopAsyncIteration
        card = self._found.popleft()
        if self._room is not None:
            self._room -= 1
            if not self._room:
                await self.aclose()
        return card

    def _go_on(self) -> None:
        """See to it that enough are asked, where more are wanted."""
        has_room = self._room != 0 and len(self._found) + len(self._asking) < self._at_once
        if has_room and self._looking is None and not self._are_all_named:
            self._looking = self._scope.spawn(self._look(), name="look for nodes")
            self._looking.add_done_callback(self._looked)

    async def _look(self) -> None:
        try:
            candidate = await anext(self._candidates, None)
        except CortexError as error:
            self._failure = error
            candidate = None
        if candidate is None:
            self._are_all_named = True
            return
        asking = self._scope.spawn(self._consider(candidate.peer_id), name=f"card of {candidate.peer_id}")
        self._asking[asking] = None
        asking.add_done_callback(self._considered)

    async def _consider(self, peer: "PeerId") -> None:
        try:
            card = await self._ask(peer)
        except CortexError as error:
            self.skipped[peer] = describe(error).partition("\n")[0]
            return
        if self._is_wanted(card):
            self._found.append(card)
        else:
            self.skipped[peer] = "its card says something else"

    # Callbacks, since a task that is cancelled before its first step never runs.
    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        self._changed.set()

    def _considered(self, task: asyncio.Task[None]) -> None:
        del self._asking[task]
        self._changed.set()

    async def aclose(self) -> None:
        """End it. Cancelled: it ends all the same."""
        self._room = 0
        self._found.clear()
        tasks = [*self._asking, *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._candidates.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()
