"""The address book: where peers can be reached, and what connected ones say about themselves. In memory; a core.

Addresses live on for a time of their own. What a peer told about itself (protocols, versions, key) lives as long as it is
connected: identify tells it again, and 20,000 strangers may not fill our memory with it.

Above the limits of unconnected peers, and of all their addresses, those whose addresses came longest ago are forgotten: first of
those we only heard of, which anybody can invent, then of those that were connected once.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from math import inf
from typing import final

from cortexnet.errors import ProtocolViolation
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.limits import Limits

CONNECTED_TTL = inf
"""Seconds: as long as the peer is connected, then as `RECENTLY_CONNECTED_TTL`. For what the peer itself said it listens on."""
RECENTLY_CONNECTED_TTL = 15 * 60.0
"""Seconds, from the end of the last connection; go-libp2p's value."""
ADDRESS_TTL = 60 * 60.0
"""Seconds, for addresses from records the peer has signed; go-libp2p's value."""
TEMPORARY_TTL = 2 * 60.0
"""Seconds, for addresses that others named, as those of a DHT answer; go-libp2p's value."""

ADDRESS_SIZE_LIMIT = 512
"""Bytes of an address that is kept. Of those in use an I2P destination has 400, all others less than 200."""

_TEXT_LIMIT = 128


@final
class _Entry:
    __slots__ = (
        "addresses", "agent_version", "has_all_protocols", "private_names", "protocol_version", "protocols", "public_key"
    )  # fmt: skip

    def __init__(self) -> None:
        self.addresses: dict[Multiaddr, float] = {}
        self.private_names: frozenset[Multiaddr] = frozenset()
        self.forget_self_description()

    def forget_self_description(self) -> None:
        self.protocols: frozenset[str] | None = None
        self.has_all_protocols = True
        self.agent_version: str | None = None
        self.protocol_version: str | None = None
        self.public_key: PublicKey | None = None

    def expire(self, now: float) -> bool:
        """Drop addresses whose time is over; whether none are left."""
        if any(expires <= now for expires in self.addresses.values()):
            self.addresses = {address: expires for address, expires in self.addresses.items() if expires > now}
        return not self.addresses

    def shorten(self, expires: float) -> None:
        """Let addresses that would live as long as the connection expire by then."""
        self.addresses = {address: expires if was == inf else was for address, was in self.addresses.items()}

    def keep(self, limit: int) -> None:
        """Drop the addresses that expire first, of equal ones the newer, down to `limit`."""
        if len(self.addresses) > limit:
            ranked = sorted(self.addresses.items(), key=lambda item: -item[1])
            dropped = {address for address, _ in ranked[limit:]}
            self.addresses = {address: expires for address, expires in self.addresses.items() if address not in dropped}


@final
class Peerstore:
    """What is known of other peers, within `limits`. `now` is any one monotonic clock, in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connected: dict[PeerId, _Entry] = {}
        self._met: OrderedDict[PeerId, _Entry] = OrderedDict()
        self._heard_of: OrderedDict[PeerId, _Entry] = OrderedDict()
        self._unconnected_addresses = 0

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
        entry = table.setdefault(peer, _Entry())
        before = len(entry.addresses)
        entry.expire(now)
        for address in usable:
            entry.addresses[address] = max(entry.addresses.get(address, 0.0), now + ttl)
        entry.keep(limit)
        if is_near:
            entry.private_names |= {address for address in usable if address.is_named}
        if entry.private_names:
            entry.private_names &= entry.addresses.keys()
        if isinstance(table, OrderedDict):
            self._unconnected_addresses += len(entry.addresses) - before
            table.move_to_end(peer)
            self._evict(now)

    def addresses(self, peer: PeerId, now: float) -> list[Multiaddr]:
        """Where the peer may be reached now, in the order it was learned."""
        entry = self._find(peer)
        return [] if entry is None else [address for address, expires in entry.addresses.items() if expires > now]

    def private_names(self, peer: PeerId) -> frozenset[Multiaddr]:
        """Those of a peer's addresses that begin with a name which may lead into private networks: told by one who is in ours."""
        entry = self._find(peer)
        return frozenset() if entry is None else entry.private_names

    def remove_address(self, peer: PeerId, address: Multiaddr) -> None:
        """Forget an address that has proved wrong, such as one where somebody else answered."""
        entry, wrong = self._find(peer), _where(peer, address)
        if entry is not None and wrong in entry.addresses:
            del entry.addresses[wrong]
            self._unconnected_addresses -= peer not in self._connected

    def retire_addresses(self, peer: PeerId, now: float) -> None:
        """A new list of the peer's own is about to be added: let the old one expire after `TEMPORARY_TTL`."""
        entry = self._find(peer)
        if entry is not None:
            entry.shorten(now + TEMPORARY_TTL)

    def mark_connected(self, peer: PeerId) -> None:
        """The first connection to the peer has opened. How many peers may be connected is for the limits of connections."""
        if peer not in self._connected:
            entry = self._find(peer) or _Entry()
            self.forget(peer)
            self._connected[peer] = entry

    def mark_disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection to the peer has ended: addresses get their time, what it told about itself is forgotten."""
        entry = self._connected.pop(peer, None)
        if entry is None:
            return
        entry.forget_self_description()
        entry.shorten(now + RECENTLY_CONNECTED_TTL)
        entry.keep(self._limits.peerstore_addresses)
        if not entry.expire(now):
            self._met[peer] = entry
            self._unconnected_addresses += len(entry.addresses)
            self._evict(now)

    def forget(self, peer: PeerId) -> None:
        """Forget all addresses of a peer, unless it is connected."""
        entry = self._met.pop(peer, None) or self._heard_of.pop(peer, None)
        if entry is not None:
            self._unconnected_addresses -= len(entry.addresses)

    def set_protocols(self, peer: PeerId, protocols: Iterable[str]) -> None:
        """What a connected peer speaks, in place of what was known; for others nothing happens."""
        entry = self._connected.get(peer)
        if entry is not None:
            limit = self._limits.peerstore_protocols
            known = list(islice(dict.fromkeys(protocols), limit + 1))
            entry.protocols = frozenset(known[:limit])
            entry.has_all_protocols = len(known) <= limit

    def protocols(self, peer: PeerId) -> frozenset[str]:
        """What the peer is known to speak."""
        entry = self._find(peer)
        return entry.protocols or frozenset() if entry is not None else frozenset()

    def supports(self, peer: PeerId, protocol: str) -> bool | None:
        """Whether the peer speaks a protocol; None where that is not known."""
        entry = self._find(peer)
        if entry is None or entry.protocols is None:
            return None
        if protocol in entry.protocols:
            return True
        return False if entry.has_all_protocols else None

    def set_versions(self, peer: PeerId, *, agent_version: str | None, protocol_version: str | None) -> None:
        """What a connected peer's software calls itself, cut at 128 characters; for others nothing happens."""
        entry = self._connected.get(peer)
        if entry is not None:
            entry.agent_version = None if agent_version is None else agent_version[:_TEXT_LIMIT]
            entry.protocol_version = None if protocol_version is None else protocol_version[:_TEXT_LIMIT]

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
        if entry is not None:
            entry.public_key = key

    def public_key(self, peer: PeerId) -> PublicKey | None:
        """The peer's key, where it is known. Raises ProtocolViolation where the id claims to hold a key and doesn't."""
        entry = self._find(peer)
        known = None if entry is None else entry.public_key
        return peer.public_key() if known is None else known

    def _find(self, peer: PeerId) -> _Entry | None:
        return self._connected.get(peer) or self._met.get(peer) or self._heard_of.get(peer)

    def _table_of(self, peer: PeerId) -> dict[PeerId, _Entry]:
        if peer in self._connected:
            return self._connected
        return self._met if peer in self._met else self._heard_of

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


def _where(peer: PeerId, address: Multiaddr) -> Multiaddr | None:
    """The address without the peer's own id; None where it is of no use: it says nothing of where, or is somebody else's."""
    found, named = address.split_peer()
    is_usable = found is not None and len(bytes(found)) <= ADDRESS_SIZE_LIMIT and named in (None, bytes(peer))
    return found if is_usable else None
