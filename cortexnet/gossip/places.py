"""Who holds the places of validation: nobody so many that there is none for others. Pure."""

from typing import TYPE_CHECKING, Final, Generic, TypeVar, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

T = TypeVar("T")

PER_FREE: Final = 4
"""A sender may hold so many places for each that is free: alone four fifths of them, another one then as much of the rest. Who
has fewer than this gets a place of whoever holds most, where no other is left; nobody with fewer loses one."""


@final
class Places(Generic[T]):
    """So many places, of one topic or of all, for what belongs to senders."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[PeerId, dict[T, None]] = {}  # the newest one last
        self._taken = 0

    def __len__(self) -> int:
        """How many are taken."""
        return self._taken

    def has_room(self, sender: "PeerId", waiting: int = 0) -> bool:
        """Whether a sender may take one. `waiting` others will be needed soon."""
        free = self._limit - self._taken - waiting
        return free > 0 and len(self._held.get(sender, ())) < PER_FREE * free

    def surplus(self, sender: "PeerId", waiting: int = 0) -> T | None:
        """What has to leave so that there is room for the sender; None where it has to go without."""
        own = len(self._held.get(sender, ()))
        if own >= PER_FREE or self._taken + waiting > self._limit or not self._held:
            return None
        greediest = max(self._held.values(), key=len)
        return next(reversed(greediest)) if len(greediest) >= PER_FREE * (own + 1) else None

    def take(self, sender: "PeerId", item: T) -> None:
        """One more is the sender's."""
        self._held.setdefault(sender, {})[item] = None
        self._taken += 1

    def leave(self, sender: "PeerId", item: T) -> None:
        """It is free again."""
        items = self._held[sender]
        del items[item]
        self._taken -= 1
        if not items:
            del self._held[sender]
