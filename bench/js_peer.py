"""js-libp2p as a measured pair: the peer of the interop harness, brought by npm."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, final

from bench.at_once import requests_at_once
from bench.go_calls import Calls
from bench.half import Figures, Task
from bench.pair import Client, Kind, Server
from bench.process import ROOT, MeasurementFailed, Process
from interop.harness import peers

PEER: Final = peers.read_manifest(ROOT / "interop" / "peers" / "js" / "peer.toml", ROOT)
LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
SHARE: Final = 4
"""It gets so many times fewer requests: it would take longer than all others together."""


async def build() -> str:
    """Build the peer and return its version. Raises MeasurementFailed without npm."""
    if missing := PEER.missing():
        raise MeasurementFailed(missing)
    try:
        await peers.build(PEER)
    except peers.PeerUnusable as error:
        raise MeasurementFailed(str(error)) from error
    packages = json.loads((ROOT / "interop" / "peers" / "js" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return f"js-libp2p {packages['libp2p']}, gossipsub {packages['@libp2p/gossipsub']}"


@final
class JsHalf:
    """Either half of a pair of js-libp2p."""

    def __init__(self, calls: Calls, address: str = "") -> None:
        self._calls = calls
        self.address = address

    async def measure(self, task: Task) -> Figures:
        await self._calls.call("start")
        peer = (await self._calls.call("connect", address=task.address))["peer_id"]
        return await requests_at_once(self._calls, peer, task.amount // SHARE)

    async def hold(self, task: Task) -> None:
        raise MeasurementFailed("js-libp2p is measured in requests and gossip alone")

    async def resident(self) -> int:
        return int((await self._calls.call("memory"))["rss"])

    async def metered(self) -> dict[str, Any]:
        raise MeasurementFailed("only halves written in Python have meters")


@asynccontextmanager
async def start_server(task: Task) -> AsyncIterator[Server]:
    async with Process(PEER.run) as process:
        calls = Calls(process)
        yield JsHalf(calls, (await calls.call("start", listen=[LISTEN]))["addresses"][0])


@asynccontextmanager
async def start_client(task: Task) -> AsyncIterator[Client]:
    async with Process(PEER.run) as process:
        yield JsHalf(Calls(process))


JS: Final = Kind("js", start_server, start_client)
