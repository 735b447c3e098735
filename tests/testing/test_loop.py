"""VirtualTimeLoop: time jumps, order is fixed, dead ends raise, and the real world still works."""

import asyncio
import socket
import threading
from collections.abc import Generator

import pytest

from cortexnet.testing.loop import Deadlock, VirtualTimeLoop, run


async def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_sleep_takes_exactly_its_time_and_no_real_one() -> None:
    async def main() -> float:
        await asyncio.sleep(0.1)
        await asyncio.sleep(3 * 24 * 3600)  # asyncio cuts its waits at a day
        return await now()

    assert run(main()) == 0.1 + 3 * 24 * 3600


def test_timers_fire_in_the_order_of_their_times_at_their_times() -> None:
    seen: list[tuple[float, str]] = []

    async def sleeper(name: str, *delays: float) -> None:
        for delay in delays:
            await asyncio.sleep(delay)
            seen.append((await now(), name))

    async def main() -> None:
        await asyncio.gather(sleeper("a", 0.3, 0.3), sleeper("b", 0.1, 0.3), sleeper("c", 0.2))

    run(main())
    assert seen == [(0.1, "b"), (0.2, "c"), (0.3, "a"), (0.4, "b"), (0.6, "a")]


def test_a_timer_never_runs_before_its_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        late: list[float] = []
        deadline = 0.0
        for step in range(1, 300):
            deadline += 1 / step
            loop.call_at(deadline, lambda deadline=deadline: late.append(loop.time() - deadline))
        await asyncio.sleep(10)
        assert len(late) == 299
        assert set(late) == {0.0}

    run(main())


def test_time_stands_still_while_something_is_ready() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return await now()

    assert run(main()) == 0


def test_timeouts_work() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15):
                await asyncio.sleep(16)
        return await now()

    assert run(main()) == 15


def test_a_cancelled_timer_does_not_move_time() -> None:
    async def main() -> float:
        asyncio.get_running_loop().call_later(5, print).cancel()
        await asyncio.sleep(1)
        return await now()

    assert run(main()) == 1


def test_a_dead_end_raises_and_says_who_waits_where() -> None:
    cleaned: list[str] = []

    async def waiter() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("waiter")

    async def main() -> None:
        task = asyncio.create_task(waiter(), name="the waiter")
        await task

    with pytest.raises(Deadlock, match=r"the waiter waits at .*locks.py:\d+ in Event.wait") as caught:
        run(main())
    assert "Task-" in str(caught.value)
    assert cleaned == ["waiter"]


def test_a_dead_end_of_many_tasks_names_only_some() -> None:
    async def main() -> None:
        await asyncio.gather(*(asyncio.Event().wait() for _ in range(30)))

    with pytest.raises(Deadlock, match="and 11 more"):
        run(main())


def test_the_loop_is_usable_after_a_dead_end() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        with pytest.raises(Deadlock):
            runner.run(asyncio.Event().wait())
        assert runner.run(asyncio.sleep(1, "fine")) == "fine"


def test_a_job_in_a_thread_takes_no_virtual_time() -> None:
    async def main() -> float:
        started = threading.Event()
        go_on = threading.Event()

        def job() -> str:
            started.set()
            go_on.wait()
            return "done"

        future = asyncio.create_task(asyncio.to_thread(job))
        await asyncio.to_thread(started.wait)
        asyncio.get_running_loop().call_soon(go_on.set)
        async with asyncio.timeout(1):
            assert await future == "done"
        return await now()

    assert run(main()) == 0


def test_a_job_that_failed_counts_no_longer() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(fail)
        await asyncio.sleep(3)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"at 3\.0 s"):
        run(main())


def test_the_thread_of_somebody_else_is_awaited_where_announced() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        done = asyncio.Event()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set))
        with loop.outside_work():
            thread.start()
            async with asyncio.timeout(1):
                await done.wait()
        thread.join()
        return await now()

    assert run(main()) == 0


async def echo_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(5))
    writer.close()
    await writer.wait_closed()


def test_real_sockets_work_and_time_passes_for_them() -> None:
    async def main() -> float:
        server = await asyncio.start_server(echo_once, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello")
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
            before = await now()
            await asyncio.sleep(0.001)  # a real millisecond, since the server is still listening
            return await now() - before

    assert run(main()) == pytest.approx(0.001)


def test_bytes_on_a_real_socket_come_before_any_timer() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        receiving = asyncio.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        answer = threading.Thread(target=theirs.send, args=(b"hi",))
        answer.start()
        assert await asyncio.wait_for(receiving, 3600) == b"hi"
        answer.join()
        ours.close()
        theirs.close()

    run(main())


def test_a_real_socket_without_any_timer_is_awaited() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            receiving = asyncio.create_task(asyncio.get_running_loop().sock_recv(ours, 10))
            answer = threading.Thread(target=theirs.send, args=(b"hi",))
            asyncio.get_running_loop().call_soon(answer.start)
            assert await receiving == b"hi"
            answer.join()

    run(main())


async def test_the_hook_of_the_conftest_gives_each_test_a_loop_of_virtual_time() -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    await asyncio.sleep(1e6)
    assert await now() == 1e6


def test_debug_mode_works() -> None:
    async def main() -> bool:
        await asyncio.sleep(100)
        return asyncio.get_running_loop().get_debug()

    assert run(main(), debug=True)


def test_a_dead_end_in_something_awaitable_is_described_too() -> None:
    class Awaitable:
        def __await__(self) -> Generator[object, None, object]:
            return (yield from asyncio.Event().wait().__await__())

    async def main() -> None:
        await asyncio.ensure_future(Awaitable())

    with pytest.raises(Deadlock, match="awaitable"):
        run(main())


def test_a_real_socket_can_be_watched_for_both_directions() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            seen = []
            done = asyncio.Event()
            loop.add_reader(ours, print)
            loop.add_writer(ours, lambda: (seen.append("writable"), loop.remove_writer(ours), done.set()))
            await done.wait()
            loop.remove_reader(ours)
            assert seen == ["writable"]

    run(main())
