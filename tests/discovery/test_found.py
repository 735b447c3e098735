"""The table of found peers: each once, no source drives out another, and all of it bounded."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet import Identity, Multiaddr, PeerId
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.discovery.found import ADDRESSES_LIMIT, SOURCES_LIMIT, Found, FoundTable

OWN, *PEERS = [Identity.generate().peer_id for _ in range(9)]
ALICE, BOB, CAROL, *_ = PEERS


def place(port: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/192.0.2.7/tcp/{port}")


def table(**settings: Any) -> FoundTable:
    return FoundTable(OWN, DiscoveryConfig(**settings))


def ids(one: FoundTable, now: float = 0.0) -> list[PeerId]:
    return [known.peer_id for known in one.fresh(now)]


def test_who_is_found_first_is_news_and_later_is_not() -> None:
    one = table()
    assert one.add(ALICE, [place(1)], "mdns", 0.0, is_near=False)
    assert not one.add(ALICE, [place(2), place(1)], "exchange", 5.0, is_near=True)
    known = one.get(ALICE)
    assert known is not None
    assert known.first == Found(ALICE, (place(2), place(1)), "mdns")
    assert (list(known.sources), known.found_at, known.is_near) == (["mdns", "exchange"], 5.0, True)
    assert len(one) == 1


def test_this_node_is_never_found() -> None:
    one = table()
    assert not one.add(OWN, [place(1)], "mdns", 0.0, is_near=False)
    assert (len(one), one.get(OWN), one.refused) == (0, None, 0)


def test_a_peer_is_news_again_when_nobody_has_found_it_for_long() -> None:
    one = table(found_ttl=10.0)
    one.add(ALICE, [place(1)], "mdns", 0.0, is_near=True)
    assert not one.add(ALICE, [], "mdns", 10.0, is_near=False)
    assert ids(one, 20.0) == [ALICE]
    assert ids(one, 20.1) == []
    assert one.add(ALICE, [place(2)], "gossip", 20.1, is_near=False)
    known = one.get(ALICE)
    assert known is not None
    assert known.first == Found(ALICE, (place(2),), "gossip")
    assert not known.is_near


def test_of_many_addresses_the_newest_are_kept() -> None:
    one = table()
    one.add(ALICE, [place(port) for port in range(1, 40)], "mdns", 0.0, is_near=False)
    known = one.get(ALICE)
    assert known is not None
    assert known.addresses == tuple(place(port) for port in range(1, ADDRESSES_LIMIT + 1))
    one.add(ALICE, [place(99)], "mdns", 0.0, is_near=False)
    assert known.addresses == (place(99), *(place(port) for port in range(1, ADDRESSES_LIMIT)))


def test_a_source_that_names_too_many_is_not_listened_to_for_a_while_and_the_others_are() -> None:
    one = table(found_rate=1.0, found_burst=2)
    assert [one.add(peer, [], "exchange", 0.0, is_near=False) for peer in PEERS[:3]] == [True, True, False]
    assert one.refused == 1
    assert one.add(PEERS[2], [], "mdns", 0.0, is_near=False)
    assert one.add(PEERS[3], [], "exchange", 1.0, is_near=False)


def test_sources_are_counted_too() -> None:
    one = table()
    for number in range(SOURCES_LIMIT):
        assert one.add(Identity.generate().peer_id, [], f"source {number}", 0.0, is_near=False)
    assert not one.add(ALICE, [], "one too many", 0.0, is_near=False)
    assert one.refused == 1


def test_where_it_is_full_who_has_named_most_loses_the_oldest() -> None:
    one = table(found_peers=4)
    one.add(PEERS[0], [], "mdns", 0.0, is_near=False)
    for peer in PEERS[1:4]:
        one.add(peer, [], "exchange", 0.0, is_near=False)
    one.add(PEERS[1], [], "exchange", 1.0, is_near=False)
    one.add(PEERS[4], [], "exchange", 2.0, is_near=False)
    assert ids(one, 2.0) == [PEERS[0], PEERS[3], PEERS[1], PEERS[4]]


def test_a_source_whose_only_peer_goes_takes_no_room() -> None:
    one = table(found_peers=1)
    one.add(ALICE, [], "mdns", 0.0, is_near=False)
    one.add(BOB, [], "exchange", 0.0, is_near=False)
    assert len(one) == 1


@given(st.lists(st.tuples(st.sampled_from([OWN, *PEERS]), st.sampled_from(["a", "b", "c"]), st.floats(0, 30))))
def test_nobody_is_news_twice_within_the_time_unless_the_table_was_full(course: list[tuple[PeerId, str, float]]) -> None:
    one, now, told = table(found_ttl=60.0, found_rate=1000.0), 0.0, dict[PeerId, float]()
    for peer, source, step in course:
        now += step
        if one.add(peer, [], source, now, is_near=False):
            assert peer != OWN
            assert peer not in told or now - told[peer] > 60.0
        told[peer] = now


class AnyCourse(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.now = table(found_peers=5, found_ttl=20.0, found_burst=20), 0.0

    @rule(peer=st.sampled_from([OWN, *PEERS]), source=st.sampled_from(["a", "b", "c"]), ports=st.lists(st.integers(1, 40)))
    def find(self, peer: PeerId, source: str, ports: list[int]) -> None:
        self.one.add(peer, [place(port) for port in ports], source, self.now, is_near=False)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def bounds_hold_and_both_views_agree(self) -> None:
        fresh = list(self.one.fresh(float("-inf")))
        assert len(fresh) == len(self.one) <= 5
        assert {known.peer_id for known in fresh} <= set(PEERS)
        assert all(self.one.get(known.peer_id) is known for known in fresh)
        assert all(len(known.addresses) <= ADDRESSES_LIMIT for known in fresh)


TestAnyCourse = AnyCourse.TestCase
