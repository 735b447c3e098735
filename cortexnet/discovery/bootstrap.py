"""Bootstrap peers: those a node is given to begin with. A shell.

The connection manager keeps them connected; here names are looked up, and it is noted what came of each peer. All are
dialed at once, each again and again with waits of its own, and none is needed: a node without any goes on, and finds those that
return.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, final

from cortexnet.discovery.events import BootstrapResult
from cortexnet.discovery.found import BOOTSTRAP
from cortexnet.errors import CortexError, LimitExceeded, ProtocolViolation, describe, in_one_line
from cortexnet.identity.peer_id import PeerId
from cortexnet.swarm.dial_plan import shown
from cortexnet.swarm.dial_problem import ADVICE, problem_of
from cortexnet.swarm.manager_events import KeptPeerReached, KeptPeerUnreachable, ManagerEvent

if TYPE_CHECKING:
    from cortexnet.discovery.discovered import Discovered
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.swarm.connection_manager import ConnectionManager
    from cortexnet.swarm.upkeep import Upkeep
    from cortexnet.swarm.warm_set import Key
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.scope import Scope

log = logging.getLogger(__name__)

Resolve = Callable[["Multiaddr"], Awaitable["list[Multiaddr]"]]
"""What a name in the DNS stands for. Raises CortexError."""

RETRY_FIRST, RETRY_LONGEST = 5.0, 300.0
"""Seconds until a name is looked up again that led nowhere, less up to half of it at random; they double with each failure."""
AGAIN = 600.0
"""Seconds until a name is looked up again none of whose peers is connected: the list behind it may be another one by now."""


@final
class Bootstrap:
    """The bootstrap peers of one node, and a result for each."""

    def __init__(
        self,
        manager: "ConnectionManager",
        upkeep: "Upkeep",
        discovered: "Discovered",
        *,
        resolve: Resolve,
        publish: Callable[[BootstrapResult], None],
        scope: "Scope",
    ) -> None:
        self._manager = manager
        self._upkeep = upkeep
        self._discovered = discovered
        self._resolve = resolve
        self._publish = publish
        self._scope = scope
        self._random = Random()
        self._results: dict[Key, BootstrapResult] = {}
        self._names: dict[Key, dict[Key, None]] = {}
        """Whom each name led to last."""
        self._given: dict[Key, None] = {}
        """Those that are named by an address, whatever becomes of names."""

    @property
    def results(self) -> list[BootstrapResult]:
        """Of each bootstrap peer, and of each name that has led to none yet."""
        return list(self._results.values())

    @property
    def unresolved(self) -> "list[Multiaddr]":
        """Names that lead to nobody."""
        return [result.address for key, result in self._results.items() if key in self._names and result.error]

    def start(self, addresses: "Iterable[Multiaddr]") -> None:
        """Keep them from now on. Those that are too many are left out, and said so."""
        self._manager.observers.append(self._happened)
        for address in addresses:
            if address.has("dnsaddr") and address.split_peer()[1] is None:
                self._upkeep.expect(address)
                self._names[address] = {}
                self._set(address, BootstrapResult(address, None, "not tried yet"))
                self._scope.spawn(self._follow(address), name=f"look up {address}")
            elif (key := self._keep(address)) is not None:
                self._given[key] = None

    def connected(self, connection: "Connection") -> None:
        """There is a connection, whoever has dialed."""
        peer = connection.peer_id
        for key, result in list(self._results.items()):
            if peer in (key, result.peer_id) and result.outcome != "connected":
                self._reached(key, peer)

    def disconnected(self, connection: "Connection") -> None:
        """It is gone."""
        peer = connection.peer_id
        if self._upkeep.is_connected(peer):
            return
        for key, result in list(self._results.items()):
            if result.peer_id == peer and result.outcome == "connected":
                reason = "" if connection.error is None else describe(connection.error)
                self._set(key, BootstrapResult(result.address, peer, "lost", reason, "it is dialed again"))

    # --- one address -------------------------------------------------------------------------------------------------------

    def _keep(self, address: "Multiaddr") -> "Key | None":
        try:
            key = self._manager.keep_address(address)
        except (LimitExceeded, ProtocolViolation) as error:
            log.warning("bootstrap peer %s is left out: %s", shown(address), error)  # it may be of somebody's DNS
            return None
        if key is not None and key not in self._results:
            peer = key if isinstance(key, PeerId) else None
            self._set(key, BootstrapResult(address, peer, "not tried yet"))
            if peer is not None and self._upkeep.is_connected(peer):
                self._reached(key, peer)
        return key

    def _happened(self, event: ManagerEvent) -> None:
        if isinstance(event, KeptPeerReached):
            if event.target in self._results:
                self._reached(event.target, event.peer_id)
        elif isinstance(event, KeptPeerUnreachable):
            known = self._results.get(event.target)
            if known is not None:
                peer = known.peer_id if isinstance(event.target, PeerId) else None
                advice = ADVICE[event.problem]
                self._set(event.target, BootstrapResult(known.address, peer, event.problem, event.reason, advice))

    def _reached(self, key: "Key", peer: PeerId) -> None:
        address = self._results[key].address
        self._set(key, BootstrapResult(address, peer, "connected"))
        where = address.split_peer()[0]
        self._discovered.found(peer, [] if where is None else [where], BOOTSTRAP, is_near=True)

    def _set(self, key: "Key", result: BootstrapResult) -> None:
        known = self._results.get(key)
        self._results[key] = result
        if known != result and result.outcome != "not tried yet":
            self._publish(result)

    # --- one name ----------------------------------------------------------------------------------------------------------

    async def _follow(self, name: "Multiaddr") -> None:
        """Keep the peers that a name leads to, as long as the node runs."""
        failures = 0
        while True:
            wait = AGAIN
            if not self._is_any_connected(self._names[name]):
                try:
                    self._take_over(name, await self._resolve(name))
                    failures = 0
                except CortexError as error:
                    wait = min(RETRY_LONGEST, RETRY_FIRST * 2.0 ** min(failures, 16))
                    failures += 1
                    if not self._names[name]:
                        self._failed(name, error, wait, is_first=failures == 1)
            self._upkeep.tried(name)
            await asyncio.sleep(wait * self._random.uniform(0.5, 1.0))

    def _is_any_connected(self, keys: "Iterable[Key]") -> bool:
        results = [self._results.get(key) for key in keys]
        return any(result is not None and result.outcome == "connected" for result in results)

    def _failed(self, name: "Multiaddr", error: CortexError, wait: float, *, is_first: bool) -> None:
        problem = problem_of(error)
        self._set(name, BootstrapResult(name, None, problem, describe(error), ADVICE[problem]))
        if is_first:
            again = "bootstrap name %s leads to nobody now: %s; %s; it is looked up again, next in %.0f s at most"
            log.warning(again, name, in_one_line(error), ADVICE[problem], wait)

    def _take_over(self, name: "Multiaddr", found: "list[Multiaddr]") -> None:
        """Keep those that were found, and those no longer that it led to before and nothing else does, unless connected."""
        self._results.pop(name, None)
        before, kept = self._names[name], dict["Key", None]()
        for address in found:
            key = self._keep(address)
            if key is not None and key not in kept:
                kept[key] = None
                if key not in before and self._results[key].outcome == "not tried yet":
                    self._upkeep.expect(key)
        self._names[name] = kept
        for key in before:
            is_wanted = key in self._given or any(key in wanted for wanted in self._names.values())
            if isinstance(key, PeerId) and not is_wanted and not self._upkeep.is_connected(key):
                self._manager.forget(key)
                self._results.pop(key, None)
