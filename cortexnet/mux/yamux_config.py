"""Every bound of a yamux session, with its reason."""

from dataclasses import asdict, dataclass
from typing import final

from cortexnet.errors import ConfigInvalid
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux_frames import MAX_CREDIT


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class YamuxConfig:
    """Bounds and times of a session: bytes, counts, seconds."""

    max_window: int = 16 * 1024 * 1024
    """Bytes a stream's window may grow to: 16 MiB keep 1 Gbit/s busy over 130 ms; go's value."""
    outbox_share: int = 131_072
    """Bytes of a stream that wait to be sent: a write of 64 KiB is taken in whole while a full record leaves."""
    max_inbound_streams: int = 1_280
    """Streams the peer may have open, those included that linger after `close`: the 1,024 one protocol may ask for, and a rest
    for all others. The connection's own, smaller limits are the shell's."""
    max_outbound_streams: int = 256
    """Streams we open at a time; rust ends a connection at 512 of both sides together."""
    ack_backlog: int = 256
    """Streams opened and not acknowledged; go and rust refuse or hang beyond."""
    accept_rate: int = 20_000
    """Streams a second the peer may open before its acknowledgements are held back."""
    frames_at_once: int = 600
    """Frames one `receive` works on: of one byte these take about 1 ms of a loop's turn."""
    opening_weight: int = 150
    """As so many frames counts one that opens a stream: four, and their handlers, take some 0.2 ms."""
    ping_interval: float = 30.0
    """Seconds between pings, for the round trip and against sleeping middle boxes."""
    silence_limit: float = 40.0
    """Seconds without a single byte after which the connection is dead: one ping, and 10 s for its answer."""
    linger: float = 2.0
    """Seconds a closed stream's peer may go on sending after our FIN before it is reset."""
    linger_silent: float = 60.0
    """Seconds a closed stream waits for the FIN of a silent peer."""
    pong_backlog: int = 32
    """Pings answered at a time; go's value. More are dropped."""
    useless_frames: int = 1_000
    """Pings, empty data and the like in 10 s; more end the connection."""
    stray_data: int = 1024 * 1024
    """Bytes in 10 s for streams that are gone, beyond what their windows owed."""
    control_backlog: int = 4_096
    """Control frames that wait for the socket: a peer that makes us answer and does not read is cut off."""

    def __post_init__(self) -> None:
        if self.max_window < INITIAL_WINDOW:
            raise ConfigInvalid(f"is {self.max_window}, but every stream starts with {INITIAL_WINDOW}", key="yamux.max_window")
        if self.max_window > MAX_CREDIT:
            raise ConfigInvalid(f"is {self.max_window}, but credit is counted in 32 bits", key="yamux.max_window")
        for name in ("outbox_share", "frames_at_once", "accept_rate", "pong_backlog"):
            if asdict(self)[name] < 1:
                raise ConfigInvalid("must be positive: nothing would ever move", key=f"yamux.{name}")
