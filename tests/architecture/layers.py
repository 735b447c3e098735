"""The shape of the package: which modules are shells, and which layer each one is in.

A module is a core unless it is listed here as a shell. A new folder or top-level module needs a layer.
"""

from tests.architecture.source_tree import Module, modules

SHELLS = {
    "cortexnet.__main__",
    "cortexnet.gossip.connector",
    "cortexnet.gossip.engine",
    "cortexnet.gossip.inbound",
    "cortexnet.gossip.peer_streams",
    "cortexnet.gossip.service",
    "cortexnet.gossip.subscription",
    "cortexnet.gossip.topic_discovery",
    "cortexnet.gossip.validation",
    "cortexnet.host.deadline",
    "cortexnet.host.host",
    "cortexnet.host.identify",
    "cortexnet.host.perf",
    "cortexnet.host.ping",
    "cortexnet.host.step_turns",
    "cortexnet.host.stream_opening",
    "cortexnet.identity.identity",
    "cortexnet.discovery.bootstrap",
    "cortexnet.discovery.discovered",
    "cortexnet.discovery.exchange_service",
    "cortexnet.discovery.found_dialer",
    "cortexnet.discovery.card_search",
    "cortexnet.discovery.cards",
    "cortexnet.discovery.mdns",
    "cortexnet.discovery.mdns_sockets",
    "cortexnet.discovery.routing_discovery",
    "cortexnet.kad.server.server_streams",
    "cortexnet.kad.service.calls",
    "cortexnet.kad.service.half",
    "cortexnet.kad.service.keeping",
    "cortexnet.kad.service.peer_streams",
    "cortexnet.kad.service.search",
    "cortexnet.kad.service.service",
    "cortexnet.messaging.caller",
    "cortexnet.messaging.in_flight",
    "cortexnet.messaging.messenger",
    "cortexnet.messaging.request",
    "cortexnet.node",
    "cortexnet.observe.bus",
    "cortexnet.observe.loop_lag",
    "cortexnet.observe.observer",
    "cortexnet.observe.status",
    "cortexnet.reputation.best_peers",
    "cortexnet.reputation.selector",
    "cortexnet.reputation.consequences",
    "cortexnet.reputation.service",
    "cortexnet.preflight",
    "cortexnet.running",
    "cortexnet.transports",
    "cortexnet.settings.files",
    "cortexnet.swarm.connection_manager",
    "cortexnet.storage.access_store",
    "cortexnet.storage.database",
    "cortexnet.storage.kad_store",
    "cortexnet.storage.peerstore_store",
    "cortexnet.storage.reputation_store",
    "cortexnet.storage.sqlite_file",
    "cortexnet.storage.storage",
    "cortexnet.swarm.dialer",
    "cortexnet.swarm.guarded",
    "cortexnet.swarm.heap",
    "cortexnet.swarm.pruner",
    "cortexnet.swarm.resolver",
    "cortexnet.swarm.shared_dial",
    "cortexnet.swarm.swarm",
    "cortexnet.swarm.upkeep",
    "cortexnet.transport.byte_link",
    "cortexnet.transport.connection",
    "cortexnet.transport.handlers",
    "cortexnet.transport.in_memory",
    "cortexnet.transport.interfaces",
    "cortexnet.transport.keep_alive",
    "cortexnet.transport.lazy",
    "cortexnet.transport.log_limit",
    "cortexnet.transport.memory",
    "cortexnet.transport.memory_link",
    "cortexnet.transport.memory_wire",
    "cortexnet.transport.network_watch",
    "cortexnet.transport.outer_tls",
    "cortexnet.transport.one_reader",
    "cortexnet.transport.own_loop",
    "cortexnet.transport.quic",
    "cortexnet.transport.quic_endpoint",
    "cortexnet.transport.quic_link",
    "cortexnet.transport.quic_upgrade",
    "cortexnet.transport.read_turns",
    "cortexnet.transport.scope",
    "cortexnet.transport.sockets",
    "cortexnet.transport.stream",
    "cortexnet.transport.tcp",
    "cortexnet.transport.tcp_port",
    "cortexnet.transport.transport",
    "cortexnet.transport.turnstile",
    "cortexnet.transport.udp",
    "cortexnet.transport.upgrade",
    "cortexnet.transport.websocket",
    "cortexnet.transport.websocket_io",
}
SHELL_FOLDERS = ("cortexnet.cli",)
TESTING = "cortexnet.testing"  # shipped to users; above everything, imported by nothing

# From below. A module imports what is further down, and of its own layer only modules of its own folder. A name stands for all
# that is below it, unless a longer one says otherwise.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cortexnet.documented", "cortexnet.errors", "cortexnet.texts", "cortexnet.version"),
    ("cortexnet.protobuf", "cortexnet.multiformats"),
    ("cortexnet.identity", "cortexnet.handshake", "cortexnet.mux.outbox"),
    ("cortexnet.admission", "cortexnet.multistream", "cortexnet.mux", "cortexnet.security"),
    ("cortexnet.quic",),
    ("cortexnet.transport",),
    ("cortexnet.swarm",),
    ("cortexnet.kad.dht_config", "cortexnet.kad.routing", "cortexnet.kad.store_config"),
    ("cortexnet.kad.lookup", "cortexnet.kad.messages", "cortexnet.kad.records"),
    ("cortexnet.kad.engine", "cortexnet.kad.server"),
    ("cortexnet.kad.operations", "cortexnet.kad.upkeep"),
    ("cortexnet.kad.many",),
    ("cortexnet.kad", "cortexnet.discovery", "cortexnet.reputation"),
    ("cortexnet.gossip",),
    ("cortexnet.storage",),
    ("cortexnet.host",),
    ("cortexnet.observe",),
    ("cortexnet.messaging", "cortexnet.reputation.service"),
    ("cortexnet.reputation.best_peers", "cortexnet.reputation.selector"),
    ("cortexnet.kad.server.server_streams", "cortexnet.kad.service"),
    (
        "cortexnet.discovery.card_search",
        "cortexnet.discovery.cards",
        "cortexnet.discovery.exchange_service",
        "cortexnet.discovery.found_dialer",
        "cortexnet.discovery.routing_discovery",
    ),
    (
        "cortexnet.gossip.connector",
        "cortexnet.gossip.engine",
        "cortexnet.gossip.inbound",
        "cortexnet.gossip.peer_streams",
        "cortexnet.gossip.service",
        "cortexnet.gossip.subscription",
        "cortexnet.gossip.topic_discovery",
        "cortexnet.gossip.validation",
    ),
    (
        "cortexnet.config",
        "cortexnet.node",
        "cortexnet.preflight",
        "cortexnet.profiles",
        "cortexnet.running",
        "cortexnet.transports",
    ),
    ("cortexnet.settings",),
    ("cortexnet.cli",),
    ("cortexnet.__main__",),
)

# Where an exception of any kind may be kept from going further: each logs it once, and ends exactly its own thing.
BOUNDARIES = {
    "cortexnet/kad/service/half.py:Half._request",  # a bug that a peer's answer brings out costs its request
    "cortexnet/gossip/validation.py:Validation.validate",  # a bug in a validator costs the message it was asked about
    "cortexnet/swarm/dialer.py:Dialer._run_in_turn",  # a bug that an address brings out costs its attempt
    "cortexnet/swarm/guarded.py:guarded.observe",  # a bug in the application's observer of connections costs a line of the log
    "cortexnet/admission/gater.py:Gater._passes",  # a bug in the application's gate refuses, and is no open door
    "cortexnet/transport/handlers.py:Handlers._run",  # a stream handler's bug costs its stream
    "cortexnet/transport/quic_endpoint.py:receive_safely",  # a packet that the QUIC engine fails of costs its connection
    "cortexnet/running.py:Running._ask_who",  # a bug in what is done about a new connection costs it
    "cortexnet/gossip/incoming.py:_identify",  # an id function that fails of what a peer sent costs that message
    "cortexnet/swarm/upkeep.py:Upkeep._dial",  # a bug on the way to one kept peer is not the end of the node
}


def is_within(name: str, *places: str) -> bool:
    """Whether a module is one of these, or below one of them."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def is_shell(name: str) -> bool:
    return name in SHELLS or is_within(name, *SHELL_FOLDERS)


def cores() -> list[Module]:
    """Every module that is none of: a shell, a folder's docstring, a tool for tests."""
    return [
        module
        for name, module in modules().items()
        if not is_shell(name) and not is_within(name, TESTING) and module.path.name != "__init__.py"
    ]


def layer_of(name: str) -> int | None:
    """The number of a module's layer, from below; None where it has none."""
    found = [(len(place), number) for number, places in enumerate(LAYERS) for place in places if is_within(name, place)]
    return max(found)[1] if found else None
