"""What a connection is made of, and which of it two peers have in common."""

from dataclasses import dataclass
from itertools import product
from typing import final

from interop.harness.process import Answer

LISTEN = {
    "tcp": "/ip4/127.0.0.1/tcp/0",
    "ws": "/ip4/127.0.0.1/tcp/0/ws",
    "wss": "/ip4/127.0.0.1/tcp/0/tls/ws",  # each peer makes a certificate of its own, and believes any
    "quic-v1": "/ip4/127.0.0.1/udp/0/quic-v1",
}
BUILT_IN = {"quic-v1"}  # transports that bring their own secure channel and muxer


@final
@dataclass(frozen=True, slots=True)
class Stack:
    """Transport, secure channel and muxer; the latter two are empty where the transport brings its own."""

    transport: str
    security: str = ""
    muxer: str = ""

    def __str__(self) -> str:
        muxer = self.muxer.strip("/").partition("/")[0]
        return " ".join(part for part in (self.transport, self.security, muxer) if part)

    def start_options(self) -> dict[str, object]:
        """The fields of the `start` operation: loopback, a port of the system's choice, nothing but this stack."""
        options: dict[str, object] = {"listen": [LISTEN[self.transport]]}
        if self.security:
            options["security"] = [self.security]
        if self.muxer:
            options["muxers"] = [self.muxer]
        return options


def common_stacks(dialer: Answer, listener: Answer) -> list[Stack]:
    """All that both peers describe, in the dialer's order of preference."""

    def shared(key: str) -> list[str]:
        return [item for item in dialer[key] if item in listener[key]]

    stacks: list[Stack] = []
    for transport in shared("transports"):
        if transport in BUILT_IN:
            stacks.append(Stack(transport))
        else:
            stacks += [Stack(transport, security, muxer) for security, muxer in product(shared("security"), shared("muxers"))]
    return stacks
