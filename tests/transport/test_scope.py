"""Scopes: who ends which task, and when that is over."""

import asyncio
from collections.abc import Coroutine

import pytest

from cortexnet.errors import NotRunning
from cortexnet.transport.scope import Scope


def recording(events: list[str], name: str = "task") -> Coroutine[object, object, None]:
    """A task that takes two turns to clean up."""

    async def work() -> None:
        events.append(f"{name} began")
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(2):
                await asyncio.sleep(0)
            events.append(f"{name} ended")

    return work()


async def test_closing_ends_all_tasks_and_waits_for_them() -> None:
    events: list[str] = []
    scope = Scope()
    scope.spawn(recording(events))
    scope.spawn(recording(events))
    await asyncio.sleep(0)
    assert len(scope) == 2
    await scope.close()
    assert events == ["task began"] * 2 + ["task ended"] * 2
    assert len(scope) == 0


async def test_a_task_that_is_told_to_end_is_not_disturbed_by_being_told_again() -> None:
    events: list[str] = []
    parent = Scope()
    scope = Scope(parent)
    scope.spawn(recording(events))
    await asyncio.sleep(0)
    scope.cancel()
    await asyncio.sleep(0)
    scope.cancel()
    parent.cancel()
    await parent.close()
    assert events == ["task began", "task ended"]


async def test_a_task_that_ends_its_own_scope_goes_on_until_the_parent_ends() -> None:
    events: list[str] = []
    parent = Scope()
    scope = Scope(parent)

    async def work() -> None:
        await scope.close()
        events.append("still here")
        await recording(events)

    scope.spawn(recording(events, "other"))
    scope.spawn(work())
    for _ in range(10):
        await asyncio.sleep(0)
    assert events == ["other began", "other ended", "still here", "task began"]
    await parent.close()
    assert events[-1] == "task ended"


async def test_nothing_starts_after_the_end() -> None:
    scope = Scope()
    scope.cancel()
    with pytest.raises(NotRunning):
        scope.spawn(recording([]))
    with pytest.raises(NotRunning):
        Scope(scope)


async def test_a_task_that_fails_is_reported_and_leaves_its_siblings_alone() -> None:
    errors: list[BaseException] = []
    events: list[str] = []
    scope = Scope(on_error=errors.append)

    async def fail() -> None:
        raise ValueError("a bug")

    scope.spawn(recording(events))
    scope.spawn(fail())
    for _ in range(3):
        await asyncio.sleep(0)
    assert [str(error) for error in errors] == ["a bug"]
    assert events == ["task began"]
    await scope.close()


async def test_without_anybody_to_report_to_the_loop_is_told() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    error = ValueError("a bug")

    async def fail() -> None:
        raise error

    scope = Scope()
    scope.spawn(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == [error]


async def test_a_scope_that_is_over_leaves_its_parent() -> None:
    parent = Scope()
    for _ in range(3):
        child = Scope(parent)
        child.spawn(recording([]))
        await asyncio.sleep(0)
        child.cancel()
        await child.close()
    await asyncio.sleep(0)
    assert not parent._children


async def test_a_cancelled_close_has_cancelled_all_the_same() -> None:
    events: list[str] = []
    scope = Scope()
    scope.spawn(recording(events))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(scope.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(scope) == 0
    assert events == ["task began", "task ended"]
