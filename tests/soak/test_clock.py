import asyncio
import time

import pytest

from soak.clock import Speed, WallClock


def test_the_time_of_day_passes_at_the_speed_of_the_run_and_is_set_besides() -> None:
    real = int(time.time())
    slow, quick = WallClock(Speed(1, real)), WallClock(Speed(4, real - 100))
    assert slow.time() == pytest.approx(time.time(), abs=50)
    assert quick.time() == pytest.approx(time.time() + 300, abs=200)
    quick.offset = -3_000
    assert quick.time() == pytest.approx(time.time() - 2_700, abs=200)
    assert quick.time_ns() / 1e9 == pytest.approx(quick.time(), abs=200)


def test_a_quick_loop_waits_for_a_part_of_what_it_counts() -> None:
    async def wait() -> float:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1_000):
                await loop.create_future()
        return loop.time() - begin

    with asyncio.Runner(loop_factory=Speed(10_000, 0).loop) as runner:
        assert runner.run(wait()) >= 1_000


def test_a_quick_loop_still_serves_sockets() -> None:
    async def exchange() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            answer = await reader.read()
            writer.close()
            return answer

    with asyncio.Runner(loop_factory=Speed(4, 0).loop) as runner:
        assert runner.run(exchange()) == b"hello\n"
