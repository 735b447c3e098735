"""Whom of the found peers to dial, and when not to dial anybody."""

from random import Random
from typing import Any

import pytest

from cortexnet import Identity, PeerId
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.discovery.dial_choice import DIAL_BURST, STEADY, DialChoice, Missing
from cortexnet.discovery.found import BOOTSTRAP, EXCHANGE, NAMESPACE, FoundTable

OWN, *PEERS = [Identity.generate().peer_id for _ in range(41)]


class Course:
    """A table, a choice over it, and what peers are worth."""

    def __init__(self, **settings: Any) -> None:
        self.config = DiscoveryConfig(**settings)
        self.table = FoundTable(OWN, self.config)
        self.choice = DialChoice(self.table, self.config, Random(7), 0.0)
        self.scores: dict[PeerId, float] = {}
        self.met: set[PeerId] = set()

    def score(self, peer: PeerId) -> float:
        return self.scores.get(peer, 0.0)

    def find(self, *peers: PeerId, source: str = EXCHANGE) -> None:
        for peer in peers:
            self.table.add(peer, [], source, 0.0, is_near=False)

    def missing(self, outbound: int = 0, inbound: int = 0) -> Missing:
        connected = [(peer, True) for peer in PEERS[:outbound]]
        return self.choice.missing([*connected, *((peer, False) for peer in PEERS[20 : 20 + inbound])], self.score)

    def choose(self, peers: int = 8, members: int = 0, *, room: int = 8, now: float = 0.0) -> list[PeerId]:
        chosen = self.choice.choose(Missing(peers, members), now, room=room, is_met=self.met.__contains__, score=self.score)
        return [known.peer_id for known in chosen]

    def due(self, now: float) -> float | None:
        waiting = self.choice.waiting(Missing(8, 0), now, is_met=self.met.__contains__, score=self.score)
        return self.choice.next_timeout(waiting, now)


@pytest.mark.parametrize(
    ("outbound", "inbound", "missing"),
    [(0, 0, 8), (3, 0, 5), (3, 2, 3), (3, 4, 1), (3, 20, 1), (4, 20, 0), (9, 0, 0), (0, 20, 4)],
)
def test_peers_that_came_by_themselves_count_for_half_of_it_at_most(outbound: int, inbound: int, missing: int) -> None:
    assert Course(peers=8).missing(outbound, inbound) == Missing(missing, 0)


def test_peers_of_low_score_do_not_count() -> None:
    course = Course(peers=8)
    course.scores = {PEERS[0]: -20.0, PEERS[1]: -20.1, PEERS[20]: -50.0}
    assert course.missing(3, 2) == Missing(8 - 2 - 1, 0)


def test_with_a_namespace_its_members_are_wanted_besides() -> None:
    course = Course(peers=4, namespace="app")
    course.find(PEERS[0], PEERS[20], source=NAMESPACE)
    course.find(PEERS[1])
    assert course.missing(4, 1) == Missing(0, 2)
    assert bool(Missing(0, 2))
    assert not Missing(0, 0)


def test_nobody_is_dialed_where_nobody_is_missing_or_there_is_no_room() -> None:
    course = Course()
    course.find(*PEERS)
    assert course.choose(0) == []
    assert course.choose(3, room=0) == []
    assert len(course.choose(3)) == 3
    assert len(course.choose(8, room=2)) == 2


def test_who_is_met_is_bad_or_a_bootstrap_peer_is_not_dialed() -> None:
    course = Course()
    course.find(*PEERS[:3])
    course.find(PEERS[3], source=BOOTSTRAP)
    course.met, course.scores = {PEERS[0]}, {PEERS[1]: -21.0}
    assert course.choose() == [PEERS[2]]


def test_the_best_are_dialed_first() -> None:
    course = Course()
    course.find(*PEERS[:4])
    course.scores = {PEERS[1]: 30.0, PEERS[2]: -5.0}
    known = course.table.get(PEERS[0])
    assert known is not None
    known.failures = 1
    assert course.choose() == [PEERS[1], PEERS[3], PEERS[0], PEERS[2]]


def test_members_come_first_where_they_are_missing_and_alone_where_nothing_else_is() -> None:
    course = Course(namespace="app")
    course.find(*PEERS[:4])
    course.find(PEERS[4], source=NAMESPACE)
    course.scores = {PEERS[0]: 50.0}
    assert course.choose(8, 1)[:2] == [PEERS[4], PEERS[0]]
    assert course.choose(0, 8) == [PEERS[4]]
    assert course.choose(8, 0)[0] == PEERS[0]


def test_chance_decides_between_equals() -> None:
    first = set()
    for seed in range(20):
        course = Course()
        course.choice = DialChoice(course.table, course.config, Random(seed), 0.0)
        course.find(*PEERS[:5])
        first.add(course.choose(room=1)[0])
    assert len(first) > 1


def test_dials_are_limited_in_number_by_time() -> None:
    course = Course(dial_rate=2.0)
    course.find(*PEERS)
    assert len(course.choose(40, room=40)) == DIAL_BURST
    assert course.choose(40, room=40) == []
    assert course.due(0.0) == 0.5
    assert len(course.choose(40, room=40, now=1.0)) == 2


def test_who_failed_is_left_alone_for_longer_each_time() -> None:
    course = Course(retry_first=10.0, retry_longest=40.0)
    course.find(PEERS[0])
    known = course.table.get(PEERS[0])
    assert known is not None
    waits = [course.choice.failed(known, 0.0) for _ in range(40)]
    assert 5 <= waits[0] <= 10 <= waits[1] <= 20 <= waits[2] <= 40
    assert all(20 <= wait <= 40 for wait in waits[3:])
    assert known.due == waits[-1]
    assert course.choose() == []
    assert course.due(0.0) == waits[-1]
    assert course.choose(now=waits[-1]) == [PEERS[0]]


def test_who_did_not_stay_has_failed_and_who_did_is_left_alone_for_a_little() -> None:
    course = Course(retry_first=10.0)
    course.find(PEERS[0])
    known = course.table.get(PEERS[0])
    assert known is not None
    for _ in range(3):
        course.choice.lost(PEERS[0], STEADY - 1, 100.0)
    assert known.failures == 3
    course.choice.lost(PEERS[0], STEADY, 100.0)
    assert known.failures == 1
    assert 105 <= known.due <= 110
    course.choice.lost(PEERS[1], STEADY, 100.0)  # whom nobody has found
    assert course.table.get(PEERS[1]) is None


def test_in_another_network_all_are_as_new() -> None:
    course = Course()
    course.find(PEERS[0])
    known = course.table.get(PEERS[0])
    assert known is not None
    course.choice.failed(known, 0.0)
    course.choice.forgive(1.0)
    assert known.failures == 0
    assert course.choose(now=1.0) == [PEERS[0]]


def test_where_nobody_waits_there_is_nothing_to_wait_for() -> None:
    assert Course().due(0.0) is None
