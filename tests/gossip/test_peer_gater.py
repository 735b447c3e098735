"""The gater: closed to nobody for ever, and to the worst most often."""

import random
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.gossip.peer_gater import PeerGater, PeerGaterParams
from cortexnet.gossip.score_params import decay_factor
from cortexnet.gossip.signing import RejectReason
from cortexnet.identity.peer_id import PeerId

A, B, C = (PeerId(b"\x00\x01" + name) for name in (b"a", b"b", b"c"))
HERE, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def gater(**settings: Any) -> PeerGater:
    made = PeerGater(PeerGaterParams(**settings), random.Random(1))
    made.add_peer(A, HERE)
    made.add_peer(B, HERE)
    made.add_peer(C, THERE)
    return made


def accepted(gate: PeerGater, peer: PeerId, now: float = 0.0, times: int = 1000) -> int:
    return sum(gate.accepts(peer, now) for _ in range(times))


def overload(gate: PeerGater, now: float = 0.0) -> None:
    for _ in range(2):
        gate.validate()
    gate.reject(A, RejectReason.VALIDATION_THROTTLED, now)


def offend(gate: PeerGater, peer: PeerId, reasons: Sequence[RejectReason]) -> None:
    for reason in reasons:
        gate.reject(peer, reason, 0.0)


def test_while_validation_keeps_up_everybody_is_heard() -> None:
    gate = gater()
    offend(gate, A, [RejectReason.VALIDATION_FAILED] * 100)
    assert accepted(gate, A) == 1000


def test_after_throttling_bad_sources_are_refused_and_honest_ones_heard() -> None:
    """go's test: 100 ignored and 100 rejected messages; control only at least once in 1,000, all again after 100 decays."""
    gate = gater(decay_interval=1.0, source_decay=0.8, global_decay=0.8)
    overload(gate)
    offend(gate, A, [RejectReason.VALIDATION_IGNORED, RejectReason.VALIDATION_FAILED] * 100)
    assert accepted(gate, A) < 100
    assert accepted(gate, B) < 100, "its neighbour counts as the same"
    assert accepted(gate, C) == 1000
    for _ in range(100):
        gate.decay(1.0)
    assert accepted(gate, A) == 1000


def test_what_is_brought_well_outweighs_what_is_not() -> None:
    gate = gater(topic_weights={"dear": 100.0, "other": 0.0})
    overload(gate)
    offend(gate, A, [RejectReason.MALFORMED] * 20)
    gate.duplicate(A)
    poor = accepted(gate, A)
    gate.deliver(A, "other")
    better = accepted(gate, A)
    gate.deliver(A, "dear")
    assert poor < better < accepted(gate, A)


def test_a_quiet_minute_opens_the_gate() -> None:
    gate = gater()
    overload(gate)
    offend(gate, A, [RejectReason.VALIDATION_FAILED] * 100)
    assert accepted(gate, A, now=60.0) < 1000
    assert accepted(gate, A, now=60.1) == 1000


def test_a_little_throttling_among_much_validation_is_no_reason() -> None:
    gate = gater()
    overload(gate)
    offend(gate, A, [RejectReason.VALIDATION_FAILED] * 100)
    for _ in range(2):
        gate.validate()
    assert accepted(gate, A) == 1000


def test_throttling_alone_is_held_against_nobody() -> None:
    gate = gater()
    gate.reject(A, RejectReason.QUEUE_FULL, 0.0)
    assert accepted(gate, A) == 1000


def test_of_peers_that_were_never_added_nothing_is_counted() -> None:
    gate = PeerGater(PeerGaterParams(), random.Random(1))
    overload(gate)
    offend(gate, A, [RejectReason.VALIDATION_FAILED])
    gate.deliver(A, "t")
    gate.duplicate(A)
    gate.remove_peer(A, 0.0)
    assert (accepted(gate, A), len(gate)) == (1000, 0)


def test_a_source_is_remembered_for_six_hours_after_its_last_peer() -> None:
    gate = gater()
    overload(gate)
    offend(gate, A, [RejectReason.VALIDATION_FAILED] * 100)
    gate.remove_peer(A, 0.0)
    gate.remove_peer(B, 0.0)
    gate.add_peer(A, HERE)
    gate.add_peer(A, THERE)
    assert accepted(gate, A) < 100
    gate.remove_peer(A, 0.0)
    gate.decay(21_600.0)
    assert len(gate) == 2
    gate.decay(21_600.1)
    assert len(gate) == 1


def test_past_the_limit_the_source_left_first_is_forgotten() -> None:
    gate = gater(source_limit=1)
    for peer in (A, B, C):
        gate.remove_peer(peer, 0.0)
    assert len(gate) == 1


def test_the_defaults_are_those_of_go() -> None:
    params = PeerGaterParams()
    assert params.global_decay == pytest.approx(decay_factor(120.0))
    assert params.source_decay == pytest.approx(decay_factor(3600.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0},
        {"global_decay": 1.0},
        {"source_decay": 0.0},
        {"decay_interval": 0.5},
        {"decay_to_zero": 1.5},
        {"retain": -1.0},
        {"quiet": 0.0},
        {"duplicate_weight": 0.0},
        {"ignore_weight": 0.9},
        {"reject_weight": float("nan")},
        {"reject_weight": True},
    ],
)
def test_parameters_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigInvalid, match=f"gossip.peer_gater.{next(iter(wrong))}"):
        PeerGaterParams(**wrong)
