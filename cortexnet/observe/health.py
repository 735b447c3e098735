"""Is the node well? What is known about that, and what a person should do where it is not. A core."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from cortexnet.admission.limits import Limits

Status = Literal["ok", "degraded", "failing"]
_NEARLY = 0.9  # of a limit: nothing is refused yet, but soon
_LAG = 0.1  # seconds: peers notice it in every round trip


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be, and what to do about it."""

    what: str
    advice: str
    is_serious: bool = False
    """Whether the node can't do its work."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The state of a node at one moment. `status` is "ok" without problems, "failing" with a serious one."""

    status: Status
    problems: tuple[Problem, ...]
    uptime: float
    """Seconds since the start."""
    peers: int
    connections: int
    addresses: tuple[str, ...]
    """Where it can be reached."""
    loop_lag: float
    """Seconds the event loop was late at worst in the last minute; all else waits as long."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a node knows about itself."""

    uptime: float
    peers: int
    connections: int
    addresses: tuple[str, ...]
    listens: bool
    """Whether it is to be reached by others at all."""
    loop_lag: float
    counters: dict[str, int]
    limits: Limits
    unreachable: Sequence[str]
    """Bootstrap and kept peers that can't be reached."""
    kept: int
    """How many there are of them in all."""
    storage_failure: str
    """Why the state directory can't be written; empty where it can, or where there is none."""


def judge(found: Findings) -> Health:
    """Health by what was found."""
    problems = [*_of_storage(found), *_of_peers(found), *_of_loop(found), *_of_limits(found)]
    status: Status = "ok"
    if problems:
        status = "failing" if any(problem.is_serious for problem in problems) else "degraded"
    return Health(
        status=status,
        problems=tuple(problems),
        uptime=found.uptime,
        peers=found.peers,
        connections=found.connections,
        addresses=found.addresses,
        loop_lag=found.loop_lag,
    )


def _of_storage(found: Findings) -> Iterable[Problem]:
    if found.storage_failure:
        yield Problem(
            f"what is learnt is not kept: {found.storage_failure}",
            "make room on the disk, or give the node a state directory that it may write",
            is_serious=True,
        )


def _of_peers(found: Findings) -> Iterable[Problem]:
    if found.listens and not found.addresses:
        yield Problem("it listens, but has no address", "look at the network interfaces of this machine", is_serious=True)
    if not found.unreachable:
        return
    names = ", ".join(found.unreachable[:3]) + (" ..." if len(found.unreachable) > 3 else "")
    yield Problem(
        f"{len(found.unreachable)} of {found.kept} peers that are to be connected can't be reached: {names}",
        "`cortexnet doctor ADDRESS` says why; they are tried again all the time",
        is_serious=found.peers == 0,
    )


def _of_loop(found: Findings) -> Iterable[Problem]:
    if found.loop_lag > _LAG:
        yield Problem(
            f"the event loop was held up for {found.loop_lag * 1_000:.0f} ms",
            "something in this process computes or blocks without `await`: move it to a thread (asyncio.to_thread)",
        )


def _of_limits(found: Findings) -> Iterable[Problem]:
    limits, counters = found.limits, found.counters
    for counter, bound in (
        ("connections", limits.connections),
        ("connections_inbound", limits.connections_inbound),
        ("connections_outbound", limits.connections_outbound),
        ("streams_inbound", limits.streams_inbound),
        ("memory", limits.memory),
    ):
        used = counters.get(counter, 0)
        if bound and used >= _NEARLY * bound:
            yield Problem(f"{counter}: {used} of {bound} are in use", f"raise limits.{counter}, or serve fewer peers")
