"""What attackers do, and what it may cost: the counts that go-libp2p-pubsub's own tests assert, and some more."""

import tracemalloc

import pytest

from cortexnet.gossip.actions import SendRpc, Validate, Verdict
from cortexnet.gossip.config import GOSSIPSUB_11, GOSSIPSUB_13
from cortexnet.gossip.messages import ControlMessages, Extensions, IHave, Prune, Rpc, Subscription, decode, encode
from cortexnet.gossip.score_params import ScoreParams, Thresholds, TopicScoreParams, decay_factor
from cortexnet.gossip.signing import RejectReason
from tests.support.gossip_router import TOPIC, Desk, id_of, message, peer_id


def joined(**settings: object) -> Desk:
    desk = Desk(**settings)  # type: ignore[arg-type]
    desk.router.subscribe(TOPIC, desk.now)
    return desk


def behaviour(weight: float) -> ScoreParams:
    """go's parameters for attacks on the rules of the router."""
    return ScoreParams(
        thresholds=Thresholds(gossip=-100, publish=-500, graylist=-1000),
        behaviour_weight=weight,
        behaviour_threshold=0.0,
        behaviour_decay=decay_factor(60),
    )


def invalid(weight: float = -99.0, graylist: float = -300.0) -> ScoreParams:
    """go's parameters for attacks by bad messages."""
    topic = TopicScoreParams(topic_weight=0.25, invalid_weight=weight, invalid_decay=decay_factor(3600), allow_silence=True)
    return ScoreParams(topics={TOPIC: topic}, thresholds=Thresholds(gossip=-100, publish=-200, graylist=graylist))


# --- IWANT and IHAVE -----------------------------------------------------------------------------------------------------------


def test_a_message_asked_for_again_after_each_copy_is_sent_four_times_in_all() -> None:
    desk = joined()
    (attacker,) = desk.meshed([1])
    own = message(1, author=0)
    desk.router.publish(own, desk.now)
    for _ in range(10):
        desk.control(attacker, iwant=[id_of(own)])
    assert len(desk.messages_to(attacker)) == 4


def test_15000_rpcs_with_ihave_get_ten_answers_a_heartbeat_and_cost_score_once_promises_break() -> None:
    desk = joined(score=behaviour(-1.0), follow_up=10.0)
    (attacker,) = desk.meshed([1])
    for number in range(15_000):
        desk.control(attacker, ihave=[b"someid%d" % number])
    first = len(desk.asked_of(attacker))
    assert first == 9  # the RPC with the GRAFT was the first of ten
    desk.beat()
    assert desk.score(attacker) == 0.0
    for number in range(15_000):
        desk.control(attacker, ihave=[b"someid%d" % (number + 100)])
    assert len(desk.asked_of(attacker)) - first == 10
    desk.beat()
    assert desk.score(attacker) == 0.0
    desk.wait(10)
    assert desk.score(attacker) < 0.0


def test_of_7000_ids_5000_are_asked_for_at_once() -> None:
    desk = joined()
    peer = desk.peer(1, TOPIC)
    desk.control(peer, ihave=[b"%d" % number for number in range(7_000)])
    (asked,) = desk.asked_of(peer)
    assert len(asked) == len(set(asked)) == 5_000


def test_who_is_asked_for_100_messages_and_is_silent_breaks_one_promise() -> None:
    desk = joined(score=behaviour(-1.0))
    peers = desk.peers([1, 2, 3], TOPIC)
    for peer in peers:
        desk.control(peer, ihave=[b"%d" % number for number in range(100)])
    desk.router._state.promises.forgive(peers[2])
    desk.wait(3.5)
    desk.beat()
    assert [desk.router.score.snapshot(peer, desk.now).behaviour_count for peer in peers] == pytest.approx([1, 1, 0], rel=0.1)  # type: ignore[union-attr]


def test_1000_large_messages_all_asked_for_are_all_given() -> None:
    desk = joined()
    source, peer = desk.meshed([1, 2])
    large = [message(number, data=b"x" * 20_000) for number in range(1_000)]
    desk.control(peer, idontwant=[])
    for each in large:
        desk.bring(source, each)
    desk.clear()
    desk.control(peer, iwant=map(id_of, large))
    assert sorted(map(id_of, desk.messages_to(peer))) == sorted(map(id_of, large))
    assert len(desk.rpcs_to(peer)) >= 19


def test_400000_ids_of_spam_hold_8_mib_at_most() -> None:
    desk = joined()
    attackers = desk.meshed(range(1, 6))
    config = desk.config
    rpcs = []
    for number in range(80):
        ids = [b"%032d" % (number * 5_000 + index) for index in range(5_000)]
        kind = number % 3
        control = ControlMessages(
            ihave=[IHave(TOPIC, ids)] if kind == 0 else [], iwant=ids if kind == 1 else [], idontwant=ids if kind == 2 else []
        )
        rpcs.append(encode(Rpc(control=control)))
    desk.clear()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number, data in enumerate(rpcs):
        desk.hear(attackers[number % 5], decode(data, config))
    desk.clear()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held <= 8 * 1024 * 1024


# --- GRAFT and PRUNE -----------------------------------------------------------------------------------------------------------


def test_a_graft_of_an_unknown_topic_gets_no_prune() -> None:
    desk = joined()
    (attacker,) = desk.meshed([1])
    desk.control(attacker, graft=["non-existent"])
    assert desk.prunes_to(attacker) == []


def test_grafts_within_the_backoff_are_answered_until_the_peer_is_graylisted() -> None:
    desk = joined(score=behaviour(-100.0), prune_backoff=0.2, graft_flood=0.1, unsubscribe_backoff=0.1, backoff_slack=0.0)
    (attacker,) = desk.meshed([1])
    assert desk.prunes_to(attacker) == []
    desk.now += 0.02
    desk.control(attacker, prune=[Prune(TOPIC)])
    assert desk.prunes_to(attacker) == []
    desk.now += 0.12
    seen = [(len(desk.prunes_to(attacker)), desk.score(attacker))]
    for _ in range(3):
        desk.control(attacker, graft=[TOPIC])
        seen.append((len(desk.prunes_to(attacker)), desk.score(attacker)))
        desk.now += 0.02
    assert seen == [(0, 0.0), (1, -100.0), (2, -900.0), (3, -2500.0)]
    desk.now += 0.4
    desk.control(attacker, graft=[TOPIC])
    assert len(desk.prunes_to(attacker)) == 3
    assert desk.router.mesh(TOPIC) == []


def test_with_the_usual_times_each_graft_within_the_backoff_counts_twice() -> None:
    desk = joined(score=behaviour(-1.0))
    (attacker,) = desk.meshed([1])
    desk.control(attacker, prune=[Prune(TOPIC)])
    scores = []
    for _ in range(3):
        desk.control(attacker, graft=[TOPIC])
        scores.append(desk.score(attacker))
    assert scores == [-4.0, -16.0, -36.0]


def test_eight_peers_in_a_mesh_that_may_have_eight_are_cut_to_six() -> None:
    desk = joined(degree_high=8)
    desk.meshed(range(1, 9))
    desk.beat(2)
    assert len(desk.router.mesh(TOPIC)) == 6


def test_40_squatters_do_not_keep_honest_peers_out_for_ever() -> None:
    topic = TopicScoreParams(
        time_in_mesh_weight=1 / 3_600,
        first_deliveries_weight=1.0,
        first_deliveries_decay=0.9997,
        first_deliveries_cap=100.0,
        allow_silence=True,
    )
    thresholds = Thresholds(gossip=-10, publish=-100, graylist=-10_000, opportunistic_graft=1)
    desk = joined(score=ScoreParams(topics={TOPIC: topic}, thresholds=thresholds), opportunistic_ticks=2)
    desk.meshed(range(100, 140))
    honest = desk.peers(range(1, 11), TOPIC)
    number = 0
    for _ in range(60):
        for peer in honest:
            number += 1
            desk.bring(peer, message(number, author=1_000))
        desk.beat()
    assert len(set(honest) & set(desk.router.mesh(TOPIC))) >= 3


# --- messages ------------------------------------------------------------------------------------------------------------------


def test_of_100_unsigned_messages_four_are_looked_at() -> None:
    desk = joined(score=invalid())
    (attacker,) = desk.meshed([1])
    desk.clear()
    for number in range(100):
        desk.hear(attacker, Rpc(messages=[message(number, signature=None)]))
    assert desk.score(attacker) == -396.0
    desk.beat()
    assert desk.prunes_to(attacker) == [Prune(TOPIC, [], 60)]
    assert desk.of(Validate) == []


def test_100000_invalid_messages_get_their_sender_graylisted_within_ten_and_go_nowhere() -> None:
    desk = joined(score=invalid())
    attacker, *_ = desk.meshed(range(1, 6))
    desk.clear()
    checked = 0
    forged = [message(number, signature=b"forged") for number in range(1_000)]
    for _ in range(100):
        for each in forged:
            desk.hear(attacker, Rpc(messages=[each]))
            for token in desk.of(Validate):
                checked += 1
                desk.router.rejected(token, RejectReason.INVALID_SIGNATURE, desk.now)
            desk.actions = [action for action in desk.actions if isinstance(action, SendRpc)]
    assert checked <= 10
    assert desk.score(attacker) < -300
    assert desk.of(SendRpc) == []


def test_ignored_costs_nothing_and_rejected_does() -> None:
    desk = joined(score=invalid())
    first, second = desk.meshed([1, 2])
    desk.bring(first, message(1), verdict=Verdict.IGNORE)
    desk.bring(second, message(2), verdict=Verdict.REJECT)
    assert desk.score(first) == 0.0
    assert desk.score(second) < 0.0


def test_n_and_one_messages_while_n_may_be_validated() -> None:
    desk = joined(validation_limit=8)
    (peer,) = desk.meshed([1])
    for number in range(9):
        desk.hear(peer, Rpc(messages=[message(number)]))
    desk.settle()
    assert len(desk.delivered()) == 8


def test_a_peer_of_bad_score_that_is_not_graylisted_is_heard_and_told_nothing() -> None:
    app = {peer_id(1): -1000.0}
    params = ScoreParams(
        thresholds=Thresholds(gossip=-10, publish=-100, graylist=-10_000), app_score=lambda peer: app.get(peer, 0.0)
    )
    desk = joined(score=params)
    bad, good = desk.peer(1, TOPIC), desk.meshed([2])[0]
    theirs, ours, others = message(1), message(2, author=0), message(3)
    desk.bring(bad, theirs)
    desk.router.publish(ours, desk.now)
    desk.bring(good, others)
    desk.beat(3)
    assert desk.messages_to(bad) == []
    assert desk.told(bad) == []
    assert desk.messages_to(good) == [theirs, ours]


# --- IDONTWANT -----------------------------------------------------------------------------------------------------------------


def test_the_1001st_idontwant_of_a_heartbeat_is_not_looked_at() -> None:
    desk = joined()
    attacker, source = desk.meshed([1, 2])
    for number in range(1_001):
        desk.control(attacker, idontwant=[id_of(message(number))])
    desk.bring(source, message(1_000))
    assert len(desk.messages_to(attacker)) == 1
    desk.bring(source, message(999))
    assert len(desk.messages_to(attacker)) == 1
    desk.beat()
    desk.control(attacker, idontwant=[id_of(message(2_000))])
    desk.bring(source, message(2_000))
    assert len(desk.messages_to(attacker)) == 1


def test_of_eleven_ids_ten_are_kept_and_it_counts_as_one() -> None:
    desk = joined()
    peer, source = desk.meshed([1, 2])
    sent = [message(number) for number in range(11)]
    desk.control(peer, idontwant=map(id_of, sent))
    state = desk.router._state.peers[peer]
    assert (state.idontwant_count, state.unwanted_count) == (1, 10)
    desk.bring(source, *sent)
    assert desk.messages_to(peer) == sent[10:]


def test_nothing_is_left_of_it_when_the_stream_is_gone() -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    desk.control(peer, idontwant=[b"a"])
    desk.router.stream_closed(peer, desk.now)
    assert desk.router._state.peers[peer].unwanted == []
    assert not desk.router._state.unwilling


# --- the rest ------------------------------------------------------------------------------------------------------------------


def test_extensions_three_times_are_misbehaviour_and_once_is_not() -> None:
    desk = Desk(score=behaviour(-1.0))
    named = Rpc(control=ControlMessages(extensions=Extensions(test_extension=True)))
    once, often = peer_id(1), peer_id(2)
    for peer in (once, often):
        desk.router.add_peer(peer, GOSSIPSUB_13, outbound=False, now=desk.now)
        desk.hear(peer, named)
    for _ in range(2):
        desk.hear(often, named)
    assert [desk.score(once), desk.score(often)] == [0.0, -400.0]


def test_a_peer_that_resets_our_stream_subscribes_and_leaves_is_forgotten() -> None:
    desk = joined()
    peer = desk.peer(1)
    desk.router.stream_closed(peer, desk.now)
    desk.hear(peer, Rpc([Subscription(TOPIC), Subscription("other")]))
    desk.router.remove_peer(peer, desk.now)
    assert desk.router.peers() == []
    assert list(desk.router._state.topics) == [TOPIC]


def test_pruned_for_its_score_a_peer_is_left_alone_for_a_minute_and_after_leaving_for_ten_seconds() -> None:
    app: dict[object, float] = {}
    params = ScoreParams(thresholds=Thresholds(), app_score=lambda peer: app.get(peer, 0.0))
    desk = joined(score=params)
    bad, other = desk.meshed([1, 2], protocol=GOSSIPSUB_11)
    app[bad] = -1.0
    desk.beat()
    app.clear()
    assert desk.router._state.backoff.until(TOPIC, bad) == desk.now + 60
    desk.router.unsubscribe(TOPIC, desk.now)
    assert desk.router._state.backoff.until(TOPIC, other) == desk.now + 10
