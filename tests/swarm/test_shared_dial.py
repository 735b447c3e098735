"""Dials that several wait for: one outcome for all, no caller left behind, nothing left of what nobody wants."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cortexnet.errors import DialFailed, NotRunning
from cortexnet.swarm.shared_dial import SharedDial
from cortexnet.transport.scope import Scope
from tests.support.pairs import settle


class Dialing:
    """A dial whose end the test decides."""

    def __init__(self) -> None:
        self.scope = Scope()
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ended: list[SharedDial] = []
        self.discarded: list[str] = []
        self.was_cancelled = False

    async def dial(self) -> str:
        try:
            return await self.outcome
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise

    def share(self, dial: Callable[[], Awaitable[str]] | None = None) -> SharedDial:
        return SharedDial(self.scope, ["a", "b"], dial or self.dial, on_end=self.ended.append, discard=self.discarded.append)


async def test_all_who_join_get_the_same() -> None:
    dialing = Dialing()
    shared = dialing.share()
    waiting = [asyncio.ensure_future(shared.join()) for _ in range(3)]
    await settle()
    dialing.outcome.set_result("connection")
    assert await asyncio.gather(*waiting) == ["connection"] * 3
    assert await shared.join() == "connection"
    assert (dialing.ended, dialing.discarded) == ([shared], [])


@pytest.mark.parametrize("error", [DialFailed("nobody is there"), OSError("no route"), ValueError("a bug")])
async def test_all_who_join_get_the_same_error(error: Exception) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
    dialing = Dialing()
    shared = dialing.share()
    waiting = [asyncio.ensure_future(shared.join()) for _ in range(2)]
    await settle()
    dialing.outcome.set_exception(error)
    assert await asyncio.gather(*waiting, return_exceptions=True) == [error] * 2
    await settle()
    assert dialing.ended == [shared]
    assert reported == ([error] if isinstance(error, ValueError) else [])


@pytest.mark.parametrize("outcome", ["connection", DialFailed("nobody is there"), ValueError("a bug")])
async def test_nobody_finds_it_once_it_has_an_outcome(outcome: str | Exception) -> None:
    """Who joins then waits for nothing: a caller that asks again and again, as with new addresses, would never let others run."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: None)
    dialing = Dialing()
    shared = dialing.share()
    looks: list[tuple[bool, bool]] = []

    def look() -> None:
        if len(looks) < 10:
            asyncio.get_running_loop().call_soon(look)
        looks.append((shared._outcome.done(), shared in dialing.ended))

    await settle()
    look()
    if isinstance(outcome, str):
        dialing.outcome.set_result(outcome)
    else:
        dialing.outcome.set_exception(outcome)
    await settle()
    assert set(looks) == {(False, False), (True, True)}


async def test_it_goes_on_as_long_as_one_waits_and_is_given_up_with_the_last() -> None:
    dialing = Dialing()
    shared = dialing.share()
    first, second = (asyncio.ensure_future(shared.join()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert not dialing.was_cancelled
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (dialing.was_cancelled, dialing.ended, len(dialing.scope)) == (True, [shared], 0)


async def test_two_who_give_up_in_the_same_turn_are_the_last_together() -> None:
    dialing = Dialing()
    shared = dialing.share()
    waiting = [asyncio.ensure_future(shared.join()) for _ in range(2)]
    await settle()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert (dialing.was_cancelled, dialing.ended) == (True, [shared])


async def test_given_up_before_its_first_step_it_is_over_all_the_same() -> None:
    """A task that is cancelled before it ran never runs: nothing in it may be needed for the end."""
    dialing = Dialing()
    shared = dialing.share()
    shared.cancel()
    with pytest.raises(NotRunning):
        await shared.join()
    await settle()
    assert (dialing.was_cancelled, dialing.ended, len(dialing.scope)) == (False, [shared], 0)


async def test_cancelled_by_its_owner_it_tells_who_waits() -> None:
    dialing = Dialing()
    shared = dialing.share()
    for turns in (0, 1):
        waiting = asyncio.ensure_future(shared.join())
        await settle(turns)
    shared.cancel()
    with pytest.raises(NotRunning):
        await waiting
    await settle()
    assert dialing.ended == [shared]


async def test_in_a_scope_that_has_ended_it_does_not_begin() -> None:
    dialing = Dialing()
    await dialing.scope.close()
    with pytest.raises(NotRunning):
        dialing.share()


async def test_what_comes_in_the_moment_of_giving_up_is_discarded() -> None:
    dialing = Dialing()
    shared = dialing.share()
    waiting = asyncio.ensure_future(shared.join())
    await settle()
    dialing.outcome.set_result("connection")
    await settle(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (dialing.discarded, dialing.ended) == (["connection"], [shared])


async def test_it_is_over_on_return_also_where_giving_up_takes_time_and_is_cancelled_again() -> None:
    dialing = Dialing()
    steps: list[str] = []

    async def slow() -> str:
        try:
            return await dialing.outcome
        finally:
            await asyncio.sleep(1)
            steps.append("cleaned up")

    shared = dialing.share(slow)
    waiting = asyncio.ensure_future(shared.join())
    await settle()
    waiting.cancel()
    await asyncio.sleep(0.5)
    assert dialing.ended == [shared], "nobody may join any more"
    waiting.cancel()
    await asyncio.sleep(0.1)
    assert not waiting.done()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert steps == ["cleaned up"]


async def test_it_knows_what_it_tries() -> None:
    dialing = Dialing()
    shared = dialing.share()
    assert shared.knew(["a"])
    assert shared.knew([])
    assert not shared.knew(["a", "c"])
    shared.cancel()
    await settle()
