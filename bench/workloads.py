"""What is measured, how much of it, and what we want of cortexnet. Goals are ratios where another stack sets the scale."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final, get_args

from bench.stacks import STACKS as NAMES

KindName: TypeAlias = Literal["ceiling", "cortexnet", "go", "rust", "js", "py"]
KINDS: Final[tuple[KindName, ...]] = get_args(KindName)
"""In the order of the report's columns."""
PAIR: Final[tuple[KindName, ...]] = ("cortexnet", "go")
STACKS: Final[tuple[KindName, ...]] = ("cortexnet", "go", "rust")
ALL: Final[tuple[KindName, ...]] = ("ceiling", "cortexnet", "go", "rust")


@final
@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on cortexnet's median: a multiple of another kind's median or, without one, the figure itself."""

    relation: Literal["≥", "≤"]
    bound: float
    against: KindName | None = None

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.relation == "≥" else value <= self.bound


@final
@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a workload; `key` is its name among the `Figures` that the halves return."""

    key: str
    unit: str
    goals: tuple[Goal, ...] = ()
    is_worst: bool = False
    """Whether the worst of all rounds is judged, not their median: what must never happen, and not mostly not."""


@final
@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to measure on each of its kinds; `amount` is in bytes for bulk, else a count."""

    name: str
    meaning: str
    amount: int
    measures: tuple[Measure, ...]
    kinds: tuple[KindName, ...] = ALL
    task: str = ""
    """What the halves are told to do; empty: the workload's name."""
    go_half: Literal["", "server", "client"] = ""
    """Which half is go's where cortexnet is measured."""
    stack: str = ""
    """What connections are made of, by its name in `bench.stacks`."""


BULK: Final = (Measure("rate", "MB/s", (Goal("≥", 0.7, "ceiling"), Goal("≥", 1.5, "go"))),)
CROWDED: Final = (Measure("p50", "µs"), Measure("p99", "µs", (Goal("≤", 20_000),)))


def crossing(name: str, meaning: str, task: str, amount: int, go_half: Literal["server", "client"], unit: str) -> Workload:
    """One half of each, to be compared with two of go's: the slower half decides, and it is not to be ours."""
    return Workload(name, meaning, amount, (Measure("rate", unit, (Goal("≥", 0.9, "go"),)),), PAIR, task, go_half)


WORKLOADS: Final = (
    Workload("bulk_up", "1 GiB to the server on one stream, 64 KiB writes", 1 << 30, BULK),
    Workload("bulk_down", "1 GiB from the server on one stream, 64 KiB writes", 1 << 30, BULK),
    Workload(
        "messages",
        "100-byte messages to the server on one stream, one write each",
        300_000,
        (Measure("rate", "/s", (Goal("≥", 0.6, "ceiling"), Goal("≥", 2.5, "go"))),),
    ),
    Workload(
        "round_trip",
        "100 bytes there and back on an open stream",
        5_000,
        (Measure("p50", "µs", (Goal("≤", 1.5, "ceiling"), Goal("≤", 2.2, "go"))), Measure("p99", "µs")),
    ),
    Workload(
        "requests",
        "a new stream for each 100-byte request and its answer",
        2_000,
        (Measure("p50", "µs", (Goal("≤", 2.5, "go"),)), Measure("p99", "µs", (Goal("≤", 4.0, "go"),))),
        STACKS,
    ),
    Workload(
        "dials",
        "dials one after the other, hung up later; with identify, which go waits for and the ceiling, the dial floor, lacks",
        400,
        (Measure("rate", "/s", (Goal("≥", 0.5, "ceiling"), Goal("≥", 1.0, "go"))), Measure("p50", "µs")),
    ),
    Workload("crowded_up", "100 bytes there and back beside five uploads on the same connection", 300, CROWDED, STACKS),
    Workload("crowded_down", "100 bytes there and back beside five downloads on the same connection", 300, CROWDED, STACKS),
    crossing("bulk_to_go", "1 GiB on one stream from cortexnet to go", "bulk_up", 1 << 30, "server", "MB/s"),
    crossing("bulk_from_go", "1 GiB on one stream from go to cortexnet", "bulk_up", 1 << 30, "client", "MB/s"),
    crossing("messages_to_go", "100-byte messages from cortexnet to go", "messages", 300_000, "server", "/s"),
    crossing("messages_from_go", "100-byte messages from go to cortexnet", "messages", 300_000, "client", "/s"),
    Workload("idle", "memory of the server for each idle connection", 200, (Measure("each", "KiB", (Goal("≤", 40),)),), STACKS),
    Workload(
        "import",
        "processor time: what `import cortexnet` and `from cortexnet import Node` add to asyncio and cryptography",
        9,
        (Measure("package", "ms", (Goal("≤", 50),)), Measure("node", "ms", (Goal("≤", 50),))),
        ("cortexnet",),
    ),
)

REQUESTS: Final = (
    Workload(
        "requests_at_once",
        "a new stream for each 100-byte request and its answer, 1,000 of them under way at any time, over one connection",
        20_000,
        (
            Measure("rate", "/s", (Goal("≥", 0.4, "go"), Goal("≥", 3.0, "js"), Goal("≥", 10.0, "py"))),
            Measure("p50", "µs"),
            Measure("p99", "µs"),
        ),
        ("cortexnet", "go", "rust", "js", "py"),
    ),
)

STACK_GOALS: Final[dict[str, dict[str, tuple[Goal, ...]]]] = {
    "tcp-tls": {"bulk_up": (Goal("≥", 0.7, "go"),), "bulk_down": (Goal("≥", 0.7, "go"),)},
    "ws-noise": {"bulk_up": (Goal("≥", 1.0, "go"),), "bulk_down": (Goal("≥", 0.6, "go"),)},
    "quic": {"bulk_up": (Goal("≥", 0.9, "ceiling"),), "bulk_down": (Goal("≥", 0.9, "ceiling"),)},
}


def on_stack(name: str, task: str, unit: str, amount: int) -> Workload:
    """A workload on one stack; aioquic alone is the ceiling of QUIC, and rust's peer has no WebSockets with TLS."""
    kinds = PAIR if name == "wss-noise" else ALL if name == "quic" and task.startswith("bulk") else STACKS
    key = "p50" if unit == "µs" else "rate"
    measure = Measure(key, unit, STACK_GOALS.get(name, {}).get(task, ()))
    return Workload(f"{name}_{task}", f"{task} over {name}", amount, (measure,), kinds, task, stack=name)


ON_STACKS: Final = tuple(
    on_stack(name, task, unit, amount // 16 if name == "quic" and task.startswith("bulk") else amount)
    for name in NAMES
    for task, unit, amount in (
        ("bulk_up", "MB/s", 1 << 29),
        ("bulk_down", "MB/s", 1 << 29),
        ("messages", "/s", 100_000),
        ("round_trip", "µs", 2_000),
        ("dials", "/s", 200),
    )
)

DHT: Final = (
    Workload(
        "dht_find_node",
        "FIND_NODE of random keys to a node with a table of 500 peers, from 8 clients",
        20_000,
        (Measure("rate", "/s", (Goal("≥", 3_000),)),),
        PAIR,
    ),
    Workload(
        "dht_find_node_from_go",
        "the same, both where the clients are go's",
        20_000,
        (Measure("rate", "/s", (Goal("≥", 3_000),)),),
        PAIR,
        "dht_find_node",
        "client",
    ),
    Workload(
        "dht_lookups",
        "lookups of random keys in a network of 20 nodes in one process, by all of them at once",
        500,
        (Measure("rate", "/s", (Goal("≥", 100),)),),
        STACKS,
    ),
)

GOSSIP: Final = (
    Workload(
        "gossip",
        "ten nodes with gossip in one process, messages of 1 KiB, at most 16 under way; the ceiling is the floor of gossip",
        2_000,
        (Measure("rate", "deliveries/s", (Goal("≥", 0.5, "ceiling"), Goal("≥", 0.6, "go"), Goal("≥", 4.0, "js"))),),
        ("ceiling", "cortexnet", "go", "rust", "js"),
    ),
)

BUSY: Final = (
    Workload(
        "busy",
        "a node with 300 peers, 150 each way, three topics with 20 messages a second in sum, DHT server on; seconds",
        20,
        (
            Measure("messages", "/s", (Goal("≥", 18),)),
            Measure("cpu", "% of a core", (Goal("≤", 30),)),
            Measure("resident", "MiB", (Goal("≤", 80),)),
            Measure("times", "× p99 of an idle node", (Goal("≤", 3),)),
            Measure("p50", "µs"),
            Measure("p99", "µs"),
            Measure("idle_p50", "µs"),
            Measure("idle_p99", "µs"),
        ),
        ("cortexnet",),
    ),
)

ATTACKED: Final = (
    Measure("calm_p50", "µs"),
    Measure("calm_p99", "µs"),
    Measure("p50", "µs"),
    Measure("rate", "/s"),
    Measure("lost", "", (Goal("≤", 0),), is_worst=True),
    Measure("counters", "", (Goal("≤", 0),), is_worst=True),
    Measure("descriptors", "", (Goal("≤", 0),), is_worst=True),
    Measure("growth", "MiB", (Goal("≤", 2),)),
)
OF_CONNECTIONS: Final = (Measure("p99", "µs"), Measure("times", "× calm", (Goal("≤", 5),)), *ATTACKED)
OF_FRAMES: Final = (Measure("p99", "µs", (Goal("≤", 25_000),)), Measure("times", "× calm"), *ATTACKED)


def attack(name: str, meaning: str, measures: tuple[Measure, ...]) -> Workload:
    """The attack of that name of `bench.attacker`; calm and attack are measured for two seconds each."""
    return Workload(f"attack_{name}", meaning, 2, measures, ("cortexnet",))


ATTACKS: Final = (
    attack("none", "a process that only computes: what the system's scheduling does", OF_CONNECTIONS),
    attack("raising", "streams whose handler raises, 32 at a time", OF_CONNECTIONS),
    attack("vanishing", "peers with a stream under way that are killed, 16 at a time", OF_CONNECTIONS),
    attack("garbage", "sockets with random bytes or another protocol on them, 64 open", OF_CONNECTIONS),
    attack("bursts", "400 sockets opened at once, and closed a little later", OF_CONNECTIONS),
    attack("stalled", "100 handshakes that get one byte a second, begun again once a second", OF_CONNECTIONS),
    attack("silent", "300 sockets without a byte, opened again once a second", OF_CONNECTIONS),
    attack("data_1", "data frames of one byte on one stream, as fast as they are read", OF_FRAMES),
    attack("data_2", "data frames of two bytes on one stream, as fast as they are read", OF_FRAMES),
    attack("data_crowd", "data frames of one byte from eight peers", OF_FRAMES),
    attack("pings", "pings, from a peer that comes back when it is thrown out", OF_FRAMES),
    attack("syns", "streams opened without a protocol", OF_FRAMES),
    attack("syn_crowd", "streams opened without a protocol by eight peers", OF_FRAMES),
    attack("resets", "streams opened and reset", OF_FRAMES),
    attack("requests", "streams opened, their handler asked for, and reset", OF_FRAMES),
    attack("credits", "window updates of one byte", OF_FRAMES),
)
OF_DIALS: Final = (Measure("p99", "µs"), Measure("times", "× calm", (Goal("≤", 10),)), *ATTACKED)


def flood(name: str, meaning: str) -> Workload:
    """An attack of `bench.attacker` from one address, while honest peers dial from others; limits by address hold for both."""
    return Workload(f"flood_{name}", meaning, 2, OF_DIALS, ("cortexnet",))


FLOODS: Final = (
    flood("silent", "300 sockets without a byte, opened again once a second"),
    flood("stalled", "100 handshakes that get one byte a second, begun again once a second"),
    flood("prefix", "sockets that announce a message longer than any may be"),
    flood("syns", "streams opened without a protocol"),
    flood("syn_data", "streams opened with 64 KiB of data each, which nobody reads"),
    flood("data_1", "data frames of one byte on one stream, as fast as they are read"),
    flood("overrun", "data past the window, from a peer that comes back when it is thrown out"),
)
HOSTILE: Final = (*ATTACKS, *FLOODS)
BY_NAME: Final = {workload.name: workload for workload in (*WORKLOADS, *REQUESTS, *ON_STACKS, *DHT, *GOSSIP, *BUSY, *HOSTILE)}
