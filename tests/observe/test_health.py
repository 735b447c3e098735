"""What is wrong with a node, and what to do about it."""

import dataclasses

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.observe.health import Findings, judge

LIMITS = Limits()
WELL = Findings(
    uptime=1.0,
    peers=3,
    connections=4,
    addresses=("/ip4/192.0.2.1/tcp/4001",),
    listens=True,
    loop_lag=0.001,
    counters={"connections": 4},
    limits=LIMITS,
    unreachable=(),
    kept=2,
    storage_failure="",
)


def test_a_node_without_problems_is_well() -> None:
    health = judge(WELL)
    assert (health.status, health.problems) == ("ok", ())
    assert (health.uptime, health.peers, health.connections, health.loop_lag) == (1.0, 3, 4, 0.001)
    assert health.addresses == WELL.addresses


def test_a_node_that_only_dials_needs_no_address() -> None:
    assert judge(dataclasses.replace(WELL, listens=False, addresses=())).status == "ok"


@pytest.mark.parametrize(
    ("change", "status", "what"),
    [
        ({"storage_failure": "disk full"}, "failing", "what is learnt is not kept: disk full"),
        ({"addresses": ()}, "failing", "it listens, but has no address"),
        ({"unreachable": ["/ip4/192.0.2.9/tcp/1"]}, "degraded", "1 of 2 peers that are to be connected can't be reached: /ip4/"),
        ({"unreachable": ["a", "b"], "peers": 0}, "failing", "2 of 2 peers that are to be connected can't be reached: a, b"),
        (
            {"unreachable": list("abcd"), "kept": 4},
            "degraded",
            "4 of 4 peers that are to be connected can't be reached: a, b, c ...",
        ),
        ({"loop_lag": 0.25}, "degraded", "the event loop was held up for 250 ms"),
        ({"counters": {"memory": LIMITS.memory}}, "degraded", "memory: "),
    ],
)
def test_each_problem_is_named_with_advice(change: dict[str, object], status: str, what: str) -> None:
    health = judge(dataclasses.replace(WELL, **change))
    (problem,) = health.problems
    assert health.status == status
    assert problem.what.startswith(what)
    assert problem.advice


@pytest.mark.parametrize(("used", "count"), [(345, 0), (346, 1), (384, 1)])
def test_nine_tenths_of_a_limit_are_a_problem(used: int, count: int) -> None:
    assert LIMITS.connections == 384
    assert len(judge(dataclasses.replace(WELL, counters={"connections": used})).problems) == count


def test_a_limit_of_nothing_is_not_used_up() -> None:
    found = dataclasses.replace(WELL, limits=Limits(connections_inbound=0), counters={"connections_inbound": 0})
    assert judge(found).status == "ok"
