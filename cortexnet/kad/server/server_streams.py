"""The streams on which peers ask: many requests on each, answered in their order, within limits. A shell.

Spec: libp2p/specs kad-dht, "RPC messages".
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet.admission.rate_limit import KeyedRateLimit
from cortexnet.errors import EndOfStream, ProtocolViolation, Refuse, StreamCode
from cortexnet.host.step_turns import step_turns

if TYPE_CHECKING:
    from cortexnet.admission.limits import Limits
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.config import KadConfig
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.stream import Stream

PACE = 0.01
"""Seconds until a peer that asks too often is looked at again."""

Answer = Callable[["PeerId", bytes], bytes | None]
"""Makes the answer to a peer's request, None where it gets none. Raises RemoteError for what is no request."""


@final
class ServerStreams:
    """Serves one protocol. A peer that asks too often is read more slowly; one with too many streams loses the idlest."""

    def __init__(self, answer: Answer, *, config: "KadConfig", limits: "Limits") -> None:
        self._answer = answer
        self._config = config
        self._limit_loopback = limits.limit_loopback
        self._rates: KeyedRateLimit[PeerId] = KeyedRateLimit(
            config.request_rate, config.request_rate, size_limit=limits.rate_table_size
        )
        self._streams: dict[Connection, dict[Stream, bool]] = {}  # whether it waits; the one that was heard longest ago first

    async def serve(self, stream: "Stream") -> None:
        """The handler. Ends with the peer's end, and where the peer sends nothing for `stream_idle` seconds.

        Refuses where all streams of the connection are busy. Raises RemoteError for what is no request: the stream is reset.
        """
        streams = self._streams.setdefault(stream.connection, {})
        try:
            self._make_room(streams)
            streams[stream] = True
            await self._answer_all(stream, streams)
        finally:
            streams.pop(stream, None)
            if not streams:
                self._streams.pop(stream.connection, None)

    def reset(self) -> None:
        """End all streams: this node answers no more."""
        for streams in self._streams.values():
            for stream in list(streams):
                stream.reset()

    def _make_room(self, streams: "dict[Stream, bool]") -> None:
        if len(streams) < self._config.streams_per_connection:
            return
        idlest = next((stream for stream, waits in streams.items() if waits), None)
        if idlest is None:
            raise Refuse(StreamCode.LIMIT_EXCEEDED, "every stream of this connection is busy")
        del streams[idlest]
        idlest.reset(StreamCode.SUPPLANTED)

    async def _answer_all(self, stream: "Stream", streams: "dict[Stream, bool]") -> None:
        loop, idle, turns = asyncio.get_running_loop(), self._config.stream_idle, step_turns()
        peer, origin, size_limit = stream.peer_id, stream.connection.origin, self._config.request_size
        is_paced = self._limit_loopback or not stream.connection.remote_address.is_loopback
        try:
            async with asyncio.timeout(idle) as silence:
                while True:
                    request = await stream.read_message(limit=size_limit)
                    streams.pop(stream, None)  # to the end: it is the one that was heard last
                    streams[stream] = False
                    if is_paced:
                        await self._pace(peer)
                    answer = await turns.run(lambda: self._answer(peer, request), of=origin)  # noqa: B023  # called before the next
                    if answer is not None:
                        await stream.write_message(answer)
                    streams[stream] = True
                    silence.reschedule(loop.time() + idle)
        except TimeoutError:
            if not silence.expired():
                raise
        except EndOfStream as end:
            if end.partial:
                raise ProtocolViolation("a request that ends within") from end

    async def _pace(self, peer: "PeerId") -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._rates.take(peer, loop.time()):
                return
            await asyncio.sleep(PACE)
