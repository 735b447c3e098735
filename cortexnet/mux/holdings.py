"""What the streams of a session hold in memory, and the readers who wait for more than a window."""

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar, final

from cortexnet.errors import LimitExceeded
from cortexnet.mux.inbox import PIECE_OVERHEAD, Inbox
from cortexnet.mux.muxer import MemoryBudget
from cortexnet.mux.window import INITIAL_WINDOW, ReceiveWindow
from cortexnet.mux.yamux_frames import MAX_CREDIT

_PINNED = 65_536  # a piece that was read in part is held whole
_SMALLEST_PIECES = 512  # the mean size, at the worst: see Inbox
_FIRST_WINDOW = INITIAL_WINDOW + PIECE_OVERHEAD * INITIAL_WINDOW // _SMALLEST_PIECES  # bytes of memory one takes when it is full
_SPARE = 4  # this part of the memory is never taken for growth, but left for first windows and for readers who wait


def reservation(promised: int) -> int:
    """What a stream is charged that may come to hold `promised` bytes: never less than what they can cost.

    The first window is free: it must be granted to everybody, and is charged as it fills.
    """
    if promised <= INITIAL_WINDOW:
        return 0
    return promised + PIECE_OVERHEAD * promised // _SMALLEST_PIECES + _PINNED


class Held(Protocol):
    """What the account needs of a stream."""

    id: int
    inbox: Inbox
    window: ReceiveWindow
    charged: int
    """Bytes of memory it stands for."""
    reserved: int
    """The part of them that does not follow what was read: what is promised to the peer."""

    @property
    def is_draining(self) -> bool:
        """Whether nothing will be put into the inbox any more."""


HeldStream = TypeVar("HeldStream", bound=Held)


@final
class Holdings(Generic[HeldStream]):
    """The account of one session; a core.

    A stream stands for what it holds (bytes and their pieces), or for what a window above the first may bring, whichever is
    more: what was granted may arrive at any time.
    """

    def __init__(self, memory: MemoryBudget, streams: Mapping[int, HeldStream]) -> None:
        self._memory = memory
        self._streams = streams
        self.is_over = memory.is_over
        """Whether the session holds more than it may."""
        self.grew = False
        """Whether something was charged since this was last set to False."""
        self.demands: dict[int, int] = {}
        """Bytes that readers of streams wait for and that are not granted yet, in the order they were asked for."""

    def arrived(self, stream: HeldStream) -> None:
        """The stream's inbox has grown."""
        held = stream.inbox.charge
        if held > stream.charged:
            self._memory.charge(held - stream.charged)
            stream.charged = held
            self.grew = True

    def settle(self, stream: HeldStream) -> list[HeldStream]:
        """The stream holds less, or may come to: give back what it no longer stands for; demands that can be granted now."""
        if self.demands:  # readers who wait come before windows that could be smaller
            stream.window.stop_growth(stream.inbox.size)
        stream.reserved = 0 if stream.is_draining else reservation(stream.window.promised)
        due = max(stream.inbox.charge, stream.reserved)
        if due >= stream.charged:
            return []
        self._memory.release(stream.charged - due)
        stream.charged = due
        return self.grantable()

    def grow(self, stream: HeldStream, round_trip: float | None, now: float) -> None:
        """Let the window grow, if it was what held the sender back and nobody needs the memory more."""
        growth = stream.window.wants_growth(stream.inbox.size, now, round_trip)
        if growth and not self.demands:
            spare = self._memory.limit // _SPARE
            if self._cover(stream, stream.window.target + growth, spare):
                stream.window.target += growth

    def demand(self, stream: HeldStream, size: int) -> list[HeldStream]:
        """A reader waits for `size` bytes; the streams whose demand is granted now. Raises LimitExceeded for the impossible."""
        need = reservation(size)
        limit = min(self._memory.limit, MAX_CREDIT)
        if need > limit:
            raise LimitExceeded("memory for one read", limit=limit, value=need, setting=self._memory.setting)
        self.demands[stream.id] = size
        return self.grantable()

    def end_demand(self, stream: HeldStream) -> list[HeldStream]:
        """The read has ended; its share goes to the next."""
        self.demands.pop(stream.id, None)
        stream.window.demand = 0
        return self.settle(stream) or self.grantable()  # the turn may be another one's also where nothing was freed

    def grantable(self) -> list[HeldStream]:
        """Demands that fit now, whole and in order; they are charged and no longer wait."""
        granted: list[HeldStream] = []
        while self.demands:
            stream_id, size = next(iter(self.demands.items()))
            stream = self._streams[stream_id]
            if not self._cover(stream, max(size, stream.window.target), self._first_windows(stream)):
                break
            del self.demands[stream_id]
            stream.window.demand = size
            granted.append(stream)
        return granted

    def _first_windows(self, asking: HeldStream) -> int:
        """What the first windows of other streams may come to hold yet, half of the memory at the least for those to be opened.

        Nothing while no demand is granted: one at a time always goes on. More wait, or what is granted to everybody unasked
        could pass the cap.
        """
        if not any(stream.window.demand for stream in self._streams.values() if stream is not asking):
            return 0
        others = [stream for stream in self._streams.values() if not (stream.reserved or stream.is_draining or stream is asking)]
        return max(sum(max(_FIRST_WINDOW - stream.charged, 0) for stream in others), self._memory.limit // 2)

    def drop(self, stream: HeldStream) -> None:
        """Empty the stream's inbox, which nobody will read; it is to be settled or removed next."""
        if stream.inbox.size:
            self._memory.dropped(stream.inbox.charge)
            stream.inbox.clear()

    def remove(self, stream: HeldStream) -> list[HeldStream]:
        """The stream is gone; demands that can be granted now."""
        self.demands.pop(stream.id, None)
        self._memory.release(stream.charged)
        stream.charged = 0
        return self.grantable()

    def _cover(self, stream: HeldStream, promised: int, spare: int = 0) -> bool:
        """Charge what the stream may come to hold; False, and nothing charged, where not that much and `spare` bytes are free."""
        reserved = reservation(promised)
        if reserved > stream.charged:
            if not self._memory.reserve(reserved - stream.charged + spare):
                return False
            self._memory.release(spare)
            stream.charged = reserved
        stream.reserved = reserved
        return True
