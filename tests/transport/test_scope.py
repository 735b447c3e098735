"""Scopes: every task has an owner, who ends it and waits for it."""

import asyncio

import pytest

from cortexnet.errors import NotRunning
from cortexnet.transport.scope import Scope


async def hang() -> None:
    await asyncio.Event().wait()


async def linger(ended: list[bool]) -> None:
    try:
        await hang()
    finally:
        await asyncio.sleep(1)
        ended.append(True)


async def test_the_end_of_a_scope_cancels_its_tasks_and_waits_for_them() -> None:
    scope, ended = Scope(), list[bool]()
    scope.spawn(linger(ended))
    scope.spawn(linger(ended))
    await asyncio.sleep(0)
    assert len(scope) == 2
    await scope.close()
    assert ended == [True, True]
    assert len(scope) == 0


async def test_one_task_is_ended_and_the_end_of_all_does_not_disturb_it() -> None:
    scope, ended = Scope(), list[bool]()
    one, other = scope.spawn(linger(ended)), scope.spawn(linger(ended))
    await asyncio.sleep(0)
    scope.end(one)
    scope.end(one)
    await asyncio.sleep(0)
    assert not other.cancelling()
    await scope.close()
    assert ended == [True, True]
    scope.end(one)  # it is over
    assert one.cancelled()


async def test_the_end_reaches_scopes_below() -> None:
    parent = Scope()
    child = Scope(parent)
    task = child.spawn(hang())
    assert len(parent) == 1
    await parent.close()
    assert task.cancelled()
    assert child.is_closed


async def test_after_its_end_nothing_starts_in_a_scope() -> None:
    scope = Scope()
    await scope.close()
    with pytest.raises(NotRunning):
        scope.spawn(hang())  # a warning about a coroutine that was never awaited would be an error here
    with pytest.raises(NotRunning):
        Scope(scope)


async def test_a_task_that_fails_leaves_the_others_alone_and_is_reported() -> None:
    errors: list[BaseException] = []
    scope = Scope(on_error=errors.append)
    other = scope.spawn(hang())

    async def fail() -> None:
        raise ValueError("a bug")

    failed = scope.spawn(fail())
    await asyncio.wait([failed])
    assert [str(error) for error in errors] == ["a bug"]
    assert not other.done()
    assert len(scope) == 1
    await scope.close()


async def test_without_a_listener_an_error_goes_to_the_loop() -> None:
    contexts: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: contexts.append(context))
    scope = Scope()

    async def fail() -> None:
        raise ValueError("a bug")

    await asyncio.wait([scope.spawn(fail(), name="the bad one")])
    assert [context["message"] for context in contexts] == ["task the bad one failed"]
    await scope.close()


async def test_a_task_may_close_its_own_scope_and_its_parent_waits_for_it() -> None:
    parent = Scope()
    scope = Scope(parent)
    steps: list[str] = []
    other = scope.spawn(hang())

    async def close() -> None:
        await scope.close()
        assert other.done()
        steps.append("closed")
        await asyncio.sleep(1)
        steps.append("went on")

    task = scope.spawn(close())
    await asyncio.sleep(0.5)
    assert steps == ["closed"]
    parent.cancel()
    await parent.close()
    assert task.done()
    assert len(parent) == 0


async def test_a_child_whose_tasks_have_ended_is_forgotten_by_its_parent() -> None:
    parent = Scope()
    children = [Scope(parent) for _ in range(3)]
    for child in children:
        child.spawn(asyncio.sleep(0))
    for child in children:
        await child.close()
    assert len(parent._children) == 0
    grandchild = Scope(middle := Scope(parent))
    middle.cancel()
    assert grandchild.is_closed
    assert len(parent._children) == 0


async def test_a_cancelled_close_has_cancelled_the_tasks_all_the_same() -> None:
    scope = Scope()

    async def linger() -> None:
        try:
            await hang()
        finally:
            await asyncio.sleep(1)

    task = scope.spawn(linger())
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(scope.close())
    await asyncio.sleep(0.5)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_each_task_is_cancelled_once_however_often_its_scope_ends() -> None:
    scope, cancelled = Scope(), []

    async def count() -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                cancelled.append(True)

    scope.spawn(count())
    await asyncio.sleep(0)
    scope.cancel()
    scope.cancel()
    await scope.close()
    assert cancelled == [True]
