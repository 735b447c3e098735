"""Whether the other end is still there, and how far away it is: pings and the silence between bytes."""

from collections import deque
from math import nextafter
from typing import final

_EARLY = (0.1, 0.9)  # seconds after the first ping, which meets a peer that is busy with handshakes, then after the second
_SAMPLES = 4


@final
class Liveness:
    """Pings of one session; a core. One ping at a time: rust and js end a session for a pong they did not expect."""

    def __init__(self, ping_interval: float, silence_limit: float) -> None:
        self._interval = ping_interval
        self._early = deque(_EARLY)
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._silence_limit = silence_limit
        self.heard: float | None = None
        """When the last byte came."""
        self._next_ping = float("-inf")
        self._proof_by: float | None = None  # when a probe has failed
        self._probed = 0.0
        self._value = 0
        self._sent: float | None = None
        self.round_trip: float | None = None
        """Seconds, the least of the last few: the way, without the queues on it. None until the first answer.

        Windows grow by it: were it what a busy connection measures, they would grow with the queues that they make.
        """

    def next_timeout(self) -> float:
        """When `is_silent` or `take_ping` may have something new."""
        if self.heard is None:
            return self._next_ping
        due = min(self._next_ping, self.heard + self._silence_limit)
        return due if self._proof_by is None else min(due, self._proof_by)

    def is_silent(self, now: float) -> bool:
        """Whether not a byte came for so long that the connection is dead; the first call starts the clock."""
        if self.heard is None:
            self.heard = now
        if self._proof_by is not None:
            if self.heard >= self._probed:
                self._proof_by = None
            elif now >= self._proof_by:
                return True
        return now >= self.heard + self._silence_limit

    @property
    def reason(self) -> str:
        """What to say of a peer that is silent."""
        if self._proof_by is not None:
            return "not a byte after the network had changed"
        return f"not a byte for {self._silence_limit:g} s"

    def probe(self, patience: float, now: float) -> None:
        """Doubt that the peer is there: a ping is due now, and unless a byte comes within `patience` seconds, it is not.

        A ping that is under way already will do. While nothing was heard since an earlier doubt, that one stands.
        """
        self._next_ping = min(self._next_ping, now)
        if self._proof_by is not None and self.heard is not None and self.heard < self._probed:
            return
        self._proof_by, self._probed = now + patience, now
        before = nextafter(now, float("-inf"))  # what came at this very time came before
        self.heard = before if self.heard is None else min(self.heard, before)

    def take_ping(self, now: float) -> int | None:
        """The value of a ping that is due."""
        if now < self._next_ping:
            return None
        self._next_ping = now + (self._early.popleft() if self._early else self._interval)
        if self._sent is not None:
            return None
        self._sent = now
        self._value = (self._value + 1) & 0xFFFF_FFFF
        return self._value

    def receive_pong(self, value: int, now: float) -> float | None:
        """The seconds since its ping, or None for a pong that was not asked for."""
        if self._sent is None or value != self._value:
            return None
        sample = max(now - self._sent, 0.0)
        self._sent = None
        self._samples.append(sample)
        self.round_trip = min(self._samples)
        return sample
