"""One process of a soak, with one node: `python -m soak.worker SETTINGS`, a JSON object.

It does what it reads on stdin and answers on stdout, JSON objects, one a line: {"id", "do", arguments…} and {"id", "result"} or
{"id", "error"}. The first line tells that it listens, the last one what is left of it. The end of stdin ends it.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from soak.clock import Speed, WallClock

Command = dict[str, Any]


async def work(settings: dict[str, Any], clock: WallClock) -> None:
    """Run the node until stdin ends."""
    from cortexnet.errors import CortexError
    from cortexnet.kad.service import peer_streams
    from cortexnet.transport.scope import Scope
    from soak.node import SoakNode

    peer_streams.STREAM_AGE *= settings["pace"]  # a short calm is to show, too, that all comes to its end

    async def execute(number: int, do: str, arguments: Command) -> None:
        try:
            answer({"id": number, "result": await node.commands[do](**arguments)})
        except (CortexError, OSError) as error:
            answer({"id": number, "error": f"{type(error).__name__}: {error}"})

    commands: asyncio.Queue[Command | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    # Whom it dials must know it by its address, as the network between them does.
    local = settings["address"], 0
    loop.create_connection = partial(loop.create_connection, local_addr=local)  # type: ignore[method-assign]
    threading.Thread(target=read_commands, args=(loop, commands), daemon=True, name="stdin").start()
    listen = f"/ip4/{settings['address']}/tcp/{settings['port']}"
    node = SoakNode(Path(settings["folder"]), listen, settings["announce"], settings["bootstrap"], clock)
    async with node.running():
        answer({"ready": os.getpid()})
        scope = Scope()
        while (command := await commands.get()) is not None:
            number, do = command.pop("id"), command.pop("do")
            scope.spawn(execute(number, do, command), name=do)
        await scope.close()
    answer({"rest": node.rest()})


def answer(message: Command) -> None:
    """One line to whoever started us. Where nobody listens any more, stdin has ended too."""
    try:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass


def read_commands(loop: asyncio.AbstractEventLoop, commands: "asyncio.Queue[Command | None]") -> None:
    """Pass on the lines of stdin, in a thread. Unbuffered, so that it may die in a read."""
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), 65_536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            loop.call_soon_threadsafe(commands.put_nowait, json.loads(line))
    loop.call_soon_threadsafe(commands.put_nowait, None)


def main() -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; who started us ends us
    settings = json.loads(sys.argv[1])
    speed = Speed(settings["speed"], settings["since"])
    clock = WallClock(speed)
    clock.install()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    with asyncio.Runner(loop_factory=speed.loop) as runner:
        runner.run(work(settings, clock))


if __name__ == "__main__":
    main()
