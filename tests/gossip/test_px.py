"""Peers that are named to us when we are pruned: whom we believe, and how much."""

from random import Random

import pytest

from cortexnet.gossip.actions import Connect
from cortexnet.gossip.messages import Prune, PrunePeer
from cortexnet.gossip.score_params import ScoreParams, Thresholds
from cortexnet.identity.envelope import PeerRecord
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.support.gossip_router import TOPIC, Desk, peer_id

ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
KEY = PrivateKey.generate("ed25519")
NAMED = PeerId.from_public_key(KEY.public_key)
RECORD = PeerRecord(NAMED, 1, (ADDRESS,)).seal(KEY)


def pruned(*named: PrunePeer, score: float = 10.0, direct: bool = False, is_scored: bool = True) -> list[Connect]:
    """Whom we want to meet after a peer of this score has pruned us and named others."""
    thresholds = Thresholds(gossip=0, publish=0, graylist=0, accept_px=10)
    params = ScoreParams(thresholds=thresholds, app_score=lambda _: score) if is_scored else None
    desk = Desk(score=params)
    desk.router.subscribe(TOPIC, desk.now)
    if direct:
        desk.router.add_direct(peer_id(1), desk.now)
    desk.peer(2)
    peer = desk.peer(1, TOPIC)
    desk.clear()
    desk.control(peer, prune=[Prune(TOPIC, list(named), 60)])
    return desk.of(Connect)


def test_a_peer_is_met_where_its_own_record_says() -> None:
    (wish,) = pruned(PrunePeer(bytes(NAMED), RECORD))
    assert (wish.peer, wish.record, wish.addresses) == (NAMED, RECORD, (ADDRESS,))


def test_without_a_record_we_may_know_where_it_is() -> None:
    (wish,) = pruned(PrunePeer(bytes(NAMED)))
    assert (wish.peer, wish.record, wish.addresses) == (NAMED, b"", ())


@pytest.mark.parametrize(
    "entry",
    [
        PrunePeer(bytes(peer_id(3)), RECORD),
        PrunePeer(bytes(NAMED), RECORD[:-1] + bytes([RECORD[-1] ^ 1])),
        PrunePeer(bytes(NAMED), b"rubbish"),
        PrunePeer(b"nobody"),
        PrunePeer(b""),
        PrunePeer(bytes(peer_id(0))),
        PrunePeer(bytes(peer_id(2))),
    ],
    ids=["another's", "forged", "rubbish", "no id", "empty", "ourselves", "known"],
)
def test_a_worthless_entry_is_passed_over(entry: PrunePeer) -> None:
    assert [wish.peer for wish in pruned(entry, PrunePeer(bytes(NAMED), RECORD))] == [NAMED]


def test_who_is_not_good_enough_is_not_believed() -> None:
    assert pruned(PrunePeer(bytes(NAMED)), score=9.9) == []


def test_where_nobody_is_scored_only_direct_peers_are_believed() -> None:
    assert pruned(PrunePeer(bytes(NAMED)), is_scored=False) == []
    assert len(pruned(PrunePeer(bytes(NAMED)), is_scored=False, direct=True)) == 1


def test_of_many_16_are_drawn_by_lot() -> None:
    wishes = pruned(*(PrunePeer(bytes(peer_id(number))) for number in range(100, 140)))
    assert len({wish.peer for wish in wishes}) == 16
    assert [wish.peer for wish in wishes] != [peer_id(number) for number in range(100, 116)]


def test_one_peer_names_16_a_heartbeat_however_often_it_prunes() -> None:
    desk = Desk(score=ScoreParams(app_score=lambda _: 10.0), seed=Random(1).randrange(9))
    desk.router.subscribe(TOPIC, desk.now)
    peer = desk.peer(1, TOPIC)
    prunes = [Prune(TOPIC, [PrunePeer(bytes(peer_id(100 + 10 * start + index))) for index in range(10)]) for start in range(5)]
    desk.control(peer, prune=prunes)
    assert len(desk.of(Connect)) == 16
    desk.beat()
    desk.control(peer, prune=prunes[:1])
    assert len(desk.of(Connect)) == 26
