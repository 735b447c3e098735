"""Why a peer cannot be reached: each step of a dial on its own, for each of its addresses."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, final

from cortexnet import multistream
from cortexnet.admission.limits import Limits
from cortexnet.cli.client import client_node
from cortexnet.cli.failures import advice
from cortexnet.cli.options import parse_address
from cortexnet.cli.output import Json
from cortexnet.cli.probe import Probe, connected
from cortexnet.cli.text import duration, peer_text
from cortexnet.config import Config
from cortexnet.errors import CortexError, DialFailed, LocalError, PeerTimeout, describe
from cortexnet.host.ping import PROTOCOL as PING
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.node import Node
from cortexnet.security.channels import secure_channels
from cortexnet.swarm.resolver import Resolver

Status = Literal["ok", "failed", "skipped"]

_PROBED = "/IP/tcp/p2p?"
_AT_ONCE = 8


@final
@dataclass(slots=True)
class Step:
    """One thing that was tried, and what came of it."""

    name: str
    status: Status = "ok"
    detail: str = ""
    advice: str = ""
    seconds: float | None = None
    steps: "list[Step]" = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether nothing of it failed."""
        return self.status != "failed" and all(step.is_ok for step in self.steps)

    def as_members(self) -> dict[str, Json]:
        """For programs."""
        return {
            "name": self.name,
            "status": self.status,
            "detail": self.detail,
            "advice": self.advice,
            "seconds": self.seconds,
            "steps": [step.as_members() for step in self.steps],
        }


@final
@dataclass(slots=True)
class Diagnosis:
    """All that was tried."""

    address: str
    is_address: bool = True
    """Whether the text is an address at all."""
    steps: list[Step] = field(default_factory=list)
    attempts: list[Step] = field(default_factory=list)
    """One for each address that the text leads to."""

    @property
    def is_reachable(self) -> bool:
        """Whether one address works in full."""
        return any(attempt.is_ok for attempt in self.attempts)


async def diagnose(text: str, identity_file: str | None, timeout: float) -> Diagnosis:
    """Try everything, `timeout` seconds for each step. Raises StorageFailed for the key file, nothing for what is found."""
    diagnosis = Diagnosis(text)
    client_node(identity_file, timeout)  # a key file that is no good is no matter of the peer's
    try:
        address = parse_address(text)
    except LocalError as error:
        diagnosis.is_address = False
        message, _, hint = str(error).rpartition("; ")
        diagnosis.steps.append(Step("parse", "failed", message, hint))
        return diagnosis
    named = address.split_peer()[1]
    diagnosis.steps.append(Step("parse", detail=", ".join(address.protocols)))
    addresses = await _resolve(diagnosis, address, timeout)
    if named is None:
        diagnosis.steps.append(Step("peer id", "skipped", "none is named: whoever answers will do"))
    gate = asyncio.Semaphore(_AT_ONCE)
    examinations = [_Examination(one, identity_file, timeout) for one in addresses]
    diagnosis.attempts += [examination.step for examination in examinations]
    await asyncio.gather(*(examination.run(gate) for examination in examinations))
    return diagnosis


async def _resolve(diagnosis: Diagnosis, address: Multiaddr, timeout: float) -> list[Multiaddr]:
    if not address.protocols[0].startswith("dns"):
        return [address]
    named = address.split_peer()[1]
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(timeout):
            found = await Resolver(Limits()).resolve(address, None if named is None else PeerId.from_bytes(named))
    except TimeoutError:
        diagnosis.steps.append(Step("resolve", "failed", f"no answer within {timeout:g} s", "Does DNS work on this machine?"))
        return []
    except CortexError as error:
        hint = "Is the name right? Does DNS work on this machine?"
        diagnosis.steps.append(Step("resolve", "failed", str(error), hint, loop.time() - began))
        return []
    seconds = loop.time() - began
    detail = f"{len(found)} address{'es' if len(found) > 1 else ''} in {duration(seconds)}"
    diagnosis.steps.append(Step("resolve", detail=detail, seconds=seconds))
    return found


@final
class _Examination:
    """One address, step by step; ends with the first that fails."""

    def __init__(self, address: Multiaddr, identity_file: str | None, timeout: float) -> None:
        self._address = address
        self._identity_file = identity_file
        self._timeout = timeout
        named = address.split_peer()[1]
        self._expected = None if named is None else PeerId.from_bytes(named)
        self.step = Step(str(address))

    async def run(self, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                if self._address.matches(_PROBED):
                    await self._probe()
                async with client_node(self._identity_file, self._timeout) as node:
                    await self._use(node)
            except _Stop:
                self.step.status = "failed"

    @contextlib.asynccontextmanager
    async def _doing(self, name: str, probe: Probe | None = None) -> AsyncIterator[Step]:
        """A step that is ok unless the block raises; then the examination ends."""
        loop = asyncio.get_running_loop()
        step, began = Step(name), loop.time()
        self.step.steps.append(step)
        try:
            async with asyncio.timeout(self._timeout):
                yield step
        except (CortexError, OSError) as error:  # a TimeoutError is an OSError
            cause = _cause(error, self._timeout)
            step.status, step.detail = "failed", _said(cause, probe)
            step.advice = (probe.guess() if probe is not None else "") or advice(cause) or _advice_on_transports(cause)
            raise _Stop from None
        finally:
            step.seconds = loop.time() - began

    async def _probe(self) -> None:
        """The steps before there is a muxer, over a socket of their own."""
        endpoint = self._address.endpoint
        assert endpoint is not None  # an address of this pattern has one
        async with contextlib.AsyncExitStack() as stack:
            async with self._doing("tcp") as step:
                probe = await stack.enter_async_context(connected(*endpoint))
                step.detail = "connected"
            async with self._doing("security", probe) as step:
                names, key = Config().security, Identity.generate().private_key
                channels = {each.name: each for each in secure_channels(names, key, (), now=lambda: datetime.now(UTC))}
                chosen = await probe.run(multistream.select(list(channels)))
                session = await probe.run(channels[chosen].initiate(self._expected))
                step.detail = f"{chosen}, {session.remote_peer}"

    async def _use(self, node: Node) -> None:
        """The steps that a node takes."""
        async with self._doing("muxer" if self.step.steps else "dial") as step:
            peer = await node.dial(self._address)
            connection = node.connections[0]
            step.detail = f"{connection.muxer}, over {connection.transport} and {connection.security}"
        async with self._doing("identify") as step:
            info = await node.identify(peer)
            step.detail = f"{peer_text(info.agent_version)}, {len(info.protocols)} protocols"
        async with self._doing("ping") as step:
            if PING not in info.protocols:
                step.status, step.detail = "skipped", f"it does not speak {PING}"
            else:
                step.detail = duration(await node.ping(peer))


class _Stop(Exception):
    """The step has failed, and says so itself."""


def _cause(error: BaseException, timeout: float) -> BaseException:
    """The reason of the only attempt of a dial; a name for a time that is over."""
    if isinstance(error, DialFailed) and len(error.attempts) == 1:
        return error.attempts[0][1]
    if isinstance(error, TimeoutError) and not isinstance(error, CortexError):
        return PeerTimeout(f"nothing within {timeout:g} s")
    return error


def _said(error: BaseException, probe: Probe | None) -> str:
    """The error in words, with what the other side has said where that is no libp2p."""
    if isinstance(error, OSError) and not isinstance(error, CortexError) and error.errno:
        return os.strerror(error.errno).lower()
    if probe is not None and probe.heard and not probe.speaks_libp2p:
        return f"{describe(error)}; it said {ascii(probe.heard)[1:]}"
    return describe(error)


def _advice_on_transports(error: BaseException) -> str:
    return f"Transports of this node: {', '.join(Config().transports)}." if isinstance(error, LocalError) else ""


def tree(diagnosis: Diagnosis, *, is_ascii: bool) -> list[str]:
    """The diagnosis as lines, branches drawn."""
    return [diagnosis.address, *_branches([*diagnosis.steps, *diagnosis.attempts], "", is_ascii=is_ascii)]


def _branches(steps: Sequence[Step], indent: str, *, is_ascii: bool) -> list[str]:
    lines: list[str] = []
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        branch = ("`- " if is_last else "|- ") if is_ascii else ("└─ " if is_last else "├─ ")
        below = indent + ("   " if is_last else "|  " if is_ascii else "│  ")
        mark = {"ok": "ok", "failed": "FAILED", "skipped": "-"}[step.status]
        lines.append(indent + branch + (step.name if step.steps else f"{mark:6}  {step.name:8}  {step.detail}".rstrip()))
        if step.advice:
            lines.append(f"{below}{'':18}{step.advice}")
        lines += _branches(step.steps, below, is_ascii=is_ascii)
    return lines
