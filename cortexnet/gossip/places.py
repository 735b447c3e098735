"""Who holds the places of validation: nobody takes all of them alone. Pure."""

from collections import Counter
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

PER_FREE: Final = 4
"""A sender may hold so many places for each that is free: alone four fifths of them, another one then as much of the rest."""


@final
class Places:
    """So many places, of one topic or of all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[PeerId] = Counter()
        self._taken = 0

    def __len__(self) -> int:
        """How many are taken."""
        return self._taken

    def has_room(self, sender: "PeerId", waiting: int = 0) -> bool:
        """Whether a sender may take one. `waiting` others will be needed soon."""
        free = self._limit - self._taken - waiting
        return free > 0 and self._held[sender] < PER_FREE * free

    def take(self, sender: "PeerId") -> None:
        """One more is the sender's."""
        self._held[sender] += 1
        self._taken += 1

    def leave(self, sender: "PeerId") -> None:
        """One of the sender's is free again."""
        self._taken -= 1
        self._held[sender] -= 1
        if not self._held[sender]:
            del self._held[sender]
