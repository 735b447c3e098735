"""What the address book keeps of one peer. A core."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import TypeAlias, final

from cortexnet.documented import documented
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

MetadataValue: TypeAlias = str | bytes | int | float | bool

TEXT_LIMIT = 128
"""Characters of what a peer's software calls itself."""

_PIECE = 64  # bytes that a small object costs beside its content


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPeer:
    """All that is known of one peer, at one time. But for id and key, and a record that was verified, it is hearsay."""

    peer_id: PeerId
    """Who it is."""
    addresses: Mapping[Multiaddr, float] = field(default_factory=dict)
    """Where it may be reached, and when each address expires: infinite as long as it is connected."""
    certified: frozenset[Multiaddr] = frozenset()
    """Those of the addresses that its signed record names."""
    private_names: frozenset[Multiaddr] = frozenset()
    """Those that begin with a name which may lead into private networks."""
    protocols: frozenset[str] | None = None
    """What it spoke when it was connected last; None where it never told."""
    has_all_protocols: bool = True
    """Whether these are all; it told too many otherwise."""
    agent_version: str | None = None
    """The name of its software, at most 128 characters; escape it before it is shown."""
    protocol_version: str | None = None
    """What it calls its family of protocols, at most 128 characters; escape it before it is shown."""
    public_key: PublicKey | None = None
    """Its key, where it was told; most ids hold the key themselves."""
    record: bytes | None = None
    """Its latest signed record, in the envelope it came in."""
    record_sequence: int = 0
    """The sequence number of that."""
    last_seen: float | None = None
    """When it was connected last; None: never."""
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    """What the application has noted about it."""


@final
class PeerEntry:
    """The entry of one peer."""

    __slots__ = (
        "addresses", "agent_version", "certified", "has_all_protocols", "is_current", "last_seen", "private_names",
        "protocol_version", "protocols", "public_key", "record", "record_sequence",
    )  # fmt: skip

    def __init__(self) -> None:
        self.addresses: dict[Multiaddr, float] = {}
        self.private_names: frozenset[Multiaddr] = frozenset()
        self.certified: frozenset[Multiaddr] = frozenset()
        self.last_seen: float | None = None
        self.forget_description()

    def forget_description(self) -> None:
        """Forget what the peer has told about itself, its addresses apart."""
        self.protocols: frozenset[str] | None = None
        self.has_all_protocols = True
        self.is_current = False
        self.agent_version: str | None = None
        self.protocol_version: str | None = None
        self.public_key: PublicKey | None = None
        self.record: bytes | None = None
        self.record_sequence = 0

    def describe(self, protocols: Iterable[str], limit: int) -> None:
        """What the peer speaks on its present connection."""
        known = list(islice(dict.fromkeys(protocols), limit + 1))
        self.protocols = frozenset(known[:limit])
        self.has_all_protocols = len(known) <= limit
        self.is_current = True

    def description_size(self) -> int:
        """Bytes that what the peer has told about itself costs, roughly; 0 where it told nothing."""
        pieces = [_text_size(protocol) for protocol in self.protocols or ()]
        pieces += [_text_size(text) for text in (self.agent_version, self.protocol_version) if text is not None]
        if self.record is not None:
            pieces.append(len(self.record))
        if self.public_key is not None:
            pieces.append(len(self.public_key.marshal()))
        return sum(pieces) + _PIECE * len(pieces)

    def expire(self, now: float) -> bool:
        """Drop addresses whose time is over; whether none are left."""
        if any(expires <= now for expires in self.addresses.values()):
            self.addresses = {address: expires for address, expires in self.addresses.items() if expires > now}
        return not self.addresses

    def shorten(self, expires: float, certified_expires: float) -> None:
        """Let addresses that would live as long as the connection expire by then."""
        self.addresses = {
            address: was if was != inf else certified_expires if address in self.certified else expires
            for address, was in self.addresses.items()
        }

    def keep(self, limit: int) -> None:
        """Drop the addresses that expire first, of equal ones the newer, down to `limit`."""
        if len(self.addresses) > limit:
            ranked = sorted(self.addresses.items(), key=lambda item: -item[1])
            dropped = {address for address, _ in ranked[limit:]}
            self.addresses = {address: expires for address, expires in self.addresses.items() if address not in dropped}

    def trim(self) -> None:
        """What is said of addresses that are gone is of no use."""
        if self.private_names:
            self.private_names &= self.addresses.keys()
        if self.certified:
            self.certified &= self.addresses.keys()

    def snapshot(self, peer: PeerId, metadata: Mapping[str, MetadataValue]) -> KnownPeer:
        """All of it."""
        return KnownPeer(
            peer_id=peer,
            addresses=dict(self.addresses),
            certified=self.certified,
            private_names=self.private_names,
            protocols=self.protocols,
            has_all_protocols=self.has_all_protocols,
            agent_version=self.agent_version,
            protocol_version=self.protocol_version,
            public_key=self.public_key,
            record=self.record,
            record_sequence=self.record_sequence,
            last_seen=self.last_seen,
            metadata=metadata,
        )

    @classmethod
    def restored(cls, known: KnownPeer) -> "PeerEntry":
        """The entry of a peer that is not connected, as `snapshot` has shown it."""
        entry = cls()
        entry.addresses = dict(known.addresses)
        entry.certified, entry.private_names = known.certified, known.private_names
        entry.protocols, entry.has_all_protocols = known.protocols, known.has_all_protocols
        entry.agent_version, entry.protocol_version = known.agent_version, known.protocol_version
        entry.public_key = known.public_key
        entry.record, entry.record_sequence = known.record, known.record_sequence
        entry.last_seen = known.last_seen
        return entry


def _text_size(text: str) -> int:
    """Bytes of memory: one character beyond the others makes all of them as wide."""
    return len(text) if text.isascii() else 4 * len(text)
