"""One process of the demonstration: `python -m cortexnet.cli.demo.worker NAME NODES FOLDER [BOOTSTRAP]`.

It does what it reads on stdin and answers on stdout, JSON objects, one a line: {"id", "node", "do", arguments...} and {"id",
"result"} or {"id", "error"}. The end of stdin ends it, so it never outlives whoever started it.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortexnet.cli.demo.deeds import Result
from cortexnet.cli.demo.services import DemoFailed, DemoNode
from cortexnet.errors import CortexError, describe
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OPERATION_TIMEOUT = 30.0
"""Seconds; to find each other takes ten, all else far less than one."""

Command = dict[str, Any]


async def work(name: str, count: int, folder: Path, bootstrap: str = "") -> None:
    """Run the nodes until stdin ends."""
    commands: asyncio.Queue[Command | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=read_commands, args=(loop, commands), daemon=True, name="stdin").start()
    async with contextlib.AsyncExitStack() as running:
        nodes = {f"{name}{index}": DemoNode(f"{name}{index}", folder, bootstrap) for index in range(1, count + 1)}
        for demo in nodes.values():
            await running.enter_async_context(demo.node)
            running.push_async_callback(demo.deeds.close)
        answer({"nodes": [_introduction(demo) for demo in nodes.values()]})
        scope = Scope()
        while (command := await commands.get()) is not None:
            scope.spawn(_execute(nodes, command), name=str(command["do"]))
        await scope.close()


def _introduction(demo: DemoNode) -> Result:
    return {"name": demo.name, "peer_id": str(demo.node.peer_id), "address": str(demo.node.addresses[0])}


async def _execute(nodes: dict[str, DemoNode], command: Command) -> None:
    number, what = command.pop("id"), command.pop("do")
    demo = nodes[command.pop("node")]
    operations: dict[str, Callable[..., Awaitable[Result]]] = {
        "dial": demo.dial,
        "connections": demo.connections,
        "wait_connected": demo.wait_connected,
        "wait_lost": demo.wait_lost,
        "ping": demo.ping,
        "ask": demo.ask,
        "start_asking": demo.start_asking,
        "stop_asking": demo.stop_asking,
        "echo": demo.echo,
        "send_file": demo.send_file,
        "find": demo.deeds.find,
        "put": demo.deeds.put,
        "get": demo.deeds.get,
        "provide": demo.deeds.provide,
        "providers": demo.deeds.providers,
        "join": demo.deeds.join,
        "publish": demo.deeds.publish,
        "heard": demo.deeds.heard,
        "opinion": demo.deeds.opinion,
        "misbehave": demo.deeds.misbehave,
        "persist": demo.deeds.persist,
    }
    try:
        async with asyncio.timeout(OPERATION_TIMEOUT):
            answer({"id": number, "result": await operations[what](**command)})
    except (CortexError, OSError, ExceptionGroup) as error:  # OSError: TimeoutError too
        answer({"id": number, "error": f"{demo.name} could not {what}: {_reason(error)}"})


def _reason(error: BaseException) -> str:
    if isinstance(error, ExceptionGroup):
        return "; ".join(_reason(each) for each in error.exceptions)
    if isinstance(error, TimeoutError) and not isinstance(error, CortexError):
        return f"not done within {OPERATION_TIMEOUT:g} s"
    return describe(error) if isinstance(error, DemoFailed) else f"{type(error).__name__}: {describe(error)}"


def answer(message: Result) -> None:
    """One line to whoever started us. Where nobody listens any more, stdin has ended too."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def read_commands(loop: asyncio.AbstractEventLoop, commands: "asyncio.Queue[Command | None]") -> None:
    """Pass on the lines of stdin, in a thread: not every loop can watch a pipe. Unbuffered, so that it may die in a read."""
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), 65_536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            loop.call_soon_threadsafe(commands.put_nowait, json.loads(line))
    loop.call_soon_threadsafe(commands.put_nowait, None)


if __name__ == "__main__":
    # Ctrl-C reaches all processes of a terminal; who started us ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(work(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]))
