"""Every bound of an mplex session, with its reason."""

from dataclasses import asdict, dataclass
from typing import final

from cortexnet.errors import ConfigInvalid

NAME = "/mplex/6.7.0"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MplexConfig:
    """Bounds and times of a session: bytes, counts, seconds."""

    message_limit: int = 1024 * 1024
    """Bytes of one frame's body; all stacks refuse more."""
    unread_limit: int = 4 * 1024 * 1024
    """Bytes of a stream that nobody has read, beyond what a reader waits for; more reset the stream, as nothing else could stop
    its writer. js has the same bound."""
    outbox_share: int = 131_072
    """Bytes of a stream that wait to be sent: a write of 64 KiB is taken in whole while a full record leaves."""
    max_inbound_streams: int = 1_280
    """Streams the peer may have open, those included that linger after `close`; the connection's own, smaller limits are the
    shell's."""
    max_outbound_streams: int = 256
    """Streams we open at a time. rust resets what comes above 128 of both sides together."""
    frames_at_once: int = 600
    """Frames one `receive` works on: of one byte these take 1 to 2 ms of a loop's turn."""
    opening_weight: int = 24
    """As so many frames counts one that opens a stream: what follows from it, its handler included, takes some 50 µs. It is also
    what paces a flood of them: nothing in mplex could hold one back."""
    linger: float = 2.0
    """Seconds a closed stream's peer may go on sending after our end before it is reset."""
    linger_silent: float = 60.0
    """Seconds a closed stream waits for the end of a silent peer."""
    useless_frames: int = 1_000
    """Empty data, ends of what is over and the like in 10 s; more end the connection."""
    late_data: int = 128 * 1024 * 1024
    """Bytes that may still come for a stream that we ended: no window bounds what is under way, and js hands all that it is to
    send to its socket at once. To skip them costs less than to read them would have."""
    stray_data: int = 1024 * 1024
    """Bytes in 10 s for streams that are gone, beyond `late_data` for each; long names of streams count too."""
    control_backlog: int = 4_096
    """Control frames that wait for the socket: a peer that makes us answer and does not read is cut off."""

    def __post_init__(self) -> None:
        for name in ("message_limit", "unread_limit", "outbox_share", "frames_at_once"):
            if asdict(self)[name] < 1:
                raise ConfigInvalid("must be positive: nothing would ever move", key=f"mplex.{name}")
