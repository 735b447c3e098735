"""Settings of gossip: what go refuses, and what could not work."""

from typing import Any

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.gossip.config import FLOODSUB, GossipConfig
from cortexnet.gossip.message_id import content_id
from cortexnet.identity.peer_id import PeerId

PEER = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"


def test_the_defaults_are_those_of_go() -> None:
    config = GossipConfig()
    mesh = (config.degree, config.degree_low, config.degree_high, config.degree_score, config.degree_out, config.degree_lazy)
    assert mesh == (6, 5, 12, 4, 2, 6)
    assert (config.history, config.history_gossip, config.retransmissions, config.gossip_factor) == (5, 3, 3, 0.25)
    assert (config.heartbeat, config.fanout_ttl, config.prune_backoff, config.unsubscribe_backoff) == (1.0, 60.0, 60.0, 10.0)
    assert (config.flood_publish, config.peer_exchange, config.score, config.peer_gater) == (False, False, None, None)


def test_a_bootstrap_node_is_in_no_mesh() -> None:
    GossipConfig(degree=0, degree_low=0, degree_high=0, degree_out=0, degree_score=0, peer_exchange=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"degree": 4},
        {"degree": 13},
        {"degree_score": 13},
        {"degree_out": 3},
        {"degree_out": 2, "degree": 5},
        {"degree_out": 5, "degree": 12},
        {"degree_lazy": -1},
        {"degree": 6.0},
        {"degree": True},
        {"history_gossip": 6},
        {"history": 0},
        {"gossip_factor": 1.1},
        {"gossip_factor": float("nan")},
        {"heartbeat": 0},
        {"heartbeat": float("inf")},
        {"seen_limit": "many"},
        {"control_limit": 2 * 1024 * 1024},
        {"control_size": 60 * 1024},
        {"rpc_size": 2 * 1024 * 1024},
        {"control_size": 600},
        {"protocols": ["/meshsub/9"]},
        {"protocols": []},
        {"signing": "lax"},
        {"message_id": None, "signing": "strict_no_sign"},
        {"message_id": 5},
        {"accept_topic": "all"},
        {"topic_message_ids": {"t": 5}},
        {"score": True},
        {"peer_gater": True},
        {"queue_policy": "hope"},
        {"main_topic": "ä" * 129},
        {"direct_peers": ["/ip4/192.0.2.1/tcp/4001"]},
        {"direct_peers": ["nowhere"]},
    ],
)
def test_settings_that_could_not_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match=f"gossip.{next(iter(settings))}"):
        GossipConfig(**settings)


def test_settings_that_work_are_taken() -> None:
    GossipConfig(
        protocols=[FLOODSUB],
        signing="strict_no_sign",
        message_id=content_id,
        queue_policy="drop_oldest",
        main_topic="ä" * 128,
        heartbeat=1,
        gossip_factor=0,
        prune_backoff=0,
    )


def test_direct_peers_are_named_once_each() -> None:
    config = GossipConfig(direct_peers=[f"/ip4/192.0.2.1/tcp/{port}/p2p/{PEER}" for port in (1, 2)])
    assert config.direct_ids() == (PeerId.parse(PEER),)


def test_help_explains_every_setting() -> None:
    for name in GossipConfig.__dataclass_fields__:
        assert f"{name}:" in (GossipConfig.__doc__ or "")
