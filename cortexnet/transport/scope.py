"""Task scopes: every task has one owner, who ends and awaits it. A shell."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, final

from cortexnet.errors import NotRunning


@final
class Scope:
    """A set of tasks that is ended as one. Not asyncio.TaskGroup: a failing task must not take its siblings along, and start and
    end may happen in different tasks.

    `on_error` gets what a task raised, CancelledError apart; without it, the error goes to the loop's exception handler.
    """

    def __init__(self, parent: "Scope | None" = None, *, on_error: Callable[[BaseException], None] | None = None) -> None:
        self._tasks: dict[asyncio.Task[Any], bool] = {}  # and whether it was told to end
        self._children: dict[Scope, None] = {}
        self._parent = parent
        self._on_error = on_error
        self.is_closed = False
        if parent is not None:
            parent._adopt(self)

    def __len__(self) -> int:
        return len(self._tasks) + sum(len(child) for child in self._children)

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        """Run a coroutine as a task of this scope. Raises NotRunning (the coroutine is closed) after the end."""
        if self.is_closed:
            coroutine.close()
            raise NotRunning("this scope has ended; nothing new starts in it")
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = False
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: "asyncio.Task[Any]") -> None:
        del self._tasks[task]
        self._leave_if_over()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if self._on_error is not None:
            self._on_error(error)
        else:
            context = {"message": f"task {task.get_name()} failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    def _adopt(self, child: "Scope") -> None:
        if self.is_closed:
            raise NotRunning("this scope has ended; nothing new starts in it")
        self._children[child] = None

    def _leave_if_over(self) -> None:
        if self.is_closed and not self._tasks and not self._children and self._parent is not None:
            self._parent._children.pop(self, None)
            self._parent._leave_if_over()
            self._parent = None

    def end(self, task: "asyncio.Task[Any]") -> None:
        """Cancel one task of this scope, if it was not told to end before."""
        if self._tasks.get(task) is False:
            self._tasks[task] = True
            task.cancel()

    def cancel(self) -> None:
        """End the scope and all in it, without waiting: nothing starts in it any more. `close` of it or its parent waits.

        Each task is cancelled once, however often this is called: what it does on its way out is not disturbed.
        """
        self.is_closed = True
        for child in list(self._children):
            child.cancel()
        current = asyncio.current_task()
        for task, is_told in self._tasks.items():
            if task is not current and not is_told:
                self._tasks[task] = True
                task.cancel()
        self._leave_if_over()

    async def close(self) -> None:
        """End all tasks and wait for them; asked to by one of its own, wait for the others: the parent awaits that one.

        Cancelled: all tasks are cancelled all the same, some may still run their last lines.
        """
        self.cancel()
        current = asyncio.current_task()
        while waiting := [task for task in self._all_tasks() if task is not current]:
            await asyncio.wait(waiting)

    def _all_tasks(self) -> list["asyncio.Task[Any]"]:
        return [*self._tasks, *(task for child in self._children for task in child._all_tasks())]
