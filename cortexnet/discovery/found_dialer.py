"""Dials found peers, whoever found them, as long as this node has too few. A shell around `dial_choice`."""

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, final

from cortexnet.discovery.dial_choice import DialChoice, Missing
from cortexnet.errors import CortexError, NotRunning
from cortexnet.swarm.manager_events import NetworkChanged
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.discovery.config import DiscoveryConfig
    from cortexnet.discovery.found import Known
    from cortexnet.host.context import Context
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.swarm.manager_events import ManagerEvent
    from cortexnet.transport.connection import Connection

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

_LOOKS_APART = 0.25  # seconds between two looks at who was found: each takes a microsecond for each of them
_PATIENCE = 30.0  # seconds for all addresses of one peer: as long as two that don't answer take one after the other


@final
class FoundDialer:
    """One task, asleep while there are enough peers or nobody to dial; each dial is a task that ends."""

    def __init__(self, context: "Context", config: "DiscoveryConfig") -> None:
        self._context = context
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._scope = Scope(context.scope)
        self._choice = DialChoice(context.discovered.table, config, Random(), self._loop.time())
        self._dialing: dict[PeerId, None] = {}
        self._opened: dict[Connection, float] = {}
        self._woken = asyncio.Event()

    async def start(self) -> None:
        """Begin to look after whoever is found."""
        for connection in self._context.swarm.connections:
            self._opened[connection] = self._loop.time()
        self._context.on_connected.append(self._connected)
        self._context.on_disconnected.append(self._disconnected)
        self._context.manager.observers.append(self._happened)
        self._context.discovered.on_found = lambda known: self._woken.set()
        self._scope.spawn(self._run(), name="dial found peers")

    async def close(self) -> None:
        """Dial no more; dials under way are given up."""
        await self._scope.close()

    def missing(self) -> Missing:
        """How many peers lack, those not counted that are being dialed."""
        swarm = self._context.swarm
        connected = [
            (peer, any(connection.direction == "outbound" for connection in swarm.connections_to(peer))) for peer in swarm.peers
        ]
        return self._choice.missing(connected, self._score)

    def lacks_candidates(self) -> bool:
        """Whether more peers are needed than were found and not tried in vain yet: whoever can should look for more."""
        missing = self.missing()
        untried = sum(not known.failures for known in self._waiting(missing))
        return untried < missing.peers + missing.members

    def _score(self, peer: "PeerId") -> float:
        reputation = self._context.reputation
        return 0.0 if reputation is None else reputation.score(peer)

    def is_good(self, peer: "PeerId") -> bool:
        """Whether its reputation lets us deal with it."""
        return self._score(peer) >= self._config.least_score

    def _waiting(self, missing: Missing) -> "list[Known]":
        return self._choice.waiting(missing, self._loop.time(), is_met=self._is_met, score=self._score)

    def _is_met(self, peer: "PeerId") -> bool:
        return peer in self._dialing or self._context.peerstore.is_connected(peer)

    def _connected(self, connection: "Connection") -> None:
        self._opened[connection] = self._loop.time()

    def _disconnected(self, connection: "Connection") -> None:
        now = self._loop.time()
        lasted = now - self._opened.pop(connection, now)
        if not self._context.peerstore.is_connected(connection.peer_id):
            self._choice.lost(connection.peer_id, lasted, now)
            self._woken.set()

    def _happened(self, event: "ManagerEvent") -> None:
        if isinstance(event, NetworkChanged):
            self._choice.forgive(self._loop.time())
            self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            due = self._look()
            await asyncio.sleep(_LOOKS_APART)
            timer = None if due is None else self._loop.call_at(due, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _look(self) -> float | None:
        """Dial whom there is room for; when to look again where nothing happens meanwhile."""
        missing = self.missing()
        room = min(self._config.dials, missing.peers + missing.members) - len(self._dialing)
        if room <= 0:
            return None  # the end of a dial, or the loss of a peer, will wake us
        now = self._loop.time()
        for known in self._choice.choose(missing, now, room=room, is_met=self._is_met, score=self._score):
            self._dialing[known.peer_id] = None
            self._scope.spawn(self._dial(known), name=f"dial found {known.peer_id}")
        return self._choice.next_timeout(self._waiting(missing), now)

    async def _dial(self, known: "Known") -> None:
        peer, tally = known.peer_id, self._context.resources.tally
        tally.found_dials += 1
        try:
            self._context.discovered.remember(known)
            async with asyncio.timeout(_PATIENCE):
                await self._context.swarm.dial(peer)
        except NotRunning:
            return
        except (CortexError, TimeoutError) as error:
            tally.found_dials_failed += 1
            wait = self._choice.failed(known, self._loop.time())
            source = known.first.source
            log.debug(
                "%s, found by %s, is not reached: %s; left alone for %.0f s", peer, source, error, wait, extra={"peer": peer}
            )
        finally:
            del self._dialing[peer]
            self._woken.set()
