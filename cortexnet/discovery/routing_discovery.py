"""`node.advertise` and `node.find_peers`: the peers of an application find each other through the DHT. A shell.

Spec: go-libp2p `discovery/routing` and `discovery/util`, with which this works together.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from cortexnet.discovery.found import NAMESPACE
from cortexnet.discovery.namespace import key_of
from cortexnet.errors import CortexError, LocalError, NotFound
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.discovery.config import DiscoveryConfig
    from cortexnet.discovery.found_dialer import FoundDialer
    from cortexnet.host.context import Context
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.routing.contact import Contact
    from cortexnet.kad.service.search import ProviderSearch
    from cortexnet.kad.service.service import KadService

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

TTL = 3 * 3600.0
"""Seconds for which one advertisement counts; go-libp2p's value. Peers keep it for 48 h, but their addresses change."""
RENEWAL = TTL * 7 / 8
RETRY = 120.0
"""Seconds until an advertisement is tried again that failed, less up to half of it at random; go-libp2p's value."""
PEERS = 100
"""Peers that are looked for where nothing else is said; go-libp2p's value."""
LOOKUPS_LIMIT = 16
"""Look-ups in one search of those that nobody located: who answers may invent a hundred, for each of whom others are asked."""
FIRST_SEARCH = 10.0
"""Seconds from the first search of the configured namespace to the second; then twice as long each time."""


@final
class RoutingDiscovery:
    """Advertises and searches namespaces over a node's DHT."""

    def __init__(self, context: "Context", kad: "KadService", config: "DiscoveryConfig", dialer: "FoundDialer") -> None:
        """`dialer` meets those who are found under the configured namespace."""
        self._context = context
        self._dialer = dialer
        self._kad = kad
        self._config = config
        self._random = Random()
        self._scope = Scope(context.scope)
        self._renewals: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin with the namespace of the configuration."""
        namespace = self._config.namespace
        if namespace:
            self._renewals[namespace] = self._scope.spawn(self._renew(namespace, 0.0), name=f"advertise {namespace}")
            self._scope.spawn(self._gather(namespace), name=f"search {namespace}")

    async def close(self) -> None:
        """End it all. What was advertised is forgotten by itself."""
        await self._scope.close()

    async def advertise(self, namespace: str) -> int:
        """Let others find this node under a namespace, now and each 2 h 37 min until `stop_advertising`; how many were told.

        Raises LocalError for a namespace that is none and where this node listens on nothing that could be told, NoPeers where
        nobody can be told: nothing goes on then, but who asks this node itself is told. Cancelled: neither.
        """
        told = await self._kad.announce(key_of(namespace))
        if namespace not in self._renewals:
            self._renewals[namespace] = self._scope.spawn(self._renew(namespace, RENEWAL), name=f"advertise {namespace}")
        return told

    def name_here(self, namespace: str) -> None:
        """Let whoever asks this node itself find it under a namespace, even where nobody can be told. Raises LocalError."""
        self._kad.name_here(key_of(namespace))

    def stop_advertising(self, namespace: str) -> None:
        """Tell nobody any more; who was told keeps that for up to 48 h. Raises LocalError where it is not advertised."""
        task = self._renewals.pop(namespace, None)
        if task is None:
            raise LocalError(f"{namespace!r} is not advertised")
        task.cancel()

    def find_peers(self, namespace: str, limit: int | None = PEERS) -> "PeerSearch":
        """The peers that advertise a namespace, as they are found; see `PeerSearch`. Raises LocalError."""
        if limit is not None and limit < 1:
            raise LocalError(f"a limit of {limit} peers finds none; None finds all")
        # One more, for we may be among them.
        providers = self._kad.search_providers(key_of(namespace), None if limit is None else limit + 1)
        return PeerSearch(self._kad, providers, self._context.identity.peer_id, limit)

    async def _renew(self, namespace: str, wait: float) -> None:
        while True:
            await asyncio.sleep(wait)
            try:
                await self._kad.announce(key_of(namespace))
                wait = RENEWAL
            except CortexError as error:
                wait = RETRY * (1 - self._random.random() / 2)
                log.warning("%r is not advertised: %s; tried again in %.0f s", namespace, error, wait)

    async def _gather(self, namespace: str) -> None:
        """Find peers of the configured namespace, as long as there are too few of them."""
        wait = FIRST_SEARCH
        while True:
            if self._dialer.missing().members:
                try:
                    await self._search_once(namespace)
                except CortexError as error:
                    log.debug("search of %r: %s", namespace, error)
            await asyncio.sleep(wait * (1 - self._random.random() / 4))
            wait = min(2 * wait, self._config.interval)

    async def _search_once(self, namespace: str) -> None:
        async with self.find_peers(namespace) as search:
            async for contact in search:
                self._context.discovered.found(contact.peer_id, contact.addresses, NAMESPACE)
                if not self._dialer.missing().members:
                    return


@final
class PeerSearch(AsyncIterator["Contact"]):
    """What `find_peers` gives: `async for found in search`, each with `.peer_id` and `.addresses`.

    Each peer once, this node left out, and of those that nobody located the ones that 16 look-ups found.
    `node.dial(found.peer_id)` knows the addresses. The search ends when it is dropped: leave it by `async with` or `aclose` to be
    sure.
    """

    def __init__(self, kad: "KadService", providers: "ProviderSearch", own: "PeerId", limit: int | None) -> None:
        self._kad = kad
        self._providers = providers
        self._own = own
        self._room = limit
        self._unlocated: dict[PeerId, None] = {}
        self._lookups_left = LOOKUPS_LIMIT

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "Contact":
        """The next one. Raises NoPeers where nobody can be asked, NotRunning. Cancelled: nothing is lost, ask again."""
        if self._room == 0:
            raise StopAsyncIteration
        found = await self._next_located() or await self._next_unlocated()
        if found is None:
            raise StopAsyncIteration
        if self._room is not None:
            self._room -= 1
            if not self._room:
                self._providers.close()
        return found

    async def _next_located(self) -> "Contact | None":
        async for contact in self._providers:
            if contact.peer_id == self._own:
                continue
            if contact.addresses:
                self._unlocated.pop(contact.peer_id, None)
                return contact
            self._unlocated[contact.peer_id] = None
        return None

    async def _next_unlocated(self) -> "Contact | None":
        """Of whom nobody said where they are: peers forget addresses sooner than who provides."""
        while self._unlocated and self._lookups_left:
            self._lookups_left -= 1
            peer = next(iter(self._unlocated))
            try:
                contact = await self._kad.find_peer(peer)
            except NotFound:
                contact = None
            del self._unlocated[peer]
            if contact is not None:
                return contact
        return None

    async def aclose(self) -> None:
        """End it."""
        self._unlocated.clear()
        self._room = 0
        await self._providers.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()
