"""Messages: what becomes of those that come, and to whom our own go."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from cortexnet.errors import LocalError
from cortexnet.gossip.actions import FORWARD, OWN, Deliver, SendRpc, Validate, Verdict
from cortexnet.gossip.config import FLOODSUB, GOSSIPSUB_11
from cortexnet.gossip.message import Message
from cortexnet.gossip.messages import ControlMessages, Rpc, Subscription
from cortexnet.gossip.score_params import ScoreParams, Thresholds, TopicScoreParams
from cortexnet.gossip.signing import RejectReason
from tests.support.gossip_router import TOPIC, Desk, id_of, message, peer_id

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId


def joined(**settings: object) -> Desk:
    desk = Desk(**settings)  # type: ignore[arg-type]
    desk.router.subscribe(TOPIC, desk.now)
    desk.clear()
    return desk


def scored(app: Callable[[object], float] = lambda _: 0.0, **settings: object) -> Desk:
    """With P4 of -1 in the topic, and thresholds at -10, -20 and -30."""
    topic = TopicScoreParams(invalid_weight=-1.0, invalid_decay=0.99, allow_silence=True)
    thresholds = Thresholds(gossip=-10, publish=-20, graylist=-30)
    return joined(score=ScoreParams(topics={TOPIC: topic}, thresholds=thresholds, app_score=app), **settings)


# --- what comes in -------------------------------------------------------------------------------------------------------------


def test_an_accepted_message_is_forwarded_and_delivered() -> None:
    desk = joined()
    source, *others = desk.meshed(range(1, 6))
    outside = desk.peer(9)
    desk.clear()
    new = message(1)
    (token,) = desk.bring(source, new)
    assert (token.message, token.id, token.sender) == (new, id_of(new), source)
    (sent,) = desk.of(SendRpc)
    assert (list(sent.peers), sent.rpc.messages, sent.priority) == (others, [new], FORWARD)
    (delivered,) = desk.of(Deliver)
    assert (delivered.message, delivered.id, delivered.sender) == (new, id_of(new), source)
    assert desk.messages_to(outside) == []


def test_never_to_its_author_nor_to_who_has_sent_it_meanwhile() -> None:
    desk = joined()
    source, author, other, rest = desk.meshed([1, 2, 3, 4])
    new = message(1, author=2)
    for peer in (source, other):
        desk.hear(peer, Rpc(messages=[new]))
    desk.settle()
    assert [list(action.peers) for action in desk.of(SendRpc) if action.rpc.messages] == [[rest]]
    assert desk.messages_to(author) == []


def test_who_sends_it_while_its_validators_think_does_not_get_it_either() -> None:
    desk = joined()
    source, other = desk.meshed([1, 2])
    desk.hear(source, Rpc(messages=[message(1)]))
    (token,) = desk.of(Validate)
    assert desk.router.verified(token, desk.now)
    desk.hear(other, Rpc(messages=[message(1)]))
    desk.router.validated(token, Verdict.ACCEPT, desk.now)
    assert desk.messages_to(other) == []
    assert len(desk.of(Validate)) == 1


def test_a_message_of_a_topic_that_is_not_ours_is_neither_noted_nor_blamed() -> None:
    desk = scored()
    peer = desk.peer(1)
    desk.bring(peer, message(1, topic="other"), message(2, topic="other", signature=None))
    assert desk.of(Validate) == []
    assert len(desk.router._state.seen) == 0
    assert desk.score(peer) == 0.0


def test_a_message_is_delivered_once() -> None:
    desk = joined()
    first, second = desk.meshed([1, 2])
    desk.bring(first, message(1))
    assert desk.bring(second, message(1)) == []
    assert desk.bring(first, message(1)) == []
    assert len(desk.delivered()) == 1


def test_after_two_minutes_it_is_a_new_one() -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    desk.bring(peer, message(1))
    desk.wait(119)
    desk.bring(peer, message(1))
    assert len(desk.delivered()) == 1
    desk.wait(1)
    desk.bring(peer, message(2))
    desk.bring(peer, message(1))
    assert len(desk.delivered()) == 3


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.IGNORE])
def test_what_is_not_accepted_goes_nowhere_and_is_not_looked_at_again(verdict: Verdict) -> None:
    desk = scored()
    source, other = desk.meshed([1, 2])
    desk.clear()
    desk.bring(source, message(1), verdict=verdict)
    assert desk.of(SendRpc) == []
    assert desk.of(Deliver) == []
    assert desk.bring(other, message(1)) == []
    charge = -1.0 if verdict is Verdict.REJECT else 0.0
    assert [desk.score(source), desk.score(other)] == [charge, charge]


def test_what_was_ignored_can_still_be_published_here_but_once() -> None:
    desk = joined()
    source, other = desk.meshed([1, 2])
    desk.bring(source, message(1), verdict=Verdict.IGNORE)
    assert desk.router.publish(message(1), desk.now) == [source, other]
    assert desk.router.publish(message(1), desk.now) == []
    assert len(desk.delivered()) == 1


def test_what_was_rejected_can_not() -> None:
    desk = joined()
    (source,) = desk.meshed([1])
    desk.bring(source, message(1), verdict=Verdict.REJECT)
    assert desk.router.publish(message(1), desk.now) == []
    assert desk.delivered() == []


def test_ignored_ids_are_limited_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexnet.gossip.verdicts.WITHHELD_LIMIT", 2)
    desk = joined()
    (source,) = desk.meshed([1])
    for number in range(3):
        desk.bring(source, message(number), verdict=Verdict.IGNORE)
    assert list(desk.router._state.withheld) == [id_of(message(1)), id_of(message(2))]


def test_copies_that_come_before_the_verdict_share_it() -> None:
    desk = scored()
    first, second, third = desk.meshed([1, 2, 3])
    new = message(1)
    desk.hear(first, Rpc(messages=[new]))
    desk.hear(second, Rpc(messages=[message(1)]))
    (token,) = desk.of(Validate)
    assert desk.router.verified(token, desk.now)
    desk.hear(third, Rpc(messages=[message(1)]))
    desk.router.validated(token, Verdict.REJECT, desk.now)
    assert [desk.score(peer) for peer in (first, second, third)] == [-1.0] * 3


def test_a_wrong_signature_is_charged_to_all_who_sent_those_bytes_and_leaves_the_id_free() -> None:
    desk = scored()
    first, second, honest = desk.meshed([1, 2, 3])
    for peer in (first, second):
        desk.hear(peer, Rpc(messages=[message(1, signature=b"forged")]))
    (token,) = desk.of(Validate)
    desk.router.rejected(token, RejectReason.INVALID_SIGNATURE, desk.now)
    assert [desk.score(peer) for peer in (first, second)] == [-1.0] * 2
    assert not desk.router._state.pending
    desk.bring(honest, message(1))
    assert len(desk.delivered()) == 1


def test_who_passes_on_what_no_correct_peer_does_is_named_once_each_time() -> None:
    desk = scored()
    blamed: list[tuple[PeerId, RejectReason]] = []
    desk.router.on_charged(lambda peer, reason: blamed.append((peer, reason)))
    first, second = desk.meshed([1, 2])
    for peer in (first, second):
        desk.hear(peer, Rpc(messages=[message(1, signature=b"forged")]))
    (token,) = desk.of(Validate)
    desk.router.rejected(token, RejectReason.INVALID_SIGNATURE, desk.now)
    assert blamed == [(first, RejectReason.INVALID_SIGNATURE), (second, RejectReason.INVALID_SIGNATURE)]
    blamed.clear()
    desk.hear(first, Rpc(messages=[message(2, signature=None)]))
    assert blamed == [(first, RejectReason.MISSING_SIGNATURE)]
    blamed.clear()
    for number, verdict in ((3, Verdict.REJECT), (4, Verdict.IGNORE), (5, Verdict.ACCEPT)):
        desk.clear()
        desk.hear(second, Rpc(messages=[message(number)]))
        (token,) = desk.of(Validate)
        desk.router.validated(token, verdict, desk.now)
    assert blamed == [(second, RejectReason.VALIDATION_FAILED)]
    blamed.clear()
    desk.hear(first, Rpc(messages=[Message.build(TOPIC, b"x", author=bytes(desk.own), seqno=bytes(8), signature=b"s" * 64)]))
    assert blamed == [], "what is our own may come back late, and by way of others"


def test_a_forgery_in_validation_does_not_shut_out_what_it_looks_like() -> None:
    desk = scored()
    liar, honest, third = desk.meshed([1, 2, 3])
    desk.hear(liar, Rpc(messages=[message(1, signature=b"forged"), message(1, signature=b"forged too")]))
    desk.hear(honest, Rpc(messages=[message(1)]))
    desk.hear(third, Rpc(messages=[message(1)]))
    forged, good = desk.of(Validate)
    assert desk.router.verified(good, desk.now)
    assert desk.router.verified(good, desk.now)
    desk.router.rejected(forged, RejectReason.INVALID_SIGNATURE, desk.now)
    desk.router.validated(good, Verdict.ACCEPT, desk.now)
    assert len(desk.delivered()) == 1
    assert [desk.score(peer) for peer in (liar, honest, third)] == [-1.0, 0.0, 0.0]
    assert desk.router.validating == 0


def test_of_two_good_copies_that_differ_the_first_counts() -> None:
    desk = joined()
    first, second, third = desk.meshed([1, 2, 3])
    desk.hear(first, Rpc(messages=[message(1, signature=b"one")]))
    desk.hear(second, Rpc(messages=[message(1, signature=b"two")]))
    one, two = desk.of(Validate)
    assert desk.router.verified(two, desk.now)
    assert not desk.router.verified(one, desk.now)
    desk.hear(third, Rpc(messages=[message(1)]))
    desk.router.validated(one, Verdict.ACCEPT, desk.now)
    assert desk.delivered() == []
    desk.router.validated(two, Verdict.ACCEPT, desk.now)
    assert desk.messages_to(third) == []
    assert len(desk.delivered()) == 1


def test_only_the_first_outcome_counts() -> None:
    desk = scored()
    (source,) = desk.meshed([1])
    (token,) = desk.bring(source, message(1))
    desk.router.validated(token, Verdict.REJECT, desk.now)
    desk.router.rejected(token, RejectReason.VALIDATION_THROTTLED, desk.now)
    assert not desk.router.verified(token, desk.now)
    assert desk.score(source) == 0.0
    assert len(desk.delivered()) == 1


def test_what_was_throttled_is_held_against_nobody() -> None:
    desk = scored()
    first, second = desk.meshed([1, 2])
    desk.hear(first, Rpc(messages=[message(1)]))
    (token,) = desk.of(Validate)
    desk.router.verified(token, desk.now)
    desk.router.rejected(token, RejectReason.VALIDATION_THROTTLED, desk.now)
    desk.bring(second, message(1))
    assert [desk.score(first), desk.score(second)] == [0.0, 0.0]
    assert desk.delivered() == []


def test_when_validation_is_full_messages_are_dropped_and_may_come_again() -> None:
    desk = scored(validation_limit=2)
    (source,) = desk.meshed([1])
    desk.hear(source, Rpc(messages=[message(1), message(2), message(3)]))
    assert (desk.router.validating, desk.router.overflowed) == (2, 1)
    assert len(desk.settle()) == 2
    assert desk.score(source) == 0.0
    desk.bring(source, message(3))
    assert len(desk.delivered()) == 3


def test_a_topic_that_was_left_meanwhile_gets_nothing_any_more() -> None:
    desk = joined()
    source, other = desk.meshed([1, 2])
    desk.hear(source, Rpc(messages=[message(1)]))
    desk.router.unsubscribe(TOPIC, desk.now)
    desk.settle()
    assert desk.delivered() == []
    assert desk.messages_to(other) == []


# --- what is refused at once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "charge"),
    [
        (message(1, signature=None), -1.0),
        (message(1, author=0), -1.0),
        (Message.build(TOPIC, b"", author=b"me", seqno=b"short", signature=b"s"), 0.0),
    ],
    ids=["unsigned", "said to be ours", "malformed"],
)
def test_what_can_be_seen_to_be_bad_is_not_validated(bad: Message, charge: float) -> None:
    desk = scored()
    peer = desk.peer(1)
    assert desk.bring(peer, bad) == []
    assert desk.score(peer) == charge
    assert len(desk.router._state.seen) == 0


def test_what_we_published_is_no_offence_when_it_comes_back() -> None:
    desk = scored()
    peer = desk.peer(1, TOPIC)
    own = message(1, author=0)
    desk.router.publish(own, desk.now)
    assert desk.bring(peer, own) == []
    assert desk.score(peer) == 0.0


def test_without_signatures_an_author_is_one_too_many() -> None:
    desk = joined(signing="strict_no_sign", message_id=lambda each: each.data)
    (peer,) = desk.meshed([1])
    assert desk.bring(peer, message(1), message(2, signature=None)) == []
    assert len(desk.bring(peer, Message.build(TOPIC, b"anonymous"))) == 1


def test_an_id_function_that_fails_costs_the_message() -> None:
    def failing(each: Message) -> bytes:
        if each.data == b"bad":
            raise ValueError("bad data")
        return each.data

    desk = joined(message_id=failing)
    (peer,) = desk.meshed([1])
    assert len(desk.bring(peer, message(1, data=b"bad"), message(2, data=b""), message(3, data=b"good"))) == 1
    assert desk.router.unidentified == 2
    with pytest.raises(ValueError, match="bad data"):
        desk.router.publish(message(4, data=b"bad"), desk.now)
    with pytest.raises(LocalError):
        desk.router.publish(message(4, data=b""), desk.now)


# --- our own -------------------------------------------------------------------------------------------------------------------


def test_an_own_message_goes_to_the_mesh_and_is_delivered_here() -> None:
    desk = joined()
    mesh = desk.meshed(range(1, 6))
    desk.peers(range(10, 15), TOPIC)
    desk.clear()
    own = message(1, author=0)
    assert desk.router.publish(own, desk.now) == mesh
    (sent,) = desk.of(SendRpc)
    assert (list(sent.peers), sent.rpc, sent.priority) == (mesh, Rpc(messages=[own]), OWN)
    (delivered,) = desk.of(Deliver)
    assert delivered.sender == desk.own


def test_who_does_not_want_it_does_not_get_it() -> None:
    desk = joined()
    mesh = desk.meshed(range(1, 6))
    desk.control(mesh[0], idontwant=[id_of(message(1, author=0))])
    assert desk.router.publish(message(1, author=0), desk.now) == mesh[1:]


def test_where_nobody_subscribed_it_goes_nowhere() -> None:
    desk = Desk()
    desk.peer(1, "other")
    assert desk.router.publish(message(1), desk.now) == []
    assert desk.take() != []
    assert desk.delivered() == []


def test_a_mesh_that_lacks_peers_is_helped_out_by_others_of_the_topic() -> None:
    desk = joined(degree_low=4, degree=5, degree_out=1)
    (inside,) = desk.meshed([1])
    state = desk.router._state
    for peer in desk.peers(range(2, 5), TOPIC):
        state.prune(state.joined[TOPIC], state.peers[peer], 3, desk.now)  # type: ignore[arg-type]
        state.backoff.add(TOPIC, peer, desk.now + 60)
    assert desk.router.mesh(TOPIC) == [inside]
    assert len(desk.router.publish(message(1), desk.now)) == 4


def test_direct_peers_and_those_without_meshes_get_everything() -> None:
    desk = joined()
    desk.router.add_direct(peer_id(7), desk.now)
    mesh = desk.meshed(range(1, 6))
    flood, direct, deaf = desk.peer(6, TOPIC, protocol=FLOODSUB), desk.peer(7, TOPIC), desk.peer(8, "other", protocol=FLOODSUB)
    own, new = message(1, author=0), message(2)
    assert sorted(desk.router.publish(own, desk.now), key=bytes) == sorted([*mesh, flood, direct], key=bytes)
    desk.bring(mesh[0], new)
    for peer in (flood, direct):
        assert desk.messages_to(peer) == [own, new]
        desk.control(peer, idontwant=[id_of(message(3))])
    desk.bring(mesh[0], message(3))
    assert len(desk.messages_to(flood)) == len(desk.messages_to(direct)) == 3  # they know no such thing as not wanting
    assert desk.messages_to(deaf) == []


def test_a_peer_without_meshes_that_has_grafted_us_gets_a_message_once() -> None:
    desk = joined()
    source, other = desk.meshed([1, 2], protocol=FLOODSUB)
    desk.bring(source, message(1))
    assert len(desk.messages_to(other)) == 1
    desk.router.publish(message(2, author=0), desk.now)
    assert len(desk.messages_to(other)) == 2


def test_who_changes_its_kind_is_treated_accordingly() -> None:
    desk = joined()
    source = desk.meshed([1])[0]
    flood = desk.peer(2, TOPIC, protocol=FLOODSUB)
    desk.bring(source, message(1))
    desk.router.stream_closed(flood, desk.now)
    desk.bring(source, message(2))
    assert len(desk.messages_to(flood)) == 1
    desk.hear(flood, Rpc([Subscription(TOPIC, subscribe=False)]))
    desk.router.add_peer(flood, FLOODSUB, outbound=False, now=desk.now)
    desk.bring(source, message(3))
    assert len(desk.messages_to(flood)) == 1


def test_bad_ones_without_meshes_get_nothing() -> None:
    app: dict[object, float] = {}
    desk = scored(lambda peer: app.get(peer, 0.0))
    (source,) = desk.meshed([1])
    flood = desk.peer(2, TOPIC, protocol=FLOODSUB)
    app[flood] = -21.0
    desk.bring(source, message(1))
    desk.router.publish(message(2, author=0), desk.now)
    assert desk.messages_to(flood) == []
    app[flood] = -20.0
    desk.bring(source, message(3))
    desk.router.publish(message(4, author=0), desk.now)
    assert len(desk.messages_to(flood)) == 2


def test_flood_publishing_goes_to_everybody_who_is_not_too_bad() -> None:
    app: dict[object, float] = {peer_id(20): -21.0, peer_id(21): -21.0}
    desk = scored(lambda peer: app.get(peer, 0.0), flood_publish=True)
    mesh = desk.meshed(range(1, 6))
    others = desk.peers(range(10, 15), TOPIC)
    desk.router.add_direct(peer_id(21), desk.now)
    desk.peer(20, TOPIC)
    direct = desk.peer(21, TOPIC)
    desk.control(mesh[0], idontwant=[id_of(message(1, author=0))])
    desk.hear(peer_id(30), Rpc([Subscription(TOPIC)]))  # without a stream of ours
    assert desk.router.publish(message(1, author=0), desk.now) == [*mesh, *others, direct]
    desk.bring(others[0], message(2))
    assert desk.messages_to(others[1]) != [message(2)]


def test_a_topic_that_is_not_joined_is_published_to_a_fanout_that_stays() -> None:
    desk = Desk()
    desk.peers(range(1, 20), TOPIC)
    flood = desk.peer(30, TOPIC, protocol=FLOODSUB)
    first = desk.router.publish(message(1), desk.now)
    assert len(first) == 7
    assert flood in first
    assert desk.router.publish(message(2), desk.now) == first
    assert sorted(desk.router.fanout(TOPIC), key=bytes) == sorted(first[1:], key=bytes)
    assert desk.delivered() == []
    assert desk.router.fanout("unknown") == []


def test_the_fanout_ends_a_minute_after_the_last_message() -> None:
    desk = Desk()
    desk.peers(range(1, 4), TOPIC)
    desk.router.publish(message(1), desk.now)
    desk.wait(60)
    assert len(desk.router.fanout(TOPIC)) == 3
    desk.wait(1.2)
    assert desk.router.fanout(TOPIC) == []
    for number in range(1, 4):
        desk.router.remove_peer(peer_id(number), desk.now)
    assert desk.router._state.topics == {}


def test_a_fanout_whose_peers_have_all_left_ends_too() -> None:
    desk = Desk()
    peer = desk.peer(1, TOPIC)
    desk.router.publish(message(1), desk.now)
    desk.hear(peer, Rpc([Subscription(TOPIC, subscribe=False)]))
    assert desk.router.publish(message(2), desk.now) == []
    desk.wait(62)
    assert desk.router._state.topics == {}


def test_the_heartbeat_mends_the_fanout() -> None:
    app: dict[object, float] = {}
    desk = scored(lambda peer: app.get(peer, 0.0))
    desk.router.unsubscribe(TOPIC, desk.now)
    desk.peers(range(1, 20), TOPIC)
    fanout = desk.router.publish(message(1), desk.now)
    app[fanout[0]] = -21.0
    desk.hear(fanout[1], Rpc([Subscription(TOPIC, subscribe=False)]))
    desk.beat()
    mended = desk.router.fanout(TOPIC)
    assert len(mended) == 6
    assert not {fanout[0], fanout[1]} & set(mended)
    assert set(fanout[2:]) < set(mended)


def test_who_speaks_floodsub_alone_looks_at_no_control_messages() -> None:
    desk = joined(protocols=[FLOODSUB])
    flood = desk.peer(1, TOPIC, protocol=FLOODSUB)
    source = desk.peer(2, TOPIC, protocol=FLOODSUB)
    desk.hear(flood, Rpc(control=ControlMessages(graft=[TOPIC], ihave=[], iwant=[b"a"])))
    assert desk.router.mesh(TOPIC) == []
    desk.bring(source, message(1))
    assert len(desk.messages_to(flood)) == 1
    desk.beat(3)
    assert desk.controls_to(flood) == []


def test_publishing_again_does_nothing() -> None:
    desk = joined()
    (peer,) = desk.meshed([1])
    assert desk.router.publish(message(1, author=0), desk.now) == [peer]
    assert desk.router.publish(message(1, author=0), desk.now) == []
    assert len(desk.messages_to(peer)) == len(desk.delivered()) == 1


def test_old_versions_are_forwarded_to_as_well() -> None:
    desk = joined()
    source = desk.meshed([1])[0]
    (old,) = desk.meshed([2], protocol=GOSSIPSUB_11)
    desk.bring(source, message(1, data=b"x" * 2048))
    assert len(desk.messages_to(old)) == 1
