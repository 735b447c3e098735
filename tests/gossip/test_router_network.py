"""Many routers together, on virtual time."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cortexnet.gossip.score_params import ScoreParams, TopicScoreParams
from tests.support.gossip_network import GossipNetwork
from tests.support.gossip_router import TOPIC, id_of, message

ROOT = Path(__file__).parents[2]


def publish(network: GossipNetwork, first: int, last: int, *, size: int = 200) -> list[bytes]:
    """Messages of all nodes in turn, a tenth of a second apart. Their ids."""
    ids = []
    alive = list(network.routers)
    for number in range(first, last):
        author = alive[number % len(alive)]
        sent = message(number, author=network.ids.index(author), data=b"x" * size)
        network.publish(author, sent)
        ids.append(id_of(sent))
        network.run(0.1)
    return ids


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("size", [200, 2_000])
def test_30_routers_deliver_every_message_once_to_everybody(seed: int, size: int) -> None:
    network = GossipNetwork(30, seed=seed)
    network.run(2)
    ids = publish(network, 0, 40, size=size)
    network.run(3)
    assert {node: sorted(got) for node, got in network.delivered.items()} == dict.fromkeys(network.ids, sorted(ids))
    assert network.mesh_errors == []


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_lost_on_the_way_is_asked_for_again(seed: int) -> None:
    network = GossipNetwork(30, seed=seed, loss=0.4)
    network.run(2)
    ids = publish(network, 0, 40)
    network.run(8)
    assert {node: sorted(got) for node, got in network.delivered.items()} == dict.fromkeys(network.ids, sorted(ids))


def test_when_a_fifth_of_them_dies_at_once_the_others_get_everything() -> None:
    network = GossipNetwork(30, seed=5, degree=14)
    network.run(2)
    publish(network, 0, 10)
    for node in network.ids[::5]:
        network.kill(node)
    ids = publish(network, 10, 40)
    network.run(3)
    for node in network.routers:
        assert sorted(network.delivered[node][-len(ids) :]) == sorted(ids)


def test_the_first_message_does_not_need_a_heartbeat() -> None:
    network = GossipNetwork(30, seed=7)
    network.run(0.09)
    (published,) = publish(network, 0, 1)
    network.run(2)
    assert all(published in got for got in network.delivered.values())


def test_nobody_loses_score_in_honest_play() -> None:
    topic = TopicScoreParams(
        mesh_deliveries_weight=-1.0,
        mesh_deliveries_threshold=2,
        mesh_deliveries_decay=0.9,
        mesh_deliveries_activation=5.0,
        mesh_deliveries_window=1.0,
        invalid_weight=-1.0,
    )
    network = GossipNetwork(30, seed=3, score=ScoreParams(topics={TOPIC: topic}, behaviour_threshold=0.0))
    network.run(2)
    publish(network, 0, 300)
    for router in network.routers.values():
        assert all(router.score_of(peer, network.now) >= 0 for peer in router.peers())
    assert network.mesh_errors == []


def test_without_news_a_mesh_comes_to_rest() -> None:
    network = GossipNetwork(30, seed=9)
    network.run(70)
    network.log.clear()
    network.run(100)
    assert network.log == []


def test_one_seed_is_one_course_whatever_the_hashes() -> None:
    script = (
        "from tests.gossip.test_router_network import course\n"  # a process of its own: hashes differ from process to process
        "print(course())\n"
    )
    seen = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1
    assert seen == {f"{course()}\n"}


def course() -> str:
    """All that happens in a small network, as one hash."""
    network = GossipNetwork(12, seed=4, degree=6, loss=0.2, score=ScoreParams(), flood_publish=False, peer_exchange=True)
    network.run(1.5)
    publish(network, 0, 20, size=1_500)
    network.routers[network.ids[0]].unsubscribe(TOPIC, network.now)
    network.settle(network.ids[0])
    network.run(5)
    return hashlib.sha256("\n".join(network.log).encode()).hexdigest()
