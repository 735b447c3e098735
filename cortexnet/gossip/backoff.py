"""Whom not to graft: after a PRUNE both sides leave each other alone for a while.

Spec: libp2p/specs gossipsub 1.1, "Prune Backoff".
"""

from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cortexnet.identity.peer_id import PeerId

TOPIC_LIMIT: Final = 10_000
"""Peers of one topic; past it the first is forgotten. Each needs a connection of its own, so that is more than ever wait."""
LIMIT: Final = 100_000
"""Peers of all topics together, some 15 MiB; past it the first of the topic that has most is forgotten."""

_NONE: "Mapping[PeerId, float]" = MappingProxyType({})


@final
class Backoff:
    """Until when each peer is left alone, by topic. An entry stays after its time, until `clear`: see there."""

    __slots__ = ("_count", "_topics")

    def __init__(self) -> None:
        self._topics: dict[str, OrderedDict[PeerId, float]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, topic: str, peer: "PeerId", until: float) -> None:
        """Leave the peer alone until then; what holds longer already stays."""
        peers = self._topics.setdefault(topic, OrderedDict())
        self._count += peer not in peers
        peers[peer] = max(until, peers.get(peer, until))
        if len(peers) > TOPIC_LIMIT or self._count > LIMIT:
            fullest = peers if len(peers) > TOPIC_LIMIT else max(self._topics.values(), key=len)
            fullest.popitem(last=False)
            self._count -= 1

    def until(self, topic: str, peer: "PeerId") -> float | None:
        """When the peer may come again; may be past. None where nothing is known."""
        return self._topics.get(topic, _NONE).get(peer)

    def holds(self, topic: str, peer: "PeerId") -> bool:
        """Whether we don't graft the peer."""
        return peer in self._topics.get(topic, _NONE)

    def of(self, topic: str) -> "Mapping[PeerId, float]":
        """Whom we don't graft into this topic, and until when."""
        return self._topics.get(topic, _NONE)

    def clear(self, now: float, slack: float) -> None:
        """Forget what ended `slack` seconds ago: the peer's clock may be behind, and coming too early would cost us score."""
        for topic, peers in list(self._topics.items()):
            for peer in [peer for peer, until in peers.items() if until + slack < now]:
                del peers[peer]
                self._count -= 1
            if not peers:
                del self._topics[topic]
