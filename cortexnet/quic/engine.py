"""The seam of QUIC engines: packets, keys, loss recovery and streams of one connection, without socket, loop or clock.

The first engine is aioquic's. What is above this seam (the endpoint, the link, everything that uses streams) knows none of it.

    engine.receive(datagram, address, now)   → events; then what it has to send
    engine.datagrams_to_send(now)            → datagrams and where they go
    engine.next_timeout / handle_timeout     → time

Spec: RFC 9000, RFC 9001; libp2p specs, quic/.
"""

from dataclasses import dataclass
from typing import Protocol, final

from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.mux.muxer import MemoryBudget, MuxEvent, StreamMuxer

Address = tuple[str, int] | tuple[str, int, int, int]
"""Of a UDP socket, as the socket module has it."""
Datagram = tuple[bytes, Address]
"""What is to be sent, and where to."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class QuicConfig:
    """Bounds and times of a connection: bytes, counts, seconds."""

    idle_timeout: float = 30.0
    """Without a packet for so long the connection is dead; go-libp2p's value. The lower one of both sides holds."""
    max_streams: int = 256
    """Streams the peer may have open; go-libp2p's value."""
    max_lingering: int = 1_024
    """Streams of ours that are not over in both directions, those included that nobody here uses any more: a peer that never
    ends its side of them must not make us remember any number."""
    max_window: int = 16 * 1024 * 1024
    """A stream's window may grow to this; 256 KiB at first."""
    connection_window: int = 16 * 1024 * 1024
    """Unread bytes of all streams together: what one connection may hold in memory."""
    outbox_share: int = 131_072
    """Bytes of a stream that wait to be sent for the first time."""
    datagram_size: int = 1_232
    """Of datagrams that we send: what IPv6 carries anywhere."""
    loopback_datagram_size: int = 16_384
    """The same on loopback, where the peer takes as much; and the largest that we take, wherever it comes from."""
    crypto_data: int = 65_536
    """Bytes of handshake messages the peer may send at each level: what an unauthenticated connection may hold."""
    max_gaps: int = 1_000
    """Pieces that are missing in one stream at a time."""
    useless_frames: int = 10_000
    """Pings and empty frames in 10 s. aioquic's loss recovery alone pings some hundred times a second at full speed."""
    control_frames: int = 100_000
    """Frames in 10 s that bring no new bytes of a stream. One costs a microsecond or two, and a datagram may hold thousands; a
    peer at full speed sends some acknowledgements and windows for each of the few thousand packets we get through a second."""


class QuicEngine(StreamMuxer, Protocol):
    """One connection. Streams are those of `StreamMuxer`; `close` says goodbye once the peer has all that streams had queued."""

    remote_peer: PeerId | None
    """Who the peer is, once its certificate was verified."""
    remote_key: PublicKey | None

    @property
    def is_established(self) -> bool:
        """Whether both sides have accepted each other."""

    @property
    def is_over(self) -> bool:
        """Whether nothing goes out or comes in any more, but for the datagram that says so."""

    @property
    def connection_ids(self) -> list[bytes]:
        """The ids by which the peer may address this connection now."""

    ids_moved: bool
    """Whether `connection_ids` may have changed; the endpoint clears it."""
    held_until: float
    """Nothing can be sent before that: `next_timeout` is not earlier, for what is due then is mostly to be sent."""

    def connect(self, address: Address, now: float) -> None:
        """Begin the dialer's handshake."""

    def receive(self, datagram: bytes, address: Address, now: float) -> list[MuxEvent]:
        """Take in a datagram; what is no valid packet of this connection changes nothing. Never raises for the peer's bytes."""

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """What is due, as far as the congestion window goes; sets the time that `next_timeout` tells."""

    def close_now(self, code: int | None = None) -> None:
        """Say goodbye without waiting for anything; without a code with that of `close`, or as a socket that is reset does."""

    def use_datagram_size(self, size: int) -> None:
        """Send datagrams of up to `size` bytes, as far as the peer takes them."""

    def closing_time(self) -> float:
        """Seconds for which late packets of an ended connection may come."""


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Of a connection that is accepted: the id that the peer chose for it, and the one a Retry has put in its place."""

    original: bytes
    after_retry: bytes | None = None


class EngineFactory(Protocol):
    """Makes the engines of one node."""

    def __call__(self, memory: MemoryBudget, expected: PeerId | None, origin: Origin | None) -> QuicEngine:
        """The dialer's side where there is no `origin`."""
