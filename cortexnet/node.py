"""The node: identity, swarm, host and services in one `async with`. A shell; the entrance to everything."""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from cortexnet.admission.gater import Gater
from cortexnet.admission.resources import Resources
from cortexnet.admission.tally import Tally
from cortexnet.config import Config
from cortexnet.errors import CortexError, LocalError, NotRunning, ProtocolViolation
from cortexnet.host.host import Protocols, check_callable
from cortexnet.host.identify import PeerInfo
from cortexnet.host.stream_opening import StreamOpening
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import AnyPeer, PeerId, peer_of, peers_of
from cortexnet.multiformats.multiaddr import AnyAddress, Multiaddr, address_of, addresses_of
from cortexnet.observe.bus import EventBus, Subscription
from cortexnet.running import Blueprint, Running
from cortexnet.swarm.connection_manager import ConnectionManager
from cortexnet.swarm.guarded import guarded
from cortexnet.swarm.peerstore import Peerstore
from cortexnet.swarm.swarm import Observer
from cortexnet.transport.connection import Connection, StreamHandler
from cortexnet.transport.interfaces import process_descriptor_limit
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream

if TYPE_CHECKING:
    from typing import Unpack

    from cortexnet.discovery.card_search import CardSearch
    from cortexnet.discovery.cards import CardChanges
    from cortexnet.discovery.discovered import FoundStream
    from cortexnet.discovery.events import BootstrapResult
    from cortexnet.discovery.routing_discovery import PeerSearch, RoutingDiscovery
    from cortexnet.gossip.service import Gossip
    from cortexnet.host.perf import PerfResult, Progress
    from cortexnet.identity.card import Card
    from cortexnet.kad.service.service import KadService
    from cortexnet.messaging.caller import Caller
    from cortexnet.messaging.message import Receipt
    from cortexnet.messaging.messenger import MessageHandler, Messenger
    from cortexnet.messaging.request import Framing, RequestHandler
    from cortexnet.observe.events import Event
    from cortexnet.observe.health import Health
    from cortexnet.reputation.selector import Answer, Selector
    from cortexnet.reputation.service import Reputation

log = logging.getLogger(__name__)


@final
class Node:
    """A libp2p node.

        async with Node(listen=["/ip4/127.0.0.1/tcp/0"]) as node:
            print(node.peer_id, *node.addresses)

    Nothing happens before `async with`; leaving it closes everything. A node is started once.
    Entering raises ListenFailed (an OSError) where an address can't be bound, LocalError where no enabled transport listens on
    it, LimitExceeded, and StorageFailed where the state directory can't be used, or is another node's.
    Leaving raises what a task of the node itself has failed of, if one has: that is a bug of ours.
    """

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        listen: Iterable[AnyAddress] = (),
        bootstrap: Iterable[AnyAddress] = (),
        config: Config | None = None,
    ) -> None:
        """Without an identity a fresh Ed25519 one is made. `bootstrap` peers are dialed in the background.

        Raises LocalError for an address that is none, or to listen on another peer's, for one address in place of a list, and for
        what is no Identity or Config.
        """
        if identity is not None and not isinstance(identity, Identity):
            raise LocalError(
                f"the first argument of a Node is its Identity, not a {type(identity).__name__}: "
                "`Identity.load_or_create(FILE)` reads one from a file; addresses go to `listen`"
            )
        if config is not None and not isinstance(config, Config):
            raise LocalError(f"the config of a Node is a Config, such as Config(limits=Limits(…)), not a {type(config).__name__}")
        self.identity = identity or Identity.generate()
        self.config = config or Config()
        self._listen = [self._own(address) for address in addresses_of("listen", listen)]
        self._bootstrap = list(dict.fromkeys(addresses_of("bootstrap", bootstrap)))
        self._protocols = Protocols()
        self._on_connected: list[Observer] = []
        self._on_disconnected: list[Observer] = []
        self.gater = Gater(limit=self.config.limits.access_rules, unix_time=time.time)
        """Who may connect: `deny`, `allow`, `allow_only`, and `gate` for a decision of the application's own."""
        self.peerstore = Peerstore(self.config.limits)
        """What is known of other peers, and noted about them; also before the start. Its times are those of the event loop."""
        self._resources = Resources(self.config.limits, process_descriptors=process_descriptor_limit())
        self.manager = ConnectionManager(self.peer_id, self.config.manager, self.config.limits)
        """What connections are worth, and who must stay connected; also before the start."""
        self._bus = EventBus()
        self._blueprint = Blueprint(
            identity=self.identity,
            config=self.config,
            announce=[self._own(address) for address in self.config.announce],
            protocols=self._protocols,
            peerstore=self.peerstore,
            resources=self._resources,
            gater=self.gater,
            manager=self.manager,
            bus=self._bus,
            on_connected=self._on_connected,
            on_disconnected=self._on_disconnected,
        )
        self._scope: Scope | None = None
        self._running: Running | None = None
        self._fault: BaseException | None = None
        self._ended: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Node {self.peer_id}>"

    # --- life --------------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._scope is not None:
            raise NotRunning("a node is started once; make a new one")
        self._ended = asyncio.get_running_loop().create_future()
        self._scope = Scope(on_error=self._failed)
        try:
            self._running = Running(self._blueprint, self._scope)
            await self._running.start(self._listen, self._bootstrap)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()
        if self._fault is not None and error is None:
            raise self._fault

    async def _close(self) -> None:
        running, self._running = self._running, None
        try:
            if running is not None:
                try:
                    async with asyncio.timeout(self.config.limits.node_close_timeout):
                        await running.close()
                except TimeoutError:
                    log.warning("the node did not close in time; its connections were aborted")
        finally:
            try:
                if running is not None:
                    await running.swarm.drop()
                if self._scope is not None:
                    await self._scope.close()
            finally:
                if self._scope is not None:
                    self._scope.cancel()  # where the wait for others was cancelled
                await self._finish(running)

    async def _finish(self, running: "Running | None") -> None:
        """Nothing of the node runs any more: close its files, and tell who waits for the end."""
        try:
            if running is not None:
                await running.close_storage()
        finally:
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)

    def _failed(self, error: BaseException) -> None:
        """A task of the node itself has raised: that is a bug, and the end of this node; leaving `async with` raises it."""
        log.error("the node failed: %r", error, exc_info=error)
        if self._fault is None:
            self._fault = error
        if self._running is not None:
            self._running.abort()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def wait_closed(self) -> None:
        """Wait until the node is closed or has failed. Cancelled: nothing changes."""
        if self._ended is None:
            raise NotRunning("the node is not started")
        await asyncio.shield(self._ended)

    async def ready(self) -> None:
        """Wait until each bootstrap peer was tried once: whoever could be reached is connected and identified."""
        await self._run.upkeep.all_tried.wait()

    @property
    def _run(self) -> "Running":
        if self._running is not None and self._fault is None:
            self._running.check_loop()
            return self._running
        if self._fault is not None:
            raise NotRunning("the node has failed: leave its `async with`, which raises what of")
        if self._scope is not None:
            raise NotRunning("the node is closed; a node is started once: make a new one")
        raise NotRunning("the node is not running: use it inside `async with node`")

    def _own(self, address: AnyAddress) -> Multiaddr:
        """An address of this node, without the /p2p/… that `addresses` has."""
        where, named = address_of(address).split_peer()
        if where is None or named not in (None, bytes(self.peer_id)):
            raise LocalError(f"{address} is no address of this node, which is {self.peer_id}")
        return where

    # --- what it is and knows ----------------------------------------------------------------------------------------------

    @property
    def peer_id(self) -> PeerId:
        """Who we are."""
        return self.identity.peer_id

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where peers can reach this node; each ends in /p2p/ and its peer id."""
        return [address.with_peer(bytes(self.peer_id)) for address in self.listen_addresses()]

    def listen_addresses(self) -> list[Multiaddr]:
        """The same without peer id; what identify announces."""
        return self._run.listen_addresses()

    @property
    def peers(self) -> list[PeerId]:
        """Whom this node is connected to: peer ids, which no text equals; `PeerId.parse(text)` may."""
        return self._run.swarm.peers

    @property
    def connections(self) -> list[Connection]:
        """All open connections."""
        return self._run.swarm.connections

    def watch(self, *, connected: Observer | None = None, disconnected: Observer | None = None) -> None:
        """Call back with each new connection, and with each that is gone (its `error` says why); also before the start.

        Observers are called synchronously; where one raises, that is logged alone. Raises LocalError for what is no function.
        """
        for observer in (connected, disconnected):
            if observer is not None:
                check_callable("an observer", observer)
        if connected is not None:
            self._on_connected.append(guarded(connected))
        if disconnected is not None:
            self._on_disconnected.append(guarded(disconnected))

    @property
    def tally(self) -> Tally:
        """What has happened since the node was made: connections, dials, streams, refusals."""
        return self._resources.tally

    @property
    def totals(self) -> dict[str, int]:
        """The same by name, without the refusals, and the bytes of all connections beyond their handshakes."""
        received, sent = self._resources.traffic()
        return {**self._resources.tally.totals(), "bytes_received": received, "bytes_sent": sent}

    def events(self, *kinds: "type[Event]", queue: int = 1024) -> Subscription:
        """What happens to this node, as `async with node.events() as events: async for event in events: …`.

        Of the `kinds` of `cortexnet.observe.events` given, or all. At most `queue` events wait; then the oldest go, and an
        EventsLost tells how many. The end of the node ends the iteration, and a second task that iterates gets Busy. Also before
        the start. Raises LocalError for a queue that holds nothing, and for kinds that are none.
        """
        return self._bus.subscribe(kinds, queue=queue)

    def health(self) -> "Health":
        """Whether the node is well: what is wrong, and what to do about it. Raises NotRunning."""
        return self._run.observer.health()

    @property
    def protocols(self) -> list[str]:
        """What this node answers to."""
        return self._protocols.names()

    @property
    def counters(self) -> dict[str, int]:
        """What is in use of each limited thing; all zero on a closed node."""
        return self._resources.snapshot()

    def counters_of(self, peer: AnyPeer) -> dict[str, int]:
        """What is in use by one peer, over all of its connections."""
        return self._resources.of_peer(peer_of(peer))

    # --- the DHT -----------------------------------------------------------------------------------------------------------

    @property
    def kad(self) -> "KadService":
        """The DHT: where peers are, who has which content, and values by key. Raises NotRunning; LocalError where it is off."""
        kad = self._run.kad
        if kad is None:
            raise LocalError("the DHT is off: give this node a Config whose `kad` is a KadConfig")
        return kad

    async def advertise(self, namespace: str) -> int:
        """Let others find this node under a name of the application's, from now on; how many peers were told.

        It is told again each 2 h 37 min, until `stop_advertising`. Other libp2p stacks find it too, by their routing discovery.
        Raises LocalError where the name is none, this node listens nowhere or its DHT is off; NoPeers where nobody could be told.
        """
        return await self._discovery.advertise(namespace)

    def stop_advertising(self, namespace: str) -> None:
        """End what `advertise` began; who was told keeps it for up to 48 h. Raises LocalError where that was not."""
        self._discovery.stop_advertising(namespace)

    def find_peers(self, namespace: str, limit: int | None = 100) -> "PeerSearch":
        """Who advertises a name: `async for found in node.find_peers(name)`, each once, this node left out.

        `node.dial(found.peer_id)` knows where it is. The first step raises NoPeers where nobody can be asked.
        """
        return self._discovery.find_peers(namespace, limit)

    @property
    def bootstrap_results(self) -> "list[BootstrapResult]":
        """What has come of each bootstrap peer by now; `events(BootstrapResult)` tells each change. Raises NotRunning."""
        bootstrap = self._run.bootstrap
        return [] if bootstrap is None else bootstrap.results

    def discovered(self, *, queue: int = 1024) -> "FoundStream":
        """Peers as they are found by any source, each once: `async with node.discovered() as found: async for peer in found: …`

        It begins with those found in the last hour (`discovery.found_ttl`). `node.dial(peer.peer_id)` knows where they are. Above
        `queue` the oldest go. Raises NotRunning, LocalError for a queue that holds nothing.
        """
        return self._run.discovered.subscribe(queue)

    @property
    def _discovery(self) -> "RoutingDiscovery":
        discovery = self._run.discovery
        if discovery is None:
            raise LocalError("the DHT is off, over which peers are found: give this node a Config whose `kad` is a KadConfig")
        return discovery

    # --- cards -------------------------------------------------------------------------------------------------------------

    async def card(self, peer: AnyPeer, *, fresh: bool = False) -> "Card":
        """What a peer says about itself, signed by it: capabilities, region, metadata, limits. It is dialed if need be.

        A card is kept for 10 minutes; `fresh` asks again. Raises NegotiationFailed where the peer has none, RequestFailed where
        it is asked too often, ProtocolViolation for what is no card of its own or of this time, PeerTimeout, DialFailed, Ended.
        """
        return await self._run.cards.of(peer_of(peer), fresh=fresh)

    @property
    def own_card(self) -> "Card | None":
        """What this node says about itself, as `Config.card` and `update_card` have it; None where that is nothing."""
        return self._run.cards.own

    def update_card(self, **changes: "Unpack[CardChanges]") -> "Card | None":
        """Say something else until the end of this node: `capabilities`, `region`, `metadata`, `limits`; the others stay.

        Peers see the new card, which is returned, when they ask again, mostly within 10 minutes. Raises ConfigInvalid.
        """
        return self._run.cards.update(**changes)

    def find(self, capability: str, region: str = "", limit: int | None = 20) -> "CardSearch":
        """Nodes that say they can do something, in a region whose geohash begins so: `async for card in node.find("gpu", "u33")`.

        The DHT names them, and each is asked for its card, which decides; `card.peer_id` was reached lately. The first step
        raises NoPeers where nobody can be asked. Raises LocalError for a name or region that is none, and where the DHT is off.
        """
        return self._run.cards.find(capability, region, limit)

    # --- topics ------------------------------------------------------------------------------------------------------------

    @property
    def gossip(self) -> "Gossip":
        """Topics: `subscribe`, `publish`, `validate`. Raises NotRunning; LocalError where gossip is off."""
        gossip = self._run.gossip
        if gossip is None:
            raise LocalError("gossip is off: give this node a Config whose `gossip` is a GossipConfig")
        return gossip

    @property
    def reputation(self) -> "Reputation":
        """How peers have behaved: `score`, `explain`, `report`. Raises NotRunning; LocalError where nobody keeps count."""
        reputation = self._run.reputation
        if reputation is None:
            raise LocalError("reputation is off: give this node a Config whose `reputation` is a ReputationConfig")
        return reputation

    # --- protocols ---------------------------------------------------------------------------------------------------------

    def handle(self, protocol: str, handler: StreamHandler, *, extended: bool = False) -> None:
        """Run `handler` in a task of its own for each stream that a peer opens for `protocol`; also before the start.

        A handler that returns closes its stream, one that raises resets it, `raise Refuse(code)` with a code of its choice. It is
        cancelled where this side ends the connection, or 2 s (`limits.connection_close_timeout`) after the other side or the
        network did: until then its reads and writes end by themselves. They do where the peer resets the stream, too; that alone
        cancels nothing, as it does with `respond`. `extended` lets one connection have 1,024 streams of it at a time, not 256.
        Raises LocalError where there is one already, and for what names no protocol or is no function.
        """
        self._protocols.handle(protocol, handler, extended=extended)

    def unhandle(self, protocol: str) -> None:
        """Accept no new streams of `protocol`. Raises LocalError where it has no handler."""
        self._protocols.unhandle(protocol)

    def respond(
        self, protocol: str, handler: "RequestHandler", *, framing: "Framing" = "varint", size_limit: int = 1024 * 1024
    ) -> None:
        """Answer requests: `handler` gets a Request and returns the response; one stream for each.

        A handler that raises resets the stream, and the caller gets RequestFailed; `raise Refuse(code)` chooses its code. It is
        cancelled when the caller gives up. `framing` is "varint" (a length in front) or "eof" (rust's request-response codecs).
        A request has at most `size_limit` bytes. Raises LocalError as `handle`, and for a framing or a limit that is none.
        """
        limits = self.config.limits
        from cortexnet.messaging.request import responder

        self._protocols.handle(protocol, responder(handler, limits=limits, framing=framing, size_limit=size_limit))

    # --- peers -------------------------------------------------------------------------------------------------------------

    async def dial(self, target: AnyAddress | PeerId | Sequence[AnyAddress]) -> PeerId:
        """Connect to a peer, if that is not done yet: by address, by several addresses of one peer, or by id if one is known.

        An address without /p2p/… accepts whoever answers there: compare the peer id that is returned. Of several addresses, those
        known of the peer included, the best is tried first and the next ones soon after: QUIC before TCP, IPv6 before IPv4, and
        relays last; the first connection wins. An address that failed is left alone for 5 s to 5 minutes.
        Raises DialFailed, which says of each attempt why; LocalError, also for this node itself; NotRunning. Cancelled: nothing
        of the dial is left, unless others wait for it.
        """
        swarm = self._run.swarm
        peer, addresses = _target(target)
        if peer is None:
            return (await swarm.dial_unknown(addresses[0])).peer_id
        return (await swarm.dial(peer, addresses)).peer_id

    async def disconnect(self, peer: AnyPeer) -> None:
        """Close all connections to a peer; nothing happens where there is none. Cancelled: they are aborted."""
        await self._run.swarm.disconnect(peer_of(peer))

    def stream(self, peer: AnyPeer, protocol: str | Sequence[str], *, confirm: bool = False) -> StreamOpening:
        """A stream to a peer, to be used as `async with node.stream(…) as stream` (or awaited, and closed by the caller).

        Dials the peer if need be. With one protocol it can be used at once, and an unsupported protocol shows at the first read
        as NegotiationFailed; with `confirm`, or several protocols of which the peer takes the first it speaks, here.
        Raises LocalError for names that are none, DialFailed, ConnectionClosed, NegotiationFailed, PeerTimeout.
        Cancelled: nothing is left.
        """
        if not isinstance(protocol, str | Iterable):
            raise LocalError(f"a protocol is named by a text, several by a list of texts, not by a {type(protocol).__name__}")
        protocols = [protocol] if isinstance(protocol, str) else list(protocol)
        return StreamOpening(self._run.host, peer_of(peer), protocols, confirm=confirm)

    async def request(
        self,
        peer: AnyPeer,
        protocol: str,
        data: bytes,
        *,
        timeout: float | None = None,
        framing: "Framing" = "varint",
        size_limit: int = 1024 * 1024,
    ) -> bytes:
        """The peer's response to `data`, over a stream of its own; see `respond`.

        `timeout` in seconds covers everything, a dial too. A peer has `limits.requests_per_peer` of them (128) at a time, of more
        than 128 KiB `limits.large_messages_per_peer` (12); the rest waits in the order of asking. Raises RequestFailed (with the
        responder's code), NegotiationFailed, PeerTimeout, MessageTooLarge past `size_limit`, DialFailed, ConnectionClosed;
        LimitExceeded where 4,096 wait for that peer already, or this node has no memory for the response; LocalError for data
        that is not bytes, and a framing or a limit that is none.
        Cancelled: the responder is told by a reset.
        """
        from cortexnet.messaging.request import check_request, request

        check_request(data, framing, size_limit)

        def exchange(stream: Stream) -> "Awaitable[bytes]":
            return request(stream, data, framing=framing, size_limit=size_limit)

        return await self._caller().call(
            peer_of(peer), protocol, exchange, timeout=timeout, what=f"a request to {peer}", size=len(data)
        )

    async def request_any(
        self,
        candidates: Iterable[AnyPeer],
        protocol: str,
        data: bytes,
        *,
        timeout: float | None = None,
        framing: "Framing" = "varint",
        size_limit: int = 1024 * 1024,
    ) -> "Answer":
        """The response to `data` of one of the candidates, chosen as `selection.pick` does; what is asked may be done twice.

        Where it takes longer than nearly all answers of that peer did, a second peer is asked too, and the first answer counts:
        the other peer is told by a reset. That happens to a tenth of the requests at most (`selection.hedges`). Where a peer
        fails, another one is asked; three of them in all (`selection.tries`). `timeout` in seconds covers all of it.
        Raises NoPeers, which says of each why it has not answered; PeerTimeout, LocalError. Cancelled: who was asked is told.
        """
        selection = self._run.selection
        return await selection.request_any(candidates, protocol, data, timeout=timeout, framing=framing, size_limit=size_limit)

    @property
    def selection(self) -> "Selector":
        """Which of several peers to ask: `selection.pick(candidates, n, purpose)`. Raises NotRunning."""
        return self._run.selection

    def _caller(self) -> "Caller":
        return self._run.selection.caller

    def on_message(self, handler: "MessageHandler") -> None:
        """Let `handler` get the messages that peers `send` to this node, verified; what it returns goes into the receipt.

        A handler that raises gives the sender RequestFailed. Also before the start. Raises LocalError where there is one already.
        """
        from cortexnet.messaging.messenger import PROTOCOL

        self._protocols.handle(PROTOCOL, self._messenger.receiver(handler))

    @functools.cached_property
    def _messenger(self) -> "Messenger":
        from cortexnet.messaging.messenger import Messenger  # 3 ms of a start without

        return Messenger(self.identity, self._caller, limits=self.config.limits, signed=self.config.signed_messages)

    async def send(self, peer: AnyPeer, data: bytes, *, timeout: float | None = None) -> "Receipt":
        """Send a direct message; its receipt, signed as the message is: both can be kept, and shown to others.

        `timeout` in seconds covers everything, a dial too. A peer has 128 messages and requests at a time, as in `request`.
        Raises LocalError for more than 1 MiB, LimitExceeded as `request`, PeerTimeout, RequestFailed, NegotiationFailed,
        ProtocolViolation for a wrong receipt, DialFailed, ConnectionClosed. After all but the first two it may have arrived all
        the same. Cancelled: the receiver is told by a reset.
        """
        return await self._messenger.send(peer_of(peer), data, timeout=timeout)

    async def broadcast(
        self, peers: Iterable[AnyPeer], data: bytes, *, timeout: float | None = None
    ) -> "dict[PeerId, Receipt | CortexError]":
        """`send` the same data to each of the peers: the receipt of each, or why there is none. `timeout` is that of one.

        Raises NotRunning, and LocalError for more than 1 MiB, for one peer in place of a list, and a timeout that is no number.
        Cancelled: messages under way are given up.
        """
        _ = self._run  # raises: that is not to be the outcome of each
        return await self._messenger.broadcast(peers_of(peers), data, timeout=timeout)

    async def ping(self, peer: AnyPeer, *, timeout: float | None = None) -> float:
        """Seconds of one round trip; the peer is dialed if need be, which does not count.

        Raises PeerTimeout after `timeout` seconds (`Limits.ping_timeout`), DialFailed, NegotiationFailed, Ended.
        Cancelled: nothing is left.
        """
        run = self._run
        connection = await run.swarm.dial(peer_of(peer))
        return await run.pinger.ping(connection, timeout=timeout)

    async def identify(self, peer: AnyPeer) -> PeerInfo:
        """What the peer says about itself by now: protocols, addresses, versions. It is dialed if need be, and asked once.

        Raises DialFailed, and what came of asking: RemoteError, Ended. Cancelled: nothing is left.
        """
        run = self._run
        connection = await run.swarm.dial(peer_of(peer))
        return await run.identify.identified(connection)

    async def perf(
        self, peer: AnyPeer, *, upload: int = 0, download: int = 0, progress: "Progress | None" = None
    ) -> "PerfResult":
        """Send `upload` bytes and fetch `download` bytes over /perf/1.0.0. Raises as `stream`, and as reads and writes do."""
        from cortexnet.host.perf import perf

        connection = await self._run.swarm.dial(peer_of(peer))
        return await perf(connection, upload=upload, download=download, progress=progress)


def _target(target: AnyAddress | PeerId | Sequence[AnyAddress]) -> tuple[PeerId | None, list[Multiaddr]]:
    """The peer that is meant, and the addresses that were given for it."""
    if isinstance(target, PeerId):
        return target, []
    if isinstance(target, str) and not target.startswith("/"):
        try:
            return PeerId.parse(target), []
        except ProtocolViolation as error:
            raise LocalError(
                f"{target[:128]!a} is neither an address, such as /ip4/192.0.2.7/tcp/4001, nor a whole peer id: {error}"
            ) from None
    if not isinstance(target, str | Multiaddr | Iterable):
        raise LocalError(f"an address, a list of them or a peer id can be dialed, not a {type(target).__name__}")
    addresses = [address_of(target)] if isinstance(target, str | Multiaddr) else addresses_of("dial", target)
    if not addresses:
        raise LocalError("name at least one address")
    named = {multihash for address in addresses if (multihash := address.split_peer()[1]) is not None}
    if len(named) > 1:
        raise LocalError("these addresses are of different peers; dial them one by one")
    if not named:
        if len(addresses) > 1:
            raise LocalError("several addresses without /p2p/… could be of different peers; add the peer id, or dial one")
        return None, addresses
    peer = PeerId.from_bytes(named.pop())
    return peer, [address for address in addresses if address.split_peer()[0] is not None]
