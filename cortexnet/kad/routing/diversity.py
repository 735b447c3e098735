"""How many peers from one network are too many: one machine can have a thousand ids, but it needs addresses for them.

Addresses are grouped as go-libp2p-kbucket does: by the /16 of IPv4, by the /8 where one owner was given all of it. IPv6 is
grouped by its /32, what a provider is given; go has a table of autonomous systems for it. Loopback and private addresses belong
to no group: there whole networks share one, and nobody from elsewhere has them.
"""

from collections.abc import Hashable, Iterable
from typing import TypeVar, final

from cortexnet.multiformats.multiaddr import Multiaddr

PER_BUCKET = 2
"""Peers of one group at one distance from us, as go has it: an owner of one network shall not fill a bucket."""
IN_ALL = 3
"""Peers of one group in the whole table, as go has it."""

_Key = TypeVar("_Key", bound=Hashable)
_WHOLE_8 = frozenset({12, 17, 19, 38, 48, 53, 56, 73})  # the blocks that go's filter names
_EMBEDDED = (bytes(10) + b"\xff\xff", b"\x00\x64\xff\x9b" + bytes(8))  # ::ffff:0:0/96 and NAT64: behind them is an IPv4 address


def group_of(address: Multiaddr) -> str | None:
    """The network an address begins in: `192.0.0.0/16` or `2001:db8::/32`; of a relayed one the relay's.

    None for names, and for loopback, link-local and private addresses.
    """
    first = address.components[0]
    if first.protocol == "ip6zone" and len(address.components) > 1:
        first = address.components[1]
    if first.protocol not in ("ip4", "ip6") or address.is_private:
        return None
    raw = first.raw
    if raw.startswith(_EMBEDDED):
        raw = raw[12:]
    if len(raw) == 16:
        return f"{int.from_bytes(raw[:2], 'big'):x}:{int.from_bytes(raw[2:4], 'big'):x}::/32"
    return f"{raw[0]}.0.0.0/8" if raw[0] in _WHOLE_8 else f"{raw[0]}.{raw[1]}.0.0/16"


def groups_of(addresses: Iterable[Multiaddr]) -> tuple[str, ...]:
    """The groups of some addresses, each once."""
    return tuple(dict.fromkeys([group for address in addresses if (group := group_of(address)) is not None]))


@final
class Diversity:
    """How many peers of each group are in a routing table, and whether one more may be.

    A peer counts once in each of its groups; without a group it is always allowed, and not counted.
    """

    def __init__(self, *, per_bucket: int = PER_BUCKET, in_all: int = IN_ALL) -> None:
        self._per_bucket = per_bucket
        self._in_all = in_all
        self._all: dict[str, int] = {}
        self._buckets: dict[tuple[int, str], int] = {}

    def allows(self, prefix_length: int, groups: Iterable[str]) -> bool:
        """Whether a peer of these groups, sharing so many bits with us, would be one too many in none of them."""
        return all(
            self._all.get(group, 0) < self._in_all and self._buckets.get((prefix_length, group), 0) < self._per_bucket
            for group in groups
        )

    def add(self, prefix_length: int, groups: Iterable[str]) -> None:
        """Count a peer. `groups` has each once."""
        for group in groups:
            self._all[group] = self._all.get(group, 0) + 1
            self._buckets[prefix_length, group] = self._buckets.get((prefix_length, group), 0) + 1

    def remove(self, prefix_length: int, groups: Iterable[str]) -> None:
        """Count a peer no longer that was counted with the same arguments."""
        for group in groups:
            _decrease(self._all, group)
            _decrease(self._buckets, (prefix_length, group))


def _decrease(counts: dict[_Key, int], key: _Key) -> None:
    if counts[key] == 1:
        del counts[key]
    else:
        counts[key] -= 1
