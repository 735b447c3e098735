"""Every bound of connections, streams, memory and time in one frozen object. Sizes are bytes, times are seconds.

Each field says why it has its value. `admission.resources` keeps the counts; who else reads a field is told by its name. Bounds
of a wire format that no honest peer comes near, and that nobody has a reason to move, are constants of the module that reads it.
"""

from dataclasses import asdict, dataclass, fields
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid

KIB = 1024
MIB = 1024 * KIB

CONTROL_PROTOCOLS = frozenset({"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"})
"""Protocols that every node must be able to speak whatever else is open: they have an allowance of their own."""


_AT_LEAST = {
    **dict.fromkeys(
        ("dials", "dials_per_peer", "streams_outbound_per_connection", "stream_open_rate", "requests_per_peer"), 1
    ),  # else all wait for ever
    "large_messages_per_peer": 1,
    **dict.fromkeys(("rate_table_size", "ping_queue", "identify_message", "identify_parts", "identify_total"), 1),
    **dict.fromkeys(
        ("bandwidth_in", "bandwidth_out", "bandwidth_in_per_peer", "bandwidth_out_per_peer"), 16 * KIB
    ),  # one record takes 4 s: slower, and keep-alive comes too late
    "stream_window": 256 * KIB,  # what every stream of yamux begins with
}
_AT_MOST = {"stream_window": (1 << 32) - 1}  # as credit is counted


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a node; the defaults suit a public node with 512 MiB to spare.

    Counts and sizes are whole numbers, and 0 means none at all: `connections_inbound=0` makes a node that only dials. Times and
    rates are positive. Raises ConfigInvalid for all else, and where a bound so small would stop the node.
    """

    # Connections.
    connections_inbound: int = 256
    """As many as 256 gossip and DHT neighbours need; more is bought with memory."""
    connections_outbound: int = 256
    """Apart from those accepted, so that a flood from outside leaves us able to dial."""
    connections: int = 384
    """Both directions; less than their sum, since hardly a node fills both."""
    connections_per_peer: int = 4
    """Two for a simultaneous dial, one relayed, one spare; go-libp2p takes 8."""
    connections_per_ipv4: int = 16
    """One address, both directions: a household or a small cluster behind one NAT."""
    connections_per_ipv4_24: int = 64
    """One /24: what one customer of a hosting company easily holds."""
    connections_per_ipv6_56: int = 16
    """One /56 is what a household is given, so it stands for one IPv4 address."""
    connections_per_ipv6_48: int = 64
    """One /48 is what a site is given, so it stands for an IPv4 /24."""
    limit_loopback: bool = False
    """Whether limits and rates by address hold on loopback too. Off: many nodes on one machine is how one develops."""

    # Connections that have not proved who they are; over it the oldest goes, so that slow ones can't keep others out.
    unauthenticated: int = 64
    """Both counts are far above what honest peers need, since a handshake takes two round trips."""
    unauthenticated_per_address: int = 8
    """One IPv4 address or one IPv6 /56 never fills the table alone."""
    unauthenticated_memory: int = 64 * KIB
    """Each: what one message of the handshake may take; the largest is a Noise frame of 64 KiB."""
    connect_rate_per_address: float = 0.2
    """New inbound connections per second from one IPv4 address or IPv6 /56, in the long run; go-libp2p's value."""
    connect_burst_per_address: int = 16
    """And that many at once; equals `connections_per_ipv4`, so that a household can come back after an outage."""
    connect_rate_per_ipv6_48: float = 0.5
    """The same for an IPv6 /48; go-libp2p's value."""
    connect_burst_per_ipv6_48: int = 80
    """The same for an IPv6 /48; go-libp2p's value."""
    rate_table_size: int = 8192
    """Addresses whose rate is remembered; the least recently seen is forgotten first."""

    access_rules: int = 10_000
    """Of `node.gater`, deny and allow together: a published list of bad networks has some thousands; all take 4 MiB."""

    # Streams. One counts until its handler has ended, however long ago the peer gave it up.
    streams_inbound_per_connection: int = 256
    """What go-libp2p and QUIC grant; identify, its push and ping are not counted."""
    streams_inbound_extended: int = 1024
    """The same for all protocols together whose handler asks for more, counted apart from the others."""
    streams_inbound_control: int = 32
    """Of identify, its push and ping together: bounded too, but nothing else can use them up."""
    streams_negotiating_per_connection: int = 256
    """Without their protocol line yet; go-libp2p sends SYN and may wait 5 s for identify before it goes on."""
    streams_negotiating: int = 2048
    """The same on all connections together: half of all inbound ones, the other half is for those that say what they want."""
    streams_inbound_per_peer: int = 1600
    """On all connections of a peer: what one may have in all, so that more connections bring no more streams."""
    streams_inbound_per_protocol: int = 2048
    """Of one protocol, all peers together: half of all, so that one whose handlers are slow leaves room for the others."""
    streams_inbound_per_protocol_and_peer: int = 1024
    """Of one protocol and peer: as many as one connection may have of an extended one."""
    stream_rate_per_protocol: int = 5_000
    """Of one protocol, from one IPv4 address or IPv6 /56, per second in the long run: as many as half a core can answer."""
    stream_burst_per_protocol: int = 20_000
    """And that many at once: a carrier may have many peers behind one address."""
    streams_inbound: int = 4096
    """All connections together; a handler's task and its buffers cost about 20 KiB."""
    streams_outbound_per_connection: int = 256
    """What go-libp2p accepts; at the limit opening waits."""
    requests_per_peer: int = 128
    """Requests and messages of ours that a peer has at a time; the rest waits. Half of its streams: others need some too."""
    requests_waiting_per_peer: int = 4096
    """And that wait for their turn: some seconds of work. One more is refused here, since they come faster than they go."""
    large_messages_per_peer: int = 12
    """Of more than 128 KiB: requests that a peer has at a time, and answers of a protocol that go to it; the rest waits. Each may
    send a first window of 256 KiB unasked, and answers that are nearly out are not counted: 6 MiB of `connection_memory`."""
    stream_open_rate: int = 20_000
    """Inbound per second and connection; above it the acknowledgement is withheld, nothing is refused."""

    # QUIC, beside what holds for every transport.
    quic_streams: int = 256
    """Streams a peer is granted at a time; go-libp2p's value. Identify and ping are among them."""
    quic_retry_above: int = 32
    """Handshakes that go on; above it who is new must show that its address is its own: half of `unauthenticated`."""
    quic_gaps: int = 1000
    """Pieces missing in one stream: what a lossy, long link comes to is some dozens."""
    quic_idle_timeout: float = 30.0
    """Without a packet for so long a QUIC connection is dead; go-libp2p's value. The lower one of both sides holds."""

    # Memory held for readers.
    memory: int = 256 * MIB
    """The node; past it the peer that holds most loses its largest unread stream."""
    peer_memory: int = 32 * MIB
    """All connections of one peer: more of them bring no more."""
    connection_memory: int = 16 * MIB
    """One connection, and never more than `peer_memory`; equals the largest window. A quarter is not for windows that grow: every
    stream may send 256 KiB unasked."""
    outbox_memory: int = 64 * MIB
    """Queued to send, all streams together: a quarter of `memory`. Past it each may queue 4 KiB at a time, not 128."""
    stream_window: int = 16 * MIB
    """Of one stream, 256 KiB at first; where tuning by round trip stops: 1 Gbit/s over 130 ms."""
    file_descriptors: int | None = None
    """Sockets of ours; None: half of what the process may open, the rest is the application's. One of them is kept in reserve."""

    # Bytes per second, None: as many as can be. Past it reading pauses, or writing waits; nothing is dropped.
    bandwidth_in: int | None = None
    """All connections together. Off, since only the owner knows what the line may carry; at least 16 KiB, as those below."""
    bandwidth_out: int | None = None
    """All connections together."""
    bandwidth_in_per_peer: int | None = None
    """All connections of one peer."""
    bandwidth_out_per_peer: int | None = None
    """All connections of one peer."""

    # What a peer may send for nothing.
    useless_frames: int = 1000
    """Pings, empty data, idle window updates, resets of unknown streams, in 10 s on one connection: a burst is forgiven."""
    closed_stream_data: int = 1 * MIB
    """Bytes for streams we have closed, beyond what their windows still owed, in 10 s on one connection."""
    ping_queue: int = 32
    """Answers to pings that wait for the socket; go-libp2p's value."""

    # Dialing.
    dials: int = 64
    """Attempts in flight, all peers; a home router's connection table suffers above that."""
    dials_per_peer: int = 8
    """Attempts in flight to one peer; go-libp2p's value."""
    dial_addresses_per_peer: int = 16
    """Addresses tried in one dial: a peer that announces hundreds can't make us a port scanner."""
    dns_depth: int = 4
    """How deep /dnsaddr records may point to others; go-libp2p's value."""
    dns_results: int = 32
    """Addresses one name may lead to, and look-ups all names of one dial may cost: a peer can't make us flood a name server."""
    dns_timeout: float = 10.0
    """All look-ups of one dial; most systems give a name server 5 s, then ask another one."""

    # Address book.
    peerstore_peers: int = 20_000
    """Peers without a connection; a DHT node hears of some thousands an hour."""
    peerstore_addresses: int = 32
    """Addresses of each of them."""
    peerstore_all_addresses: int = 100_000
    """Addresses of all of them: five each, as peers usually have. They take 40 MiB, or at most 100 MiB."""
    peerstore_connected_addresses: int = 128
    """Addresses of a connected one, which tells them itself."""
    peerstore_protocols: int = 256
    """Protocols of one peer."""
    peerstore_descriptions: int = 16 * MIB
    """What peers without a connection have told of themselves: protocols, versions, key, signed record; usually 2 KiB each."""
    peerstore_metadata: int = 4 * MIB
    """What the application notes about peers; it alone adds to that."""

    # What connections are worth, and which must stay.
    tagged_peers: int = 4096
    """Peers without a connection whose tags are remembered, for a quarter of an hour; they take 4 MiB. See `node.manager`."""
    tags_per_peer: int = 32
    """Tags of one peer, and names under which it is protected: one for each service that cares."""
    protected_peers: int = 128
    """Peers whose connections are never trimmed: fewer than the low watermark, else nothing would be left to choose from."""
    kept_peers: int = 64
    """Peers that are dialed again whenever they are lost, bootstrap peers included: as many as `dials`, so none waits long."""

    # What peers say about themselves.
    identify_message: int = 8 * KIB
    """One part of identify; go-libp2p's value."""
    identify_parts: int = 10
    """Parts of one identify; go-libp2p's value."""
    identify_total: int = 64 * KIB
    """All parts of one identify."""
    identify_push_interval: float = 5.0
    """One push per peer and so many seconds is looked at, after a burst of 10; go-libp2p's values."""

    # Times.
    upgrade_timeout: float = 10.0
    """From accepted to multiplexed, all steps together; a slow byte never extends it."""
    negotiation_timeout: float = 10.0
    """A stream's protocol choice; above the 5 s that go-libp2p may wait for identify."""
    identify_timeout: float = 5.0
    """As go-libp2p, which holds back its first streams as long."""
    ping_timeout: float = 10.0
    """One ping of the application's."""
    dial_timeout: float = 15.0
    """One attempt at a public address, upgrade included; go-libp2p's value. Of private ones: `dial_timeout_local`."""
    dial_timeout_local: float = 5.0
    """One attempt at a private address, loopback included; go-libp2p's value."""
    request_timeout: float = 10.0
    """A request message from its first byte to its last."""
    keep_alive_interval: float = 30.0
    """Between pings that measure the round trip; go-libp2p's value."""
    silence_timeout: float = 40.0
    """A connection without any byte for so long is dead; more than one ping interval."""
    probe_timeout: float = 5.0
    """The same after the network has changed or the machine has slept: some lost packets are sent again within that time."""
    stream_linger: float = 2.0
    """After our FIN has left: a peer that goes on sending is reset then."""
    stream_linger_silent: float = 60.0
    """After our FIN has left: a silent peer is reset then, earlier where its place is needed."""
    connection_close_timeout: float = 2.0
    """Then a connection that closes is aborted."""
    node_close_timeout: float = 5.0
    """Then all that is left of a stopping node is aborted."""

    def __post_init__(self) -> None:
        values = asdict(self)
        for field in fields(self):
            value = values[field.name]
            objection = "" if value is field.default else _objection(field.name, field.type, value)
            if objection:
                raise ConfigInvalid(f"must {objection}, but is {value!r}", key=f"limits.{field.name}")


def _objection(name: str, kind: object, value: object) -> str:
    """What the value of a field must do, where it does not."""
    if kind is bool:
        return "" if isinstance(value, bool) else "be True or False"
    if kind is float:
        is_positive = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
        return "" if is_positive else "be a positive number"
    if not isinstance(value, int) or isinstance(value, bool):
        return "be a whole number"
    if value < 0:
        return "not be negative"
    least, most = _AT_LEAST.get(name, 0), _AT_MOST.get(name)
    if value < least:
        return f"be at least {least}"
    return f"be at most {most}" if most is not None and value > most else ""
