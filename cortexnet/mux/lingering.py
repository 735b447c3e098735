"""Streams that were closed here while the peer has not finished: for how long they are put up with."""

from collections.abc import Iterator
from typing import final


@final
class Lingering:
    """A core. What a closed stream's peer still sends is dropped; yamux has no way to say so but a reset.

    A peer that sends after our FIN, or has used up its window, is reset after `active` seconds, a silent one after `silent`.
    """

    def __init__(self, active: float, silent: float) -> None:
        self._active = active
        self._silent = silent
        self.unstamped: dict[int, bool] = {}
        """Streams that were closed since time was last known, and whether their windows are used up."""
        self._due: dict[int, tuple[float, float]] = {}  # when a sender, when this one is reset
        self._earliest = float("inf")  # no stream is due before
        self._is_blocking = False  # an unstamped one keeps its peer waiting for credit that will never come

    def add(self, stream_id: int, *, used_up: bool) -> None:
        """The stream's FIN has left, and nobody reads it any more. Its time begins with the next `stamp`."""
        self.unstamped[stream_id] = used_up
        self._is_blocking = self._is_blocking or used_up

    def stamp(self, now: float) -> None:
        """Time goes on, or a byte came: that is soon enough, as nothing is due before."""
        for stream_id, used_up in self.unstamped.items():
            self._set(stream_id, now + self._active, now + (self._active if used_up else self._silent))
        self.unstamped.clear()
        self._is_blocking = False

    def sent(self, stream_id: int) -> None:
        """Its peer sends on."""
        if stream_id in self._due:
            active = self._due[stream_id][0]
            self._set(stream_id, active, active)

    def _set(self, stream_id: int, active: float, due: float) -> None:
        self._due[stream_id] = active, due
        self._earliest = min(self._earliest, due)

    def remove(self, stream_id: int) -> None:
        """The stream is over."""
        self.unstamped.pop(stream_id, None)
        self._due.pop(stream_id, None)

    def clear(self) -> None:
        """All are over."""
        self.unstamped.clear()
        self._due.clear()

    def stream_ids(self) -> Iterator[int]:
        """All of them, the longest closed first; none may be removed before the last one that is asked for."""
        yield from self._due
        yield from self.unstamped

    def next_timeout(self) -> float:
        """When `take_due` may have something; infinity where nothing is known to come.

        A stream that nothing depends on waits unstamped for the next byte, or for whatever else is due: no timer for each stream.
        """
        return float("-inf") if self._is_blocking else self._earliest

    def take_due(self, now: float) -> list[int]:
        """Streams that must be reset now."""
        self.stamp(now)
        if now < self._earliest:
            return []
        taken = [stream_id for stream_id, (_, due) in self._due.items() if now >= due]
        for stream_id in taken:
            del self._due[stream_id]
        self._earliest = min((due for _, due in self._due.values()), default=float("inf"))
        return taken
