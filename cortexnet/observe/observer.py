"""Looks on while a node runs, and can say at any time how it is. A shell.

Events and health are loaded when somebody wants them: they take 3 ms, and most nodes are never asked.
"""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, final

from cortexnet.errors import CortexError, Denied, LimitExceeded, describe
from cortexnet.observe.bus import EventBus
from cortexnet.observe.loop_lag import LoopLag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cortexnet.admission.resources import Resources
    from cortexnet.host.identify import PeerInfo
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.observe.health import Health
    from cortexnet.observe.status import Json
    from cortexnet.reputation.service import Reputation
    from cortexnet.swarm.peerstore import Peerstore
    from cortexnet.swarm.swarm import Swarm
    from cortexnet.transport.connection import Connection

_OFFENDERS_SHOWN = 100


@final
class Observer:
    """What is told to it becomes events, for who wants them; what it is asked for is found out then."""

    def __init__(self, bus: EventBus, swarm: "Swarm", resources: "Resources", peerstore: "Peerstore") -> None:
        self._bus = bus
        self._swarm = swarm
        self._resources = resources
        self._peerstore = peerstore
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._since: dict[Connection, float] = {}
        self._addresses: tuple[Multiaddr, ...] = ()
        self._lag = LoopLag()
        self.listen_addresses: Callable[[], Sequence[Multiaddr]] = tuple
        """Where the node can be reached."""
        self.unreachable: Callable[[], Sequence[object]] = tuple
        """Who is to be connected and can't be reached at present."""
        self.kept: Callable[[], int] = int
        """How many are to be connected."""
        self.reputation: Reputation | None = None
        """What is known of how peers behave."""
        self.storage_failure: Callable[[], CortexError | None] = lambda: None
        """Why the state directory can't be written at present."""

    def start(self) -> None:
        """The node listens: where it can be reached is known from now on, and how late the loop is."""
        self._addresses = tuple(self.listen_addresses())
        self._lag.start()

    def stop(self) -> None:
        """The node is closing: events end."""
        self._lag.stop()
        self._bus.close()

    # --- what it is told ---------------------------------------------------------------------------------------------------

    def connected(self, connection: "Connection") -> None:
        """A connection is there, its first stream is not."""
        self._since[connection] = self._loop.time()
        if self._bus.has_listeners:
            from cortexnet.observe.events import ConnectionOpened

            self._bus.publish(
                ConnectionOpened(
                    peer_id=connection.peer_id,
                    address=connection.remote_address,
                    direction=connection.direction,
                    transport=connection.transport,
                    security=connection.security,
                    muxer=connection.muxer,
                    is_first=len(self._swarm.connections_to(connection.peer_id)) == 1,
                )
            )

    def disconnected(self, connection: "Connection") -> None:
        """A connection is gone."""
        began = self._since.pop(connection, self._loop.time())
        if self._bus.has_listeners:
            from cortexnet.observe.events import ConnectionEnded

            self._bus.publish(
                ConnectionEnded(
                    peer_id=connection.peer_id,
                    address=connection.remote_address,
                    direction=connection.direction,
                    seconds=self._loop.time() - began,
                    reason="" if connection.error is None else describe(connection.error),
                    is_last=len(self._swarm.connections_to(connection.peer_id)) == 0,
                )
            )

    def identified(self, connection: "Connection", info: "PeerInfo") -> None:
        """A peer has said what it is."""
        if self._bus.has_listeners:
            from cortexnet.observe.events import PeerIdentified

            self._bus.publish(PeerIdentified(connection.peer_id, info.agent_version, frozenset(info.protocols)))

    def dial_failed(self, peer: "PeerId | None", error: CortexError) -> None:
        """A dial has led to nobody."""
        if self._bus.has_listeners:
            from cortexnet.observe.events import DialEnded

            self._bus.publish(DialEnded(peer, describe(error)))

    def refused(self, error: LimitExceeded) -> None:
        """Something was over a limit, or denied."""
        if self._bus.has_listeners:
            from cortexnet.observe.events import Refused

            remedy = error.rule if isinstance(error, Denied) else error.setting
            self._bus.publish(Refused(error.scope, describe(error), remedy))

    def addresses_changed(self) -> None:
        """Listeners or interfaces may be other ones."""
        addresses = tuple(self.listen_addresses())
        if addresses != self._addresses:
            self._addresses = addresses
            from cortexnet.observe.events import AddressesChanged

            self._bus.publish(AddressesChanged(addresses))

    # --- what it is asked --------------------------------------------------------------------------------------------------

    def health(self) -> "Health":
        """See `Node.health`."""
        from cortexnet.observe.health import Findings, judge

        failure = self.storage_failure()
        return judge(
            Findings(
                uptime=self._loop.time() - self._begun,
                peers=len(self._swarm.peers),
                connections=len(self._swarm.connections),
                addresses=tuple(str(address) for address in self.listen_addresses()),
                listens=bool(self._swarm.listen_addresses),
                loop_lag=self._lag.worst,
                counters=self._resources.snapshot(),
                limits=self._resources.limits,
                unreachable=[str(target) for target in self.unreachable()],
                kept=self.kept(),
                storage_failure="" if failure is None else describe(failure),
            )
        )

    def answers(self) -> "dict[str, Callable[[], Json]]":
        """What the status socket can be asked."""
        return {
            "peers": self._peers,
            "offenders": self._offenders,
            "health": lambda: asdict(self.health()),
            "counters": self._resources.snapshot,
            "totals": self._totals,
        }

    def _totals(self) -> "Json":
        received, sent = self._resources.traffic()
        tally = self._resources.tally
        return {**tally.totals(), "bytes_received": received, "bytes_sent": sent, "refusals": dict(tally.refusals)}

    def _peers(self) -> "Json":
        return [
            {
                "peer_id": str(peer),
                "agent_version": self._peerstore.agent_version(peer),
                "score": None if self.reputation is None else self.reputation.score(peer),
                "connections": [self._facts(connection) for connection in self._swarm.connections_to(peer)],
            }
            for peer in self._swarm.peers
        ]

    def _offenders(self) -> "Json":
        """Peers with a bad score, the worst first."""
        reputation = self.reputation
        if reputation is None:
            return []
        scores = [(score, peer) for peer in reputation.peers() if (score := reputation.score(peer)) < 0]
        scores.sort(key=lambda found: found[0])
        told = [reputation.explain(peer) for _, peer in scores[:_OFFENDERS_SHOWN]]
        return [{**asdict(one), "peer_id": str(one.peer_id), "text": str(one)} for one in told]

    def _facts(self, connection: "Connection") -> "dict[str, Json]":
        return {
            "address": str(connection.remote_address),
            "direction": connection.direction,
            "transport": connection.transport,
            "security": connection.security,
            "muxer": connection.muxer,
            "seconds": self._loop.time() - self._since.get(connection, self._loop.time()),
            "rtt": connection.rtt,
            "streams": [stream.protocol for stream in connection.streams],
        }
