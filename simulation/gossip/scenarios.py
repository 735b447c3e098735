"""The scenarios of gossip by name, each with the number of nodes that its goals are about."""

from collections.abc import Callable, Mapping
from typing import Final

from simulation.gossip.attacks import cold_boot, covert_flash, degradation, eclipse, exchange, ihave_spam, iwant_spam, sybil
from simulation.gossip.honest import churn, delivery, killed, scores
from simulation.report import Report, Settings

SCENARIOS: Final[Mapping[str, tuple[Callable[[Settings], Report], int]]] = {
    "delivery": (delivery, 1_000),
    "great": (delivery, 10_000),
    "killed": (killed, 1_000),
    "churn": (churn, 1_000),
    "scores": (scores, 1_000),
    "sybil": (sybil, 1_000),
    "degradation": (degradation, 1_000),
    "covert": (covert_flash, 1_000),
    "cold": (cold_boot, 1_000),
    "eclipse": (eclipse, 1_000),
    "ihave": (ihave_spam, 100),
    "iwant": (iwant_spam, 100),
    "exchange": (exchange, 1_000),
}
