"""One cell of the table: a scenario, a pair of peers, a stack; and what came of it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from interop.harness.meeting import Meeting, Side, Unexpected
from interop.harness.peers import PeerKind
from interop.harness.private_network import NoNamespaces, PrivateNetwork
from interop.harness.process import Answer, OperationFailed, PeerDied, PeerProcess
from interop.harness.scenario import Scenario, StartOptions
from interop.harness.stack import Stack

Outcome = Literal["passed", "failed", "skipped"]


@final
@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a cell; `detail` says why it failed or was skipped, `logs` are the files that a failed one left.

    One that passed with a `detail` passed only at the second try; the detail is what the first one failed of.
    """

    dialer: str
    listener: str
    scenario: str
    stack: str
    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""
    logs: tuple[Path, ...] = ()

    @property
    def pair(self) -> str:
        """For people."""
        return f"{self.dialer} → {self.listener}"

    @property
    def is_unsteady(self) -> bool:
        """Whether it passed, but not at once."""
        return self.outcome == "passed" and bool(self.detail)


@final
@dataclass(frozen=True, slots=True)
class Cell:
    """What is to be run: `abilities` are the answers of `describe`, dialer first; `guest`, with its own, where there is one."""

    dialer: PeerKind
    listener: PeerKind
    scenario: Scenario
    stack: Stack
    abilities: tuple[Answer, Answer]
    guest: tuple[PeerKind, Answer] | None = None

    def result(self, outcome: Outcome, **fields: object) -> Result:
        """This cell's result."""
        names = (self.dialer.name, self.listener.name, self.scenario.name, str(self.stack))
        return Result(*names, outcome, **fields)  # type: ignore[arg-type]

    async def run(self, logs: Path) -> Result:
        """Start both peers, play the scenario, stop them. A failed cell leaves both logs in the folder `logs`."""
        refusal = self.scenario.refusal(*self.abilities)
        if self.scenario.guest and self.guest is None:
            refusal = f"{self.scenario.guest} is not here"
        if refusal is not None:
            return self.result("skipped", detail=refusal)
        if not self.scenario.private_network:
            return await self._run(logs, ())
        try:
            wire = any(abilities.get("mdns_loopback") is False for abilities in self.abilities)
            async with PrivateNetwork(wire=wire) as network:
                return await self._run(logs, network.prefix)
        except NoNamespaces as error:
            return self.result("skipped", detail=str(error))

    async def _run(self, logs: Path, prefix: tuple[str, ...]) -> Result:
        begin = time.monotonic()
        peers = [PeerProcess(self.dialer, "dialer", prefix), PeerProcess(self.listener, "listener", prefix)]
        if self.guest is not None:
            peers.append(PeerProcess(self.guest[0], "guest", prefix))
        detail = ""
        try:
            async with AsyncExitStack() as running:
                for peer in peers:
                    await running.enter_async_context(peer)
                async with asyncio.timeout(self.scenario.timeout):
                    await self.scenario.run(await self._meet(peers))
        except (Unexpected, OperationFailed, PeerDied) as error:
            detail = str(error)
        except TimeoutError:
            detail = f"not done after {time.monotonic() - begin:.1f} s"
        except (LookupError, TypeError) as error:
            detail = f"an answer without what it must hold: {error!r}"
        seconds = time.monotonic() - begin
        if not detail:
            return self.result("passed", seconds=seconds)
        return self.result("failed", seconds=seconds, detail=detail, logs=self._keep(logs, detail, *peers))

    async def _meet(self, peers: Sequence[PeerProcess]) -> Meeting:
        abilities = [*self.abilities, *([] if self.guest is None else [self.guest[1]])]
        options: tuple[StartOptions, ...] = (self.scenario.dialer, self.scenario.listener, {})
        sides = [await self._start(*each) for each in zip(peers, abilities, options, strict=False)]
        return Meeting(sides[0], sides[1], self.stack, tuple(sides[2:]))

    async def _start(self, process: PeerProcess, abilities: Answer, options: object) -> Side:
        assert isinstance(options, dict)
        started = await process.request("start", **{**self.stack.start_options(), **options})
        return Side(process, abilities, started["peer_id"], tuple(started["addresses"]))

    def _keep(self, folder: Path, detail: str, *peers: PeerProcess) -> tuple[Path, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        name = "-".join((self.dialer.name, self.listener.name, self.scenario.name, str(self.stack)))
        stem = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
        kept = []
        for peer in peers:
            path = folder / f"{stem}.{peer.role}.log"
            path.write_text("\n".join((f"{peer.role} {peer.kind.name}: {detail}", *peer.log, "")), encoding="utf-8")
            kept.append(path)
        return tuple(kept)
