"""The scenarios of the DHT by name, each with the number of nodes that its goals are about."""

from collections.abc import Callable, Mapping
from typing import Final

from simulation.kad.bounds import bounds
from simulation.kad.churn import churn
from simulation.kad.lookups import dead, lookups
from simulation.kad.many import namespace, regions
from simulation.kad.spam import spam
from simulation.kad.sybils import sybils
from simulation.kad.warm import warm
from simulation.report import Report, Settings

SCENARIOS: Final[Mapping[str, tuple[Callable[[Settings], Report], int]]] = {
    "lookups": (lookups, 10_000),
    "dead": (dead, 1_000),
    "churn": (churn, 1_000),
    "sybils": (sybils, 1_000),
    "regions": (regions, 500),
    "namespace": (namespace, 500),
    "warm": (warm, 1_000),
    "bounds": (bounds, 300),
    "spam": (spam, 1),
}
