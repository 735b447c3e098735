"""Providers, one after the other as they are found. A shell."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from cortexnet.host.step_turns import step_turns
from cortexnet.kad.engine.operation import ProviderFound
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.service.calls import Calls

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId


@final
class ProviderSearch(AsyncIterator[Contact]):
    """What `find_providers` gives: `async for provider in search`.

    Each provider comes once; last come those that nobody could locate, where there is room for them. The search goes on while it
    is iterated, and ends when it is dropped: leave it by `async with` or `aclose` to be sure.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[Calls[list[Contact]]]],
        remember: Callable[[Contact], object],
        limit: int | None,
    ) -> None:
        self._begin = begin
        self._remember = remember
        self._limit = limit
        self._calls: Calls[list[Contact]] | None = None
        self._found: deque[Contact] = deque()
        self._located: dict[PeerId, None] = {}
        self._unlocated: dict[PeerId, Contact] = {}
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Contact:
        """The next one. Raises NoPeers where nobody can be asked, NotRunning. Cancelled: nothing is lost, ask again."""
        if self._calls is None and not self._is_over:
            self._calls = await self._begin()
        while not self._found:
            if self._calls is None or self._is_over:
                raise StopAsyncIteration
            is_last = self._calls.is_done
            self._take(self._calls)
            if is_last:
                self._take_unlocated()
                self.close()
            elif not self._found:
                await self._calls.step()
        contact = self._found[0]
        if contact.addresses:  # one after the other: a thousand together take a second
            await step_turns().run(lambda: self._remember(contact), of=None)
        if self._found:
            self._found.popleft()
        return contact

    def _take(self, calls: Calls[list[Contact]]) -> None:
        for event in calls.events():
            if isinstance(event, ProviderFound) and not self._is_over:
                self._add(event.contact)

    def _add(self, contact: Contact) -> None:
        peer = contact.peer_id
        if peer in self._located:
            return
        if not contact.addresses:
            self._unlocated[peer] = contact
            return
        self._unlocated.pop(peer, None)
        self._located[peer] = None
        self._found.append(contact)
        if self._room() == 0:
            self.close()

    def _take_unlocated(self) -> None:
        self._found.extend(list(self._unlocated.values())[: self._room()])

    def _room(self) -> int | None:
        """How many more are wanted; None: all."""
        return None if self._limit is None else self._limit - len(self._located)

    def close(self) -> None:
        """Look no further; what was found already can still be taken."""
        self._is_over = True
        if self._calls is not None:
            self._calls.close()

    async def aclose(self) -> None:
        """End it."""
        self.close()
        self._found.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self.close()
