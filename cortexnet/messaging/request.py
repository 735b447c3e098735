"""Requests and responses: one stream for each. A shell.

The request goes out with its end behind it, the response likewise. "varint" framing puts the length in front of both, "eof" does
not: there a message is all that comes up to the end, which is what rust-libp2p's request-response codecs speak.
A deadline travels as a reset: a caller that gives up resets the stream, and what the responder does for it is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar, final, get_args

from cortexnet.admission.limits import Limits
from cortexnet.documented import documented
from cortexnet.errors import (
    ConnectionClosed,
    Ended,
    EndOfStream,
    LimitExceeded,
    LocalError,
    RemoteError,
    RequestFailed,
    StreamCode,
    StreamReset,
    in_words,
)
from cortexnet.host.deadline import deadline
from cortexnet.host.host import check_callable
from cortexnet.identity.peer_id import PeerId
from cortexnet.messaging.in_flight import LARGE_MESSAGE, InFlight
from cortexnet.texts import check_bytes
from cortexnet.transport.connection import StreamHandler
from cortexnet.transport.stream import Stream

SIZE_LIMIT = 1024 * 1024
"""Bytes of a request or a response where nothing else is said; what rust-libp2p's codecs take as a request."""
RESPONSE_TIMEOUT = 60.0
"""Seconds a handler has for its response, sending it included: a caller that never gives up must not hold it for ever."""

Framing = Literal["varint", "eof"]
_FRAMINGS: tuple[Framing, ...] = get_args(Framing)
_WHY = {
    StreamCode.NONE: ": most likely its handler has failed, see the log there",
    StreamCode.LIMIT_EXCEEDED: ": it would have passed a limit of its own",
}
T = TypeVar("T")
R = TypeVar("R")


@final
@documented
@dataclass(frozen=True, slots=True)
class Request:
    """What a peer asks."""

    peer_id: PeerId
    """Who asks; proved by the connection."""
    data: bytes
    """What it asks, whole."""
    deadline: float | None
    """When the handler is cancelled at the latest, in the time of `loop.time()`."""


RequestHandler = Callable[[Request], Awaitable[bytes]]


def responder(
    handler: RequestHandler,
    *,
    limits: Limits,
    framing: Framing = "varint",
    size_limit: int = SIZE_LIMIT,
    timeout: float | None = RESPONSE_TIMEOUT,
) -> StreamHandler:
    """A stream handler that answers one request with what `handler` returns.

    A request has to come whole within `limits.request_timeout` seconds and `size_limit` bytes. The handler is cancelled when the
    caller resets the stream, when the connection ends, and after `timeout` seconds. What it raises resets the stream: Refuse with
    its code, all else with 0. With "eof" framing it can't return b"", which callers would take for a failure.
    Raises LocalError for a framing or a limit that is none.
    """
    check_callable("a handler of requests", handler)
    _check(framing, size_limit)
    return _Exchange(blameless(handler), limits, framing, size_limit, timeout).serve


def verified_responder(
    handler: RequestHandler, *, limits: Limits, size_limit: int, timeout: float | None = RESPONSE_TIMEOUT
) -> StreamHandler:
    """As `responder`, for protocols of our own: a RemoteError of `handler` is the fault of the peer that asks."""
    return _Exchange(handler, limits, "varint", size_limit, timeout).serve


def blameless(handler: Callable[[T], Awaitable[R]]) -> Callable[[T], Awaitable[R]]:
    """`handler` such that what other peers did to it is not taken for a fault of the peer that asks."""

    async def handle(argument: T) -> R:
        try:
            return await handler(argument)
        except (RemoteError, Ended) as error:
            raise LocalError(f"the handler failed: {error!r}") from error

    return handle


async def request(stream: Stream, data: bytes, *, framing: Framing = "varint", size_limit: int = SIZE_LIMIT) -> bytes:
    """The response to `data` on a fresh stream, which the caller closes, or resets where this raises.

    Raises RequestFailed with the responder's code, also where it ends the stream without a response; NegotiationFailed where it
    does not speak the protocol; MessageTooLarge past `size_limit` bytes, ProtocolViolation, PeerTimeout, ConnectionClosed;
    LimitExceeded where this node had no memory for the response; LocalError for a framing or a limit that is none, and for data
    that is not bytes.
    """
    check_request(data, framing, size_limit)
    try:
        await _write(stream, data, framing)
        await stream.close_write()
        response = await _read(stream, framing, size_limit)
    except StreamReset as error:
        if isinstance(error.__cause__, LimitExceeded):
            raise error.__cause__ from None
        why = _WHY.get(error.code, "")
        message = f"{stream.peer_id} reset the request, {in_words(error.code, StreamCode)}{why}"
        raise RequestFailed(message, code=error.code, by=error.by) from error
    except EndOfStream as error:
        raise RequestFailed(f"{stream.peer_id} ended the stream without a whole response") from error
    if framing == "eof" and not response:
        # A responder of rust-libp2p that fails on QUIC looks like this.
        raise RequestFailed(f"{stream.peer_id} sent an empty response")
    stream.connection.shared(given=len(response))
    return response


@final
class _Exchange:
    """How one protocol answers."""

    def __init__(self, handler: RequestHandler, limits: Limits, framing: Framing, size_limit: int, timeout: float | None) -> None:
        self._handler = handler
        self._request_timeout = limits.request_timeout
        self._framing: Framing = framing
        self._size_limit = size_limit
        self._timeout = timeout
        self._large = InFlight(limits.large_messages_per_peer, limits.requests_waiting_per_peer)

    async def serve(self, stream: Stream) -> None:
        async with deadline(self._request_timeout, f"a request of {stream.peer_id}"):
            data = await _read(stream, self._framing, self._size_limit)
        try:
            async with asyncio.timeout(self._timeout) as time:
                await self._answer(stream, data, time)
        except TimeoutError as error:
            if not time.expired():
                raise
            if stream.failure is not None:
                raise stream.failure from None
            raise LocalError(f"the handler of {stream.protocol} took longer than {self._timeout} s") from error

    async def _answer(self, stream: Stream, data: bytes, time: asyncio.Timeout) -> None:
        """Run the handler and write what it returns, within a time that is over when the stream fails."""
        loop, limit = stream.connection.loop, time.when()

        def give_up() -> None:
            # Where we close the connection its handlers are cancelled anyhow: again would disturb what they clean up.
            failure = stream.failure
            is_cancelled = isinstance(failure, ConnectionClosed) and failure.by == "local"
            if not is_cancelled and not time.expired():
                time.reschedule(loop.time())

        stream.on_failure = give_up
        try:
            if stream.failure is not None:
                raise stream.failure
            response = await self._handler(Request(stream.peer_id, data, limit))
            check_bytes("the response", response)
            if self._framing == "eof" and not response:
                raise LocalError(f"the handler of {stream.protocol} returned no bytes, which callers take for a failure")
            async with self._large.turn(stream.peer_id) if len(response) > LARGE_MESSAGE else nullcontext():
                await _write(stream, response, self._framing)
            stream.connection.shared(taken=len(response))
        finally:
            stream.on_failure = None


def check_request(data: bytes, framing: Framing, size_limit: int) -> None:
    """Whether it can be sent. Raises LocalError for data that is not bytes, and for a framing or a limit that is none."""
    check_bytes("a request", data)
    _check(framing, size_limit)


def _check(framing: Framing, size_limit: int) -> None:
    if framing not in _FRAMINGS:
        raise LocalError(f"the framing {framing!r} is none of {', '.join(_FRAMINGS)}")
    if size_limit < 0:
        raise LocalError(f"a limit of {size_limit} bytes is negative")


async def _write(stream: Stream, data: bytes, framing: Framing) -> None:
    if framing == "varint":
        await stream.write_message(data)
    elif data:
        await stream.write(data)


async def _read(stream: Stream, framing: Framing, size_limit: int) -> bytes:
    if framing == "varint":
        return await stream.read_message(limit=size_limit)
    return await stream.read_all(limit=size_limit)
