"""The message of identify: fields in and out of bytes, one message made of several, one message cut into several.

Nothing here trusts or judges what a peer says; `peer_info` does. Stacks differ in what they take, so what is sent is what all do:
everything but the signed record in a first message of at most 4 KiB, as rust-libp2p reads no other; the record in a second one
where the two together are over 2 KiB, as go-libp2p sends it.

Spec: libp2p/specs identify, "The Identify Message".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, final

from cortexnet.errors import ProtocolViolation
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import BYTES, Field, Schema, field_bytes

FIRST_SIZE_LIMIT = 4_096
"""Bytes of a message without the signed record: rust-libp2p reads no longer one."""
WHOLE_SIZE_LIMIT = 2_048
"""Bytes above which the signed record travels in a message of its own; go-libp2p's value."""
RECORD_ADDRESSES_SIZE_LIMIT = 4_096
"""Bytes of the addresses in a signed record. With the largest key and signature the record is below the 8 KiB that go takes."""
PROTOCOLS_SENT = 128
"""Protocols announced: go-libp2p's peerstore refuses a longer list as a whole, and keeps the one before."""
PROTOCOL_COUNT_LIMIT = 1_024
"""Protocols taken from a peer, go-libp2p's value; further ones are skipped."""
ADDRESS_COUNT_LIMIT = 128
"""Addresses taken from a peer, as many as a peerstore keeps of one; further ones are skipped."""
TEXT_LIMIT = 128
"""Characters of a version."""

_ADDRESSES_RESERVE = 512  # bytes of the first message that protocols leave to addresses: a dozen of them
_T = TypeVar("_T")

_SCHEMA = Schema(
    "identify",
    Field(1, BYTES),
    Field(2, BYTES, count_limit=ADDRESS_COUNT_LIMIT, surplus="skip"),
    Field(3, BYTES, count_limit=PROTOCOL_COUNT_LIMIT, surplus="skip"),
    Field(4, BYTES),
    Field(5, BYTES),
    Field(6, BYTES),
    Field(8, BYTES),
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyMessage:
    """What a peer says about itself, and about us in `observed_address`. None is absent, as is an empty list."""

    public_key: bytes | None = None
    """In libp2p's protobuf form."""
    addresses: tuple[Multiaddr, ...] = ()
    """Where it listens."""
    protocols: tuple[str, ...] = ()
    """What it answers to."""
    observed_address: Multiaddr | None = None
    """Where it sees the receiver of this message."""
    protocol_version: str | None = None
    agent_version: str | None = None
    signed_peer_record: bytes | None = None
    """An envelope, not opened yet."""

    def encode(self) -> bytes:
        """All of it as one message, without a length in front."""
        parts = []
        if self.public_key is not None:
            parts.append(field_bytes(1, self.public_key))
        parts.extend([field_bytes(2, bytes(address)) for address in self.addresses])
        parts.extend([field_bytes(3, protocol.encode()) for protocol in self.protocols])
        if self.observed_address is not None:
            parts.append(field_bytes(4, bytes(self.observed_address)))
        if self.protocol_version is not None:
            parts.append(field_bytes(5, self.protocol_version.encode()))
        if self.agent_version is not None:
            parts.append(field_bytes(6, self.agent_version.encode()))
        if self.signed_peer_record is not None:
            parts.append(field_bytes(8, self.signed_peer_record))
        return b"".join(parts)

    def split(self) -> list[bytes]:
        """As the one or two messages in which it is sent."""
        whole = self.encode()
        if self.signed_peer_record is None or len(whole) <= WHOLE_SIZE_LIMIT:
            return [whole]
        return [replace(self, signed_peer_record=None).encode(), field_bytes(8, self.signed_peer_record)]

    def fitted(self) -> "IdentifyMessage":
        """The same with as many protocols and addresses, from the first on, and as much of the versions as every stack takes."""
        fixed = replace(
            self,
            addresses=(),
            protocols=(),
            protocol_version=_cut(self.protocol_version),
            agent_version=_cut(self.agent_version),
            signed_peer_record=None,
        )
        room = FIRST_SIZE_LIMIT - len(fixed.encode())
        protocols, used = _taken(self.protocols[:PROTOCOLS_SENT], _protocol_size, room - _ADDRESSES_RESERVE)
        addresses, _ = _taken(self.addresses, _address_size, room - used)
        return replace(fixed, addresses=addresses, protocols=protocols, signed_peer_record=self.signed_peer_record)


def decode(parts: Iterable[bytes]) -> IdentifyMessage:
    """The message that came in these parts: of what stands in several the last counts, lists are joined.

    Addresses and texts that cannot be read are left out: one protocol we do not know must not cost all the others.
    Raises ProtocolViolation for a part that is no protobuf message.
    """
    contents: dict[int, bytes] = {}
    addresses: list[Multiaddr] = []
    protocols: dict[str, None] = {}
    for part in parts:
        for number, _, content in _SCHEMA.read(part):
            if number == 2:
                if len(addresses) < ADDRESS_COUNT_LIMIT and (address := _address(content)) is not None:
                    addresses.append(address)
            elif number == 3:
                if len(protocols) < PROTOCOL_COUNT_LIMIT and (protocol := _text(content)):
                    protocols[protocol] = None
            else:
                contents[number] = content
    return IdentifyMessage(
        public_key=contents.get(1),
        addresses=tuple(addresses),
        protocols=tuple(protocols),
        observed_address=_address(contents[4]) if 4 in contents else None,
        protocol_version=_cut(_text(contents[5])) if 5 in contents else None,
        agent_version=_cut(_text(contents[6])) if 6 in contents else None,
        signed_peer_record=contents.get(8),
    )


def best_first(addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    """Addresses in the order in which they are worth their bytes: public ones, private, loopback; then by transport, as go's."""
    return sorted(dict.fromkeys(addresses), key=lambda address: (_reach(address), _transport_rank(address)))


def record_addresses(addresses: Iterable[Multiaddr]) -> tuple[Multiaddr, ...]:
    """As many of the addresses, the best first, as fit into a signed record that every stack takes."""
    return _taken(best_first(addresses)[:ADDRESS_COUNT_LIMIT], _address_size, RECORD_ADDRESSES_SIZE_LIMIT)[0]


def _reach(address: Multiaddr) -> int:
    if address.is_loopback:
        return 3
    if address.is_private:
        return 2
    return 0 if address.is_public else 1


def _transport_rank(address: Multiaddr) -> int:
    names = address.protocols
    if "p2p-circuit" in names:
        return 6
    if any(name.startswith("webrtc") for name in names):
        return 5
    if "webtransport" in names:
        return 4
    if "quic-v1" in names:
        return 0
    if "ws" in names:
        return 2 if "tls" in names else 3
    return 2 if "wss" in names else 1


def _taken(items: Sequence[_T], size_of: Callable[[_T], int], room: int) -> tuple[tuple[_T, ...], int]:
    """Those of the items that fit, the first ones first, and how many bytes they take."""
    taken, used = [], 0
    for item in items:
        size = size_of(item)
        if used + size <= room:
            taken.append(item)
            used += size
    return tuple(taken), used


def _protocol_size(protocol: str) -> int:
    return len(field_bytes(3, protocol.encode()))


def _address_size(address: Multiaddr) -> int:
    # In a record it stands in a message of its own: two bytes more, or four.
    return len(field_bytes(3, field_bytes(1, bytes(address))))


def _address(data: bytes) -> Multiaddr | None:
    try:
        return Multiaddr.from_bytes(data)
    except ProtocolViolation:
        return None  # empty, or of a protocol we do not know


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_LIMIT]
