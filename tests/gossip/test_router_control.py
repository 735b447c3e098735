"""GRAFT, PRUNE, IHAVE, IWANT and IDONTWANT, row by row."""

from itertools import chain, pairwise

import pytest

from cortexnet.gossip.actions import ASKED, CONTROL, URGENT, Change, MeshChanged, SendRpc
from cortexnet.gossip.config import FLOODSUB, GOSSIPSUB_10, GOSSIPSUB_11, GOSSIPSUB_12
from cortexnet.gossip.messages import ControlMessages, IHave, Prune, Rpc
from cortexnet.gossip.score_params import ScoreParams, Thresholds, TopicScoreParams
from tests.support.gossip_router import TOPIC, Desk, id_of, message, peer_id

SCORED = ScoreParams(
    thresholds=Thresholds(gossip=-10, publish=-20, graylist=-1000),
    behaviour_weight=-1.0,
    behaviour_threshold=0.0,
)


def joined(**settings: object) -> Desk:
    """A router that has joined the topic."""
    desk = Desk(**settings)  # type: ignore[arg-type]
    desk.router.subscribe(TOPIC, desk.now)
    desk.clear()
    return desk


def scored(app: dict[object, float], **settings: object) -> Desk:
    """The same, in which each peer has the score that `app` says."""
    params = ScoreParams(
        thresholds=Thresholds(gossip=-10, publish=-20, graylist=-1000, accept_px=5),
        app_score=lambda peer: app.get(peer, 0.0),
        behaviour_weight=-1.0,
        behaviour_threshold=0.0,
    )
    return joined(score=params, **settings)


# --- GRAFT ---------------------------------------------------------------------------------------------------------------------


def test_a_graft_of_a_topic_that_is_not_ours_is_ignored() -> None:
    desk = joined()
    peer = desk.peer(1)
    desk.control(peer, graft=["other"])
    assert desk.rpcs_to(peer)[1:] == []
    assert desk.router.mesh("other") == []


def test_a_graft_takes_the_peer_into_the_mesh_without_an_answer() -> None:
    desk = joined(degree_low=3, degree=4, degree_out=1)
    desk.meshed(range(1, 6))
    assert desk.router.mesh(TOPIC) == [peer_id(number) for number in range(1, 6)]
    assert desk.prunes_to(peer_id(5)) == []
    assert MeshChanged(TOPIC, peer_id(5), True, Change.GRAFTED_BY_PEER).__repr__() in map(repr, desk.of(MeshChanged))


@pytest.mark.parametrize("protocol", [GOSSIPSUB_10, FLOODSUB])
def test_also_a_peer_that_never_subscribed_or_speaks_floodsub_is_taken(protocol: str) -> None:
    desk = joined()
    peer = desk.peer(1, protocol=protocol)
    desk.control(peer, graft=[TOPIC])
    assert desk.router.mesh(TOPIC) == [peer]


def test_a_graft_of_a_peer_in_the_mesh_changes_nothing() -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    desk.clear()
    desk.control(peer, graft=[TOPIC, TOPIC])
    assert desk.of(SendRpc) == []
    assert desk.router.mesh(TOPIC) == [peer]


def test_a_direct_peer_is_refused() -> None:
    desk = joined()
    desk.router.add_direct(peer_id(1), desk.now)
    peer = desk.peer(1, TOPIC)
    desk.control(peer, graft=[TOPIC])
    assert desk.prunes_to(peer) == [Prune(TOPIC, [], 60)]
    assert desk.router.mesh(TOPIC) == []


def test_a_graft_within_the_backoff_costs_twice_at_first_and_prolongs_it() -> None:
    desk = joined(score=SCORED)
    (peer,) = desk.meshed([1])
    desk.control(peer, prune=[Prune(TOPIC)])
    desk.clear()
    desk.control(peer, graft=[TOPIC])
    assert desk.prunes_to(peer) == [Prune(TOPIC, [], 60)]
    assert desk.score(peer) == -4.0
    desk.now += 11  # past the time in which it is a flood
    desk.control(peer, graft=[TOPIC])
    assert desk.score(peer) == -9.0
    desk.now += 59  # the backoff began anew
    desk.control(peer, graft=[TOPIC])
    assert desk.score(peer) == -16.0


def test_after_the_backoff_a_graft_is_welcome() -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    desk.control(peer, prune=[Prune(TOPIC)])
    desk.now += 60
    desk.control(peer, graft=[TOPIC])
    assert desk.router.mesh(TOPIC) == [peer]


def test_a_peer_of_negative_score_is_refused_and_left_alone() -> None:
    app: dict[object, float] = {peer_id(1): -1.0}
    desk = scored(app, peer_exchange=True)
    desk.peer(2, TOPIC)
    peer = desk.peer(1, TOPIC)
    desk.control(peer, graft=[TOPIC])
    assert desk.prunes_to(peer) == [Prune(TOPIC, [], 60)]
    app.clear()
    desk.control(peer, graft=[TOPIC])
    assert peer not in desk.router.mesh(TOPIC)


def test_a_full_mesh_takes_only_those_that_we_dialed() -> None:
    desk = joined(degree_high=6, degree_score=4)
    desk.meshed(range(1, 7))
    late, dialed = desk.peer(8, TOPIC), desk.peer(9, TOPIC, outbound=True)
    desk.clear()
    desk.control(late, graft=[TOPIC])
    desk.control(dialed, graft=[TOPIC])
    assert desk.prunes_to(late) == [Prune(TOPIC, [], 10)]
    assert desk.prunes_to(dialed) == []
    assert desk.router.mesh(TOPIC)[-1] == dialed
    desk.control(late, graft=[TOPIC])
    assert late not in desk.router.mesh(TOPIC)


def test_only_who_is_refused_for_want_of_room_alone_learns_of_others() -> None:
    desk = joined(degree_high=6, degree_score=4, peer_exchange=True)
    others = desk.meshed(range(1, 7))
    late = desk.peer(8, TOPIC)
    desk.clear()
    desk.control(late, graft=[TOPIC])
    assert sorted(entry.peer_id for entry in desk.prunes_to(late)[0].peers) == sorted(map(bytes, others))
    curious = desk.peer(9, TOPIC)
    desk.control(curious, graft=[TOPIC, "unknown"])
    assert desk.prunes_to(curious) == [Prune(TOPIC, [], 10)]


def test_a_peer_that_speaks_1_0_is_told_no_backoff() -> None:
    desk = joined(degree_high=6, degree_score=4)
    desk.meshed(range(1, 7))
    late = desk.peer(8, TOPIC, protocol=GOSSIPSUB_10)
    desk.control(late, graft=[TOPIC])
    assert desk.prunes_to(late) == [Prune(TOPIC)]


def test_many_grafts_of_a_topic_in_one_rpc_get_one_prune() -> None:
    desk = joined(score=SCORED)
    (peer,) = desk.meshed([1])
    desk.control(peer, prune=[Prune(TOPIC)])
    desk.clear()
    desk.control(peer, graft=[TOPIC] * 10)
    assert len(desk.prunes_to(peer)) == 1
    assert desk.score(peer) == -400.0


# --- PRUNE ---------------------------------------------------------------------------------------------------------------------


def test_a_prune_of_a_topic_that_is_not_ours_is_ignored() -> None:
    desk = joined()
    peer = desk.peer(1)
    desk.control(peer, prune=[Prune("other")])
    desk.router.subscribe("other", desk.now)
    desk.control(peer, graft=["other"])
    assert desk.router.mesh("other") == [peer]


@pytest.mark.parametrize(
    ("asked", "held"), [(None, 60), (0, 60), (30, 30), (90, 90), (1, 10), (1 << 62, 3600)], ids=lambda value: str(value)
)
def test_a_prune_is_obeyed_for_as_long_as_it_says_within_reason(asked: int | None, held: int) -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    desk.clear()
    desk.control(peer, prune=[Prune(TOPIC, backoff=asked)])
    assert [change.change for change in desk.of(MeshChanged)] == [Change.PRUNED_BY_PEER]
    assert desk.of(SendRpc) == []
    assert desk.router.mesh(TOPIC) == []
    assert desk.router._state.backoff.until(TOPIC, peer) == desk.now + held


def test_a_prune_never_shortens_a_backoff() -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    desk.control(peer, prune=[Prune(TOPIC, backoff=100), Prune(TOPIC, backoff=20)])
    assert desk.router._state.backoff.until(TOPIC, peer) == desk.now + 100


# --- IHAVE ---------------------------------------------------------------------------------------------------------------------


def test_what_was_not_seen_is_asked_for_in_one_iwant() -> None:
    desk = joined()
    peer = desk.peer(1, TOPIC)
    seen = message(1)
    desk.bring(peer, seen)
    desk.clear()
    desk.control(peer, ihave=[b"a", id_of(seen), b"b", b"a"])
    (asked,) = desk.asked_of(peer)
    assert sorted(asked) == [b"a", b"b"]
    assert [action.priority for action in desk.of(SendRpc)] == [CONTROL]


def test_what_is_in_validation_is_not_asked_for() -> None:
    desk = joined()
    peer = desk.peer(1, TOPIC)
    desk.hear(peer, Rpc(messages=[message(1)]))
    desk.control(peer, ihave=[id_of(message(1))])
    assert desk.asked_of(peer) == []


def test_ids_of_topics_that_are_not_ours_are_not_asked_for() -> None:
    desk = joined()
    peer = desk.peer(1, TOPIC)
    desk.control(peer, ihave=[b"a"], topic="other")
    assert desk.asked_of(peer) == []


def test_the_order_in_which_is_asked_can_not_be_foreseen() -> None:
    ids = [b"%d" % number for number in range(50)]
    desk = joined()
    peer = desk.peer(1, TOPIC)
    desk.control(peer, ihave=ids)
    (asked,) = desk.asked_of(peer)
    assert asked != ids
    assert sorted(asked) == sorted(ids)


def test_the_eleventh_rpc_with_control_in_a_heartbeat_is_not_answered() -> None:
    desk = joined()
    peer = desk.peer(1, TOPIC)
    for number in range(12):
        desk.control(peer, ihave=[b"%d" % number])
    assert len(desk.asked_of(peer)) == 10
    desk.beat()
    desk.control(peer, ihave=[b"more"])
    assert len(desk.asked_of(peer)) == 11


def test_no_more_is_asked_than_a_heartbeat_allows() -> None:
    desk = joined(ihave_ids=10)
    peer = desk.peer(1, TOPIC)
    desk.control(peer, ihave=[b"a%d" % number for number in range(7)])
    desk.control(peer, ihave=[b"b%d" % number for number in range(7)])
    desk.control(peer, ihave=[b"c"])
    assert [len(asked) for asked in desk.asked_of(peer)] == [7, 3]


def test_of_an_entry_only_the_first_ids_are_looked_at() -> None:
    desk = joined(ihave_ids=10)
    peer = desk.peer(1, TOPIC)
    seen = [message(number) for number in range(10)]
    desk.bring(peer, *seen)
    desk.hear(peer, Rpc(control=ControlMessages([IHave(TOPIC, [*map(id_of, seen), b"new"])])))
    assert desk.asked_of(peer) == []


def test_a_peer_below_the_gossip_threshold_is_neither_asked_nor_answered() -> None:
    app: dict[object, float] = {}
    desk = scored(app)
    peer = desk.peer(1, TOPIC)
    known = message(1)
    desk.bring(desk.peer(2), known)
    app[peer] = -11.0
    desk.clear()
    desk.control(peer, ihave=[b"a"], iwant=[id_of(known)])
    assert desk.of(SendRpc) == []
    app[peer] = -10.0
    desk.control(peer, ihave=[b"a"], iwant=[id_of(known)])
    assert desk.asked_of(peer) == [[b"a"]]
    assert desk.messages_to(peer) == [known]


def test_a_promise_that_is_not_kept_costs_score_at_the_heartbeat_after() -> None:
    desk = joined(score=SCORED)
    peer = desk.peer(1, TOPIC)
    desk.control(peer, ihave=[b"a", b"b"])
    desk.wait(2.9)
    assert desk.score(peer) == 0.0
    desk.wait(1.3)
    assert desk.score(peer) == pytest.approx(-1.0, rel=0.05)


def test_anybody_who_delivers_keeps_the_promise() -> None:
    desk = joined(score=SCORED)
    peer, other = desk.peers([1, 2], TOPIC)
    desk.control(peer, ihave=[id_of(message(1))])
    desk.bring(other, message(1))
    desk.wait(10)
    assert desk.score(peer) == 0.0


def test_whose_messages_are_not_looked_at_is_forgiven_its_promises() -> None:
    class Gater:
        def accepts(self, *_: object) -> bool:
            return False

    desk = joined(score=SCORED)
    peer = desk.peer(1, TOPIC)
    desk.control(peer, ihave=[b"a"])
    desk.router._state.gater = Gater()  # type: ignore[assignment]
    desk.hear(peer, Rpc(messages=[message(1)]))
    desk.router._state.gater = None
    assert desk.settle() == []
    desk.wait(10)
    assert desk.score(peer) == 0.0


# --- IWANT ---------------------------------------------------------------------------------------------------------------------


def test_a_message_is_sent_three_times_to_each_peer_that_asks() -> None:
    desk = joined()
    first, second, source = desk.peers([1, 2, 3])
    known = message(1)
    desk.bring(source, known)
    desk.clear()
    for _ in range(5):
        desk.control(first, iwant=[id_of(known)] * 3)
    desk.control(second, iwant=[id_of(known), b"unknown"])
    assert desk.messages_to(first) == [known]  # the same id three times is three of them
    assert desk.messages_to(second) == [known]
    assert {action.priority for action in desk.of(SendRpc)} == {ASKED}


def test_many_messages_are_given_in_portions() -> None:
    desk = joined(rpc_size=30_000, control_size=10_000, messages_per_rpc=3)
    source, peer = desk.peers([1, 2])
    sizes = [10_000, 10_000, 10_000, 40_000, 1, 1, 1, 1]
    known = [message(number, data=b"x" * size) for number, size in enumerate(sizes)]
    desk.bring(source, *known)
    desk.clear()
    desk.control(peer, iwant=map(id_of, known))
    assert [len(rpc.messages) for rpc in desk.rpcs_to(peer)] == [2, 1, 1, 3, 1]
    assert desk.messages_to(peer) == known


def test_own_messages_are_given_too_for_five_heartbeats() -> None:
    desk = joined()
    peer = desk.peer(1)
    own = message(1, author=0)
    desk.router.publish(own, desk.now)
    desk.beat(4)
    desk.control(peer, iwant=[id_of(own)])
    assert desk.messages_to(peer) == [own]
    desk.beat()
    desk.control(peer, iwant=[id_of(own)])
    assert desk.messages_to(peer) == [own]


# --- IDONTWANT -----------------------------------------------------------------------------------------------------------------


def test_what_a_peer_does_not_want_is_neither_forwarded_nor_given() -> None:
    desk = joined()
    peer, other, source = desk.meshed([1, 2, 3])
    known = message(1)
    desk.control(peer, idontwant=[id_of(known)])
    desk.bring(source, known)
    desk.control(peer, iwant=[id_of(known)])
    assert desk.messages_to(peer) == []
    assert desk.messages_to(other) == [known]


def test_it_holds_for_three_heartbeats() -> None:
    desk = joined()
    peer = desk.peer(1)
    desk.control(peer, idontwant=[b"a"])
    state = desk.router._state.peers[peer]
    desk.beat(2)
    desk.control(peer, idontwant=[b"b"])
    assert state.is_unwilling(b"a")
    desk.beat()
    assert not state.is_unwilling(b"a")
    assert state.is_unwilling(b"b")
    desk.beat(2)
    assert not state.is_unwilling(b"b")
    assert state.unwanted == []
    assert not desk.router._state.unwilling


def test_ids_of_any_length_are_remembered_by_48_bytes_at_most() -> None:
    desk = joined()
    peer = desk.peer(1)
    desk.control(peer, idontwant=[b"x" * 49, b"y" * 48])
    state = desk.router._state.peers[peer]
    assert state.is_unwilling(b"x" * 49)
    assert state.is_unwilling(b"y" * 48)
    assert sorted(len(key) for key in state.unwanted[0]) == [32, 48]


def test_large_messages_are_refused_elsewhere_before_any_check() -> None:
    desk = joined()
    source, modern, old = desk.meshed([1, 2]) + desk.meshed([3], protocol=GOSSIPSUB_11)
    outside = desk.peer(4, protocol=GOSSIPSUB_12)
    desk.clear()
    large = [message(number, data=b"x" * 1024) for number in range(12)]
    desk.hear(source, Rpc(messages=[*large, message(50, data=b"x" * 1023)]))
    actions = desk.of(SendRpc)
    assert {action.priority for action in actions} == {URGENT}
    assert [len(ids) for ids in desk.unwanted_by(modern)] == [10, 2]
    assert list(chain(*desk.unwanted_by(modern))) == [id_of(each) for each in large]
    for peer in (source, old, outside):
        assert desk.unwanted_by(peer) == []


def test_a_peer_that_does_not_want_too_much_loses_the_oldest_of_it() -> None:
    desk = joined(idontwant_rpcs=2, idontwant_ids=2)
    peer = desk.peer(1)
    state = desk.router._state.peers[peer]
    desk.control(peer, idontwant=[b"a", b"b", b"too many"])
    desk.control(peer, idontwant=[b"c", b"d"])
    desk.control(peer, idontwant=[b"third"])
    assert sorted(chain(*state.unwanted)) == [b"a", b"b", b"c", b"d"]
    desk.beat()
    desk.control(peer, idontwant=[b"e", b"f"])
    desk.control(peer, idontwant=[b"g", b"h"])
    assert sorted(chain(*state.unwanted)) == [b"e", b"f", b"g", b"h"]


def test_where_one_heartbeat_fills_a_share_the_rest_is_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexnet.gossip.control.UNWANTED_LIMIT", 3)
    monkeypatch.setattr("cortexnet.gossip.control.UNWANTED_SHARE", 3)
    desk = joined()
    peer = desk.peer(1)
    desk.control(peer, idontwant=[b"a", b"b"])
    desk.control(peer, idontwant=[b"c", b"d"])
    assert desk.router._state.peers[peer].unwanted_count == 2


def test_an_empty_idontwant_leaves_nothing() -> None:
    desk = joined()
    peer = desk.peer(1)
    desk.control(peer, idontwant=[b"a"][:0], graft=["none"])
    desk.hear(peer, Rpc(control=ControlMessages(idontwant=[])))
    assert desk.router._state.peers[peer].unwanted == []


def test_all_that_an_rpc_asks_for_is_answered_by_one_rpc_of_control() -> None:
    desk = joined(degree_high=6, degree_score=4)
    desk.meshed(range(1, 7))
    late = desk.peer(8, TOPIC)
    desk.clear()
    desk.control(late, ihave=[b"a"], graft=[TOPIC])
    (answer,) = desk.controls_to(late)
    assert answer.iwant == [b"a"]
    assert [prune.topic for prune in answer.prune] == [TOPIC]


def test_strangers_do_not_take_turns_in_a_mesh_of_peers_that_are_worth_something() -> None:
    app: dict[object, float] = {peer_id(number): 5.0 for number in range(1, 7)}
    desk = scored(app)
    desk.meshed(range(1, 7))
    joined_at = []
    for number in range(100, 400):
        stranger = desk.peer(number, TOPIC)
        desk.control(stranger, graft=[TOPIC])
        if stranger in desk.router.mesh(TOPIC):
            joined_at.append(desk.now)
            desk.router.remove_peer(stranger, desk.now)
        desk.now += 1
    assert 4 <= len(joined_at) <= 8
    first, second, *others = joined_at
    assert second == first + 1
    assert all(later - before >= 45 for before, later in pairwise([first, *others]))


def test_who_is_worth_as_much_as_half_of_the_mesh_or_was_dialed_is_taken() -> None:
    app: dict[object, float] = {peer_id(number): 5.0 for number in range(1, 8)}
    desk = scored(app, newcomer_burst=0)
    desk.meshed(range(1, 7))
    stranger, good, dialed = desk.peer(10, TOPIC), desk.peer(7, TOPIC), desk.peer(11, TOPIC, outbound=True)
    for peer in (stranger, good, dialed):
        desk.control(peer, graft=[TOPIC])
    assert desk.router.mesh(TOPIC)[6:] == [good, dialed]


def test_a_mesh_that_is_all_but_empty_takes_anybody() -> None:
    desk = scored({peer_id(1): 5.0, peer_id(2): 5.0})
    desk.meshed([1, 2])
    stranger = desk.peer(10, TOPIC)
    desk.control(stranger, graft=[TOPIC])
    assert stranger in desk.router.mesh(TOPIC)


def test_where_a_score_can_be_earned_strangers_do_not_crowd_into_a_young_mesh() -> None:
    earned = TopicScoreParams(first_deliveries_weight=1.0, allow_silence=True)
    desk = joined(score=ScoreParams(topics={TOPIC: earned}))
    assert len(desk.meshed(range(1, 20))) == 19
    assert desk.router.mesh(TOPIC) == [peer_id(number) for number in range(1, 8)]  # up to D_low, and two
