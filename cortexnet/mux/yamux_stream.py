"""What a yamux session keeps of one stream."""

from typing import final

from cortexnet.mux.inbox import Inbox
from cortexnet.mux.outbox import Outbox, OutboxPool
from cortexnet.mux.window import INITIAL_WINDOW, ReceiveWindow


@final
class YamuxStream:
    """Both directions of one stream; owned and changed by its session alone."""

    __slots__ = (
        "ack_wanted",
        "charged",
        "closing",
        "discarding",
        "fin_sent",
        "finished",
        "id",
        "inbox",
        "ours",
        "outbox",
        "reserved",
        "reset",
        "send_window",
        "stopped",
        "turn",
        "window",
    )

    def __init__(self, stream_id: int, window: ReceiveWindow, pool: OutboxPool, *, ours: bool) -> None:
        self.id = stream_id
        self.ours = ours
        self.inbox = Inbox()
        self.outbox = Outbox(pool)
        self.window = window
        self.send_window = INITIAL_WINDOW
        self.ack_wanted = ours  # opened by us, not acknowledged yet
        self.closing = False  # no more writes
        self.fin_sent = False
        self.finished = False  # the peer writes no more
        self.discarding = False  # nobody reads any more
        self.reset = False  # ended by the peer or with the session: what came before may still be read
        self.stopped = False  # a writer waits: for credit, or for its share of the outbox
        self.charged = 0  # bytes of memory it stands for
        self.reserved = 0  # the part of them that does not follow what was read: what is promised to the peer
        self.turn = 0  # the last `receive` that announced it as readable

    @property
    def is_draining(self) -> bool:
        """Whether nothing will be put into the inbox any more."""
        return self.finished or self.reset or self.discarding

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more, in either direction."""
        return (self.reset or (self.finished and self.fin_sent)) and not self.inbox.size
