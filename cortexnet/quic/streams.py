"""What is kept of one QUIC stream above its engine."""

from typing import final

from cortexnet.mux.inbox import Inbox
from cortexnet.mux.window import ReceiveWindow


@final
class QuicStreamState:
    """Both directions of one stream; owned and changed by its engine alone."""

    __slots__ = (
        "charged",
        "closing",
        "discarding",
        "finished",
        "gap",
        "id",
        "inbox",
        "is_gone",
        "ours",
        "prepaid",
        "reserved",
        "reset",
        "stopped",
        "turn",
        "window",
    )

    def __init__(self, stream_id: int, window: ReceiveWindow, *, ours: bool) -> None:
        self.id = stream_id
        self.ours = ours
        self.inbox = Inbox()
        self.window = window
        self.gap = 0  # bytes that wait in the engine for some before them
        self.closing = False  # no more writes
        self.finished = False  # nothing more will come
        self.discarding = False  # nobody reads any more
        self.reset = False  # ended by the peer or with the connection: what came before may still be read
        self.stopped = False  # a writer waits for its share of the outbox
        self.is_gone = False  # of no more interest to anybody here; the engine is still busy with it
        self.prepaid = 0  # bytes of the window of the connection that were given back before they came
        self.charged = 0
        self.reserved = 0
        self.turn = 0  # the last `receive` that announced it as readable

    @property
    def is_draining(self) -> bool:
        """Whether nothing will be put into the inbox any more."""
        return self.finished or self.reset or self.discarding

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more, in either direction."""
        return (self.reset or self.closing) and self.is_draining and not self.inbox.size
