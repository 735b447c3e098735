"""Keeps the peers with the best scores connected: protects them from trimming, and dials them again when they are lost. A shell.

It is on the side of `manager.keep`, not in its way: those who are kept there stay whatever their score, and that one of these is
gone is no trouble that a node has.
"""

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, final

from cortexnet.errors import ConnectionClosed, CortexError, LimitExceeded
from cortexnet.identity.peer_id import PeerId
from cortexnet.reputation.favourites import Favourites
from cortexnet.swarm.warm_set import WarmSet

if TYPE_CHECKING:
    from cortexnet.host.context import Context
    from cortexnet.reputation.service import Reputation
    from cortexnet.swarm.manager_config import ConnectionManagerConfig
    from cortexnet.transport.connection import Connection

log = logging.getLogger(__name__)

PROTECTED = "best"
"""The name under which they are protected."""
_FIRST_LOOK = 5.0  # seconds after the start: bootstrap peers and those that are kept come first
_INTERVAL = 60.0  # seconds between looks, more or less by a quarter: scores move slowly
_REMEMBERED = 1024  # peers known from earlier runs that are looked at, once: a microsecond each
_GIVE_UP = 600.0  # seconds without a connection, after which a peer that can't be dialed is a favourite no more
_DIALS = 4  # at a time


@final
class BestPeers:
    """At most `config.best_peers` of them. `random` draws when they are looked at, and dialed again."""

    def __init__(
        self,
        context: "Context",
        reputation: "Reputation",
        config: "ConnectionManagerConfig",
        *,
        random: Random | None = None,
    ) -> None:
        self._context = context
        self._reputation = reputation
        self._random = random or Random()
        self._favourites = Favourites(config.best_peers)
        self._warm = WarmSet(
            limit=config.best_peers,
            address_limit=0,  # those the peerstore has will do
            first=config.retry_first,
            longest=config.retry_longest,
            random=self._random,
        )
        self._lost: dict[PeerId, float] = {}  # of those without a connection, since when
        self._dialing = 0
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look after a while, and from then on."""
        context = self._context
        context.on_connected.append(self._connected)
        context.on_disconnected.append(self._disconnected)
        self._task = context.scope.spawn(self._run(), name="best peers")

    async def close(self) -> None:
        """Dial nobody any more."""
        if self._task is not None:
            self._task.cancel()
        self._context.on_connected.remove(self._connected)
        self._context.on_disconnected.remove(self._disconnected)

    async def _run(self) -> None:
        look_at = self._loop.time() + _FIRST_LOOK
        known = self._reputation.peers()[-_REMEMBERED:]
        while True:
            now = self._loop.time()
            if now >= look_at:
                self._look([*self._context.swarm.peers, *known], now)
                known = []
                look_at = now + _INTERVAL * self._random.uniform(0.75, 1.25)
            for key in self._warm.take_due(now, _DIALS - self._dialing):
                self._dialing += 1
                assert isinstance(key, PeerId)  # no others were put in
                self._context.scope.spawn(self._dial(key), name=f"dial one of the best peers, {key}")
            due = self._warm.next_timeout() if self._dialing < _DIALS else None
            await self._sleep(min(look_at, look_at if due is None else due) - now)

    async def _sleep(self, seconds: float) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _look(self, peers: list[PeerId], now: float) -> None:
        score = self._reputation.score
        new, gone = self._favourites.look({peer: score(peer) for peer in (*peers, *self._favourites)}, now)
        for peer in gone:
            self._forget(peer)
        for peer in new:
            self._keep(peer, now)

    def _keep(self, peer: PeerId, now: float) -> None:
        try:
            self._context.manager.protect(peer, PROTECTED)
        except LimitExceeded as error:
            log.debug("%s is one of the best peers, but not kept: %s", peer, error, extra={"peer": peer})
            self._favourites.drop(peer)
            return
        is_connected = bool(self._context.swarm.connections_to(peer))
        self._warm.keep(peer, (), now, is_connected=is_connected)
        if not is_connected:
            self._lost[peer] = now
        log.debug("%s is one of the best peers now, and is kept connected", peer, extra={"peer": peer})

    def _forget(self, peer: PeerId) -> None:
        self._warm.forget(peer)
        self._lost.pop(peer, None)
        self._context.manager.unprotect(peer, PROTECTED)
        log.debug("%s is one of the best peers no more", peer, extra={"peer": peer})

    async def _dial(self, peer: PeerId) -> None:
        try:
            await self._context.swarm.dial(peer)
        except CortexError as error:
            now = self._loop.time()
            self._warm.failed(peer, now)
            if peer in self._favourites and now >= self._lost.get(peer, now) + _GIVE_UP:
                log.debug("%s was not to be reached for too long: %s", peer, error, extra={"peer": peer})
                self._favourites.drop(peer)
                self._forget(peer)
        else:
            self._warm.succeeded(peer, peer, self._loop.time())
        finally:
            self._dialing -= 1
            self._woken.set()

    def _connected(self, connection: "Connection") -> None:
        self._lost.pop(connection.peer_id, None)
        self._warm.connected(connection.peer_id, self._loop.time())

    def _disconnected(self, connection: "Connection") -> None:
        peer, now, error = connection.peer_id, self._loop.time(), connection.error
        if peer not in self._favourites or self._context.swarm.connections_to(peer):
            return
        if isinstance(error, ConnectionClosed) and error.by == "local":
            self._favourites.drop(peer)  # somebody here wants to be without it
            self._forget(peer)
            return
        self._lost[peer] = now
        self._warm.lost(peer, now)
        self._woken.set()
