"""Runs a command's coroutine so that SIGINT and SIGTERM end it in an orderly way."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from cortexnet.cli.exits import Interrupted
from cortexnet.transport.scope import Scope

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WAKE_INTERVAL = 0.25  # seconds: Windows runs Python's signal handlers only when the loop wakes up


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` to its end on an event loop of its own.

    The first SIGINT or SIGTERM cancels it; once it has cleaned up, Interrupted is raised. A second one ends the process at once.
    """
    return asyncio.run(_cancelled_by_signals(main))


async def _cancelled_by_signals(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    task = asyncio.current_task()
    assert task is not None  # this is a coroutine, so there is one
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        task.cancel()

    async with _handled(stop):
        try:
            return await main()
        except asyncio.CancelledError:
            if received:
                raise Interrupted(received[0]) from None
            raise


@contextlib.contextmanager
def hangups(reload: Callable[[], None]) -> Iterator[None]:
    """Call `reload` in the loop at each SIGHUP during the block. Windows has none."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.Signals["SIGHUP"], reload)
    except (KeyError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.Signals["SIGHUP"])


@contextlib.asynccontextmanager
async def _handled(stop: Callable[[int], None]) -> AsyncIterator[None]:
    """Call `stop` in the loop with the number of each signal."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    scope = Scope()
    registered: list[signal.Signals] = []
    try:
        try:
            for number in _SIGNALS:
                loop.add_signal_handler(number, stop, number)
                registered.append(number)
        except NotImplementedError:  # Windows
            _handle_without_loop(loop, stop)
            scope.spawn(_wake_regularly(), name="wake for signals")
        yield
    finally:
        await scope.close()
        for number in registered:
            loop.remove_signal_handler(number)
        for restored, handler in before.items():
            signal.signal(restored, handler)


def _handle_without_loop(loop: asyncio.AbstractEventLoop, stop: Callable[[int], None]) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop, number)

    for number in _SIGNALS:
        signal.signal(number, handle)


async def _wake_regularly() -> None:
    while True:  # noqa: ASYNC110 (there is nothing to wait for: waking up is the point)
        await asyncio.sleep(_WAKE_INTERVAL)
