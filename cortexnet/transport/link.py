"""The seam between a connection and what carries it: a socket with its secure session, or QUIC, which is all in one."""

from typing import TYPE_CHECKING, Protocol

from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.mux.muxer import StreamMuxer

if TYPE_CHECKING:
    from cortexnet.transport.connection import Connection


class Link(Protocol):
    """How the bytes of one connection travel between its muxer and the peer.

    It owns the socket, or its share of one, and hands what comes to the muxer. To its connection it says: `dispatch` the events
    of the muxer, `received` after each chunk, `sent` after each sending and `flushed` after one that `flush_soon` asked for,
    `fail` where the bytes are wrong or end, and at last `lost`, exactly once.
    """

    security: str
    """Such as "/noise"."""
    remote_peer: PeerId
    remote_key: PublicKey

    @property
    def mux(self) -> StreamMuxer:
        """What the connection commands."""

    @property
    def is_closing(self) -> bool:
        """Whether the socket can't be used any more."""

    def attach(self, connection: "Connection") -> None:
        """Whose link this is; before anything else."""

    def start(self) -> None:
        """Begin to read, with what came behind the handshake."""

    def queued(self, size: int) -> None:
        """The muxer was given `size` bytes of a stream: they go out by the end of the loop's turn, or now."""

    def flush_soon(self) -> None:
        """Send what the muxer has at the end of this turn of the loop."""

    def flush(self) -> None:
        """Send what the muxer has now, as far as the socket takes it."""

    def end(self, *, lingering: bool) -> None:
        """Send what the muxer has, the last there will be, and close the socket: at once, or when the peer has closed it too."""

    def abort(self) -> None:
        """Close the socket now; nothing queued is sent. Nothing happens where it is closed."""
