"""One set of scenarios over memory links and over asyncio's own socket transports: what holds for one holds for the other."""

import asyncio
from collections.abc import Callable

import pytest

from tests.transport.recorder import MakePair, Recorder, Scenario, run_memory, run_socket

BULK = bytes(range(256)) * 32_768  # 8 MiB: more than a loopback connection's buffers hold

over_both = pytest.mark.parametrize("run_over", [run_memory, run_socket], ids=["memory", "socket"])
RunOver = Callable[[Scenario], None]


@over_both
def test_bytes_arrive_in_order_then_the_end_then_the_loss(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder(keep_open=False)) as (a, b):
            a.transport.write(b"hello ")
            a.transport.writelines([b"w", bytearray(b"or"), memoryview(b"ld")])
            a.transport.close()
            a.transport.close()
            await b.until("lost")
            await a.until("lost")
            assert b.data == b"hello world"
            assert b.events == ["made", "eof", "lost NoneType"]
            assert a.events == ["made", "lost NoneType"]

    run_over(scenario)


@over_both
def test_nothing_is_delivered_inside_of_a_write(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            a.transport.write(b"x")
            assert b.data == b""
            await b.until_bytes(1)
            assert b.reads == [1]

    run_over(scenario)


@over_both
def test_a_buffer_may_be_reused_after_the_write(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            buffer = bytearray(b"before")
            a.transport.write(buffer)
            buffer[:] = b"after!"
            await b.until_bytes(6)
            assert b.data == b"before"

    run_over(scenario)


@over_both
def test_a_paused_reader_stops_the_writer_and_everything_arrives_in_the_end(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            assert not b.transport.is_reading()
            a.transport.write(BULK)
            await a.until("pause")
            assert a.events == ["made", "pause"]
            assert 0 < a.transport.get_write_buffer_size() <= len(BULK)
            b.transport.resume_reading()
            assert b.transport.is_reading()
            await b.until_bytes(len(BULK))
            await a.until("resume")
            assert b.data == BULK
            assert a.transport.get_write_buffer_size() == 0

    run_over(scenario)


@over_both
def test_a_reader_that_pauses_in_its_callback_gets_nothing_more(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder(buffer_size=10)) as (a, b):
            b.on_read = lambda: b.transport.pause_reading()
            a.transport.write(bytes(25))
            await b.until_bytes(10)
            for _ in range(10):
                await asyncio.sleep(0)
            assert b.reads == [10]
            b.transport.resume_reading()
            await b.until_bytes(20)
            assert b.reads == [10, 10]

    run_over(scenario)


@over_both
def test_the_marks_of_the_write_buffer_are_kept(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            assert a.transport.get_write_buffer_limits() == (16_384, 65_536)
            b.transport.pause_reading()
            a.transport.set_write_buffer_limits(high=len(BULK))
            a.transport.write(BULK)
            assert a.events == ["made"]
            a.transport.set_write_buffer_limits(low=1000)
            assert a.transport.get_write_buffer_limits() == (1000, 4000)
            assert a.events == ["made", "pause"]
            a.transport.set_write_buffer_limits()
            assert a.transport.get_write_buffer_limits() == (16_384, 65_536)
            with pytest.raises(ValueError, match="must be >="):
                a.transport.set_write_buffer_limits(high=1, low=2)
            assert a.events == ["made", "pause"]

    run_over(scenario)


@over_both
def test_closing_sends_what_was_written_first(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder(keep_open=False)) as (a, b):
            b.transport.pause_reading()
            a.transport.write(BULK)
            a.transport.close()
            assert a.transport.is_closing()
            assert not a.transport.is_reading()
            assert a.transport.get_write_buffer_size() > 0
            b.transport.resume_reading()
            await b.until("lost")
            assert b.data == BULK
            assert a.error is None

    run_over(scenario)


@over_both
def test_a_half_closed_end_still_reads(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            assert a.transport.can_write_eof()
            a.transport.write(b"question")
            a.transport.write_eof()
            a.transport.write_eof()
            await b.until("eof")
            with pytest.raises(RuntimeError, match="write_eof"):
                a.transport.write(b"more")
            b.transport.write(b"answer")
            await a.until_bytes(6)
            b.transport.close()
            await a.until("eof")
            assert (b.data, a.data) == (b"question", b"answer")
            assert a.events == ["made", "eof"]

    run_over(scenario)


@over_both
def test_a_half_close_waits_for_the_bytes_before_it(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.write(BULK)
            a.transport.write_eof()
            b.transport.resume_reading()
            await b.until("eof")
            assert b.data == BULK

    run_over(scenario)


@over_both
def test_the_end_waits_while_reading_is_paused(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.write_eof()
            for _ in range(10):
                await asyncio.sleep(0)
            assert b.events == ["made"]
            b.transport.resume_reading()
            await b.until("eof")

    run_over(scenario)


@over_both
def test_closing_with_unread_bytes_resets_the_peer(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.write(b"never read")
            await asyncio.sleep(0)
            b.transport.write(b"last words")
            b.transport.close()
            await a.until("lost")
            assert a.data == b"last words"
            assert isinstance(a.error, ConnectionResetError)
            assert b.error is None

    run_over(scenario)


@over_both
def test_who_writes_to_a_closed_peer_loses_the_connection(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.close()
            await a.until("eof")
            assert a.events == ["made", "eof"]
            while not a.transport.is_closing():
                a.transport.write(b"anybody there?")
                await asyncio.sleep(0)
            await a.until("lost")
            assert isinstance(a.error, BrokenPipeError)

    run_over(scenario)


@over_both
def test_a_paused_end_learns_of_a_reset_by_writing(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.pause_reading()
            a.transport.write(b"never read")
            await asyncio.sleep(0)
            b.transport.close()
            await b.until("lost")
            for _ in range(10):
                await asyncio.sleep(0)
            assert a.events == ["made"]
            while not a.transport.is_closing():
                a.transport.write(b"x")
                await asyncio.sleep(0)
            await a.until("lost")
            assert isinstance(a.error, ConnectionError)

    run_over(scenario)


@over_both
def test_a_paused_end_learns_of_a_reset_by_reading_on(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.pause_reading()
            a.transport.write(b"never read")
            await asyncio.sleep(0)
            b.transport.close()
            await b.until("lost")
            a.transport.resume_reading()
            await a.until("lost")
            assert a.events == ["made", "lost ConnectionResetError"]

    run_over(scenario)


@over_both
def test_an_end_with_a_full_buffer_learns_of_a_reset_at_once(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.pause_reading()
            a.transport.write(BULK)
            await asyncio.sleep(0)
            b.transport.close()
            await a.until("lost")
            assert isinstance(a.error, ConnectionError)
            assert a.transport.get_write_buffer_size() == 0

    run_over(scenario)


@over_both
def test_aborting_drops_what_is_not_on_the_way_yet(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.write(BULK)
            a.transport.abort()
            a.transport.abort()
            a.transport.write(b"ignored")
            assert a.transport.get_write_buffer_size() == 0
            b.transport.resume_reading()
            await b.until("eof")
            await a.until("lost")
            assert 0 < len(b.data) < len(BULK)
            assert a.events[-1] == "lost NoneType"

    run_over(scenario)


@over_both
def test_only_bytes_can_be_written_and_none_are_nothing(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            with pytest.raises(TypeError):
                a.transport.write("text")  # type: ignore[arg-type]
            a.transport.write(b"")
            a.transport.write(b".")
            await b.until_bytes(1)
            assert b.reads == [1]

    run_over(scenario)


@over_both
def test_an_error_of_the_protocol_closes_the_transport_with_it(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        contexts: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
        async with pair(Recorder(), Recorder()) as (a, b):

            def fail() -> None:
                raise ZeroDivisionError

            b.on_read = fail
            a.transport.write(b"boom")
            await b.until("lost")
            assert b.events == ["made", "lost ZeroDivisionError"]
            assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]
            await a.until("eof")

    run_over(scenario)


@over_both
def test_an_empty_buffer_is_an_error_of_the_protocol(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        async with pair(Recorder(), Recorder(buffer_size=0)) as (a, b):
            a.transport.write(b"x")
            await b.until("lost")
            assert isinstance(b.error, RuntimeError)

    run_over(scenario)


@over_both
def test_a_protocol_that_closes_when_writing_resumes_is_lost_once(run_over: RunOver) -> None:
    class Closing(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            self.transport.abort()

    async def scenario(pair: MakePair) -> None:
        async with pair(Closing(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.write(BULK)
            b.transport.resume_reading()
            await b.until("eof")
            await a.until("lost")
            assert a.events == ["made", "pause", "resume", "lost NoneType"]

    run_over(scenario)


@over_both
def test_a_protocol_may_write_again_when_writing_resumes(run_over: RunOver) -> None:
    class Again(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            if self.events.count("resume") == 1:
                self.transport.write(BULK)

    async def scenario(pair: MakePair) -> None:
        async with pair(Again(), Recorder()) as (a, b):
            b.transport.pause_reading()
            a.transport.write(BULK)
            await a.until("pause")
            b.transport.resume_reading()
            await b.until_bytes(2 * len(BULK))
            assert a.events == ["made", "pause", "resume", "pause", "resume"]

    run_over(scenario)


@over_both
def test_pausing_and_resuming_twice_changes_nothing(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            b.transport.resume_reading()
            b.transport.pause_reading()
            b.transport.pause_reading()
            b.transport.resume_reading()
            b.transport.resume_reading()
            a.transport.write(b"x")
            await b.until_bytes(1)
            b.transport.close()
            b.transport.pause_reading()
            b.transport.resume_reading()
            b.transport.write_eof()
            assert not b.transport.is_reading()
            await a.until("eof")

    run_over(scenario)


@over_both
def test_a_protocol_can_be_replaced(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            heir = Recorder()
            b.transport.set_protocol(heir)
            assert b.transport.get_protocol() is heir
            a.transport.write(b"for the heir")
            await heir.until_bytes(12)
            assert b.data == b""
            b.transport.set_protocol(b)

    run_over(scenario)


@over_both
def test_streams_of_asyncio_work_on_it(run_over: RunOver) -> None:
    async def scenario(pair: MakePair) -> None:
        async with pair(Recorder(), Recorder()) as (a, b):
            reader = asyncio.StreamReader(limit=1000)
            protocol = asyncio.StreamReaderProtocol(reader)
            a.transport.set_protocol(protocol)
            protocol.connection_made(a.transport)
            writer = asyncio.StreamWriter(a.transport, protocol, reader, asyncio.get_running_loop())
            writer.write(b"ping\n")
            await writer.drain()
            await b.until_bytes(5)
            b.transport.write(BULK)
            b.transport.write(b"pong\n")
            assert await reader.readexactly(len(BULK)) == BULK
            assert await reader.readline() == b"pong\n"
            b.transport.close()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            a.transport.set_protocol(a)
            a.connection_lost(None)

    run_over(scenario)
