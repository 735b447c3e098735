"""A peer as the DHT passes it on: its id, where it is said to be, and its position.

Spec: libp2p/specs kad-dht, "RPC messages" (`Message.Peer`).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, final

from cortexnet.errors import ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.key import position
from cortexnet.multiformats.multiaddr import MAX_BYTES, Multiaddr
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_header

ADDRESS_COUNT_LIMIT = 16
"""Addresses of one peer, taken and sent; the first ones count."""
RECEIVED_SIZE_LIMIT = 8_192
"""Bytes of addresses of one peer that are taken, as go does."""
ENCODED_SIZE_LIMIT = 720
"""Bytes of one peer that are sent: 21 of them, a whole answer, fit into the 16 KiB beyond which rust-libp2p resets."""

_INTERNED = 2_048
_INTERNED_SIZE_LIMIT = 400  # larger ones are rare, and 2,048 of them are a lot
_PEER = Schema(
    "a peer of a DHT message",
    Field(1, BYTES),  # id
    Field(2, BYTES, count_limit=ADDRESS_COUNT_LIMIT, surplus="skip"),  # addresses
    Field(3, VARINT),  # whether the sender is connected to it: says nothing that could be relied on
    spare=8,  # a message has a thousand of these
)


@final
class Contact:
    """A peer with its addresses. Immutable; equal if id and addresses are.

    Of a received one the addresses are parsed when somebody asks for them: at 2.5 µs each they would cost more than all the rest
    of a lookup, which dials one peer in five that it hears of. Those that can't be parsed are left out, also of `encoded`.
    """

    __slots__ = ("_addresses", "_framed", "_raw", "peer_id", "position")

    peer_id: Final[PeerId]
    position: Final[int]
    """Where it lies, see `key.position`."""

    def __init__(self, peer_id: PeerId, addresses: Iterable[Multiaddr] = ()) -> None:
        """With as many of the addresses, the first ones, as are sent at all."""
        self.peer_id = peer_id
        self.position = position(bytes(peer_id))
        self._addresses: tuple[Multiaddr, ...] | None = tuple(addresses)[:ADDRESS_COUNT_LIMIT]
        self._raw = tuple([bytes(address) for address in self._addresses])
        self._framed: bytes | None = None

    @classmethod
    def decode(cls, data: bytes) -> "Contact | None":
        """The contact of a `Peer` message; None where its id is none, which costs nobody else.

        The same bytes mostly give the same object: in a lookup, and from one to the next, the same peers come again and again.
        Raises ProtocolViolation where it is no message of protobuf's.
        """
        return _interned(data) if len(data) <= _INTERNED_SIZE_LIMIT else _decode(data)

    @classmethod
    def _received(cls, peer_id: PeerId, raw: tuple[bytes, ...]) -> "Contact":
        contact = cls.__new__(cls)
        contact.peer_id, contact.position = peer_id, position(bytes(peer_id))  # type: ignore[misc]  # as `__init__` does
        contact._addresses, contact._raw, contact._framed = None, raw, None
        return contact

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where it is said to be, at most 16, in the order of whoever said so."""
        if self._addresses is None:
            parsed = [_address(raw) for raw in self._raw]
            self._addresses = tuple([address for address in parsed if address is not None])
            self._raw = tuple([bytes(address) for address in self._addresses])
        return self._addresses

    @property
    def encoded(self) -> bytes:
        """The `Peer` message, of at most 720 bytes: addresses that don't fit are left out, from the first of them on."""
        framed = self.framed
        return framed[1 if framed[0] < 0x80 else 2 :]

    @property
    def framed(self) -> bytes:
        """`encoded` behind its length, made once: answers are joined from these."""
        if self._framed is None:
            data = field_bytes(1, bytes(self.peer_id))
            for address in self.addresses:
                field = field_bytes(2, bytes(address))
                if len(data) + len(field) > ENCODED_SIZE_LIMIT:
                    break
                data += field
            self._framed = field_header(1, len(data))[1:] + data
        return self._framed

    def with_addresses(self, addresses: Iterable[Multiaddr]) -> "Contact":
        """The same peer elsewhere."""
        return Contact(self.peer_id, addresses)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Contact):
            return NotImplemented
        return self.peer_id == other.peer_id and self.addresses == other.addresses

    def __hash__(self) -> int:
        return hash(self.peer_id)

    def __repr__(self) -> str:
        return f"Contact({self.peer_id}, {', '.join(map(str, self.addresses)) or 'no address'})"


def _decode(data: bytes) -> Contact | None:
    content, raw, room = b"", list[bytes](), RECEIVED_SIZE_LIMIT
    for number, start, end in _PEER.scan(data):
        if number == 1:
            content = data[start:end]
        elif number == 2 and end - start <= MAX_BYTES:
            room -= end - start
            if room >= 0:
                raw.append(data[start:end])
        if content and (room < 0 or len(raw) == ADDRESS_COUNT_LIMIT):
            break  # what is not taken is not looked at either
    try:
        peer_id = PeerId.from_bytes(content)
    except ProtocolViolation:
        return None
    return Contact._received(peer_id, tuple(raw))


_interned = lru_cache(maxsize=_INTERNED)(_decode)


def _address(raw: bytes) -> Multiaddr | None:
    try:
        return Multiaddr(raw)
    except ProtocolViolation:
        return None  # empty, or of a protocol that is not known here
