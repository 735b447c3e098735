"""Dials the peers that the router would like to meet: direct ones, and those that were named by others. A shell."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, final

from cortexnet.discovery.found import GOSSIP
from cortexnet.errors import CortexError, RemoteError
from cortexnet.host.peer_info import is_near
from cortexnet.identity.envelope import SignedRecord
from cortexnet.transport.log_limit import LogLimit

if TYPE_CHECKING:
    from cortexnet.gossip.actions import Connect
    from cortexnet.gossip.config import GossipConfig
    from cortexnet.host.context import Context
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.transport.scope import Scope

log = logging.getLogger(__name__)
log.addFilter(LogLimit())


@final
class Connector:
    """A few dials at a time, and a bounded queue of those that wait."""

    def __init__(self, context: "Context", config: "GossipConfig", scope: "Scope") -> None:
        self._context = context
        self._config = config
        self._scope = scope
        self._waiting: deque[Connect] = deque()
        self._dialing = 0

    def connect(self, wish: "Connect") -> None:
        """Meet a peer, when its turn has come; where too many wait, it is forgotten."""
        if self._context.swarm.connections_to(wish.peer) or len(self._waiting) >= self._config.px_pending:
            return
        self._waiting.append(wish)
        if self._dialing < self._config.px_connectors:
            self._dialing += 1
            self._scope.spawn(self._work(), name="gossip dial")

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._dial(self._waiting.popleft())
        finally:
            self._dialing -= 1

    async def _dial(self, wish: "Connect") -> None:
        self._context.discovered.found(wish.peer, self._learn(wish), GOSSIP)
        try:
            async with asyncio.timeout(self._config.px_timeout):
                await self._context.swarm.dial(wish.peer)
        except (CortexError, TimeoutError) as error:
            log.debug("%s, of whom gossip told, was not reached: %s", wish.peer, error, extra={"peer": wish.peer})

    def _learn(self, wish: "Connect") -> "list[Multiaddr]":
        """Keep the addresses of a record for a while: private ones only where we know of no other network than such."""
        if not wish.record:
            return []
        try:
            record = SignedRecord.open(wish.record, wish.peer)
        except RemoteError:
            return []
        is_local = all(is_near(connection.remote_address) for connection in self._context.swarm.connections)
        believed = [address for address in record.record.addresses if is_local or address.is_public]
        now = asyncio.get_running_loop().time()
        self._context.peerstore.accept_record(record, now, ttl=self._config.px_address_ttl, believed=believed, is_near=is_local)
        return believed
