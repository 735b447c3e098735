"""What a running node does for its connections: closes those too many, dials who must stay, looks after the network. A shell."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.admission.limits import CONTROL_PROTOCOLS, Limits
from cortexnet.errors import ConnectionClosed, ConnectionCode, CortexError, NotRunning, describe, in_one_line
from cortexnet.identity.peer_id import PeerId
from cortexnet.swarm import trim_plan
from cortexnet.swarm.dial_problem import ADVICE, problem_of
from cortexnet.swarm.manager_config import ConnectionManagerConfig, Watermarks
from cortexnet.swarm.manager_events import (
    ConnectionTrimmed,
    KeptPeerReached,
    KeptPeerUnreachable,
    ManagerEvent,
    NetworkChanged,
)
from cortexnet.swarm.tags import Tags
from cortexnet.swarm.trim_plan import Held
from cortexnet.swarm.warm_set import Key, WarmSet
from cortexnet.transport.connection import Connection

if TYPE_CHECKING:
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.swarm.swarm import Swarm
    from cortexnet.transport.scope import Scope

log = logging.getLogger(__name__)

Identified = Callable[[Connection], Awaitable[object]]

_DIALS = 16  # of kept peers at a time; the rest waits, so that the application's own dials find room
_LOOKS_APART = 1.0  # seconds between looks for idle connections, or for old enough ones to trim: each takes some 10 µs for each


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """What a connection manager knows and wants, which outlives the start and the end of its node."""

    config: ConnectionManagerConfig
    marks: Watermarks
    limits: Limits
    tags: Tags
    warm: WarmSet
    names: dict[Key, str]
    """What those who are kept are called in the log."""
    tell: Callable[[ManagerEvent], None]


@final
class Upkeep:
    """One task, which sleeps until somebody wakes it or something is due; kept peers are dialed, and trimmed connections closed,
    in tasks that end."""

    def __init__(self, rules: Rules, swarm: "Swarm", scope: "Scope", identified: Identified) -> None:
        """`identified` waits until a peer has said who it is."""
        self._rules = rules
        self._swarm = swarm
        self._scope = scope
        self._identified = identified
        self._loop = asyncio.get_running_loop()
        self._opened: dict[Connection, float] = {}
        self._closing: set[Connection] = set()  # of them, those that were chosen to go
        self._counts: dict[PeerId, int] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._look_at = float("inf")  # whether there is something to trim
        self._quiet_until = float("-inf")  # no look before, whoever comes
        self._idle_at = float("inf")
        self._dialing = 0
        self._unreachable: dict[Key, None] = {}  # and said so
        self._untried: dict[Key, None] = {}
        self.worth: Callable[[PeerId], float] | None = None
        """Which of several kept peers is to be dialed first."""
        self.all_tried = asyncio.Event()
        """Whether each of those who were kept at the start was dialed once, or never will be."""

    def start(self) -> None:
        """Begin; whoever is kept by now is dialed at once."""
        now = self._loop.time()
        self._rules.tags.begin(now)
        self._rules.warm.begin(now)
        self._untried.update(dict.fromkeys(self._rules.warm))
        self._set_tried()
        self._task = self._scope.spawn(self._run(), name="connection manager")

    def stop(self) -> None:
        """Dial and trim no more; nobody need wait for the first dials."""
        if self._task is not None:
            self._task.cancel()
        self.all_tried.set()

    # --- what the swarm says -----------------------------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        """There is one more."""
        now, peer = self._loop.time(), connection.peer_id
        self._opened[connection] = now
        self._counts[peer] = self._counts.get(peer, 0) + 1
        self._rules.tags.connected(peer, now)
        self._rules.warm.connected(peer, now)
        for key in self._rules.warm.keys_of(peer):
            self._is_back(key)
        if self._rules.config.idle_timeout:
            self._idle_at = min(self._idle_at, now + self._rules.config.idle_timeout)
            self.wake()
        if len(self._opened) > self._rules.marks.high:
            self._look_at = min(self._look_at, max(now, self._quiet_until))
            self.wake()

    def disconnected(self, connection: Connection) -> None:
        """It is gone."""
        now, peer = self._loop.time(), connection.peer_id
        if self._opened.pop(connection, None) is None:
            return
        self._closing.discard(connection)
        self._counts[peer] -= 1
        if not self._counts[peer]:
            del self._counts[peer]
            self._rules.tags.disconnected(peer, now)
            if self._rules.warm.is_kept(peer):
                self._rules.warm.lost(peer, now)
                self.wake()

    @property
    def unreachable(self) -> list[Key]:
        """Kept peers and addresses that could not be dialed when that was tried last."""
        return list(self._unreachable)

    @property
    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def is_connected(self, peer: PeerId) -> bool:
        """Whether there is a connection, be it about to close."""
        return peer in self._counts

    # --- the task ----------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            now = self._loop.time()
            if now >= self._look_at:
                self._trim_above_high(now)
            if now >= self._idle_at:
                self._close_idle(now)
            for key in self._rules.warm.take_due(now, max(0, _DIALS - self._dialing), self.worth):
                self._dialing += 1
                self._scope.spawn(self._dial(key), name=f"keep {key}")
            due = self._next_timeout()
            timer = self._loop.call_at(due, self.wake) if due < float("inf") else None
            try:
                await self._woken.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _next_timeout(self) -> float:
        due = min(self._idle_at, self._look_at)
        dial_at = self._rules.warm.next_timeout()
        if dial_at is not None and self._dialing < _DIALS:
            due = min(due, dial_at)
        return due

    # --- too many, or idle -------------------------------------------------------------------------------------------------

    def _trim_above_high(self, now: float) -> None:
        config, marks = self._rules.config, self._rules.marks
        connections, held = self._look(now)
        chosen = trim_plan.trim(held, now, marks, grace=config.grace)
        if chosen:
            self._look_at = self._quiet_until = now + config.silence
            reason = f"{len(held)} connections are above the high watermark of {marks.high}"
            self._close([(connections[number], f"{reason}; {_description(held[number])}") for number in chosen])
            return
        later = trim_plan.next_trim(held, now, marks, grace=config.grace)
        if len(held) > marks.high:
            self._quiet_until = now + _LOOKS_APART
        self._look_at = float("inf") if later is None else max(self._quiet_until, later)

    async def trim(self) -> int:
        """Close what is more than the low watermark, now; how many they were. Cancelled: they are aborted."""
        now, config, marks = self._loop.time(), self._rules.config, self._rules.marks
        connections, held = self._look(now)
        chosen = trim_plan.surplus(held, now, marks.low, grace=config.grace)
        self._quiet_until = now + config.silence
        reason = f"a trim to the low watermark of {marks.low} was asked for"
        closing = [(connections[number], f"{reason}; {_description(held[number])}") for number in chosen]
        self._tell_of(closing)
        await _close_all([connection for connection, _ in closing])
        return len(closing)

    def _close_idle(self, now: float) -> None:
        timeout = self._rules.config.idle_timeout
        connections, held = self._look(now)
        chosen = trim_plan.idle(held, now, timeout)
        self._close([(connections[number], f"no stream for {timeout:g} s") for number in chosen])
        if len(chosen) == len(held):
            self._idle_at = float("inf")
            return
        going = set(chosen)
        due = trim_plan.next_idle([one for number, one in enumerate(held) if number not in going], timeout)
        # A connection that is in use now may be idle right after: to be seen in time, it is looked at within that time.
        latest = now + timeout
        self._idle_at = latest if due is None else min(max(due, now + _LOOKS_APART), latest)

    def _look(self, now: float) -> tuple[list[Connection], list[Held]]:
        """The open connections but those that are about to go, and what there is to say about each."""
        connections = [connection for connection in self._opened if connection.is_open and connection not in self._closing]
        tags = self._rules.tags
        values = {peer: (tags.value(peer, now), tags.need(peer, now)) for peer in self._counts}
        return connections, [self._held(connection, *values[connection.peer_id]) for connection in connections]

    def _held(self, connection: Connection, value: float, need: float) -> Held:
        opened, peer = self._opened[connection], connection.peer_id
        return Held(
            value=value,
            is_needed=need > 0,
            opened=opened,
            used=max(opened, connection.last_used),
            streams=sum(stream.protocol not in CONTROL_PROTOCOLS for stream in connection.streams),
            is_inbound=connection.direction == "inbound",
            is_relayed=connection.is_relayed,
            is_protected=self._rules.tags.is_protected(peer) or self._rules.warm.is_kept(peer),
        )

    def _close(self, closing: Sequence[tuple[Connection, str]]) -> None:
        self._tell_of(closing)
        if closing:
            self._scope.spawn(_close_all([connection for connection, _ in closing]), name="trim connections")

    def _tell_of(self, closing: Sequence[tuple[Connection, str]]) -> None:
        for connection, reason in closing:
            self._closing.add(connection)
            log.info("closing the connection to %s: %s", connection.peer_id, reason, extra={"peer": connection.peer_id})
            self._rules.tell(ConnectionTrimmed(connection.peer_id, connection.remote_address, reason))

    # --- those who must stay -----------------------------------------------------------------------------------------------

    async def _dial(self, key: Key) -> None:
        try:
            await self._reach(key)
        except NotRunning:
            return
        except CortexError as error:
            self._failed(key, error)
        except Exception as error:  # boundary: a bug on the way to one kept peer is not the end of the node
            log.warning("%s can't be used now: %r", self._name(key), error, exc_info=True)
            self._unreachable[key] = None
            self._failed(key, error)
        finally:
            self._dialing -= 1
            self.tried(key)
            self.wake()

    async def _reach(self, key: Key) -> None:
        if key not in self._rules.warm:
            return  # it was forgotten within this turn
        if isinstance(key, PeerId):
            self._swarm.forgive(key)  # the warm set has a back-off of its own
            connection = await self._swarm.dial(key, self._rules.warm.addresses(key))
        else:
            connection = await self._swarm.dial_unknown(key)
        peer = connection.peer_id
        if not self.is_connected(peer):
            raise connection.error or ConnectionClosed("the connection ended at once")
        self._rules.warm.succeeded(key, peer, self._loop.time())
        self._is_back(key)
        self._rules.tell(KeptPeerReached(key, peer))
        try:
            await self._identified(connection)
        except CortexError as error:
            log.debug("%s is connected, but not identified: %s", self._name(key), error)

    def _is_back(self, key: Key) -> None:
        if key in self._unreachable:
            del self._unreachable[key]
            log.info("%s is connected again", self._name(key))

    def _failed(self, key: Key, error: Exception) -> None:
        wait = self._rules.warm.failed(key, self._loop.time())
        if wait is None:
            return
        problem = problem_of(error)
        if key not in self._unreachable:
            self._unreachable[key] = None
            again = "%s can't be used now: %s; %s; it is tried again, next in %.1f s"
            log.warning(again, self._name(key), in_one_line(error), ADVICE[problem], wait)
        self._rules.tell(KeptPeerUnreachable(key, describe(error), wait, problem))

    def _name(self, key: Key) -> str:
        return self._rules.names.get(key) or f"kept peer {key}"

    def forget(self, key: Key) -> None:
        """It is not kept any more."""
        self._unreachable.pop(key, None)
        self.tried(key)

    def expect(self, key: Key) -> None:
        """Let `all_tried` wait for one more, until it is dialed, or `tried`."""
        self._untried[key] = None
        self.all_tried.clear()

    def tried(self, key: Key) -> None:
        """That one need not be waited for any longer."""
        self._untried.pop(key, None)
        self._set_tried()

    def _set_tried(self) -> None:
        if not self._untried:
            self.all_tried.set()

    # --- another network ---------------------------------------------------------------------------------------------------

    def network_changed(self, change: NetworkChanged) -> None:
        """End what has lost its address, ask the rest whether they are still there, dial anew whom we miss."""
        for connection in self._swarm.connections:
            ip = _ip_of(connection.local_address)
            if ip in change.gone:
                connection.fail(ConnectionClosed(f"its local address {ip} is gone", by="network"))
                connection.abort()
            elif connection.is_open:
                connection.probe(self._rules.limits.probe_timeout)
        self._swarm.forgive()
        self._rules.warm.hurry(self._loop.time())
        self._rules.tell(change)
        self.wake()


async def _close_all(connections: Sequence[Connection]) -> None:
    await asyncio.gather(*(connection.close(ConnectionCode.GARBAGE_COLLECTED) for connection in connections))


def _description(one: Held) -> str:
    """Why it was chosen."""
    use = f"{one.streams} streams" if one.streams else "idle"
    return f"its peer is worth {one.value:g}, it is {use}, {'inbound' if one.is_inbound else 'outbound'}"


def _ip_of(address: "Multiaddr") -> str | None:
    return address.value_of("ip4") or address.value_of("ip6")
