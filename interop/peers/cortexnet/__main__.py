"""`python -m interop.peers.cortexnet`: a cortexnet node steered by JSON lines on stdin and stdout."""

import asyncio
import json
import logging
import sys
import traceback
from typing import Any

from interop.peers.cortexnet.failures import BadRequest, failure
from interop.peers.cortexnet.operations import Peer

LINE_LIMIT = 1 << 20
DEFAULT_TIMEOUT = 60.0


def send(body: dict[str, Any]) -> None:
    """One whole line at once: answers of concurrent operations must not mix."""
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


async def answer(peer: Peer, request: dict[str, Any]) -> None:
    """Run one request to its answer. This is the boundary of the program: whatever goes wrong is told, not raised."""
    number = request.get("id", 0)
    try:
        async with asyncio.timeout(request.get("timeout") or DEFAULT_TIMEOUT):
            body = await peer.run(request)
    except Exception as error:
        traceback.print_exc()
        send({"id": number, "ok": False, **failure(error)})
    else:
        send({"id": number, "ok": True, **body})


async def read_lines() -> asyncio.StreamReader:
    """Stdin as a stream."""
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main() -> None:
    """Serve requests until `stop`, or until stdin ends: then the runner is gone."""
    lines, running, peer = await read_lines(), set[asyncio.Task[None]](), Peer()
    try:
        while line := await lines.readline():
            try:
                request = json.loads(line)
            except ValueError as error:
                send({"id": 0, "ok": False, **failure(BadRequest(f"not a request: {error}"))})
                continue
            if request.get("op") == "stop":
                await answer(peer, request)
                return
            task = asyncio.create_task(answer(peer, request))
            running.add(task)
            task.add_done_callback(running.discard)
    finally:
        for task in running:
            task.cancel()
        await peer.stop({})


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(main())
