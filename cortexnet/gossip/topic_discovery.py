"""Finds peers of the topics that were joined, over whatever the node's peers are found by. A shell.

The names are go-libp2p-pubsub's, so its nodes are found, and find us.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, Protocol, final

from cortexnet.errors import CortexError, LocalError
from cortexnet.gossip.actions import Connect
from cortexnet.transport.log_limit import LogLimit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from cortexnet.kad.routing.contact import Contact
    from cortexnet.transport.scope import Scope

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

PREFIX: Final = "floodsub:"
"""In front of the topic; go's, whatever the version of gossip."""
FIRST: Final = 10.0
"""Seconds from the first look to the second; then twice as long each time, while peers are missing."""
LONGEST: Final = 600.0
"""Seconds between two looks at most: each costs a look-up in the DHT."""
FOUND: Final = 16
"""Peers taken from one search; as many as from a peer exchange."""


class Finder(Protocol):
    """How peers are found by name: `node.advertise` and `node.find_peers`."""

    async def advertise(self, namespace: str) -> int:
        """Be found from now on. Raises CortexError."""

    def stop_advertising(self, namespace: str) -> None:
        """End that. Raises LocalError where nothing was advertised."""

    def find_peers(self, namespace: str, limit: int | None) -> "AbstractAsyncContextManager[AsyncIterator[Contact]]":
        """Who advertises the name; searching raises CortexError."""


@final
class TopicDiscovery:
    """One task for each topic that was joined."""

    def __init__(
        self,
        finder: Finder,
        scope: "Scope",
        *,
        missing: Callable[[str], int],
        connect: Callable[[Connect], None],
        random: Random,
    ) -> None:
        """`missing` says how many peers a topic lacks; `connect` is given those that are found."""
        self._finder = finder
        self._scope = scope
        self._missing = missing
        self._connect = connect
        self._random = random
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def join(self, topic: str) -> None:
        """Be found, and look for others."""
        self._tasks[topic] = self._scope.spawn(self._run(topic), name=f"peers of topic {topic}")

    def leave(self, topic: str) -> None:
        """No longer."""
        self._tasks.pop(topic).cancel()
        with contextlib.suppress(LocalError):
            self._finder.stop_advertising(PREFIX + topic)

    async def _run(self, topic: str) -> None:
        wait, is_told = FIRST, False
        while True:
            try:
                is_told = is_told or bool(await self._finder.advertise(PREFIX + topic))
                if self._missing(topic) > 0:
                    await self._search(topic)
                else:
                    wait = FIRST
            except CortexError as error:
                log.debug("peers of topic %.128r are not found: %s", topic, error)
            await asyncio.sleep(wait * (1 - self._random.random() / 4))
            wait = min(2 * wait, LONGEST)

    async def _search(self, topic: str) -> None:
        async with self._finder.find_peers(PREFIX + topic, FOUND) as found:
            async for contact in found:
                self._connect(Connect(contact.peer_id))
