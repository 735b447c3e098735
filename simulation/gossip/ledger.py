"""Which message was published when, who should have it, and when each got it."""

from array import array
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulation.gossip.member import Member

_NEVER = -1.0


@final
class Posting:
    """One message. `delays` has the seconds after which each node got it, by its number; below 0: not."""

    __slots__ = ("delays", "time")

    def __init__(self, time: float, members: int) -> None:
        self.time = time
        self.delays = array("f", [_NEVER]) * members


@final
class Ledger:
    """All messages of a run. Who joins after a message was published is not counted for it."""

    def __init__(self) -> None:
        self._postings: dict[bytes, Posting] = {}
        self.doubles = 0
        """Deliveries of what had been delivered at the same node before."""

    def __len__(self) -> int:
        return len(self._postings)

    def open(self, message_id: bytes, time: float, members: int) -> None:
        """A message is published now; there have been so many nodes so far."""
        self._postings[message_id] = Posting(time, members)

    def delivered(self, number: int, message_id: bytes, now: float) -> None:
        """A node got it."""
        posting = self._postings[message_id]
        if number < len(posting.delays):
            self.doubles += posting.delays[number] >= 0
            posting.delays[number] = now - posting.time

    def postings(self, since: float = 0.0) -> list[Posting]:
        """Those that were published since then."""
        return [posting for posting in self._postings.values() if posting.time >= since]

    def delays(
        self, members: "Sequence[Member]", is_due: "Callable[[Posting, Member], bool]", *, since: float = 0.0
    ) -> list[float]:
        """Of each message and each node that was to get it; infinity where it did not."""
        found = []
        for posting in self.postings(since):
            delays = posting.delays
            for member in members:
                if member.number < len(delays) and is_due(posting, member):
                    delay = delays[member.number]
                    found.append(delay if delay >= 0 else float("inf"))
        return found
