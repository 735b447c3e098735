"""Streams come and go, and peers say which topics they want."""

from ipaddress import ip_address

import pytest

from cortexnet.gossip.actions import CONTROL, HELLO, Change, Connect, MeshChanged, SendRpc, SubscriptionChanged, Verdict
from cortexnet.gossip.config import FLOODSUB, GOSSIPSUB_12, GOSSIPSUB_13
from cortexnet.gossip.messages import ControlMessages, Extensions, Prune, Rpc, Subscription
from cortexnet.gossip.peer_gater import PeerGaterParams
from cortexnet.gossip.score_params import ScoreParams, Thresholds, TopicScoreParams
from cortexnet.gossip.signing import RejectReason
from cortexnet.gossip.topics import LEFT_LIMIT
from tests.support.gossip_router import TOPIC, Desk, id_of, message, peer_id

TEST_EXTENSION = Extensions(test_extension=True)


def scored(app: dict[object, float] | None = None, **settings: object) -> Desk:
    scores = app or {}
    params = ScoreParams(
        thresholds=Thresholds(gossip=-10, publish=-20, graylist=-30),
        app_score=lambda peer: scores.get(peer, 0.0),
        behaviour_weight=-1.0,
        behaviour_threshold=0.0,
    )
    return Desk(score=params, **settings)  # type: ignore[arg-type]


# --- the hello -----------------------------------------------------------------------------------------------------------------


def test_the_first_rpc_names_our_topics() -> None:
    desk = Desk()
    desk.router.subscribe("a", desk.now)
    desk.router.subscribe("b", desk.now)
    peer = desk.peer(1)
    (hello,) = desk.of(SendRpc)
    assert (list(hello.peers), hello.priority) == ([peer], HELLO)
    assert hello.rpc == Rpc([Subscription("a"), Subscription("b")])


def test_who_has_nothing_to_say_sends_no_hello() -> None:
    desk = Desk()
    desk.peer(1)
    assert desk.of(SendRpc) == []


def test_extensions_are_named_to_1_3_peers_if_there_are_any() -> None:
    desk = Desk(test_extension=True)
    old, new = desk.peer(1, protocol=GOSSIPSUB_12), desk.peer(2, protocol=GOSSIPSUB_13)
    assert desk.rpcs_to(old) == []
    assert desk.rpcs_to(new) == [Rpc(control=ControlMessages(extensions=TEST_EXTENSION))]


@pytest.mark.parametrize("is_heard_first", [False, True])
def test_the_test_extension_is_used_once_both_have_named_it(is_heard_first: bool) -> None:
    desk = Desk(test_extension=True)
    peer, theirs = peer_id(1), Rpc(control=ControlMessages(extensions=TEST_EXTENSION))
    if is_heard_first:
        desk.hear(peer, theirs)
    desk.router.add_peer(peer, GOSSIPSUB_13, outbound=False, now=desk.now)
    if not is_heard_first:
        desk.hear(peer, theirs)
    assert [rpc.test_extension for rpc in desk.rpcs_to(peer)] == [False, True]


def test_who_does_not_name_it_gets_none() -> None:
    desk = Desk()
    peer = desk.peer(1, protocol=GOSSIPSUB_13)
    desk.hear(peer, Rpc(control=ControlMessages(extensions=TEST_EXTENSION)))
    assert desk.rpcs_to(peer) == []


def test_extensions_after_the_first_rpc_are_misbehaviour() -> None:
    desk = scored({}, test_extension=True)
    late, twice = peer_id(1), peer_id(2)
    named = Rpc(control=ControlMessages(extensions=TEST_EXTENSION))
    for peer in (late, twice):
        desk.router.add_peer(peer, GOSSIPSUB_13, outbound=False, now=desk.now)
    desk.hear(late, Rpc([Subscription(TOPIC)]))
    desk.hear(late, named)
    assert desk.score(late) == -100.0
    desk.hear(twice, named)
    assert desk.score(twice) == 0.0
    desk.hear(twice, named)
    assert desk.score(twice) == -100.0


def test_a_new_stream_of_the_peer_may_name_them_again() -> None:
    desk = scored({}, test_extension=True)
    peer = desk.peer(1, protocol=GOSSIPSUB_13)
    named = Rpc(control=ControlMessages(extensions=TEST_EXTENSION))
    desk.router.inbound_begun(peer)
    desk.hear(peer, named)
    assert desk.score(peer) == 0.0


# --- subscriptions -------------------------------------------------------------------------------------------------------------


def test_subscriptions_are_noted_and_told() -> None:
    desk = Desk()
    peer = desk.peer(1, "a", "b")
    desk.hear(peer, Rpc([Subscription("a", subscribe=False), Subscription("b"), Subscription("c", subscribe=False)]))
    assert desk.router.peers("a") == []
    assert desk.router.peers("b") == [peer]
    assert [(each.topic, each.is_subscribed) for each in desk.of(SubscriptionChanged)] == [("a", True), ("b", True), ("a", False)]
    assert list(desk.router._state.topics) == ["b"]


def test_the_last_word_on_a_topic_counts() -> None:
    desk = Desk()
    peer = desk.peer(1)
    desk.hear(peer, Rpc([Subscription("a"), Subscription("a", subscribe=False), Subscription("a")]))
    assert desk.router.peers("a") == [peer]
    assert len(desk.of(SubscriptionChanged)) == 1


def test_topics_of_one_peer_are_limited_in_number_and_length() -> None:
    desk = Desk(topics_per_peer=3, topic_size=4)
    peer = desk.peer(1)
    desk.hear(peer, Rpc([Subscription(name) for name in ("a", "b", "long one", "c", "d")]))
    assert list(desk.router._state.topics) == ["a", "b", "c"]
    desk.hear(peer, Rpc([Subscription("a", subscribe=False), Subscription("d")]))
    assert desk.router.peers("d") == [peer]


def test_a_flood_of_subscriptions_leaves_256_topics() -> None:
    desk = Desk()
    peer = desk.peer(1)
    for start in range(0, 50_000, 5_000):
        desk.hear(peer, Rpc([Subscription(f"topic {number}") for number in range(start, start + 5_000)]))
    assert len(desk.router._state.topics) == 256
    desk.router.remove_peer(peer, desk.now)
    assert desk.router._state.topics == {}


def test_a_filter_decides_which_topics_are_noted() -> None:
    desk = Desk(accept_topic=lambda name: name.startswith("ours"))
    peer = desk.peer(1, "ours/a", "theirs/a")
    assert desk.router.peers("ours/a") == [peer]
    assert desk.router.peers("theirs/a") == []


def test_a_graylisted_peer_may_still_subscribe_and_leave_but_nothing_else() -> None:
    app: dict[object, float] = {peer_id(1): -31.0}
    desk = scored(app)
    desk.router.subscribe(TOPIC, desk.now)
    peer = desk.peer(1, "a")
    desk.clear()
    desk.hear(peer, Rpc([Subscription("b")], messages=[message(1)], control=ControlMessages(graft=[TOPIC])))
    assert desk.router.peers("b") == [peer]
    assert desk.of(SendRpc) == []
    assert desk.settle() == []
    desk.router.add_direct(peer, desk.now)
    assert len(desk.bring(peer, message(1))) == 1


def test_a_mesh_that_lacks_peers_takes_a_subscriber_at_once() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    peers = desk.peers(range(1, 8), TOPIC)
    assert desk.router.mesh(TOPIC) == peers[:5]
    assert [desk.grafts_to(peer) for peer in peers] == [[TOPIC]] * 5 + [[]] * 2


def test_but_neither_direct_nor_bad_ones_nor_those_that_know_no_mesh() -> None:
    app: dict[object, float] = {peer_id(1): -1.0}
    desk = scored(app)
    desk.router.subscribe(TOPIC, desk.now)
    desk.router.add_direct(peer_id(2), desk.now)
    desk.peers([1, 2], TOPIC)
    desk.peer(3, TOPIC, protocol=FLOODSUB)
    assert desk.router.mesh(TOPIC) == []


def test_nor_those_that_have_pruned_us() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    peer = desk.peer(1, TOPIC)
    desk.control(peer, prune=[Prune(TOPIC)])
    desk.hear(peer, Rpc([Subscription(TOPIC, subscribe=False)]))
    desk.hear(peer, Rpc([Subscription(TOPIC)]))
    assert desk.router.mesh(TOPIC) == []


def test_a_peer_that_unsubscribes_stays_in_the_mesh_until_it_prunes() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    (peer,) = desk.meshed([1])
    desk.hear(peer, Rpc([Subscription(TOPIC, subscribe=False)]))
    assert desk.router.mesh(TOPIC) == [peer]


# --- streams -------------------------------------------------------------------------------------------------------------------


def test_what_is_heard_before_our_stream_is_open_counts_and_is_answered_when_it_is() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    peer = peer_id(1)
    desk.hear(peer, Rpc([Subscription(TOPIC)]))
    assert desk.of(SendRpc) == []
    desk.router.add_peer(peer, GOSSIPSUB_12, outbound=False, now=desk.now)
    assert [action.priority for action in desk.of(SendRpc)] == [HELLO, CONTROL]
    assert desk.grafts_to(peer) == [TOPIC]


def test_who_may_have_forgotten_our_topics_is_told_them_at_the_next_heartbeat() -> None:
    desk = Desk()
    desk.router.subscribe("a", desk.now)
    peer = desk.peer(1)
    desk.clear()
    for _ in range(3):
        desk.router.remind(peer)
    assert desk.rpcs_to(peer) == []
    desk.router.subscribe("b", desk.now)
    desk.router.unsubscribe("a", desk.now)
    desk.clear()
    desk.beat()
    assert [rpc.subscriptions for rpc in desk.rpcs_to(peer)] == [[Subscription("a", subscribe=False)]]
    desk.router.stream_closed(peer, desk.now)
    desk.router.remind(peer)
    assert desk.router._state.kept == {}


def test_a_peer_that_we_had_lost_is_told_what_we_left_meanwhile() -> None:
    """It may still believe us there: rust and we forget no topic as long as the connection lives."""
    desk = Desk()
    for name in ("a", "b", "c"):
        desk.router.subscribe(name, desk.now)
    peer = desk.peer(1)
    desk.router.stream_closed(peer, desk.now)
    for name in ("a", "b"):
        desk.router.unsubscribe(name, desk.now)
    desk.router.subscribe("b", desk.now)
    desk.clear()
    desk.peer(1)
    desk.peer(2)
    assert desk.rpcs_to(peer) == [Rpc([Subscription("c"), Subscription("b"), Subscription("a", subscribe=False)])]
    assert desk.rpcs_to(peer_id(2)) == [Rpc([Subscription("c"), Subscription("b")])]


def test_not_all_that_was_ever_left_is_told() -> None:
    desk = Desk()
    peer = desk.peer(1)
    desk.router.stream_closed(peer, desk.now)
    for number in range(LEFT_LIMIT + 10):
        desk.router.subscribe(f"topic {number}", desk.now)
        desk.router.unsubscribe(f"topic {number}", desk.now)
    desk.clear()
    desk.peer(1)
    (hello,) = desk.rpcs_to(peer)
    assert hello.subscriptions == [Subscription(f"topic {number}", subscribe=False) for number in range(10, LEFT_LIMIT + 10)]


def test_when_our_stream_is_lost_the_peer_leaves_the_mesh_and_stays_subscribed() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    peer, other = desk.meshed([1, 2])
    desk.control(peer, idontwant=[b"a"])
    desk.clear()
    desk.router.stream_closed(peer, desk.now)
    desk.router.stream_closed(peer, desk.now)
    assert [(each.peer, each.change) for each in desk.of(MeshChanged)] == [(peer, Change.GONE)]
    assert desk.router.mesh(TOPIC) == [other]
    assert desk.router.peers(TOPIC) == [peer, other]
    desk.bring(other, message(1))
    assert desk.messages_to(peer) == []
    desk.router.add_peer(peer, GOSSIPSUB_12, outbound=False, now=desk.now)
    assert desk.router.mesh(TOPIC) == [other, peer]


def test_when_the_peers_stream_is_lost_it_stays_subscribed() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    (peer,) = desk.meshed([1])
    desk.router.inbound_begun(peer)
    assert desk.router.peers(TOPIC) == [peer]
    assert desk.router.mesh(TOPIC) == [peer]
    assert desk.router.peers() == [peer]


def test_of_a_peer_that_is_gone_nothing_stays() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    (peer,) = desk.meshed([1])
    desk.hear(peer, Rpc([Subscription("other")]))
    desk.router.publish(message(1, topic="other"), desk.now)
    desk.control(peer, idontwant=[b"a"])
    desk.router.dropped(peer, Rpc([Subscription("other")]))
    desk.router.remove_peer(peer, desk.now)
    state = desk.router._state
    assert not any((state.peers, state.kept, state.counted, state.unwilling, state.topics[TOPIC].mesh))
    assert desk.router.fanout("other") == []
    assert desk.of(MeshChanged)[-1].change is Change.GONE


def test_peers_that_are_not_known_are_passed_over() -> None:
    desk = Desk()
    stranger = peer_id(1)
    desk.router.stream_closed(stranger, desk.now)
    desk.router.inbound_begun(stranger)
    desk.router.remind(stranger)
    desk.router.remove_peer(stranger, desk.now)
    desk.router.remove_direct(stranger, desk.now)
    desk.router.set_ips(stranger, [])
    desk.router.dropped(stranger, Rpc([Subscription(TOPIC)]))
    assert desk.take() == []


def test_the_score_of_a_peer_that_is_gone_is_kept() -> None:
    desk = scored({})
    desk.router.subscribe(TOPIC, desk.now)
    (peer,) = desk.meshed([1])
    desk.control(peer, prune=[Prune(TOPIC)])
    desk.control(peer, graft=[TOPIC])
    assert desk.score(peer) == -4.0
    desk.router.remove_peer(peer, desk.now)
    desk.now += 60
    desk.peer(1)
    assert desk.score(peer) == -4.0


def test_a_lack_of_deliveries_is_charged_however_the_peer_goes() -> None:
    topic = TopicScoreParams(mesh_deliveries_weight=-1.0, mesh_failure_weight=-1.0, mesh_deliveries_threshold=2)
    desk = Desk(score=ScoreParams(topics={TOPIC: topic}))
    desk.router.subscribe(TOPIC, desk.now)
    first, second = desk.meshed([1, 2])
    desk.wait(6.05)  # so long that it counts, and no heartbeat has noticed yet
    desk.router.stream_closed(first, desk.now)
    desk.router.remove_peer(second, desk.now)
    assert desk.score(first) == desk.score(second) == -8.0  # the lack itself, and that it was there at the end


def test_many_peers_on_one_address_lose_score() -> None:
    desk = Desk(score=ScoreParams(colocation_threshold=1, colocation_weight=-1.0))
    assert desk.router.score is not None
    address = ip_address("192.0.2.1")
    first = desk.peer(1, ips=[address])
    assert desk.score(first) == 0.0
    second = desk.peer(2, ips=[ip_address("192.0.2.2")])
    desk.router.set_ips(second, [address])
    assert desk.score(first) == desk.score(second) == -1.0


# --- direct peers --------------------------------------------------------------------------------------------------------------


def test_direct_peers_are_connected_to_soon_and_now_and_then() -> None:
    named = "/ip4/192.0.2.1/tcp/1/p2p/" + str(peer_id(1))
    desk = Desk(direct_peers=[named], direct_ticks=4)
    assert desk.router.is_direct(peer_id(1))
    desk.beat()
    assert desk.of(Connect) == []
    desk.beat()
    assert [each.peer for each in desk.of(Connect)] == [peer_id(1)]
    desk.beat(2)
    assert len(desk.of(Connect)) == 2
    desk.peer(1)
    desk.beat(4)
    assert len(desk.of(Connect)) == 2


def test_a_peer_that_becomes_direct_leaves_the_mesh_and_gets_everything() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    desk.router.subscribe("other", desk.now)
    peer, source = desk.meshed([1, 2])
    desk.clear()
    desk.router.add_direct(peer, desk.now)
    assert desk.prunes_to(peer) == [Prune(TOPIC, [], 60)]
    assert desk.of(Connect) == []
    assert desk.router.mesh(TOPIC) == [source]
    desk.bring(source, message(1))
    assert len(desk.messages_to(peer)) == 1
    desk.router.remove_direct(peer, desk.now)
    desk.bring(source, message(2))
    assert len(desk.messages_to(peer)) == 1


def test_a_direct_peer_that_is_not_there_is_asked_for_at_once() -> None:
    desk = Desk()
    desk.router.add_direct(peer_id(1), desk.now)
    assert [each.peer for each in desk.of(Connect)] == [peer_id(1)]


# --- what had no room ----------------------------------------------------------------------------------------------------------


def test_what_had_no_room_is_said_again_as_far_as_it_is_true() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    desk.router.subscribe("left", desk.now)
    inside, outside = desk.meshed([1]) + desk.peers([2])
    desk.clear()
    control = ControlMessages(graft=[TOPIC, "left", "unknown"], prune=[Prune(TOPIC, [], 60), Prune("unknown", [], 60)])
    lost = Rpc([Subscription(TOPIC), Subscription("left", subscribe=True)], control=control)
    for peer in (inside, outside):
        desk.router.dropped(peer, lost)
        desk.router.dropped(peer, Rpc([Subscription("left")]))
    desk.router.unsubscribe("left", desk.now)
    desk.clear()
    desk.beat()
    for peer in (inside, outside):
        assert desk.rpcs_to(peer)[0].subscriptions == [Subscription(TOPIC), Subscription("left", subscribe=False)]
    assert desk.grafts_to(inside) == [TOPIC]
    assert [prune.topic for prune in desk.prunes_to(inside)] == ["unknown"]
    assert desk.grafts_to(outside) == []
    assert [prune.topic for prune in desk.prunes_to(outside)] == [TOPIC, "unknown"]
    desk.clear()
    desk.beat()
    assert desk.of(SendRpc) == []


def test_also_a_graft_alone() -> None:
    desk = Desk()
    desk.router.subscribe(TOPIC, desk.now)
    (peer,) = desk.meshed([1])
    desk.router.dropped(peer, Rpc(control=ControlMessages(graft=[TOPIC])))
    desk.clear()
    desk.beat()
    assert desk.rpcs_to(peer) == [Rpc(control=ControlMessages(graft=[TOPIC]))]


def test_gossip_and_messages_that_had_no_room_are_not() -> None:
    desk = Desk()
    peer = desk.peer(1)
    desk.router.dropped(peer, Rpc(messages=[message(1)], control=ControlMessages(iwant=[b"a"])))
    desk.router.dropped(peer, Rpc(messages=[message(1)]))
    assert not desk.router._state.kept


# --- the gater -----------------------------------------------------------------------------------------------------------------


def test_the_gater_is_told_what_sources_bring_and_shuts_them_out() -> None:
    desk = Desk(peer_gater=PeerGaterParams(threshold=0.1))
    desk.router.subscribe(TOPIC, desk.now)
    good, bad = desk.peer(1, ips=[ip_address("192.0.2.1")]), desk.peer(2, ips=[ip_address("192.0.2.2")])
    desk.bring(good, message(1))
    desk.bring(bad, message(1))
    for number in range(2, 102):
        desk.bring(bad, message(number), verdict=Verdict.REJECT)
    desk.hear(good, Rpc(messages=[message(1_000 + number) for number in range(50)]))
    for token in [action for action in desk.take() if hasattr(action, "holders")]:
        desk.router.rejected(token, RejectReason.VALIDATION_THROTTLED, desk.now)  # type: ignore[arg-type]
    taken = [len(desk.bring(bad, message(number))) for number in range(2_000, 2_100)]
    assert sum(taken) < 10
    assert len(desk.bring(good, message(3_000))) == 1
    control = desk.controls_to(bad)
    desk.control(bad, ihave=[b"a"])
    assert len(desk.controls_to(bad)) == len(control) + 1
    desk.wait(300)
    assert len(desk.bring(bad, message(4_000))) == 1
    desk.router.remove_peer(bad, desk.now)


def test_ids_are_looked_up_by_their_bytes() -> None:
    assert id_of(message(1)) == bytes(peer_id(999)) + (1).to_bytes(8, "big")
