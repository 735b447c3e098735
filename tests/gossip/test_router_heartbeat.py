"""What the heartbeat does for meshes and gossip, and joining and leaving topics."""

import pytest

from cortexnet.gossip.actions import CONTROL, GOSSIP, Change, MeshChanged, SendRpc
from cortexnet.gossip.config import FLOODSUB, GOSSIPSUB_10
from cortexnet.gossip.messages import Prune, PrunePeer, Rpc, Subscription
from cortexnet.gossip.score_params import ScoreParams, Thresholds
from tests.support.gossip_router import TOPIC, Desk, id_of, message, peer_id


def joined(**settings: object) -> Desk:
    desk = Desk(**settings)  # type: ignore[arg-type]
    desk.router.subscribe(TOPIC, desk.now)
    desk.clear()
    return desk


def scored(app: dict[object, float], **settings: object) -> Desk:
    thresholds = Thresholds(gossip=-10, publish=-20, graylist=-1000, opportunistic_graft=5)
    return joined(score=ScoreParams(thresholds=thresholds, app_score=lambda peer: app.get(peer, 0.0)), **settings)


# --- time ----------------------------------------------------------------------------------------------------------------------


def test_the_first_heartbeat_is_soon_and_the_next_ones_each_second() -> None:
    desk = Desk()
    start = desk.now
    due = []
    for _ in range(3):
        due.append(desk.router.next_timeout() - start)
        desk.beat()
    assert due == pytest.approx([0.1, 1.1, 2.1])


def test_what_is_not_due_is_not_done() -> None:
    desk = Desk()
    desk.router.handle_timeout(desk.now)
    assert desk.router._state.ticks == 0


def test_missed_heartbeats_are_not_made_up_for() -> None:
    desk = Desk()
    desk.now += 100
    desk.router.handle_timeout(desk.now)
    assert desk.router._state.ticks == 1
    assert desk.router.next_timeout() == desk.now + 1


# --- the mesh ------------------------------------------------------------------------------------------------------------------


def test_a_mesh_that_lacks_peers_is_filled_up_to_d() -> None:
    desk = joined()
    desk.peers(range(1, 20), TOPIC)
    assert len(desk.router.mesh(TOPIC)) == 5  # at once, as they came
    desk.router.remove_peer(desk.router.mesh(TOPIC)[0], desk.now)
    desk.clear()
    desk.beat()
    assert len(desk.router.mesh(TOPIC)) == 6
    new = [each.peer for each in desk.of(MeshChanged)]
    assert len(new) == 2
    assert [(desk.grafts_to(peer), len(desk.rpcs_to(peer))) for peer in new] == [([TOPIC], 1)] * 2


def test_a_mesh_that_is_full_is_left_alone() -> None:
    desk = joined()
    desk.meshed(range(1, 12))
    desk.clear()
    desk.beat(20)
    assert desk.take() == []
    assert desk.of(SendRpc) == []


def test_who_is_direct_bad_backed_off_or_without_meshes_is_not_grafted() -> None:
    app: dict[object, float] = {peer_id(1): -1.0}
    desk = scored(app)
    desk.router.add_direct(peer_id(2), desk.now)
    desk.peers([1, 2, 3], TOPIC)
    desk.peer(4, TOPIC, protocol=FLOODSUB)
    desk.control(peer_id(3), prune=[Prune(TOPIC)])
    desk.beat(5)
    assert desk.router.mesh(TOPIC) == []
    app.clear()
    desk.beat()
    assert desk.router.mesh(TOPIC) == [peer_id(1)]


def test_after_its_backoff_and_some_slack_a_peer_is_grafted_again() -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    desk.control(peer, prune=[Prune(TOPIC)])
    desk.wait(61)
    assert desk.router.mesh(TOPIC) == []
    desk.wait(3)
    assert desk.router.mesh(TOPIC) == [peer]


def test_a_mesh_that_is_too_full_is_cut_to_d_and_the_rest_left_alone_for_a_minute() -> None:
    desk = joined()
    desk.meshed(range(1, 13))
    desk.clear()
    desk.beat()
    mesh = desk.router.mesh(TOPIC)
    assert len(mesh) == 6
    out = [peer_id(number) for number in range(1, 13) if peer_id(number) not in mesh]
    assert [desk.prunes_to(peer) for peer in out] == [[Prune(TOPIC, [], 60)]] * 6
    assert {each.change for each in desk.of(MeshChanged)} == {Change.PRUNED}
    assert all(desk.router._state.backoff.until(TOPIC, peer) == desk.now + 60 for peer in out)
    desk.control(out[0], graft=[TOPIC])
    assert out[0] not in desk.router.mesh(TOPIC)


def test_the_best_stay_in_a_mesh_that_is_cut() -> None:
    app: dict[object, float] = {peer_id(number): float(number) for number in range(1, 13)}
    desk = scored(app)
    desk.meshed(range(1, 13))
    desk.beat()
    assert {peer_id(number) for number in range(9, 13)} <= set(desk.router.mesh(TOPIC))


def test_peers_of_negative_score_are_pruned_and_learn_of_nobody() -> None:
    app: dict[object, float] = {}
    desk = scored(app, peer_exchange=True)
    bad, *good = desk.meshed(range(1, 8))
    app[bad] = -1.0
    desk.clear()
    desk.beat()
    assert desk.router.mesh(TOPIC) == good
    assert desk.prunes_to(bad) == [Prune(TOPIC, [], 60)]


def test_who_lets_us_open_no_stream_does_not_hold_its_place() -> None:
    desk = joined()
    late, never = peer_id(1), peer_id(2)
    for peer in (late, never):
        desk.control(peer, graft=[TOPIC])
    desk.beat(3)
    desk.router.add_peer(late, GOSSIPSUB_10, outbound=False, now=desk.now)
    desk.beat(2)
    assert desk.router.mesh(TOPIC) == [late, never]
    desk.beat()
    assert desk.router.mesh(TOPIC) == [late]
    assert desk.router._state.backoff.holds(TOPIC, never)


def test_without_ids_there_is_no_ihave() -> None:
    desk = joined(ihave_ids=0)
    mesh = desk.meshed(range(1, 7))
    desk.peers(range(10, 15), TOPIC)
    desk.bring(mesh[0], message(1))
    desk.clear()
    desk.beat()
    assert desk.of(SendRpc) == []


def test_two_of_a_mesh_are_peers_that_we_dialed() -> None:
    desk = joined()
    desk.meshed(range(1, 8))
    dialed = desk.peers([20, 21, 22], TOPIC, outbound=True)
    desk.beat()
    assert len(set(dialed) & set(desk.router.mesh(TOPIC))) == 2
    assert len(desk.router.mesh(TOPIC)) == 9


def test_a_poor_mesh_is_improved_by_two_now_and_then() -> None:
    app: dict[object, float] = {peer_id(number): 1.0 for number in range(1, 7)} | {peer_id(20): 1.0, peer_id(21): 6.0}
    app |= {peer_id(22): 2.0, peer_id(23): 3.0}
    desk = scored(app)
    desk.meshed(range(1, 7))
    desk.peers(range(20, 24), TOPIC)
    desk.beat(59)
    assert len(desk.router.mesh(TOPIC)) == 6
    desk.beat()
    assert len(desk.router.mesh(TOPIC)) == 8
    assert peer_id(20) not in desk.router.mesh(TOPIC)
    for peer in desk.router.mesh(TOPIC):
        app[peer] = 5.0
    desk.beat(60)
    assert len(desk.router.mesh(TOPIC)) == 8


def test_a_bootstrap_node_is_in_no_mesh() -> None:
    desk = joined(degree=0, degree_low=0, degree_high=0, degree_out=0, degree_score=0)
    peers = desk.peers(range(1, 5), TOPIC)
    desk.control(peers[0], graft=[TOPIC])
    desk.beat(3)
    assert desk.router.mesh(TOPIC) == []


# --- gossip --------------------------------------------------------------------------------------------------------------------


def test_six_outside_the_mesh_hear_which_messages_there_were() -> None:
    desk = joined()
    mesh = desk.meshed(range(1, 7))
    outside = desk.peers(range(10, 20), TOPIC)
    flood = desk.peer(30, TOPIC, protocol=FLOODSUB)
    desk.router.add_direct(peer_id(31), desk.now)
    direct = desk.peer(31, TOPIC)
    desk.bring(mesh[0], message(1), message(2))
    desk.clear()
    desk.beat()
    told = [peer for peer in outside if desk.told(peer)]
    assert len(told) == 6
    assert all(sorted(desk.told(peer)) == sorted([id_of(message(1)), id_of(message(2))]) for peer in told)
    assert not any(desk.told(peer) for peer in (*mesh, flood, direct))
    assert [action.priority for action in desk.of(SendRpc)] == [GOSSIP]


def test_a_quarter_of_many_hears_it_for_three_heartbeats() -> None:
    desk = joined()
    mesh = desk.meshed(range(1, 7))
    outside = desk.peers(range(100, 140), TOPIC)
    desk.bring(mesh[0], message(1))
    for count in (10, 10, 10, 0):
        desk.clear()
        desk.beat()
        assert sum(bool(desk.told(peer)) for peer in outside) == count


def test_who_is_below_the_gossip_threshold_hears_nothing() -> None:
    app: dict[object, float] = {peer_id(10): -11.0, peer_id(11): -10.0}
    desk = scored(app)
    mesh = desk.meshed(range(1, 7))
    desk.peers([10, 11], TOPIC)
    desk.bring(mesh[0], message(1))
    desk.beat()
    assert desk.told(peer_id(10)) == []
    assert desk.told(peer_id(11)) == [id_of(message(1))]


def test_of_too_many_ids_each_peer_hears_others() -> None:
    desk = joined(ihave_ids=5)
    mesh = desk.meshed(range(1, 7))
    outside = desk.peers(range(10, 16), TOPIC)
    desk.bring(mesh[0], *(message(number) for number in range(20)))
    desk.beat()
    told = [desk.told(peer) for peer in outside]
    assert {len(ids) for ids in told} == {5}
    assert len({tuple(sorted(ids)) for ids in told}) > 1


def test_topics_that_we_publish_to_are_gossiped_of_too() -> None:
    desk = Desk()
    desk.peers(range(1, 10), TOPIC)
    fanout = desk.router.publish(message(1), desk.now)
    desk.beat()
    told = [peer_id(number) for number in range(1, 10) if desk.told(peer_id(number))]
    assert len(told) == 3
    assert not set(told) & set(fanout)


def test_all_that_a_peer_has_to_hear_of_a_heartbeat_is_one_rpc() -> None:
    desk = joined()
    desk.router.subscribe("other", desk.now)
    mesh = desk.meshed(range(1, 7))
    late = desk.peer(10, TOPIC)
    for number in range(20, 26):
        desk.control(desk.peer(number, "other"), graft=["other"])
    for number in range(20, 23):
        desk.router.remove_peer(peer_id(number), desk.now)
    desk.hear(late, Rpc([Subscription("other")]))
    desk.control(late, prune=[Prune("other")])
    desk.bring(mesh[0], message(1))
    desk.bring(peer_id(24), message(2, topic="other"))
    desk.clear()
    desk.beat()
    (said,) = desk.rpcs_to(late)
    assert said.control is not None
    assert {entry.topic for entry in said.control.ihave} == {TOPIC, "other"}


# --- joining and leaving -------------------------------------------------------------------------------------------------------


def test_joining_is_told_to_everybody_and_grafts_d() -> None:
    desk = Desk()
    wanting, other = desk.peers(range(1, 20), TOPIC), desk.peer(30)
    desk.clear()
    desk.router.subscribe(TOPIC, desk.now)
    desk.router.subscribe(TOPIC, desk.now)
    announced, grafted = desk.of(SendRpc)
    assert list(announced.peers) == [*wanting, other]
    assert announced.rpc == Rpc([Subscription(TOPIC)])
    assert announced.priority == grafted.priority == CONTROL
    assert list(grafted.peers) == desk.router.mesh(TOPIC)
    assert len(grafted.peers) == 6
    assert desk.router.topics == [TOPIC]


def test_those_to_whom_we_published_come_first() -> None:
    app: dict[object, float] = {}
    desk = scored(app)
    desk.router.unsubscribe(TOPIC, desk.now)
    desk.peers(range(1, 30), TOPIC)
    fanout = desk.router.publish(message(1), desk.now)
    app[fanout[0]] = -1.0
    desk.router.subscribe(TOPIC, desk.now)
    assert set(fanout[1:]) < set(desk.router.mesh(TOPIC))
    assert fanout[0] not in desk.router.mesh(TOPIC)
    assert desk.router.fanout(TOPIC) == []


def test_leaving_is_told_to_everybody_and_prunes_the_mesh() -> None:
    desk = joined(peer_exchange=True)
    mesh, other = desk.meshed(range(1, 4)), desk.peer(30)
    old = desk.meshed([4], protocol=GOSSIPSUB_10)[0]
    desk.clear()
    desk.router.unsubscribe(TOPIC, desk.now)
    desk.router.unsubscribe(TOPIC, desk.now)
    desk.router.unsubscribe("never joined", desk.now)
    announced, *pruned = desk.of(SendRpc)
    assert list(announced.peers) == [*mesh, other, old]
    assert announced.rpc == Rpc([Subscription(TOPIC, subscribe=False)])
    assert [list(action.peers) for action in pruned] == [[peer] for peer in (*mesh, old)]
    (prune,) = desk.prunes_to(mesh[0])
    assert prune.backoff == 10
    assert len(prune.peers) == 3
    assert desk.prunes_to(old) == [Prune(TOPIC)]
    assert {each.change for each in desk.of(MeshChanged)} == {Change.LEFT}
    assert desk.router.mesh(TOPIC) == desk.router.topics == []


def test_who_joins_again_soon_grafts_nobody_whom_it_left() -> None:
    desk = joined()
    desk.meshed(range(1, 4))
    desk.router.unsubscribe(TOPIC, desk.now)
    desk.wait(9)
    desk.router.subscribe(TOPIC, desk.now)
    assert desk.router.mesh(TOPIC) == []
    desk.wait(22)
    assert len(desk.router.mesh(TOPIC)) == 3


def test_a_topic_nobody_wants_is_forgotten() -> None:
    desk = joined()
    desk.router.unsubscribe(TOPIC, desk.now)
    assert desk.router._state.topics == {}


# --- peer exchange -------------------------------------------------------------------------------------------------------------


def test_a_pruned_peer_is_named_up_to_16_others_with_their_records() -> None:
    desk = joined(peer_exchange=True, records={peer_id(number): b"record %d" % number for number in range(60)})
    desk.meshed(range(1, 13))
    others = desk.peers(range(20, 40), TOPIC)
    flood = desk.peer(50, TOPIC, protocol=FLOODSUB)
    desk.clear()
    desk.beat()
    pruned = next(action for action in desk.of(SendRpc) if action.rpc.control and action.rpc.control.prune)
    assert pruned.rpc.control is not None
    (prune,) = pruned.rpc.control.prune
    named = [entry.peer_id for entry in prune.peers]
    assert len(set(named)) == 16
    assert bytes(pruned.peers[0]) not in named
    assert bytes(flood) not in named
    numbers = {bytes(peer_id(number)): number for number in range(60)}
    assert all(entry == PrunePeer(entry.peer_id, b"record %d" % numbers[entry.peer_id]) for entry in prune.peers)
    assert len(others) == 20


def test_places_of_bad_peers_are_filled_at_once_with_those_that_have_brought_something_or_were_dialed() -> None:
    app: dict[object, float] = {peer_id(number): 5.0 for number in range(1, 7)}
    desk = scored(app, newcomer_burst=0)
    desk.meshed(range(1, 7))
    desk.peers(range(100, 140), TOPIC)
    proven, dialed = desk.peer(20, TOPIC), desk.peer(21, TOPIC, outbound=True)
    app[proven] = 1.25
    app[peer_id(1)] = app[peer_id(2)] = -1.0
    desk.beat()
    assert desk.router.mesh(TOPIC) == [peer_id(3), peer_id(4), peer_id(5), peer_id(6), proven, dialed]


def test_a_remainder_of_what_was_earned_long_ago_makes_nobody_better_than_a_stranger() -> None:
    """Sybils that had behaved for a while and then stopped took all places, one after the other, with what was left of that."""
    app: dict[object, float] = {peer_id(number): 5.0 for number in range(1, 7)}
    desk = scored(app, newcomer_burst=0)
    desk.meshed(range(1, 7))
    app |= dict.fromkeys(desk.peers(range(100, 140), TOPIC), 1.2)
    dialed = desk.peer(21, TOPIC, outbound=True)
    app[peer_id(1)] = app[peer_id(2)] = -1.0
    desk.beat()
    assert desk.router.mesh(TOPIC) == [peer_id(3), peer_id(4), peer_id(5), peer_id(6), dialed]


@pytest.mark.parametrize(("left", "after"), [(0, 6), (1, 3), (2, 3), (3, 3)])
def test_strangers_fill_a_mesh_that_is_all_but_empty_up_to_one_more_than_those_that_we_dial(left: int, after: int) -> None:
    app: dict[object, float] = {peer_id(number): 5.0 for number in range(1, 7)}
    desk = scored(app, newcomer_burst=0)
    desk.meshed(range(1, 7))
    desk.peers(range(100, 140), TOPIC)
    app |= dict.fromkeys([peer_id(number) for number in range(1, 7 - left)], -1.0)
    desk.beat()
    assert len(desk.router.mesh(TOPIC)) == after


def test_who_comes_anew_is_not_let_in_before_others_where_a_mesh_lacks_peers() -> None:
    app: dict[object, float] = {peer_id(number): 5.0 for number in [*range(1, 5), 8]}
    desk = scored(app, newcomer_burst=0)
    desk.meshed(range(1, 5))
    stranger, good = desk.peer(7, TOPIC), desk.peer(8, TOPIC)
    assert desk.router.mesh(TOPIC) == [*map(peer_id, range(1, 5)), good]
    desk.router.remove_peer(good, desk.now)
    dialed = desk.peer(9, TOPIC, outbound=True)
    assert desk.router.mesh(TOPIC)[4:] == [dialed]
    assert stranger not in desk.router.mesh(TOPIC)


def test_a_place_is_left_empty_rather_than_given_to_a_stranger_but_for_two_at_once_and_one_now_and_then() -> None:
    app: dict[object, float] = {peer_id(number): 5.0 for number in range(1, 7)}
    desk = scored(app)
    desk.meshed(range(1, 7))
    strangers = desk.peers(range(100, 140), TOPIC)
    app |= dict.fromkeys(map(peer_id, (1, 2, 3)), -1.0)
    desk.beat()
    kept, came = desk.router.mesh(TOPIC)[:3], desk.router.mesh(TOPIC)[3:]
    assert kept == [peer_id(4), peer_id(5), peer_id(6)]
    assert len(came) == 2
    assert set(came) < set(strangers)
    app |= dict.fromkeys(came, -1.0)
    desk.beat()
    assert desk.router.mesh(TOPIC) == kept
    desk.wait(136)
    assert len(desk.router.mesh(TOPIC)) in (4, 5)


def test_a_mesh_in_which_nobody_is_worth_anything_yet_takes_strangers() -> None:
    app: dict[object, float] = {}
    desk = scored(app)
    desk.meshed(range(1, 7))
    desk.peers(range(100, 140), TOPIC)
    app[peer_id(1)] = app[peer_id(2)] = -1.0
    desk.beat()
    assert len(desk.router.mesh(TOPIC)) == 6
