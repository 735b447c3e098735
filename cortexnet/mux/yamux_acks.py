"""When the streams that a peer opens are acknowledged."""

from typing import final

from cortexnet.mux.allowance import Allowance


@final
class AckPacer:
    """Holds acknowledgements back where streams come faster than `rate` a second: a peer opens only so many without. A core."""

    def __init__(self, rate: int) -> None:
        self._allowance = Allowance(rate, 1.0)
        self._held: dict[int, None] = {}  # in the order they were opened

    def opened(self, stream_id: int, now: float) -> bool:
        """Whether a new stream is acknowledged at once; else `take_due` names it later."""
        if not self._held and self._allowance.spend(1, now):
            return True
        self._held[stream_id] = None
        return False

    def remove(self, stream_id: int) -> None:
        """The stream is over: nothing waits for its acknowledgement any more."""
        self._held.pop(stream_id, None)

    def clear(self) -> None:
        """All are over."""
        self._held.clear()

    def next_timeout(self) -> float:
        """When `take_due` has something; infinity where nothing is held."""
        return self._allowance.renews_at if self._held else float("inf")

    def take_due(self, now: float) -> list[int]:
        """Streams to acknowledge now."""
        due: list[int] = []
        for stream_id in self._held:
            if not self._allowance.spend(1, now):
                break
            due.append(stream_id)
        for stream_id in due:
            del self._held[stream_id]
        return due
