"""What connections can be made of, for workloads that are measured on each: by name, as each kind of half is told."""

from dataclasses import dataclass, field
from typing import Final, final


@final
@dataclass(frozen=True, slots=True)
class Stack:
    """One transport with its secure channel; QUIC brings its own."""

    listen: str
    transport: str
    """As `Config.transports` names it."""
    security: tuple[str, ...] = field(default=())


STACKS: Final[dict[str, Stack]] = {
    "tcp-noise": Stack("/ip4/127.0.0.1/tcp/0", "tcp", ("noise",)),
    "tcp-tls": Stack("/ip4/127.0.0.1/tcp/0", "tcp", ("tls",)),
    "ws-noise": Stack("/ip4/127.0.0.1/tcp/0/ws", "ws", ("noise",)),
    "wss-noise": Stack("/ip4/127.0.0.1/tcp/0/tls/ws", "ws", ("noise",)),
    "quic": Stack("/ip4/127.0.0.1/udp/0/quic-v1", "quic"),
}
