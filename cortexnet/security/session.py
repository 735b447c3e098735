"""The seam of secure channels: what noise, TLS and any other give to the connection above them."""

from collections.abc import Sequence
from typing import Protocol

from cortexnet.errors import ConnectionClosed, RemoteError
from cortexnet.handshake import Handshake
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId


class SecureSession(Protocol):
    """An authenticated, encrypted byte stream after its handshake; a core: no IO, no clock."""

    name: str
    """The protocol id, such as "/noise"."""
    remote_peer: PeerId
    remote_key: PublicKey
    muxer: str | None
    """What early muxer negotiation agreed on, or None: then multistream-select decides inside the channel."""
    error: RemoteError | ConnectionClosed | None
    """Set once the peer sent what can't be decrypted, or ended the session itself; it is closed then."""
    header_size: int
    """Bytes of a record from which `body_size` tells how long the rest is."""
    has_backlog: bool
    """Whether `decrypt` stopped at its share of records: call it again with the rest, whether more bytes have come or not."""

    def body_size(self, header: bytes) -> int:
        """How many bytes of the record follow its first `header_size`."""

    def encrypt(self, parts: Sequence[bytes | bytearray | memoryview]) -> bytes | bytearray:
        """The parts, joined, as ciphertext that is ready for the wire. The caller owns the result; it is never reused."""

    def decrypt(self, data: bytes | memoryview) -> tuple[list[bytes], int]:
        """The plaintexts of the complete records in front, and how many bytes of `data` they took; see `has_backlog`.

        The rest must be presented again, with more bytes behind it. Never raises for the peer's bytes: after a bad record the
        plaintexts before it are returned, `error` is set, and every later call returns ([], len(data)).
        `data` may be overwritten after the call.
        """


class SecureChannel(Protocol):
    """A secure channel that a node offers; one of each for all of its connections. A core.

    Both handshakes end in a session whose peer is verified, or raise: PeerIdMismatch where it is not the expected one,
    HandshakeFailed or another RemoteError for all else.
    """

    name: str
    """The protocol id, such as "/noise"."""

    def initiate(self, expected: PeerId | None) -> Handshake[SecureSession]:
        """The dialer's side; `expected` None takes whoever answers."""

    def respond(self) -> Handshake[SecureSession]:
        """The listener's side."""
