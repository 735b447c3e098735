"""Cards of other nodes, as long as they are young: the newest of each."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from cortexnet.identity.card import Card
    from cortexnet.identity.peer_id import PeerId


@final
class CardCache:
    """At most `size_limit` cards; the one used longest ago goes first. Times are those of one monotonic clock."""

    def __init__(self, size_limit: int) -> None:
        self._size_limit = size_limit
        self._entries: OrderedDict[PeerId, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, peer: "PeerId", now: float) -> "Card | None":
        """The card of a peer, if there is one that is still to be used."""
        entry = self._entries.get(peer)
        if entry is None:
            return None
        if now >= entry.until:
            del self._entries[peer]
            return None
        self._entries.move_to_end(peer)
        return entry.card

    def keep(self, card: "Card", until: float, now: float) -> "Card":
        """Keep a card up to a time, unless a newer one of its peer is here: what is older loses silently. The one that counts."""
        kept = self.get(card.peer_id, now)
        if kept is not None and card.sequence <= kept.sequence and card.envelope != kept.envelope:
            return kept
        self._entries[card.peer_id] = _Entry(card, until)
        self._entries.move_to_end(card.peer_id)
        if len(self._entries) > self._size_limit:
            self._entries.popitem(last=False)
        return card


@final
@dataclass(slots=True)
class _Entry:
    card: "Card"
    until: float
