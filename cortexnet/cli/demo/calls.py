"""Several things done at once for the demonstration."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from cortexnet.cli.demo.services import DemoFailed

T = TypeVar("T")


async def all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them return; the first DemoFailed ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as errors:
        failed, others = errors.split(DemoFailed)
        if failed is None or others is not None:
            raise
        raise DemoFailed("; ".join(str(error) for error in failed.exceptions)) from None
    return [task.result() for task in tasks]
