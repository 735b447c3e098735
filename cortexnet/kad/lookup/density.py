"""Whether the peers nearest to a key are nearer than chance allows: then somebody has made ids for it, and may swallow what is
stored there or say that there is nothing.

In a network of n peers the 20th nearest to a key is some 20 / n of the keyspace away; ids that were ground for the key are much
nearer. Where that is so, provide and find cover the region in which 20 peers are to be expected by n: whoever has crowded the
spot does not own the region, and honest nodes store and answer there. That both sides take the same region, or one inside the
other, follows from the key and from n alone, with n known to a factor of two.

    if is_too_dense(target, closest, size):
        exploration = RegionExploration(region_of(target, size), seeds, accept=outside_crowd(target, closest, size), ...)
        ...     # and then the message goes to the closest and to at_most(exploration.contacts, target)
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from heapq import nlargest

from cortexnet.kad.lookup.gamma import gamma_quantile
from cortexnet.kad.lookup.regions import prefix_length
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import BITS, Prefix

DOUBT = 0.001
"""The chance by which an honest neighbourhood is taken for a crowded one. It then costs an exploration, some 30 requests."""
COVER_LIMIT = 100
"""Peers of a region that are asked or stored with: 40 honest ones at most are to be expected, and the attacker's."""

_CROWD_PEERS = 3.0  # within the distance of so many honest peers nobody is asked for the way
_KEYSPACE = float(1 << BITS)


def is_too_dense(target: int, closest: Sequence[Contact], size: float, k: int = 20) -> bool:
    """Whether the k-th of the closest, which come sorted, is nearer to the target than chance allows with `size` peers."""
    if len(closest) < k or size <= k:
        return False
    distance = (closest[k - 1].position ^ target) / _KEYSPACE
    return distance * size < _least_distance(k)


@lru_cache(maxsize=8)
def _least_distance(k: int) -> float:
    """Of the k-th nearest, in units of the mean distance between neighbours."""
    return gamma_quantile(k, DOUBT)


def region_of(target: int, size: float, k: int = 20) -> Prefix:
    """The region around a target that k to 2 k of `size` peers are to be expected in."""
    return Prefix.of(target, prefix_length(size, k))


def outside_crowd(target: int, closest: Sequence[Contact], size: float, k: int = 20) -> Callable[[Contact], bool]:
    """Who may be asked for the way in a region whose target is crowded: all but those that crowd it, who lead only to each other.

    To be given to the exploration as `accept`, together with the query filter; they are not among its `contacts` then.
    """
    crowd = max(closest[k - 1].position ^ target, int(_CROWD_PEERS / size * _KEYSPACE))
    return lambda contact: contact.position ^ target > crowd


def at_most(contacts: Sequence[Contact], target: int, limit: int = COVER_LIMIT) -> list[Contact]:
    """The contacts of a region to be stored with or asked, besides the closest: of too many the farthest, since near to the
    target is where an attacker wants to be."""
    return nlargest(limit, contacts, key=lambda contact: contact.position ^ target)


def size_by(target: int, closest: Sequence[Contact]) -> float | None:
    """The size of the network as the outcome of one lookup shows it, to a quarter or so; None by fewer than 2 peers.

    For a first prefix length, where no better estimate is there yet: the median of this for a few random keys.
    """
    if len(closest) < 2:
        return None
    farthest = max(contact.position ^ target for contact in closest)
    return (len(closest) - 1) * _KEYSPACE / farthest
