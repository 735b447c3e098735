"""The demonstration: starts the processes, has their nodes do things, kills one process, and checks everything it says."""

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, final

from cortexnet.cli.demo.calls import all_of
from cortexnet.cli.demo.network import Network
from cortexnet.cli.demo.process import Worker
from cortexnet.cli.demo.report import Pair, matrix, pair_table, span
from cortexnet.cli.demo.services import DemoFailed, digest_of
from cortexnet.cli.output import Output
from cortexnet.cli.text import duration, rate, size
from cortexnet.version import VERSION

PROCESSES = ("A", "B", "C")
NODES_EACH = 2
NEWCOMERS = "D"
"""The process that comes later."""
NEWCOMER_COUNT = 6
PINGS = 5
REQUESTS = 20
STREAM_SIZE = 1 << 20
FILE_SIZE = 4 << 20
TIMEOUT = 90.0
"""Seconds for all of it; it takes 20 or so, half of them between the first and the second search of a namespace."""


@final
class Demo:
    """One run. `faults` says what was not as it should be."""

    def __init__(self, output: Output, folder: Path) -> None:
        self.faults: list[str] = []
        self._output = output
        self._folder = folder
        self._workers = [Worker(name, NODES_EACH, folder) for name in PROCESSES]
        self._worker_of: dict[str, Worker] = {}
        self._peer_of: dict[str, str] = {}
        self._address_of: dict[str, str] = {}
        self._pairs: list[Pair] = []

    async def run(self) -> None:
        """Everything, within `TIMEOUT`; the processes are gone afterwards, however it ends."""
        try:
            async with asyncio.timeout(TIMEOUT), self._processes():
                await self._introduce()
                await self._dial()
                await self._ping()
                await self._ask()
                await self._stream(self._pairs)
                await self._send_files(self._pairs)
                await self._lose_one()
                await self._carry_on()
                await self._grow()
                self._summarise()
        except DemoFailed as error:
            self.faults.append(str(error))
        except TimeoutError:
            self.faults.append(f"it was not over within {TIMEOUT:g} s")
        self._check_exits()

    @contextlib.asynccontextmanager
    async def _processes(self) -> AsyncIterator[None]:
        try:
            self._output.text(
                f"cortexnet {VERSION}: {len(PROCESSES) * NODES_EACH} nodes in {len(PROCESSES)} processes,"
                " over real TCP sockets on 127.0.0.1"
            )
            async with self._output.waiting("starting the processes"):
                await all_of(worker.start() for worker in self._workers)
            yield
        finally:
            await asyncio.gather(*(worker.close() for worker in self._workers))

    def _check_exits(self) -> None:
        for worker in self._workers:
            if not worker.is_killed and worker.exit_code not in (0, None):
                words = worker.last_words()
                self.faults.append(
                    f"process {worker.name} ended with exit code {worker.exit_code}{f': {words}' if words else ''}"
                )

    def check(self, is_so: bool, fault: str) -> None:
        """Keep the fault unless it is so."""
        if not is_so:
            self.faults.append(fault)

    async def _tell(self, node: str, do: str, **arguments: Any) -> dict[str, Any]:
        return await self._worker_of[node].call(node, do, **arguments)

    def _title(self, text: str) -> None:
        self._output.text(f"\n{text}")

    # --- the acts ----------------------------------------------------------------------------------------------------------

    async def _introduce(self) -> None:
        self._title("Who is there")
        for worker in self._workers:
            self._introduce_nodes(worker)
        self._pairs = [Pair(*names) for names in itertools.combinations(self._peer_of, 2)]

    def _introduce_nodes(self, worker: Worker) -> None:
        for node in worker.nodes:
            name, peer, address = node["name"], node["peer_id"], node["address"]
            self._worker_of[name], self._peer_of[name], self._address_of[name] = worker, peer, address
            where = address.removesuffix(f"/p2p/{peer}")
            text = f"  {name}  process {worker.name}, pid {worker.pid}  {where:26}  {peer}"
            self._output.say(text, "node", name=name, pid=worker.pid, peer_id=peer, address=address)

    async def _dial(self) -> None:
        self._title("Each dials each, all at once")
        loop = asyncio.get_running_loop()
        began = loop.time()
        results = await all_of(self._tell(pair.first, "dial", address=self._address_of[pair.second]) for pair in self._pairs)
        for pair, result in zip(self._pairs, results, strict=True):
            if "error" in result:
                raise DemoFailed(f"{pair.first} could not dial {pair.second}: {result['error']}")
            pair.dial_seconds = result["seconds"]
        for name in self._peer_of:
            others = [peer for other, peer in self._peer_of.items() if other != name]
            await self._tell(name, "wait_connected", peers=others)
        seconds = loop.time() - began
        await self._compare_ends()
        kinds = sorted({pair.made_of for pair in self._pairs})
        each = span(pair.dial_seconds for pair in self._pairs)
        self._output.text(
            f"  {len(self._pairs)} connections in {duration(seconds)}, each within {each}; made of {', '.join(kinds)}"
        )
        self._output.text("  who dialed whom (>), as both ends tell:")
        cells = {(pair.first, pair.second): ">" for pair in self._pairs} | {
            (pair.second, pair.first): "<" for pair in self._pairs
        }
        self._output.text("\n".join(matrix(list(self._peer_of), cells)))
        self._output.say_event("dialed", connections=len(self._pairs), seconds=seconds)

    async def _compare_ends(self) -> None:
        """Both ends of each connection must tell the same of it."""
        seen: dict[tuple[str, str], dict[str, Any]] = {}
        name_of = {peer: name for name, peer in self._peer_of.items()}
        for name in self._peer_of:
            for facts in (await self._tell(name, "connections"))["connections"]:
                seen[name, name_of[facts["peer_id"]]] = facts
        self.check(len(seen) == 2 * len(self._pairs), f"{len(seen)} ends of connections, not {2 * len(self._pairs)}")
        for pair in self._pairs:
            ours, theirs = seen.get((pair.first, pair.second)), seen.get((pair.second, pair.first))
            if ours is None or theirs is None:
                raise DemoFailed(f"{pair.name}: one end has no connection")
            pair.made_of = made_of = _made_of(ours)
            self.check(made_of == _made_of(theirs), f"{pair.name}: made of {made_of}, but of {_made_of(theirs)} at the other end")
            directions = ours["direction"], theirs["direction"]
            self.check(directions == ("outbound", "inbound"), f"{pair.name}: directions {directions}")

    async def _ping(self) -> None:
        self._title(f"Each pings each, {PINGS} times")
        cells: dict[tuple[str, str], str] = {}
        for one, other in itertools.permutations(self._peer_of, 2):
            seconds = (await self._tell(one, "ping", peer=self._peer_of[other], count=PINGS))["seconds"]
            self._pair(one, other).pings += seconds
            cells[one, other] = f"{min(seconds) * 1e3:.2f}"
        self._output.text("  best round trips in ms:")
        self._output.text("\n".join(matrix(list(self._peer_of), cells)))
        best = [pair.round_trip for pair in self._pairs]
        self._output.say_event("pinged", pings=len(cells) * PINGS, fastest_seconds=min(best), slowest_seconds=max(best))

    async def _ask(self) -> None:
        self._title("Each asks each something, all at once; every answer is checked")
        loop = asyncio.get_running_loop()
        routes = list(itertools.permutations(self._peer_of, 2))
        began = loop.time()
        await all_of(self._tell(one, "ask", peer=self._peer_of[other], count=REQUESTS) for one, other in routes)
        seconds, count = loop.time() - began, len(routes) * REQUESTS
        text = f"  {count} requests, {count} right answers in {duration(seconds)}: {count / seconds:.0f} a second"
        self._output.say(text, "asked", requests=count, seconds=seconds)

    async def _stream(self, pairs: list[Pair]) -> None:
        self._title(f"Streams: {size(STREAM_SIZE)} of random bytes there and back at the same time; every byte is compared")
        for pair in pairs:
            result = await self._tell(pair.first, "echo", peer=self._peer_of[pair.second], size=STREAM_SIZE)
            pair.stream_bytes, pair.stream_seconds = 2 * STREAM_SIZE, result["seconds"]
        self._say_speeds("streamed", [(pair.stream_bytes, pair.stream_seconds) for pair in pairs], "stream")

    async def _send_files(self, pairs: list[Pair]) -> None:
        self._title(f"Files of {size(FILE_SIZE)}: sent, stored, read back; their sha2-256 is compared")
        for pair in pairs:
            result = await self._tell(pair.first, "send_file", peer=self._peer_of[pair.second], size=FILE_SIZE)
            pair.file_bytes, pair.file_seconds = FILE_SIZE, result["seconds"]
            stored = await asyncio.to_thread(digest_of, self._folder / result["stored"])
            self.check(stored.hex() == result["sha256"], f"{pair.name}: the file on disk is not the one that was sent")
        self._say_speeds("sent", [(pair.file_bytes, pair.file_seconds) for pair in pairs], "file")

    def _say_speeds(self, verb: str, moved: list[tuple[int, float]], thing: str) -> None:
        count, seconds = sum(part[0] for part in moved), sum(part[1] for part in moved)
        speeds = sorted(moved, key=lambda part: part[0] / part[1])
        slowest, fastest = rate(*speeds[0]), rate(*speeds[-1])
        total = f"{len(moved)} {thing}s, one after the other, all intact: {size(count)} in {duration(seconds)}"
        text = f"  {total}; {slowest} to {fastest}"
        self._output.say(text, verb, **{f"{thing}s": len(moved), "bytes": count, "seconds": seconds})

    # --- one is lost -------------------------------------------------------------------------------------------------------

    @property
    def _survivors(self) -> list[str]:
        return [name for name, worker in self._worker_of.items() if not worker.is_killed]

    async def _lose_one(self) -> None:
        victim = self._workers[-1]
        self._title(f"Process {victim.name} is killed, while the others go on asking each other")
        dead = [node["name"] for node in victim.nodes]
        living = [name for name in self._peer_of if name not in dead]
        for name in living:
            await self._tell(name, "start_asking", peers=[self._peer_of[other] for other in living if other != name])
        loop = asyncio.get_running_loop()
        victim.kill()
        killed_at = loop.time()
        self._output.say(f"  pid {victim.pid} is gone, and {' and '.join(dead)} with it", "killed", pid=victim.pid, nodes=dead)
        await all_of(self._notice(name, dead, killed_at) for name in living)
        for pair in self._pairs:
            pair.is_lost = bool({pair.first, pair.second} & set(dead))
        await self._stop_asking(living)

    async def _notice(self, name: str, dead: list[str], killed_at: float) -> None:
        lost = await self._tell(name, "wait_lost", peers=[self._peer_of[other] for other in dead])
        seconds, reason = asyncio.get_running_loop().time() - killed_at, lost["reasons"][0]
        text = f"  {name} has noticed after {duration(seconds)}: {reason}"
        self._output.say(text, "noticed", name=name, seconds=seconds, reason=reason)

    async def _stop_asking(self, living: list[str]) -> None:
        answered, unanswered = 0, []
        for name in living:
            result = await self._tell(name, "stop_asking")
            answered += result["answered"]
            unanswered += result["unanswered"]
        self.faults += unanswered
        self.check(answered > 0, "nobody got an answer while the process was killed")
        text = f"  meanwhile the others had {answered} requests answered, {len(unanswered)} were not"
        self._output.say(text, "asked_meanwhile", answered=answered, unanswered=len(unanswered))

    async def _carry_on(self) -> None:
        living = self._survivors
        dead = next(name for name in self._peer_of if name not in living)
        result = await self._tell(living[0], "dial", address=self._address_of[dead])
        self.check("error" in result, f"{living[0]} could dial {dead}, which is dead")
        text = f"  {living[0]} dials {dead} once more: {result.get('error', 'connected?!')}"
        self._output.say(text, "dial_of_the_dead", name=living[0], error=str(result.get("error", "")))
        for name in living:
            count = len((await self._tell(name, "connections"))["connections"])
            self.check(count == len(living) - 1, f"{name} has {count} connections, not {len(living) - 1}")
        self._title(f"The other {len(living)} carry on")
        pairs = [pair for pair in self._pairs if not pair.is_lost]
        await self._stream(pairs)
        await self._send_files(pairs)

    async def _grow(self) -> None:
        """Newcomers join, and all of them are a network."""
        members = self._survivors
        self._title(f"{NEWCOMER_COUNT} newcomers, who know nothing but the address of {members[0]}")
        worker = Worker(NEWCOMERS, NEWCOMER_COUNT, self._folder, self._address_of[members[0]])
        self._workers.append(worker)
        await worker.start()
        self._introduce_nodes(worker)
        newcomers = [node["name"] for node in worker.nodes]
        await Network(self._output, self._tell, self.check, self._peer_of, self._address_of).run(members, newcomers)

    def _summarise(self) -> None:
        self._title("Who is connected to whom, with what, how fast")
        self._output.text("\n".join(pair_table(self._pairs)))
        for pair in self._pairs:
            self._output.say_event("pair", **pair.as_members())

    def _pair(self, one: str, other: str) -> Pair:
        return next(pair for pair in self._pairs if {pair.first, pair.second} == {one, other})


def _made_of(facts: dict[str, Any]) -> str:
    return f"{facts['transport']} {facts['security']} {facts['muxer']}"


async def demonstrate(output: Output) -> list[str]:
    """Run it in a folder that is removed afterwards; what went wrong."""
    with tempfile.TemporaryDirectory(prefix="cortexnet-demo-", ignore_cleanup_errors=True) as folder:
        demo = Demo(output, Path(folder))
        await demo.run()
        return demo.faults
