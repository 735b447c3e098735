"""Requests and responses between real connections: framing, limits, refusals, deadlines, cancellation."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexnet.admission.limits import Limits
from cortexnet.errors import (
    ConnectionClosed,
    LocalError,
    MessageTooLarge,
    NegotiationFailed,
    PeerTimeout,
    ProtocolViolation,
    Refuse,
    RequestFailed,
    StreamCode,
    StreamReset,
)
from cortexnet.host.deadline import deadline
from cortexnet.messaging.request import RESPONSE_TIMEOUT, Framing, Request, RequestHandler, request, responder
from cortexnet.testing.loop import run
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from tests.support.pairs import Net, network, settle

PROTOCOL = "/query/1.0.0"
FRAMINGS: list[Framing] = ["varint", "eof"]


async def echo(request: Request) -> bytes:
    return request.data


async def serving(
    net: Net,
    handler: RequestHandler,
    *,
    framing: Framing = "varint",
    size_limit: int = 1_000,
    timeout: float | None = RESPONSE_TIMEOUT,
) -> tuple[Connection, Connection]:
    """Both ends of a connection to somebody who answers with `handler`."""
    alice, bob = net.station(), net.station()
    answer = responder(handler, limits=bob.limits, framing=framing, size_limit=size_limit, timeout=timeout)
    bob.handle(PROTOCOL, answer)
    return await net.connect(alice, bob)


async def ask(
    connection: Connection,
    data: bytes,
    *,
    framing: Framing = "varint",
    size_limit: int = 1_000_000,
    timeout: float | None = None,
) -> bytes:
    async with deadline(timeout, "the request"), await connection.open_stream([PROTOCOL]) as stream:
        return await request(stream, data, framing=framing, size_limit=size_limit)


async def check_nothing_is_left(*connections: Connection) -> None:
    await settle()
    assert [connection.stream_count for connection in connections] == [0] * len(connections)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("tcp", [False, True])
async def test_a_request_is_answered_and_its_stream_closed(framing: Framing, tcp: bool) -> None:
    async with network(tcp=tcp) as net:
        seen: list[Request] = []

        async def answer(request: Request) -> bytes:
            seen.append(request)
            return request.data[::-1]

        connection, theirs = await serving(net, answer, framing=framing)
        begin = connection.loop.time()
        assert await ask(connection, b"question", framing=framing) == b"noitseuq"
        (got,) = seen
        assert (got.peer_id, got.data) == (theirs.peer_id, b"question")
        assert got.deadline == pytest.approx(begin + RESPONSE_TIMEOUT, abs=10)
        if not tcp:
            await check_nothing_is_left(connection, theirs)


@given(st.binary(max_size=300), st.integers(1, 40), st.sampled_from(FRAMINGS))
@settings(max_examples=30, deadline=None)
def test_however_a_request_is_cut_it_is_the_same(data: bytes, size: int, framing: Framing) -> None:
    async def main() -> None:
        async with network() as net:

            async def answer(request: Request) -> bytes:
                return b"got " + request.data

            connection, _ = await serving(net, answer, framing=framing)
            assert await ask(connection, data, framing=framing) == b"got " + data
            async with await connection.open_stream([PROTOCOL]) as stream:
                framed = bytes(_framed(data)) if framing == "varint" else data
                for start in range(0, len(framed), size):
                    await stream.write(framed[start : start + size])
                    await settle(4)
                await stream.close_write()
                response = await (stream.read_message() if framing == "varint" else stream.read_all(limit=1_000))
                assert response == b"got " + data

    run(main())


def _framed(data: bytes) -> bytes:
    size = len(data)
    return (bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])) + data


async def test_empty_messages_are_messages_where_they_have_a_length() -> None:
    async with network() as net:
        connection, _ = await serving(net, echo)
        assert await ask(connection, b"") == b""


async def test_many_requests_run_side_by_side() -> None:
    async with network() as net:
        at_once = most = 0

        async def answer(request: Request) -> bytes:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(1)
            at_once -= 1
            return request.data

        connection, theirs = await serving(net, answer)
        answers = await asyncio.gather(*(ask(connection, b"%d" % number) for number in range(100)))
        assert answers == [b"%d" % number for number in range(100)]
        assert most == 100
        await check_nothing_is_left(connection, theirs)


# --- refusals and failures


async def failing(net: Net, error: Exception) -> StreamReset:
    """What a caller gets where the handler raises `error`."""

    async def answer(request: Request) -> bytes:
        raise error

    connection, theirs = await serving(net, answer)
    with pytest.raises(RequestFailed) as caught:
        await ask(connection, b"question")
    await check_nothing_is_left(connection, theirs)
    return caught.value


async def test_a_handler_refuses_with_a_code_of_its_choice() -> None:
    async with network() as net:
        error = await failing(net, Refuse(0x2001))
        assert (error.code, error.by) == (0x2001, "remote")
        assert str(error).endswith("reset the request, code 0x2001 (8193)")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        TimeoutError("of its own"),
        ConnectionClosed("to somebody else"),
        ProtocolViolation("of somebody else"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_handler_raises_the_caller_gets_no_code_and_the_log_says_why(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with network() as net:
        with caplog.at_level(logging.WARNING):
            assert (await failing(net, error)).code == 0
        (record,) = caplog.records
        assert PROTOCOL in record.getMessage()
        assert str(error) in record.getMessage() or str(error) in str(record.exc_info)


async def test_a_handler_of_eof_framing_that_returns_nothing_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: Request) -> bytes:
        return b""

    async with network() as net:
        connection, _ = await serving(net, answer, framing="eof")
        with pytest.raises(RequestFailed):
            await ask(connection, b"question", framing="eof")
        assert "callers take for a failure" in caplog.text


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("sent", [b"", b"\x05abc"])
async def test_a_stream_that_ends_before_the_response_has_failed(framing: Framing, sent: bytes) -> None:
    async def end(stream: Stream) -> None:
        await stream.read_all(limit=100)
        await stream.write(sent)

    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, end)
        connection, theirs = await net.connect(alice, bob)
        if framing == "eof" and sent:
            assert await ask(connection, b"question", framing=framing) == sent
            return
        with pytest.raises(RequestFailed) as caught:
            await ask(connection, b"question", framing=framing)
        assert caught.value.code == 0
        await check_nothing_is_left(connection, theirs)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_peer_that_does_not_speak_the_protocol_says_so(framing: Framing) -> None:
    async with network() as net:
        connection, theirs = await net.connect(net.station(), net.station())
        with pytest.raises(NegotiationFailed):
            await ask(connection, b"question", framing=framing)
        await check_nothing_is_left(connection, theirs)


async def test_a_response_that_is_no_message_is_a_violation() -> None:
    async def babble(stream: Stream) -> None:
        await stream.read_all(limit=100)
        await stream.write(b"\xff" * 20)

    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, babble)
        connection, _ = await net.connect(alice, bob)
        with pytest.raises(ProtocolViolation):
            await ask(connection, b"question")


# --- sizes


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_request_is_taken_up_to_its_limit(framing: Framing) -> None:
    async with network() as net:
        connection, theirs = await serving(net, echo, framing=framing, size_limit=1_000)
        for size in (999, 1_000):
            assert len(await ask(connection, bytes(size), framing=framing)) == size
        with pytest.raises(RequestFailed) as caught:
            await ask(connection, bytes(1_001), framing=framing)
        assert caught.value.code == MessageTooLarge.code
        await check_nothing_is_left(connection, theirs)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_response_is_taken_up_to_its_limit(framing: Framing) -> None:
    async with network() as net:
        connection, theirs = await serving(net, echo, framing=framing)
        for size in (98, 99):
            assert len(await ask(connection, bytes(size), framing=framing, size_limit=99)) == size
        with pytest.raises(MessageTooLarge):
            await ask(connection, bytes(100), framing=framing, size_limit=99)
        await check_nothing_is_left(connection, theirs)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_messages_larger_than_a_window_go_both_ways(framing: Framing) -> None:
    async with network() as net:
        connection, _ = await serving(net, echo, framing=framing, size_limit=3_000_000)
        data = bytes(range(250)) * 12_000
        assert await ask(connection, data, framing=framing, size_limit=3_000_000) == data


async def test_a_length_over_the_limit_is_refused_before_the_rest_has_come() -> None:
    async with network() as net:
        connection, _ = await serving(net, echo)
        async with await connection.open_stream([PROTOCOL]) as stream:
            await stream.write(b"\xff\xff\xff\x7f")
            with pytest.raises(StreamReset) as caught:
                await stream.read()
            assert caught.value.code == StreamCode.PROTOCOL_VIOLATION


# --- times


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("sent", [b"", b"\x20half"])
async def test_a_request_has_to_come_whole_in_time(framing: Framing, sent: bytes) -> None:
    async with network() as net:
        connection, _ = await serving(net, echo, framing=framing)
        async with await connection.open_stream([PROTOCOL]) as stream:
            await stream.write(sent)
            begin = connection.loop.time()
            with pytest.raises(StreamReset) as caught:
                await stream.read()
            assert caught.value.code == PeerTimeout.code
            assert connection.loop.time() == begin + Limits().request_timeout


async def test_a_slow_byte_does_not_extend_the_time() -> None:
    async with network() as net:
        connection, theirs = await serving(net, echo)
        stream = await connection.open_stream([PROTOCOL])
        begin = connection.loop.time()
        await stream.write(b"\x7f")
        while stream.failure is None:
            await stream.write(b".")
            await asyncio.sleep(0.9)
        assert begin + 10 <= connection.loop.time() < begin + 12
        await stream.close()
        await check_nothing_is_left(connection, theirs)


async def test_a_caller_that_gives_up_cancels_the_handler() -> None:
    async with network(latency=0.1) as net:
        handler, handle = recording()
        connection, theirs = await serving(net, handle)
        with pytest.raises(PeerTimeout):
            await ask(connection, b"question", timeout=2)
        await asyncio.sleep(0.2)
        assert handler == ["began", "cancelled", "cleaned up"]
        await check_nothing_is_left(connection, theirs)


async def test_a_caller_that_is_cancelled_cancels_the_handler() -> None:
    async with network(latency=0.1) as net:
        handler, handle = recording()
        connection, theirs = await serving(net, handle)
        task = asyncio.ensure_future(ask(connection, b"question"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.2)
        assert handler == ["began", "cancelled", "cleaned up"]
        await check_nothing_is_left(connection, theirs)


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize("by_caller", [False, True])
async def test_the_end_of_the_connection_cancels_the_handler_once(abort: bool, by_caller: bool) -> None:
    async with network(latency=0.1) as net:
        handler, handle = recording()
        connection, theirs = await serving(net, handle)
        task = asyncio.ensure_future(ask(connection, b"question"))
        await asyncio.sleep(1)
        end = connection if by_caller else theirs
        if abort:
            end.abort()
        else:
            await end.close()
        with pytest.raises((ConnectionClosed, RequestFailed)):
            await task
        await asyncio.sleep(2)
        assert handler == ["began", "cancelled", "cleaned up"]


def recording() -> tuple[list[str], RequestHandler]:
    """A handler that takes long, and what becomes of it."""
    events: list[str] = []

    async def handle(request: Request) -> bytes:
        events.append("began")
        try:
            await asyncio.sleep(50)
        except asyncio.CancelledError:
            events.append("cancelled")
            await asyncio.sleep(0.01)
            events.append("cleaned up")
            raise
        return b""

    return events, handle


async def test_a_handler_has_its_time(caplog: pytest.LogCaptureFixture) -> None:
    async with network() as net:
        deadlines = []

        async def slow(request: Request) -> bytes:
            deadlines.append(request.deadline)
            await asyncio.sleep(100)
            return b""

        connection, theirs = await serving(net, slow, timeout=7)
        begin = connection.loop.time()
        with pytest.raises(RequestFailed) as caught:
            await ask(connection, b"question")
        assert connection.loop.time() == begin + 7
        assert deadlines == [begin + 7]
        assert caught.value.code == 0
        assert "took longer than 7 s" in caplog.text
        await check_nothing_is_left(connection, theirs)


async def test_without_a_limit_a_handler_has_as_long_as_its_caller_waits() -> None:
    async with network() as net:

        async def slow(request: Request) -> bytes:
            assert request.deadline is None
            await asyncio.sleep(10_000)
            return b"at last"

        connection, _ = await serving(net, slow, timeout=None)
        assert await ask(connection, b"question") == b"at last"


async def test_a_caller_that_does_not_read_is_given_up_within_the_time_of_the_handler() -> None:
    async def large(request: Request) -> bytes:
        return bytes(1_000_000)

    async with network() as net:
        connection, theirs = await serving(net, large, timeout=7)
        async with await connection.open_stream([PROTOCOL]) as stream:
            await stream.write_message(b"question")
            await asyncio.sleep(6)
            assert theirs.stream_count == 1
            await asyncio.sleep(2)
            assert theirs.stream_count == 0


@pytest.mark.parametrize("turns", range(12))
async def test_wherever_a_request_is_cancelled_nothing_is_left(turns: int) -> None:
    async with network() as net:

        async def answer(request: Request) -> bytes:
            await asyncio.sleep(0)
            return request.data

        connection, theirs = await serving(net, answer, size_limit=1_000_000)
        task = asyncio.ensure_future(ask(connection, bytes(500_000)))
        await settle(turns)
        task.cancel()
        outcome = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome[0], asyncio.CancelledError)
        await check_nothing_is_left(connection, theirs)
        assert await ask(connection, b"next") == b"next"


@pytest.mark.parametrize("turns", range(12))
async def test_wherever_the_connection_ends_nothing_is_left(turns: int) -> None:
    async with network() as net:
        connection, theirs = await serving(net, echo, size_limit=1_000_000)
        task = asyncio.ensure_future(ask(connection, bytes(500_000)))
        await settle(turns)
        theirs.abort()
        outcome = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome[0], ConnectionClosed | RequestFailed)


async def test_for_a_caller_that_has_given_up_already_nothing_is_begun() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        handler, handle = recording()
        answer = responder(handle, limits=bob.limits)

        async def busy(stream: Stream) -> None:
            await asyncio.sleep(1)
            await answer(stream)

        bob.handle(PROTOCOL, busy)
        connection, theirs = await net.connect(alice, bob)
        stream = await connection.open_stream([PROTOCOL], confirm=True)
        await stream.write_message(b"question")
        await stream.close_write()
        await settle()
        stream.reset()
        await asyncio.sleep(2)
        await check_nothing_is_left(connection, theirs)
        assert handler == []


async def test_a_deadline_and_a_reset_in_the_same_turn_end_the_handler_once() -> None:
    async with network() as net:
        handler, handle = recording()
        connection, theirs = await serving(net, handle, timeout=3)
        stream = await connection.open_stream([PROTOCOL])
        await stream.write_message(b"question")
        connection.loop.call_later(3, stream.reset)
        await asyncio.sleep(4)
        assert handler == ["began", "cancelled", "cleaned up"]
        await check_nothing_is_left(connection, theirs)


async def test_a_handler_that_does_not_mind_being_cancelled_can_not_answer_any_more() -> None:
    async with network() as net:

        async def stubborn(request: Request) -> bytes:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                return b"too late"
            return b""

        connection, theirs = await serving(net, stubborn)
        with pytest.raises(PeerTimeout):
            await ask(connection, b"question", timeout=1)
        await check_nothing_is_left(connection, theirs)


@pytest.mark.parametrize("answered", [5, None, "text"], ids=repr)
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_what_is_no_bytes_is_no_response(answered: Any, framing: Framing, caplog: pytest.LogCaptureFixture) -> None:
    async with network() as net:

        async def answer(request: Request) -> bytes:
            return answered  # type: ignore[no-any-return]

        connection, _ = await serving(net, answer, framing=framing)
        with pytest.raises(RequestFailed, match="code 0x0: most likely its handler has failed"):
            await ask(connection, b"question", framing=framing)
        assert PROTOCOL in caplog.text
        assert f"the response is bytes, not {type(answered).__name__}" in caplog.text


@pytest.mark.parametrize("wrong", [{"framing": "lines"}, {"size_limit": -1}], ids=str)
async def test_a_framing_or_a_limit_that_is_none_is_refused_on_both_sides(wrong: dict[str, Any]) -> None:
    async with network() as net:
        with pytest.raises(LocalError, match=r"'lines' is none of varint, eof|-1 bytes is negative"):
            responder(echo, limits=Limits(), **wrong)
        connection, _ = await serving(net, echo)
        async with await connection.open_stream([PROTOCOL]) as stream:
            with pytest.raises(LocalError):
                await request(stream, b"", **wrong)
            assert await request(stream, b"data") == b"data"  # nothing had been said
