"""What an mplex session keeps of one stream."""

from typing import final

from cortexnet.multiformats import varint
from cortexnet.mux.inbox import Inbox
from cortexnet.mux.mplex_frames import CLOSE, MESSAGE, RESET, frame, key_of
from cortexnet.mux.outbox import Outbox, OutboxPool


@final
class MplexStream:
    """Both directions of one stream; owned and changed by its session alone."""

    __slots__ = (
        "_number",
        "_ours",
        "awaited",
        "charged",
        "closing",
        "data_prefix",
        "discarding",
        "fin_sent",
        "finished",
        "id",
        "inbox",
        "outbox",
        "reset",
        "stopped",
        "turn",
    )

    def __init__(self, number: int, pool: OutboxPool, *, ours: bool) -> None:
        self._number = number
        self._ours = ours
        self.id = key_of(number, ours=ours)
        self.data_prefix = varint.encode(number << 3 | MESSAGE - (not ours))  # what stands before the length of its data
        self.inbox = Inbox()
        self.outbox = Outbox(pool)
        self.awaited = 0  # bytes that a reader waits for
        self.closing = False  # no more writes
        self.fin_sent = False
        self.finished = False  # the peer writes no more
        self.discarding = False  # nobody reads any more
        self.reset = False  # ended by the peer or with the session: what came before may still be read
        self.stopped = False  # a writer waits for its share of the outbox
        self.charged = 0  # bytes of memory it stands for
        self.turn = 0  # the last `receive` that announced it as readable

    @property
    def ours(self) -> bool:
        """Whether we opened it."""
        return self._ours

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more, in either direction."""
        return (self.reset or (self.finished and self.fin_sent)) and not self.inbox.size

    def end_frame(self) -> bytes:
        """Says that we write no more."""
        return frame(self._number, CLOSE, ours=self._ours)

    def reset_frame(self) -> bytes:
        """Ends both directions."""
        return frame(self._number, RESET, ours=self._ours)
