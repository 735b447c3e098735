"""The address book: where peers can be reached, and what they say about themselves. In memory; a core.

Addresses live on for a time of their own. What a peer told about itself (protocols, versions, key, signed record) is kept with
them after its connection has ended, within a bound for all such peers, so that strangers can't fill our memory with it.

Above the limits of unconnected peers, and of all their addresses, those whose addresses came longest ago are forgotten: first of
those we only heard of, which anybody can invent, then of those that were connected once.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from math import inf
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.errors import LimitExceeded, ProtocolViolation
from cortexnet.identity.envelope import SignedRecord
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import AnyPeer, PeerId, peer_of
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.peer_entry import TEXT_LIMIT, KnownPeer, MetadataValue, PeerEntry
from cortexnet.swarm.peer_metadata import PeerMetadata

CONNECTED_TTL = inf
"""Seconds: as long as the peer is connected, then as `RECENTLY_CONNECTED_TTL`. For what the peer itself said it listens on."""
RECENTLY_CONNECTED_TTL = 15 * 60.0
"""Seconds, from the end of the last connection; go-libp2p's value."""
ADDRESS_TTL = 60 * 60.0
"""Seconds, for addresses that the peer has signed: since then, or since the end of the last connection; go-libp2p's value."""
TEMPORARY_TTL = 2 * 60.0
"""Seconds, for addresses that others named, as those of a DHT answer; go-libp2p's value."""

ADDRESS_SIZE_LIMIT = 512
"""Bytes of an address that is kept. Of those in use an I2P destination has 400, all others less than 200."""


@final
class Peerstore:
    """What is known of other peers, within `limits`. `now` is any one monotonic clock, in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connected: dict[PeerId, PeerEntry] = {}
        self._met: OrderedDict[PeerId, PeerEntry] = OrderedDict()
        self._heard_of: OrderedDict[PeerId, PeerEntry] = OrderedDict()
        self._unconnected_addresses = 0
        self._descriptions: OrderedDict[PeerId, int] = OrderedDict()  # their sizes, of peers without a connection
        self._descriptions_size = 0
        self._metadata = PeerMetadata(limits.peerstore_metadata)
        self.on_change: Callable[[PeerId], None] | None = None
        """Called with each peer of which something else is known now than before, or nothing any more. Must not raise."""

    def __len__(self) -> int:
        return len(self._connected) + len(self._met) + len(self._heard_of)

    def __contains__(self, peer: PeerId) -> bool:
        return self._find(peer) is not None

    def peers(self) -> list[PeerId]:
        """Everybody who is known, connected ones first. Addresses of the others may have expired."""
        return [*self._connected, *self._met, *self._heard_of]

    def is_connected(self, peer: PeerId) -> bool:
        """Whether the peer is between `mark_connected` and `mark_disconnected`."""
        return peer in self._connected

    def add_addresses(
        self, peer: PeerId, addresses: Iterable[Multiaddr], ttl: float, now: float, *, is_near: bool = False
    ) -> None:
        """Learn addresses for `ttl` seconds; what was known for longer stays so. A /p2p at the end is cut off.

        `is_near` where they are the application's, or of a peer in a private network: see `private_names`.
        Addresses of somebody else are ignored, as are overlong ones, and all beyond the limit of one peer.
        """
        table = self._table_of(peer)
        limit = self._limits.peerstore_addresses
        if table is self._connected:
            limit = self._limits.peerstore_connected_addresses
        elif ttl == CONNECTED_TTL:
            ttl = RECENTLY_CONNECTED_TTL
        usable = list(islice((found for address in addresses if (found := _where(peer, address)) is not None), limit))
        if not usable or ttl <= 0:
            return
        entry = table.setdefault(peer, PeerEntry())
        before = len(entry.addresses)
        entry.expire(now)
        for address in usable:
            entry.addresses[address] = max(entry.addresses.get(address, 0.0), now + ttl)
        entry.keep(limit)
        if is_near:
            entry.private_names |= {address for address in usable if address.is_named}
        entry.trim()
        if isinstance(table, OrderedDict):
            self._unconnected_addresses += len(entry.addresses) - before
            table.move_to_end(peer)
            self._evict(now)
        self._changed(peer)

    def accept_record(
        self,
        record: SignedRecord,
        now: float,
        *,
        ttl: float = ADDRESS_TTL,
        believed: Iterable[Multiaddr] | None = None,
        is_near: bool = False,
    ) -> bool:
        """Keep a signed record, and learn its addresses in place of those of the record before; False where that one is newer.

        `believed` are those of its addresses that are worth to be kept; all where it is None. What was believed before, of who
        told it then, and is on the record still stays so. Nothing is kept, and False returned, where there are none of use and
        the peer is not known. The rest is as in `add_addresses`.
        """
        peer, sequence = record.record.peer_id, record.record.sequence
        entry = self._find(peer)
        if entry is not None and entry.record is not None and entry.record_sequence > sequence:
            return False
        listed = _places(peer, record.record.addresses)
        named = listed if believed is None else _places(peer, believed)
        # Who hands on the record of a neighbour of ours can't know its private addresses: they are not his to take away.
        before = frozenset() if entry is None else entry.certified.intersection(listed)
        if entry is not None:
            self._drop(peer, entry, entry.certified.difference(before))
        self.add_addresses(peer, named, ttl, now, is_near=is_near)
        entry = self._find(peer)
        if entry is None:
            return False
        entry.certified = before.union(named).intersection(entry.addresses)
        entry.record, entry.record_sequence = record.envelope, sequence
        if peer not in self._connected:
            self._count_description(peer, entry)
        self._changed(peer)
        return True

    def addresses(self, peer: PeerId, now: float) -> list[Multiaddr]:
        """Where the peer may be reached now, in the order it was learned: first what it has signed, then what others say."""
        entry = self._find(peer)
        if entry is None:
            return []
        found = [address for address, expires in entry.addresses.items() if expires > now]
        return sorted(found, key=lambda address: address not in entry.certified) if entry.certified else found

    def private_names(self, peer: PeerId) -> frozenset[Multiaddr]:
        """Those of a peer's addresses that begin with a name which may lead into private networks: told by one who is in ours."""
        entry = self._find(peer)
        return frozenset() if entry is None else entry.private_names

    def remove_address(self, peer: PeerId, address: Multiaddr) -> None:
        """Forget an address that has proved wrong, such as one where somebody else answered."""
        entry, wrong = self._find(peer), _where(peer, address)
        if entry is not None and wrong in entry.addresses:
            self._drop(peer, entry, [wrong])
            self._changed(peer)

    def retire_addresses(self, peer: PeerId, now: float) -> None:
        """A new list of the peer's own is about to be added: let the old one expire after `TEMPORARY_TTL`."""
        entry = self._find(peer)
        if entry is not None:
            entry.shorten(now + TEMPORARY_TTL, now + TEMPORARY_TTL)
            self._changed(peer)

    def mark_connected(self, peer: PeerId) -> None:
        """The first connection to the peer has opened. How many peers may be connected is for the limits of connections."""
        if peer not in self._connected:
            entry = self._find(peer) or PeerEntry()
            self.forget(peer)
            self._connected[peer] = entry
            self._changed(peer)

    def mark_disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection to the peer has ended: addresses get their time. What it told about itself is kept with them."""
        entry = self._connected.pop(peer, None)
        if entry is None:
            return
        entry.last_seen = now
        entry.is_current = False
        entry.shorten(now + RECENTLY_CONNECTED_TTL, now + ADDRESS_TTL)
        self._keep(peer, entry, self._met, now)
        self._changed(peer)

    def forget(self, peer: PeerId) -> None:
        """Forget a peer, unless it is connected; what the application has noted about it stays."""
        entry = self._met.pop(peer, None) or self._heard_of.pop(peer, None)
        if entry is not None:
            self._unconnected_addresses -= len(entry.addresses)
            self._descriptions_size -= self._descriptions.pop(peer, 0)
            self._changed(peer)

    def known(self, peer: PeerId, now: float) -> KnownPeer | None:
        """All that is known of a peer now, what the application has noted included; None where that is nothing."""
        entry, metadata = self._find(peer), self._metadata.of(peer)
        if entry is None:
            return KnownPeer(peer_id=peer, metadata=dict(metadata)) if metadata else None
        found = entry.snapshot(peer, dict(metadata))
        return replace(found, last_seen=now) if peer in self._connected else found

    def restore(self, known: KnownPeer, now: float) -> None:
        """Take back what `known` has shown before, at the end of an earlier run, say; who is known already stays as it is.

        Addresses of a peer that was connected then get their time from now on. What the application has noted meanwhile counts,
        and metadata beyond the limit is left out.
        """
        peer = known.peer_id
        if self._find(peer) is None:
            entry = PeerEntry.restored(known)
            entry.shorten(now + RECENTLY_CONNECTED_TTL, now + ADDRESS_TTL)
            self._keep(peer, entry, self._heard_of if known.last_seen is None else self._met, now)
        for name, value in known.metadata.items():
            if name not in self._metadata.of(peer):
                with suppress(LimitExceeded):
                    self._metadata.set(peer, name, value)

    def noted(self) -> list[PeerId]:
        """Everybody the application has noted something about."""
        return self._metadata.peers()

    def metadata(self, peer: AnyPeer) -> Mapping[str, MetadataValue]:
        """What the application has noted about a peer. Raises LocalError for what is none."""
        return self._metadata.of(peer_of(peer))

    def set_metadata(self, peer: AnyPeer, name: str, value: MetadataValue | None) -> None:
        """Note a small value about a peer; None removes it. It lasts until then, whether the peer is known otherwise or not.

        Raises LocalError for what is no peer, and where the name has more than 64 characters, or the value is of another kind or
        above 1 KiB; LimitExceeded where `limits.peerstore_metadata` is used up.
        """
        found = peer_of(peer)
        self._metadata.set(found, name, value)
        self._changed(found)

    def set_protocols(self, peer: PeerId, protocols: Iterable[str]) -> None:
        """What a connected peer speaks, in place of what was known; for others nothing happens."""
        entry = self._connected.get(peer)
        if entry is not None:
            entry.describe(protocols, self._limits.peerstore_protocols)
            self._changed(peer)

    def protocols(self, peer: PeerId) -> frozenset[str]:
        """What the peer spoke when it was connected last."""
        entry = self._find(peer)
        return entry.protocols or frozenset() if entry is not None else frozenset()

    def supports(self, peer: PeerId, protocol: str) -> bool | None:
        """Whether the peer speaks a protocol; None where it has not told that on its present connection."""
        entry = self._find(peer)
        if entry is None or entry.protocols is None or not entry.is_current:
            return None
        if protocol in entry.protocols:
            return True
        return False if entry.has_all_protocols else None

    def set_versions(self, peer: PeerId, *, agent_version: str | None, protocol_version: str | None) -> None:
        """What a connected peer's software calls itself, cut at 128 characters; for others nothing happens."""
        entry = self._connected.get(peer)
        if entry is not None:
            entry.agent_version = None if agent_version is None else agent_version[:TEXT_LIMIT]
            entry.protocol_version = None if protocol_version is None else protocol_version[:TEXT_LIMIT]
            self._changed(peer)

    def agent_version(self, peer: PeerId) -> str | None:
        """The name of the peer's software. It is a peer's text: escape it before it is shown."""
        entry = self._find(peer)
        return None if entry is None else entry.agent_version

    def protocol_version(self, peer: PeerId) -> str | None:
        """What the peer calls its family of protocols. It is a peer's text: escape it before it is shown."""
        entry = self._find(peer)
        return None if entry is None else entry.protocol_version

    def set_public_key(self, peer: PeerId, key: PublicKey) -> None:
        """Keep a connected peer's key; for others nothing happens. Raises ProtocolViolation if the id is not the key's."""
        if PeerId.from_public_key(key) != peer:
            raise ProtocolViolation(f"the key is not that of {peer}")
        entry = self._connected.get(peer)
        if entry is not None and peer.public_key() is None:
            entry.public_key = key
            self._changed(peer)

    def public_key(self, peer: PeerId) -> PublicKey | None:
        """The peer's key, where it is known. Raises ProtocolViolation where the id claims to hold a key and doesn't."""
        entry = self._find(peer)
        known = None if entry is None else entry.public_key
        return peer.public_key() if known is None else known

    def _find(self, peer: PeerId) -> PeerEntry | None:
        return self._connected.get(peer) or self._met.get(peer) or self._heard_of.get(peer)

    def _table_of(self, peer: PeerId) -> dict[PeerId, PeerEntry]:
        if peer in self._connected:
            return self._connected
        return self._met if peer in self._met else self._heard_of

    def _keep(self, peer: PeerId, entry: PeerEntry, table: OrderedDict[PeerId, PeerEntry], now: float) -> None:
        """Put a peer that is not connected into its table, within the limits; not where it has no address left."""
        entry.expire(now)
        entry.keep(self._limits.peerstore_addresses)
        entry.trim()
        if entry.addresses:
            table[peer] = entry
            self._unconnected_addresses += len(entry.addresses)
            self._count_description(peer, entry)
            self._evict(now)

    def _drop(self, peer: PeerId, entry: PeerEntry, addresses: Iterable[Multiaddr]) -> None:
        before = len(entry.addresses)
        for address in addresses:
            entry.addresses.pop(address, None)
        entry.trim()
        if peer not in self._connected:
            self._unconnected_addresses -= before - len(entry.addresses)

    def _count_description(self, peer: PeerId, entry: PeerEntry) -> None:
        """What a peer without a connection has told has changed. Past the limit, what was told longest ago is forgotten."""
        self._descriptions_size -= self._descriptions.pop(peer, 0)
        size = entry.description_size()
        if size:
            self._descriptions[peer] = size
            self._descriptions_size += size
        while self._descriptions_size > self._limits.peerstore_descriptions:
            oldest, size = self._descriptions.popitem(last=False)
            self._descriptions_size -= size
            (self._met.get(oldest) or self._heard_of[oldest]).forget_description()
            self._changed(oldest)

    def _changed(self, peer: PeerId) -> None:
        if self.on_change is not None:
            self.on_change(peer)

    def _evict(self, now: float) -> None:
        """Forget a few of those whose addresses have all expired, and who is one too many."""
        for table in (self._heard_of, self._met):
            for _ in range(2):
                oldest = next(iter(table), None)
                if oldest is None or any(expires > now for expires in table[oldest].addresses.values()):
                    break
                self.forget(oldest)
        while (
            len(self._met) + len(self._heard_of) > self._limits.peerstore_peers
            or self._unconnected_addresses > self._limits.peerstore_all_addresses
        ):
            self.forget(next(iter(self._heard_of or self._met)))


def _places(peer: PeerId, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    """Those that are of use, each as it is kept."""
    return [found for address in addresses if (found := _where(peer, address)) is not None]


def _where(peer: PeerId, address: Multiaddr) -> Multiaddr | None:
    """The address without the peer's own id; None where it is of no use: it says nothing of where, or is somebody else's."""
    found, named = address.split_peer()
    is_usable = found is not None and len(bytes(found)) <= ADDRESS_SIZE_LIMIT and named in (None, bytes(peer))
    return found if is_usable else None
