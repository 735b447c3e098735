"""Signals end a command in an orderly way."""

import asyncio
import signal
from typing import NoReturn

import pytest

from cortexnet.cli import lifecycle
from cortexnet.cli.exits import Interrupted


def test_what_the_coroutine_returns_is_returned() -> None:
    async def main() -> int:
        return 7

    assert lifecycle.run(main) == 7


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_coroutine_clean_up_and_is_told_then(number: signal.Signals, code: int) -> None:
    steps: list[str] = []

    async def main() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=number.name) as caught:
        lifecycle.run(main)
    assert steps == ["cleaned up"]
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == before


def test_during_the_clean_up_a_second_signal_ends_the_process_as_if_there_was_no_handler() -> None:
    async def main() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    with pytest.raises(Interrupted):
        lifecycle.run(main)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_work_on_a_loop_that_cannot_handle_them(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", refuse)
    monkeypatch.setattr(lifecycle, "_WAKE_INTERVAL", 0.001)

    async def main() -> None:
        signal.raise_signal(number)
        await asyncio.Event().wait()

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=number.name):
        lifecycle.run(main)
    assert signal.getsignal(number) == before


def test_a_cancellation_that_no_signal_asked_for_is_passed_on() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        lifecycle.run(main)


def test_an_error_is_passed_on() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lifecycle.run(main)
