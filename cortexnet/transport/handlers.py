"""The handlers of the streams that a peer opened on one connection. A shell."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, final

from cortexnet.errors import Ended, LimitExceeded, Refuse, RemoteError, StreamCode
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

StreamHandler = Callable[[Stream], Awaitable[None]]


class StreamAcceptor(Protocol):
    """Who decides about the streams that peers open."""

    def supports(self, protocol: str) -> bool:
        """Whether there is a handler."""

    def handler(self, protocol: str) -> tuple[StreamHandler, bool]:
        """The handler, and whether it may have more streams of a connection than the usual limit (see `Limits`)."""


@final
class Handlers:
    """One task for each stream, in a scope of the connection's own below `scope`."""

    def __init__(self, acceptor: StreamAcceptor, scope: Scope) -> None:
        self.supports = acceptor.supports
        """Whether there is a handler for a protocol."""
        self._acceptor = acceptor
        self._scope = Scope(scope)

    def run(self, stream: Stream) -> None:
        """The protocol of a stream is settled: its handler gets it, within the limits. It is given back its place at the end."""
        if self._scope.is_closed:  # nobody is left to handle it
            self._refuse(stream, StreamCode.SHUTDOWN)
            return
        handler, extended = self._acceptor.handler(stream.protocol)
        code = self._objection(stream, extended=extended)
        if code != StreamCode.NONE:
            self._refuse(stream, code)
            return
        task = self._scope.spawn(self._run(stream, handler), name=f"{stream.protocol} {stream.peer_id}")
        # Not by the task: one that is cancelled before its first step never runs.
        task.add_done_callback(lambda _: stream.slot.release())
        stream.slot.on_supplanted = partial(self._supplanted, stream, task)

    def _supplanted(self, stream: Stream, task: "asyncio.Task[None]", error: LimitExceeded) -> None:
        """Its place was given to a peer that has far fewer: nothing may go on that is counted no more."""
        stream.on_failure = None  # it would cancel the handler as well, and disturb what that does on its way out
        stream.supplanted(error)
        self._scope.end(task)

    def _objection(self, stream: Stream, *, extended: bool) -> int:
        """The code to refuse a stream with, that does not fit within the limits."""
        code = StreamCode.LIMIT_EXCEEDED
        connection = stream.connection
        try:
            stream.slot.negotiated(stream.protocol, extended=extended)
            code = StreamCode.RATE_LIMITED
            connection.reservation.admit_protocol(stream.protocol, connection.loop.time())
        except LimitExceeded as error:
            log.debug("stream of %s refused: %s", stream.peer_id, error, extra=_fields(stream))
            connection.reservation.refused(error)
            return code
        return StreamCode.NONE

    def _refuse(self, stream: Stream, code: int) -> None:
        stream.reset(code)
        stream.slot.release()

    async def _run(self, stream: Stream, handler: StreamHandler) -> None:
        try:
            await handler(stream)
            await stream.close()
        except Refuse as refusal:
            stream.reset(refusal.code)
        except (Ended, RemoteError) as error:  # the peer's doing, or nobody's
            stream.reset(error.code if isinstance(error, RemoteError) else StreamCode.NONE)
            log.debug("handler of %s ended: %s", stream.protocol, error, extra=_fields(stream))
        except Exception as error:  # boundary 1 of 5: a handler's bug costs its stream, not the node
            stream.reset()
            stream.connection.reservation.tally.handlers_failed += 1
            log.warning("handler of %s failed: %r", stream.protocol, error, exc_info=True, extra=_fields(stream))
        except asyncio.CancelledError:
            stream.reset(StreamCode.SHUTDOWN)
            raise

    def cancel(self) -> None:
        """End them, without waiting, and let no more begin."""
        self._scope.cancel()

    def cancel_later(self, seconds: float) -> None:
        """The peer is gone: those that still work on what it left have some time for it."""
        if len(self._scope):
            asyncio.get_running_loop().call_later(seconds, self._scope.cancel)
        else:
            self._scope.cancel()

    async def close(self) -> None:
        """End them and wait for them; asked to by one of them, for the others. Cancelled: they end all the same."""
        await self._scope.close()


def _fields(stream: Stream) -> dict[str, object]:
    """What a structured log says about a line beside its text."""
    return {"peer": stream.peer_id, "protocol": stream.protocol}
