"""How late the loop is, in a time of its own."""

import asyncio

import pytest

from cortexnet.observe.loop_lag import LoopLag


async def test_a_loop_that_nobody_holds_up_is_not_late() -> None:
    lag = LoopLag()
    lag.start()
    await asyncio.sleep(10)
    lag.stop()
    assert lag.worst == 0.0


async def test_a_timer_that_comes_late_is_noticed_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    lag = LoopLag()
    lag.start()
    await asyncio.sleep(0.5)
    real = lag._loop.time
    monkeypatch.setattr(lag._loop, "time", lambda: real() + 0.75)
    lag._look()
    monkeypatch.undo()
    assert lag.worst == pytest.approx(0.25)
    await asyncio.sleep(58)
    assert lag.worst > 0
    await asyncio.sleep(5)
    assert lag.worst == 0.0
    lag.stop()


async def test_to_stop_what_was_not_started_does_nothing() -> None:
    LoopLag().stop()
