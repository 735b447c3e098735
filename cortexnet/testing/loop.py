"""An asyncio event loop whose time is virtual: where every task waits, time jumps to the next timer.

A test that sleeps for an hour takes no time, and its timers fire in the same order in every run. Use it as
`run(main())`, as `asyncio.Runner(loop_factory=VirtualTimeLoop)`, or with pytest-asyncio in a `conftest.py`:

    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": VirtualTimeLoop}
"""

import asyncio
import inspect
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, final

from cortexnet.errors import CortexError

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Ready = list[tuple[selectors.SelectorKey, int]]

_TASKS_SHOWN = 20


class Deadlock(CortexError):
    """Every task waits for something that nobody is left to do; the message names the tasks and where they wait."""


def run(main: Coroutine[object, object, T], *, debug: bool | None = None) -> T:
    """Run `main` to its end on a fresh VirtualTimeLoop, as `asyncio.run` does on a real one, and return its result.

    Raises what `main` raises, or Deadlock. Tasks that are left over are cancelled and awaited either way.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop, debug=debug) as runner:
        return runner.run(main)


@final
class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop. `time()` starts at 0 and moves only while nothing is ready to run.

    Where nothing is ready and no timer is set either, it raises Deadlock out of `run_until_complete`. The loop stays usable
    after that: closing its runner cancels the tasks as always. Three things of the real world are let in:

    - a job of `run_in_executor` (`asyncio.to_thread`, `getaddrinfo`) takes no virtual time: the loop waits for it;
    - a thread of your own that calls back must be announced with `outside_work()`, which does the same;
    - while a real file descriptor is watched (a socket, a pipe), time passes at the speed of the wall clock, since nobody
      can know when it will be ready; for determinism use `cortexnet.transport.memory` instead.
    """

    _scheduled: list[asyncio.TimerHandle]  # asyncio's own heap: only it has the exact time of the next timer

    def __init__(self) -> None:
        self._now = 0.0
        self._outside = 0
        self._inner = selectors.DefaultSelector()
        super().__init__(_Selector(self._inner, self._wait))
        self._own_descriptors = len(self._inner.get_map())

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    @contextmanager
    def outside_work(self) -> Iterator[None]:
        """Within this block something outside of the loop, such as a thread, is going to call `call_soon_threadsafe`.

        While nothing else is ready the loop waits for it, and virtual time stands still.
        """
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As every loop's; time stands still until the job is done or its future cancelled."""
        future = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """As every loop's, but it waits as long as the threads need: `timeout` would be virtual, they are real."""
        with self.outside_work():
            await super().shutdown_default_executor()

    def _job_done(self, _future: object) -> None:
        self._outside -= 1

    def _wait(self, timeout: float | None) -> Ready:
        """What the selector's `select` does; `timeout` is None where no timer is set, 0 where callbacks are ready."""
        if timeout is not None and timeout <= 0:
            return self._inner.select(0)
        if self._outside:
            return self._inner.select(None)
        if len(self._inner.get_map()) > self._own_descriptors:
            return self._wait_in_real_time(timeout)
        ready = self._inner.select(0)  # a wake-up by `call_soon_threadsafe` or a signal may be there all the same
        if not ready:
            if timeout is None:
                raise Deadlock(self._describe_deadlock())
            self._now = self._scheduled[0].when()
        return ready

    def _wait_in_real_time(self, timeout: float | None) -> Ready:
        started = time.monotonic()
        ready = self._inner.select(timeout)
        elapsed = time.monotonic() - started
        if timeout is None:
            self._now += elapsed
        elif ready:
            self._now += min(elapsed, timeout)
        else:
            self._now = min(self._scheduled[0].when(), self._now + max(elapsed, timeout))
        return ready

    def _describe_deadlock(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=asyncio.Task.get_name)
        lines = [f"\n  {task.get_name()} waits at {_place(task)}" for task in tasks[:_TASKS_SHOWN]]
        more = f"\n  and {len(tasks) - _TASKS_SHOWN} more" if len(tasks) > _TASKS_SHOWN else ""
        return f"nothing is ready, no timer is set, no descriptor is watched at {self._now} s:" + "".join(lines) + more


@final
class _Selector(selectors.BaseSelector):
    """A real selector whose waiting is left to `wait`."""

    def __init__(self, inner: selectors.BaseSelector, wait: Callable[[float | None], Ready]) -> None:
        self._inner = inner
        self._wait = wait

    def register(self, fileobj: "FileDescriptorLike", events: int, data: object = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: "FileDescriptorLike", events: int, data: object = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> Ready:
        return self._wait(timeout)

    def get_map(self) -> Mapping["FileDescriptorLike", selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


def _place(task: asyncio.Task[object]) -> str:
    """Where the innermost coroutine of a task is suspended."""
    coroutine = task.get_coro()
    if not inspect.iscoroutine(coroutine):
        return repr(coroutine)
    while inspect.iscoroutine(inner := coroutine.cr_await):
        coroutine = inner
    frame = coroutine.cr_frame
    if frame is None:
        return coroutine.__qualname__
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {coroutine.__qualname__}"
