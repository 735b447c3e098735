"""The operations of the control protocol on one cortexnet node."""

import platform
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

import cortexnet
from cortexnet import Config, Connection, GossipConfig, Identity, KadConfig, Limits, Node
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.testing.host_certificates import make_host_certificate
from cortexnet.transport.outer_tls import server_context
from cortexnet.transport.websocket_config import WebSocketConfig
from interop.peers.cortexnet import measures, served
from interop.peers.cortexnet.dht import DhtNodes
from interop.peers.cortexnet.failures import BadRequest
from interop.peers.cortexnet.gossip import GossipNodes
from interop.peers.cortexnet.held import Answer, HeldStreams, Request
from interop.peers.cortexnet.mdns import MdnsNodes

Operation = Callable[[Request], Awaitable[Answer]]
MANY = 100_000
MANY_CONNECTIONS = Limits(connections_inbound=MANY, connections_outbound=MANY, connections=MANY)
"""The other limits stay: no scenario may need more of them than a peer gets by default."""
KEY_TYPES = ("ed25519", "secp256k1", "ecdsa", "rsa")


@final
class Peer:
    """This process: one node, the streams its runner steers, the idle nodes it holds for measurements."""

    def __init__(self) -> None:
        self._node: Node | None = None
        self._open = AsyncExitStack()
        self._idle: list[Node] = []
        self._held = HeldStreams()
        with TemporaryDirectory() as folder:
            host = make_host_certificate(Path(folder))
            self._websocket = WebSocketConfig(server_context=server_context(host), verify=False)
        held = self._held
        self._dht = DhtNodes(self._make_dht)
        self._gossip = GossipNodes(self._make_gossip)
        self._mdns = MdnsNodes(self._make_mdns)
        self._operations: dict[str, Operation] = {
            "describe": self.describe,
            "start": self.start,
            "stop": self.stop,
            "handle": self.handle,
            "connect": self.connect,
            "connection": self.connection,
            "disconnect": self.disconnect,
            "peers": self.peers,
            "identify": self.identify,
            "ping": self.ping,
            "open": self.open,
            "accept": held.accept,
            "write": held.write,
            "read": held.read,
            "progress": held.progress,
            "write_message": held.write_message,
            "read_message": held.read_message,
            "close_write": held.close_write,
            "close": held.close,
            "reset": held.reset,
            "idle": self.idle,
            "memory": self.memory,
            **self._dht.operations,
            **self._gossip.operations,
            **self._mdns.operations,
        }
        for act in (
            measures.echo,
            measures.streams,
            measures.perf,
            measures.messages,
            measures.round_trips,
            measures.requests,
            measures.dials,
            measures.ask,
        ):
            self._operations[act.__name__] = self._on_node(act)

    async def run(self, request: dict[str, Any]) -> Answer:
        """The answer to one request. Raises BadRequest, and whatever the node raises."""
        try:
            operation = self._operations[request["op"]]
        except KeyError:
            raise BadRequest(f"unknown operation {request.get('op')!r}") from None
        return await operation(request)

    def _on_node(self, act: Callable[[Node, Request], Awaitable[Answer]]) -> Operation:
        async def run(request: Request) -> Answer:
            return await act(self.node, request)

        return run

    @property
    def node(self) -> Node:
        if self._node is None:
            raise BadRequest("not started")
        return self._node

    async def describe(self, request: Request) -> Answer:
        return {
            "implementation": "cortexnet",
            "version": cortexnet.__version__,
            "runtime": f"{platform.python_implementation()} {platform.python_version()}",
            "transports": ["tcp", "ws", "wss", "quic-v1"],
            "security": ["noise", "tls"],
            "muxers": ["/yamux/1.0.0", "/mplex/6.7.0"],
            "key_types": list(KEY_TYPES),
            "early_muxer": True,
            "reset_codes": True,
            "services": ["dht", "gossip", "json", "mdns"],
        }

    async def start(self, request: Request) -> Answer:
        if self._node is not None:
            raise BadRequest("started already")
        node = self._make(request, request.get("listen", ()))
        node.handle(served.ECHO, served.echo)
        node.handle(served.MESSAGES, served.count_messages)
        node.handle(served.HOLD, self._held.handler)
        node.respond(served.JSON, served.answer, framing="eof")
        self._node = await self._open.enter_async_context(node)
        return {"peer_id": str(node.peer_id), "addresses": [str(address) for address in node.addresses]}

    def _make_dht(self, request: Request, kad: KadConfig, identity: Identity) -> Node:
        return self._make(request, request.get("listen", ()), kad, identity)

    def _make_gossip(self, request: Request, gossip: GossipConfig) -> Node:
        return self._make(request, request.get("listen", ()), gossip=gossip)

    def _make_mdns(self, request: Request, mdns: MdnsConfig) -> Node:
        return self._make(request, request.get("listen", ()), mdns=mdns)

    def _make(
        self,
        request: Request,
        listen: Any,
        kad: KadConfig | None = None,
        identity: Identity | None = None,
        gossip: GossipConfig | None = None,
        mdns: MdnsConfig | None = None,
    ) -> Node:
        config = Config(
            transports=["tcp", "ws", "quic"],
            websocket=self._websocket,
            security=list(request.get("security") or ("noise",)),
            muxers=list(request.get("muxers") or ("/yamux/1.0.0",)),
            early_muxer=request.get("early_muxer", True),
            perf=True,
            limits=Limits() if request.get("limits") == "default" else MANY_CONNECTIONS,
            kad=kad,
            gossip=gossip,
            mdns=mdns,
            discovery=DiscoveryConfig() if mdns is None else DiscoveryConfig(peers=0),  # the runner has them dial
        )
        if identity is None:
            identity = Identity.generate(key_type=request.get("key_type") or "ed25519")
        return Node(identity, listen=list(listen), config=config)

    async def stop(self, request: Request) -> Answer:
        await self._dht.close()
        await self._gossip.close()
        await self._mdns.close()
        await self._open.aclose()
        return {}

    async def handle(self, request: Request) -> Answer:
        self.node.handle(request["protocol"], served.echo)
        return {}

    async def connect(self, request: Request) -> Answer:
        begin = time.perf_counter()
        peer = await self.node.dial(request["address"])
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, **await self.connection({"peer": str(peer)})}

    async def connection(self, request: Request) -> Answer:
        connection = self._connection_to(request["peer"])
        return {
            "peer_id": str(connection.peer_id),
            "direction": connection.direction,
            "transport": connection.transport,
            "security": connection.security,
            "muxer": connection.muxer,
            "early_muxer": None,
        }

    def _connection_to(self, peer: str) -> Connection:
        for connection in self.node.connections:
            if str(connection.peer_id) == peer:
                return connection
        raise BadRequest(f"no connection to {peer}")

    async def disconnect(self, request: Request) -> Answer:
        await self.node.disconnect(request["peer"])
        return {}

    async def peers(self, request: Request) -> Answer:
        return {"peers": [str(peer) for peer in self.node.peers]}

    async def identify(self, request: Request) -> Answer:
        info = await self.node.identify(request["peer"])
        return {
            "agent_version": info.agent_version,
            "protocol_version": info.protocol_version,
            "protocols": list(info.protocols),
            "listen_addresses": [str(address) for address in info.addresses],
            "observed_address": None if info.observed_address is None else str(info.observed_address),
            "key_type": info.public_key.key_type,
            "signed_record": None,
        }

    async def ping(self, request: Request) -> Answer:
        return {"seconds": [await self.node.ping(request["peer"]) for _ in range(request.get("count") or 1)]}

    async def open(self, request: Request) -> Answer:
        stream = await self.node.stream(request["peer"], request["protocol"])
        return {"stream": self._held.add(stream), "protocol": stream.protocol}

    async def idle(self, request: Request) -> Answer:
        while len(self._idle) > request["count"]:
            await self._idle.pop().__aexit__(None, None, None)
        while len(self._idle) < request["count"]:
            node = await self._make(request, ()).__aenter__()
            self._idle.append(node)
            await node.dial(request["address"])
        return {"count": len(self._idle)}

    async def memory(self, request: Request) -> Answer:
        return {"rss": measures.resident_bytes()}
