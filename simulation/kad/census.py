"""Who is in a network, known as nobody in it knows: the true nearest, and the routing tables of nodes that are there for long."""

from bisect import bisect_left
from collections.abc import Iterable
from random import Random
from typing import final

from cortexnet.kad.routing.key import BITS
from cortexnet.kad.routing.routing_table import RoutingTable
from simulation.kad.peer import Peer

_OFFERED = 2
"""Peers offered to a bucket, in buckets: more than it takes, since some are refused for the network they are in."""


@final
class Census:
    """The servers of a network, in the order of their positions."""

    def __init__(self, peers: Iterable[Peer]) -> None:
        self._peers = sorted([peer for peer in peers if peer.is_server], key=lambda peer: peer.contact.position)
        self._positions = [peer.contact.position for peer in self._peers]

    def __len__(self) -> int:
        return len(self._peers)

    def within(self, first: int, bits: int) -> list[Peer]:
        """Those whose position has the first `bits` bits of `first`."""
        shift = BITS - bits
        low = first >> shift << shift
        return self._peers[bisect_left(self._positions, low) : bisect_left(self._positions, low + (1 << shift))]

    def nearest(self, target: int, count: int = 20) -> list[Peer]:
        """The peers nearest to a position, the nearest first."""
        bits = 0
        while len(inside := self.within(target, bits + 1)) >= count:
            bits += 1
        inside = self.within(target, bits)
        return sorted(inside, key=lambda peer: peer.contact.position ^ target)[:count]

    def fill(self, table: RoutingTable, random: Random, now: float) -> None:
        """Fill a table as it is after years in which nobody has failed: each peer of the network has been offered, in random
        order, so that each bucket has the first that it took.

        Only as many are drawn for each bucket as it may need, which comes to the same, and takes less.
        """
        own, drawn = table.own, list[Peer]()
        for length in range(BITS):
            bucket = self.within(own ^ 1 << (BITS - 1 - length), length + 1)
            most = _OFFERED * table.bucket_size
            drawn += bucket if len(bucket) <= most else random.sample(bucket, most)
            if len(self.within(own, length + 1)) <= 1:
                break
        random.shuffle(drawn)
        for peer in drawn:
            table.add(peer.contact, now, groups=peer.groups)
