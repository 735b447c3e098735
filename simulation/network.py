"""A network between the nodes of a simulation: latency, loss, bandwidth, and ends that are dead in one way or the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import final

from simulation.engine import Simulation
from simulation.latency import Constant, Latency

_CLASSES = 1 << 10
"""Steps of the distribution of latencies; a pair of ends always has the same."""
_RESENT_AFTER = 0.2
_RESENT_AT_MOST = 6


class State(Enum):
    """What becomes of those who turn to an end."""

    UP = "up"
    REFUSES = "refuses"
    """The machine is there and the program is not: a dial fails after one round trip."""
    SILENT = "silent"
    """Nothing comes back, ever."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the network does to messages."""

    latency: Latency = field(default_factory=lambda: Constant(0.025))
    """Of each pair of ends, in one direction."""
    loss: float = 0.0
    """The share of packets that are lost. Streams are reliable: what is lost is sent again, and comes later."""
    dial_round_trips: int = 3
    """From a dial to the first request: TCP, the security handshake, the muxer with the first protocol."""


@final
class End:
    """A node's place in the network. `number` counts from 0 and is never used twice."""

    __slots__ = ("_latency_class", "bandwidth", "connected", "free_at", "last_arrival", "number", "sent", "state")

    def __init__(self, number: int, latency_class: int, bandwidth: float | None) -> None:
        self.number = number
        self.bandwidth = bandwidth
        """Bytes a second that it can send; None: any number."""
        self.free_at = 0.0
        """When all it has to send is on its way."""
        self.sent = 0
        """Bytes."""
        self.state = State.UP
        self.connected: dict[int, End] = {}
        """Those it has a connection with, by number."""
        self.last_arrival: dict[int, float] = {}
        """When what it sent last arrives, by the number of who it goes to."""
        self._latency_class = latency_class


@final
class Network:
    """Carries messages between ends. Messages from one end to another arrive in the order in which they were sent."""

    def __init__(self, simulation: Simulation, conditions: Conditions | None = None) -> None:
        self.simulation = simulation
        self.conditions = conditions or Conditions()
        self.messages = 0
        """Sent so far."""
        self._ends = 0
        self._chance = simulation.chance("network")
        latency = self.conditions.latency
        self._latencies = [latency.quantile((number + 0.5) / _CLASSES) for number in range(_CLASSES)]

    def join(self, *, bandwidth: float | None = None) -> End:
        """A new end, which is up."""
        self._ends += 1
        return End(self._ends - 1, self._chance.randrange(_CLASSES), bandwidth)

    def latency(self, one: End, other: End) -> float:
        """Seconds between two ends, the same in both directions, and in every message."""
        return self._latencies[one._latency_class ^ other._latency_class]

    def send(
        self,
        source: End,
        target: End,
        size: int,
        arrive: Callable[[], None],
        *,
        lost: Callable[[], None] | None = None,
        wait: float = 0.0,
    ) -> None:
        """Have `arrive` called when a message of so many bytes has come; `lost` instead where the target is not up then.

        It leaves in `wait` seconds, such as a dial takes.
        """
        simulation = self.simulation
        self.messages += 1
        left = simulation.now + wait
        if source.bandwidth is not None:
            left = source.free_at = max(left, source.free_at) + size / source.bandwidth
        source.sent += size
        time = left + self.latency(source, target)
        if self.conditions.loss:
            time = self._in_order(source, target, time + self._resending(source, target))

        def end(now: float) -> None:
            if target.state is State.UP:
                arrive()
            elif lost is not None:
                lost()

        simulation.clock.call_at(time, end)

    def _resending(self, source: End, target: End) -> float:
        """How long it takes to send again what is lost, twice as long each time."""
        delay, wait = 0.0, max(_RESENT_AFTER, 4 * self.latency(source, target))
        for _ in range(_RESENT_AT_MOST):
            if self._chance.random() >= self.conditions.loss:
                break
            delay += wait
            wait *= 2
        return delay

    def _in_order(self, source: End, target: End, time: float) -> float:
        time = max(time, source.last_arrival.get(target.number, 0.0))
        source.last_arrival[target.number] = time
        return time

    @property
    def typical_latency(self) -> float:
        """Seconds that half of all pairs of ends stay below."""
        return self._latencies[_CLASSES // 2]

    # Connections

    def dial_time(self, source: End, target: End) -> float:
        """Seconds until a request can go out: none where they are connected."""
        if target.number in source.connected:
            return 0.0
        return 2 * self.conditions.dial_round_trips * self.latency(source, target)

    def connect(self, one: End, other: End) -> bool:
        """They have a connection from now on; whether it is new."""
        if other.number in one.connected:
            return False
        one.connected[other.number] = other
        other.connected[one.number] = one
        return True

    def leave(self, end: End, state: State) -> None:
        """It is gone, and so are its connections."""
        end.state = state
        for other in end.connected.values():
            del other.connected[end.number]
        end.connected.clear()
        end.last_arrival.clear()
