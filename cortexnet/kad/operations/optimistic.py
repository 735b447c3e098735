"""Optimistic provide: store with peers that are near enough for the network's size while the lookup still runs, and return before
the last of them has answered.

The thresholds are those of go-libp2p-kad-dht. A peer is near enough where, by chance, one in ten of the k nearest is as near as
that; and the lookup has seen enough where the k nearest so far are, on the mean, as near as they would be 9 times of 10.

Spec: libp2p/specs has none; see ProbeLab, "Optimistic Provide".
"""

from collections.abc import Sequence
from math import ceil
from typing import final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.lookup.gamma import gamma_quantile
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import BITS

_KEYSPACE = float(1 << BITS)
_NEAR_CHANCE = 0.1
_MEAN_CHANCE = 0.9
_ENOUGH_SHARE = 0.75


def near_threshold(size: float, k: int = 20) -> float:
    """The distance, as a share of the keyspace, below which a peer is stored with at once."""
    return gamma_quantile(k, _NEAR_CHANCE) / size


def mean_threshold(size: float, k: int = 20) -> float:
    """The mean distance of the k nearest, as a share of the keyspace, below which the lookup may end."""
    return gamma_quantile(k // 2 + 1, _MEAN_CHANCE) / size


@final
class OptimisticProvide:
    """Decides for one provide whom to store with and when to stop; a core. `size` is the estimated number of peers."""

    def __init__(self, target: int, size: float, *, k: int = 20) -> None:
        self._target = target
        self._k = k
        self._near = near_threshold(size, k)
        self._mean = mean_threshold(size, k)
        self._stored: dict[PeerId, bool | None] = {}  # None: under way
        self.may_stop = False
        """Whether the lookup has seen enough."""

    @property
    def is_enough(self) -> bool:
        """Whether so many have stored it that the caller need not wait for the rest: 15 of 20."""
        return sum(is_stored is True for is_stored in self._stored.values()) >= ceil(self._k * _ENOUGH_SHARE)

    def on_progress(self, nearest: Sequence[Contact]) -> list[Contact]:
        """Told the k nearest so far after each answer (`Lookup.nearest_heard`), gives those to store with now."""
        distances = [(contact.position ^ self._target) / _KEYSPACE for contact in nearest[: self._k]]
        chosen = [
            contact
            for contact, distance in zip(nearest, distances, strict=False)
            if distance <= self._near and contact.peer_id not in self._stored
        ]
        self._begin(chosen)
        under_way = sum(is_stored is not False for is_stored in self._stored.values())
        is_near = len(distances) == self._k and sum(distances) / self._k < self._mean
        self.may_stop = self.may_stop or under_way >= self._k or is_near
        return chosen

    def on_end(self, closest: Sequence[Contact]) -> list[Contact]:
        """Told the outcome of the lookup, gives those of it that were not stored with yet."""
        chosen = [contact for contact in closest[: self._k] if contact.peer_id not in self._stored]
        self._begin(chosen)
        return chosen

    def _begin(self, contacts: Sequence[Contact]) -> None:
        self._stored.update((contact.peer_id, None) for contact in contacts)

    def on_stored(self, peer_id: PeerId, *, is_stored: bool) -> None:
        """A peer has taken it, or has failed."""
        self._stored[peer_id] = is_stored
