"""The configuration of a node: every setting with its default, its unit and its reason."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, Self, final, runtime_checkable

from cortexnet.admission.limits import Limits
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid, ProtocolViolation
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.mux import yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.swarm.manager_config import ConnectionManagerConfig
from cortexnet.texts import is_text, list_of_texts
from cortexnet.transport.websocket_config import WebSocketConfig
from cortexnet.version import VERSION

if TYPE_CHECKING:
    import os

    from cortexnet.discovery.card_config import CardConfig
    from cortexnet.discovery.mdns_config import MdnsConfig
    from cortexnet.gossip.config import GossipConfig
    from cortexnet.kad.config import KadConfig
    from cortexnet.mux.mplex_config import MplexConfig
    from cortexnet.reputation.config import ReputationConfig
    from cortexnet.reputation.selection_config import SelectionConfig
    from cortexnet.transport.memory import MemoryNetwork

_SECURITY = ("noise", "tls")
MPLEX = "/mplex/6.7.0"
_MUXERS = (yamux.NAME, MPLEX)
_TRANSPORTS = ("tcp", "ws", "quic", "memory")


def _gossip() -> "GossipConfig":
    from cortexnet.gossip.config import GossipConfig  # who imports Node does not want gossip yet

    return GossipConfig()


def _card() -> "CardConfig":
    from cortexnet.discovery.card_config import CardConfig  # who imports Node has nothing to say yet

    return CardConfig()


def _kad() -> "KadConfig":
    from cortexnet.kad.config import KadConfig  # who imports Node does not want the DHT yet

    return KadConfig()


def _reputation() -> "ReputationConfig":
    from cortexnet.reputation.config import ReputationConfig  # as little

    return ReputationConfig()


def _selection() -> "SelectionConfig":
    from cortexnet.reputation.selection_config import SelectionConfig  # as little

    return SelectionConfig()


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of a node. Times are seconds, sizes bytes; `Limits` has the bounds.

    Raises ConfigInvalid for a setting that is none.
    """

    transports: Sequence[str] = ("tcp", "ws", "quic")
    """What is spoken below: "tcp", "ws" (WebSocket, also with TLS: `/ws` and `/wss`), "quic" (`/quic-v1`, with a
    handshake and streams of its own: `security` and `muxers` do not concern it), "memory" (needs `memory_network`).

    Each is loaded when an address of it is first used. Of a peer's addresses those of TCP are dialed before those of QUIC, which
    has a hundredth of its throughput in Python; where "quic" stands in front of "tcp", it is the other way round, as in go."""
    security: Sequence[str] = _SECURITY
    """Secure channels in order of preference. A dial proposes the first and begins it at once, which saves a round trip; only for
    a peer that refuses it, another connection is made for the next."""
    muxers: Sequence[str] = (yamux.NAME,)
    """Stream muxers in order of preference. "/mplex/6.7.0" behind yamux is for old peers that speak nothing else: it has no flow
    control, so a slow reader loses its stream, and no keep-alive. With several, each connection costs a round trip more."""
    early_muxer: bool = True
    """Settle the muxer inside the handshake: one round trip less for each connection. Peers that can't do it are served."""
    limits: Limits = field(default_factory=Limits)
    """Every bound of connections, streams, memory and times."""
    manager: ConnectionManagerConfig = field(default_factory=ConnectionManagerConfig)
    """When connections are trimmed, and how those that must stay are kept."""
    agent_version: str = f"cortexnet/{VERSION} {sys.implementation.name}/{'.'.join(map(str, sys.version_info[:3]))}"
    """What identify tells peers about this software; for people, never for decisions."""
    protocol_version: str = ""
    """What identify tells peers about the network this node belongs to."""
    signed_messages: bool = True
    """Sign direct messages and their receipts, and take none without signature: some 0.3 ms each. Both sides must agree."""
    perf: bool = False
    """Answer /perf/1.0.0. Off, since anybody could make this node send at full speed."""
    announce: Sequence[str] = ()
    """Addresses to tell peers instead of the ones listened on: behind a load balancer or a port that was forwarded by hand."""
    websocket: WebSocketConfig = field(default_factory=WebSocketConfig)
    """The certificate to listen on `/wss` with, and whose certificates are believed when dialing."""
    kad: "KadConfig | None" = field(default_factory=_kad)
    """Which DHT this node joins; None: none. Without a bootstrap peer it meets whoever connects and speaks the same."""
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig)
    """What this node looks for by itself, over the DHT."""
    card: "CardConfig" = field(default_factory=_card)
    """What this node says about itself to all who ask, signed; by default it has nothing to say, and no card."""
    mdns: "MdnsConfig | None" = None
    """How this node is found by others of its local networks, and finds them, without knowing anybody; None: not at all. It has
    to be asked for, since it tells everybody there that this node runs, and where."""
    gossip: "GossipConfig | None" = field(default_factory=_gossip)
    """How this node publishes and subscribes to topics; None: not at all. It says nothing to anybody before it joins a topic."""
    reputation: "ReputationConfig | None" = field(default_factory=_reputation)
    """What is remembered of how peers behave, and what follows from it; None: nothing, and all peers are alike."""
    selection: "SelectionConfig" = field(default_factory=_selection)
    """How peers are chosen of several, and when a request is tried a second time elsewhere."""
    state_directory: "str | os.PathLike[str] | None" = None
    """A folder of this node alone, made where it is missing: what it knows of peers and its access rules are kept there from one
    run to the next, and while it runs a socket to ask how it is. None: nothing is kept, and no file is touched."""
    memory_network: "MemoryNetwork | None" = None
    """Where `/memory/N` addresses lead."""

    def __post_init__(self) -> None:
        for key, values, known in (
            ("transports", self.transports, _TRANSPORTS),
            ("security", self.security, _SECURITY),
            ("muxers", self.muxers, _MUXERS),
        ):
            object.__setattr__(self, key, _chosen(key, values, known))
        object.__setattr__(self, "announce", _addresses("announce", self.announce))
        if self.state_directory is not None:
            object.__setattr__(self, "state_directory", _path("state_directory", self.state_directory))
        for key, text in (("agent_version", self.agent_version), ("protocol_version", self.protocol_version)):
            if not is_text(text):
                raise ConfigInvalid(f"must be a text, but is {text!r}", key=key)
        for key, flag in (("early_muxer", self.early_muxer), ("signed_messages", self.signed_messages), ("perf", self.perf)):
            if not isinstance(flag, bool):
                raise ConfigInvalid(f"must be true or false, but is {flag!r}", key=key)
        for each in fields(self):
            _check_part(each.name, each.type, attrgetter(each.name)(self))
        self.manager.watermarks(self.limits)
        if self.discovery.namespace and self.kad is None:
            raise ConfigInvalid("needs the DHT, by which its members are found: leave `kad` on", key="discovery.namespace")
        if "memory" in self.transports and self.memory_network is None:
            raise ConfigInvalid("is needed where transports has 'memory'", key="memory_network")

    @classmethod
    def profile(cls, name: str) -> Self:
        """The defaults for a kind of node: "default", "light" or "server"; `cortexnet.profiles` says what each changes.

        `dataclasses.replace` changes single settings of it. Raises ConfigInvalid for a name that is none.
        """
        from cortexnet.profiles import PROFILES  # most nodes have no use for it

        if not isinstance(name, str) or name not in PROFILES:
            raise ConfigInvalid(f"{name!r} is not one of {', '.join(PROFILES)}", key="profile")
        config = cls()
        parts = {part: replace(attrgetter(part)(config), **values) for part, values in PROFILES[name].changes.items()}
        return replace(config, **parts)


@runtime_checkable
class _PathLike(Protocol):
    """What names a file; os.PathLike, which a core can't import."""

    def __fspath__(self) -> str: ...


def _check_part(key: str, declared: object, value: object) -> None:
    """A part is of its class: compared by name, since most are loaded only when a node wants them."""
    classes = (declared.__name__ if isinstance(declared, type) else str(declared)).split(" | ")
    is_part = classes[0] == Limits.__name__ or classes[0].endswith("Config")
    if is_part and ("None" if value is None else type(value).__name__) not in classes:
        raise ConfigInvalid(f"must be {' or '.join(classes)}, but is {value!r}", key=key)


def _path(key: str, value: object) -> str:
    path: object = value.__fspath__() if isinstance(value, _PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigInvalid(f"must be the name of a folder, but is {value!r}", key=key)
    return path


def _chosen(key: str, values: object, known: Sequence[str]) -> tuple[str, ...]:
    names = list_of_texts(key, values)
    if not names:
        raise ConfigInvalid("needs at least one entry", key=key)
    for name in names:
        if name not in known:
            raise ConfigInvalid(f"{name!r} is not one of {', '.join(known)}", key=key)
    return names


def _addresses(key: str, values: object) -> tuple[str, ...]:
    texts = list_of_texts(key, values)
    for text in texts:
        try:
            Multiaddr.parse(text)
        except ProtocolViolation as error:
            raise ConfigInvalid(str(error), key=key) from None
    return texts


def yamux_config(limits: Limits) -> YamuxConfig:
    """The bounds of the node as a session of yamux sees them."""
    return YamuxConfig(
        max_window=limits.stream_window,
        max_inbound_streams=sum(
            (limits.streams_inbound_extended, limits.streams_inbound_per_connection, limits.streams_inbound_control)
        ),
        max_outbound_streams=limits.streams_outbound_per_connection,
        accept_rate=limits.stream_open_rate,
        ping_interval=limits.keep_alive_interval,
        silence_limit=limits.silence_timeout,
        linger=limits.stream_linger,
        linger_silent=limits.stream_linger_silent,
        pong_backlog=limits.ping_queue,
        useless_frames=limits.useless_frames,
        stray_data=limits.closed_stream_data,
    )


def mplex_config(limits: Limits) -> "MplexConfig":
    """The bounds of the node as a session of mplex sees them."""
    from cortexnet.mux.mplex_config import MplexConfig  # few nodes speak it

    return MplexConfig(
        max_inbound_streams=yamux_config(limits).max_inbound_streams,
        max_outbound_streams=limits.streams_outbound_per_connection,
        linger=limits.stream_linger,
        linger_silent=limits.stream_linger_silent,
        useless_frames=limits.useless_frames,
        stray_data=limits.closed_stream_data,
    )
