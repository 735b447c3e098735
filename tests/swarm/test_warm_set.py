"""The warm set: who is dialed when, after how many failures, and what of the network is learned from them."""

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cortexnet.errors import LimitExceeded
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.warm_set import WarmSet

PEERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(4)]
A, B, C, _ = PEERS
PLACE = Multiaddr.parse("/memory/7")


class Longest(Random):
    """Draws no jitter."""

    def uniform(self, a: float, b: float) -> float:
        return b


def warm(*, limit: int = 10, address_limit: int = 3, random: Random | None = None) -> WarmSet:
    return WarmSet(limit=limit, address_limit=address_limit, first=1.0, longest=60.0, random=random or Longest())


def test_who_is_kept_is_dialed_at_once() -> None:
    kept = warm()
    kept.keep(A, [], 5.0)
    assert (kept.next_timeout(), kept.take_due(5.0, 9), kept.take_due(5.0, 9)) == (5.0, [A], [])
    assert kept.next_timeout() is None, "the dial is under way"


def test_who_is_connected_already_is_not_dialed() -> None:
    kept = warm()
    kept.keep(A, [], 5.0, is_connected=True)
    assert kept.take_due(5.0, 9) == []
    kept.lost(A, 100.0)
    assert kept.next_timeout() == 101.0


def test_the_wait_doubles_with_each_failure_up_to_the_longest() -> None:
    kept, now, waits = warm(), 0.0, []
    kept.keep(A, [], now)
    for _ in range(50):
        assert kept.take_due(now, 9) == [A]
        wait = kept.failed(A, now)
        assert wait is not None
        waits.append(wait)
        assert kept.take_due(now + wait - 0.01, 9) == []
        now += wait
        now = kept.next_timeout() or now
    assert waits[:7] == [2, 4, 8, 16, 32, 60, 60]
    assert waits[-1] == 60


def test_waits_are_drawn_from_the_upper_half() -> None:
    kept = warm(random=Random(1))
    kept.keep(A, [], 0.0)
    waits = []
    for _ in range(200):
        kept.take_due(1e9, 9)
        waits.append(kept.failed(A, 0.0) or 0.0)
    assert 30 <= min(waits[10:]) < 33
    assert 57 < max(waits[10:]) <= 60


def test_a_connection_that_lasted_makes_all_failures_forgotten() -> None:
    kept = warm()
    kept.keep(A, [], 0.0)
    for _ in range(4):
        kept.take_due(1e9, 9)
        kept.failed(A, 0.0)
    kept.take_due(1e9, 9)
    kept.succeeded(A, A, 100.0)
    kept.lost(A, 160.0)
    assert kept.next_timeout() == 161.0


def test_a_peer_that_takes_us_in_and_throws_us_out_is_a_failure() -> None:
    kept, now, waits = warm(), 0.0, []
    kept.keep(A, [], now)
    for _ in range(8):
        assert kept.take_due(now, 9) == [A]
        kept.connected(A, now)
        kept.succeeded(A, A, now)
        kept.lost(A, now + 0.1)
        due = kept.next_timeout()
        assert due is not None
        waits.append(round(due - now - 0.1, 6))
        now = due
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_a_peer_that_dialed_us_need_not_be_dialed() -> None:
    kept = warm()
    kept.keep(A, [], 0.0)
    kept.connected(A, 0.0)
    kept.connected(B, 0.0)
    assert (kept.take_due(1e9, 9), kept.next_timeout()) == ([], None)


def test_a_dial_that_fails_while_the_peer_has_dialed_us_is_no_failure() -> None:
    kept = warm()
    kept.keep(A, [], 0.0)
    kept.take_due(0.0, 9)
    kept.connected(A, 1.0)
    assert kept.failed(A, 2.0) is None
    assert kept.next_timeout() is None


def test_at_most_as_many_are_dialed_as_there_is_room() -> None:
    kept = warm()
    for peer in PEERS:
        kept.keep(peer, [], 0.0)
    assert [kept.take_due(0.0, room) for room in (0, 3, 3)] == [[], PEERS[:3], PEERS[3:]]


def test_where_there_is_not_room_for_all_the_best_are_dialed_first() -> None:
    kept = warm()
    worth = dict(zip(PEERS, (0.0, 5.0, -5.0, 5.0), strict=True))
    kept.keep(PLACE, [], 0.0)
    for peer in PEERS:
        kept.keep(peer, [], 0.0)
    assert kept.take_due(0.0, 2, worth.__getitem__) == [PEERS[1], PEERS[3]]
    assert kept.take_due(0.0, 2, worth.__getitem__) == [PLACE, PEERS[0]], "of equals the one that was kept first"
    assert kept.take_due(0.0, 2, worth.__getitem__) == [PEERS[2]]


def test_so_many_are_kept_and_not_one_more() -> None:
    kept = warm(limit=2)
    kept.keep(A, [], 0.0)
    kept.keep(PLACE, [], 0.0)
    kept.keep(A, [PLACE], 0.0)
    with pytest.raises(LimitExceeded, match=r"limits\.kept_peers"):
        kept.keep(B, [], 0.0)
    kept.forget(A)
    kept.forget(A)
    kept.keep(B, [], 0.0)
    assert (len(kept), list(kept), A in kept) == (2, [PLACE, B], False)


def test_addresses_add_up_to_their_limit() -> None:
    places = [Multiaddr.parse(f"/memory/{number}") for number in range(5)]
    kept = warm(address_limit=3)
    kept.keep(A, places[:2], 0.0)
    kept.keep(A, [*places[1:]], 0.0)
    assert kept.addresses(A) == places[:3]
    kept.forget(A)
    assert kept.addresses(A) == []


def test_whoever_answers_at_a_kept_address_is_kept() -> None:
    kept = warm()
    kept.keep(PLACE, [], 0.0)
    assert kept.take_due(0.0, 9) == [PLACE]
    kept.connected(A, 0.0)
    kept.succeeded(PLACE, A, 0.0)
    assert (kept.is_kept(A), kept.is_kept(B)) == (True, False)
    kept.lost(A, 100.0)
    assert kept.take_due(101.0, 9) == [PLACE]
    kept.succeeded(PLACE, B, 101.0)
    assert (kept.is_kept(A), kept.is_kept(B)) == (False, True)
    kept.forget(PLACE)
    assert not kept.is_kept(B)


def test_a_peer_that_is_kept_by_two_names_stays_kept_by_the_other() -> None:
    kept = warm()
    kept.keep(A, [], 0.0)
    kept.keep(PLACE, [], 0.0)
    kept.take_due(0.0, 9)
    kept.succeeded(A, A, 0.0)
    kept.succeeded(PLACE, A, 0.0)
    kept.forget(A)
    assert kept.is_kept(A)
    kept.lost(A, 100.0)
    assert kept.take_due(1e9, 9) == [PLACE]


def test_what_becomes_of_the_dial_of_somebody_forgotten_is_of_no_interest() -> None:
    kept = warm()
    for key in (A, PLACE):
        kept.keep(key, [], 0.0)
    kept.take_due(0.0, 9)
    kept.forget(A)
    kept.forget(PLACE)
    kept.succeeded(PLACE, A, 0.0)
    assert (kept.failed(A, 0.0), kept.is_kept(A), kept.next_timeout()) == (None, False, None)


def test_a_loss_is_told_once() -> None:
    kept = warm()
    kept.keep(A, [], 0.0)
    kept.take_due(0.0, 9)
    kept.lost(A, 0.0)
    assert kept.next_timeout() is None, "it was not connected, and its dial is under way"


def test_on_another_network_all_who_wait_are_dialed_at_once_and_failures_are_forgotten() -> None:
    kept = warm()
    for key in (A, B, C):
        kept.keep(key, [], 0.0)
    kept.take_due(0.0, 9)
    kept.succeeded(C, C, 0.0)
    for _ in range(5):
        kept.failed(A, 0.0)
        kept.take_due(1e9, 9)
    kept.failed(A, 0.0)
    kept.hurry(10.0)
    assert kept.take_due(10.0, 9) == [A], "B is being dialed, C is connected"
    assert kept.failed(A, 10.0) == 2


def test_the_clock_starts_with_the_node() -> None:
    kept = warm()
    kept.keep(A, [], 0.0)
    kept.begin(1e6)
    assert (kept.take_due(1e6 - 1, 9), kept.take_due(1e6, 9)) == ([], [A])


def test_who_came_before_the_clock_started_is_not_dialed() -> None:
    kept = warm()
    kept.keep(A, [], 0.0)
    kept.connected(A, 1e6)
    kept.begin(1e6)
    assert kept.take_due(1e6, 9) == []


class WarmSetMachine(RuleBasedStateMachine):
    """Whatever the network does: who is kept is connected, being dialed, or has a time within the longest wait."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.kept = warm(random=Random(seed))
        self.now = 0.0
        self.connected: set[PeerId] = set()
        self.dialing: list[PeerId] = []

    @rule(peer=st.sampled_from(PEERS))
    def keep(self, peer: PeerId) -> None:
        self.kept.keep(peer, [], self.now, is_connected=peer in self.connected)

    @rule(peer=st.sampled_from(PEERS))
    def forget(self, peer: PeerId) -> None:
        self.kept.forget(peer)

    @rule(room=st.integers(0, 3))
    def dial(self, room: int) -> None:
        due = self.kept.take_due(self.now, room)
        assert len(due) <= room
        for peer in due:
            assert isinstance(peer, PeerId)
            assert peer not in self.connected
            self.dialing.append(peer)

    @precondition(lambda self: self.dialing)
    @rule(works=st.booleans())
    def end_a_dial(self, works: bool) -> None:
        peer = self.dialing.pop(0)
        if works:
            self.connect(peer)
            self.kept.succeeded(peer, peer, self.now)
        else:
            self.kept.failed(peer, self.now)

    @rule(peer=st.sampled_from(PEERS))
    def connect(self, peer: PeerId) -> None:
        self.connected.add(peer)
        self.kept.connected(peer, self.now)

    @rule(peer=st.sampled_from(PEERS))
    def lose(self, peer: PeerId) -> None:
        if peer in self.connected:
            self.connected.discard(peer)
            self.kept.lost(peer, self.now)

    @rule()
    def hurry(self) -> None:
        self.kept.hurry(self.now)

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def nobody_is_given_up(self) -> None:
        due = self.kept.next_timeout()
        assert due is None or due <= self.now + 60
        for peer in self.kept:
            state = self.kept._kept[peer]
            assert (state.since is not None) == (peer in self.connected)
            assert peer in self.connected or peer in self.dialing or state.due is not None


TestWarmSetMachine = WarmSetMachine.TestCase
