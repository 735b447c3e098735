"""Other stacks as measured pairs: peers of the interop harness, steered as interop/README.md documents."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from bench import steered_dht
from bench.at_once import requests_at_once
from bench.calls import Calls
from bench.half import Figures, Task
from bench.pair import Client, Kind, Server
from bench.process import ROOT, MeasurementFailed, Process
from bench.stacks import STACKS
from interop.harness import peers

LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
MESSAGE_SIZE: Final = 100
ENDLESS: Final = 1 << 40
"""Bytes of a transfer that is to last until its process is ended."""
DHT: Final[dict[str, Callable[[Calls, Task], Awaitable[Figures]]]] = {
    "dht_find_node": steered_dht.find_nodes,
    "dht_lookups": steered_dht.lookups,
}


@final
@dataclass(frozen=True, slots=True)
class Steered:
    """A stack by the name of its peer. `share`: it gets so many times fewer requests at once, where all would take too long."""

    name: str
    share: int = 1

    @property
    def peer(self) -> peers.PeerKind:
        """How it is built and run."""
        return peers.read_manifest(ROOT / "interop" / "peers" / self.name / "peer.toml", ROOT)

    async def build(self) -> str:
        """Build the peer (at once when nothing changed); returns its version. Raises MeasurementFailed."""
        peer = self.peer
        if missing := peer.missing():
            raise MeasurementFailed(missing)
        try:
            await peers.build(peer)
        except peers.PeerUnusable as error:
            raise MeasurementFailed(str(error)) from error
        async with Process(peer.run) as process:
            described = await Calls(process).call("describe")
            return f"{described['implementation']} {described['version']}, {described['runtime']}"

    @property
    def kind(self) -> Kind:
        """The pair."""
        return Kind(self.name, self._server, self._client)

    @asynccontextmanager
    async def _server(self, task: Task) -> AsyncIterator[Server]:
        async with Process(self.peer.run) as process:
            calls = Calls(process)
            if task.workload == "dht_find_node":
                address = await steered_dht.start_server(calls)
            else:
                address = (await calls.call("start", listen=[listen_at(task)], **options(task)))["addresses"][0]
            yield SteeredServer(calls, address)

    @asynccontextmanager
    async def _client(self, task: Task) -> AsyncIterator[Client]:
        async with Process(self.peer.run) as process:
            yield SteeredClient(Calls(process), self.share)


@final
class SteeredServer:
    def __init__(self, calls: Calls, address: str) -> None:
        self._calls = calls
        self.address = address

    async def resident(self) -> int:
        return int((await self._calls.call("memory"))["rss"])

    async def metered(self) -> dict[str, Any]:
        raise MeasurementFailed("only halves written in Python have meters")


@final
class SteeredClient:
    def __init__(self, calls: Calls, share: int) -> None:
        self._calls = calls
        self._share = share

    async def measure(self, task: Task) -> Figures:
        calls = self._calls
        if task.workload in DHT:
            return await DHT[task.workload](calls, task)
        await calls.call("start", **options(task))
        if task.workload == "dials":
            return rate_and_latencies(await calls.call("dials", address=task.address, count=task.amount))
        peer = (await calls.call("connect", address=task.address))["peer_id"]
        match task.workload:
            case "bulk_up":
                return {"rate": task.amount / (await calls.call("perf", peer=peer, upload=task.amount))["seconds"] / 1e6}
            case "bulk_down":
                return {"rate": task.amount / (await calls.call("perf", peer=peer, download=task.amount))["seconds"] / 1e6}
            case "messages":
                answer = await calls.call("messages", peer=peer, size=MESSAGE_SIZE, count=task.amount)
                return {"rate": answer["acknowledged"] / answer["seconds"]}
            case "round_trip":
                return latencies(await calls.call("round_trips", peer=peer, size=MESSAGE_SIZE, count=task.amount))
            case "requests":
                return latencies(await calls.call("requests", peer=peer, size=MESSAGE_SIZE, count=task.amount))
            case "requests_at_once":
                return await requests_at_once(calls, peer, task.amount // self._share)
            case "crowded_up" | "crowded_down":
                return await self._crowded(peer, task)
            case _:
                raise MeasurementFailed(f"peers of the harness have no workload {task.workload!r}")

    async def hold(self, task: Task) -> None:
        await self._calls.call("idle", address=task.address, count=task.amount)

    async def _crowded(self, peer: str, task: Task) -> Figures:
        direction = "upload" if task.workload == "crowded_up" else "download"
        for _ in range(5):
            self._calls.start("perf", peer=peer, **{direction: ENDLESS})
        await asyncio.sleep(0.3)
        return latencies(await self._calls.call("round_trips", peer=peer, size=MESSAGE_SIZE, count=task.amount))


def listen_at(task: Task) -> str:
    return STACKS[task.stack].listen if task.stack else LISTEN


def options(task: Task) -> dict[str, object]:
    """What a peer is told about the stack."""
    security = STACKS[task.stack].security if task.stack else ()
    return {"security": list(security)} if security else {}


def latencies(answer: dict[str, Any]) -> Figures:
    return {"p50": answer["p50_us"], "p99": answer["p99_us"]}


def rate_and_latencies(answer: dict[str, Any]) -> Figures:
    return {"rate": answer["count"] / answer["seconds"], **latencies(answer)}


GO: Final = Steered("go")
RUST: Final = Steered("rust")
JS: Final = Steered("js", share=4)
