"""What all scenarios of gossip have in common: the network between the nodes, and how an application would set gossip up."""

from typing import Final

from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.score_params import ScoreParams, Thresholds, TopicScoreParams, decay_factor
from simulation.latency import LogNormal
from simulation.network import Conditions

TOPIC: Final = "news"
RATE: Final = 2.0
"""Messages a second in the topic, of all its publishers together."""
PUBLISHERS: Final = 0.1
"""Share of the nodes that ever publish."""
PAYLOAD: Final = 512
"""Bytes of a message."""
INTERNET: Final = Conditions(latency=LogNormal(median=0.040, p99=0.150))
BANDWIDTH: Final = 1_250_000.0
"""Bytes a second that a node can send: 10 Mbit/s."""
DIALS: Final = 8
"""Peers that each node dials; as many dial it, on average."""

EXPECTED: Final = 60.0
"""Seconds over which deliveries are counted."""


def topic_scores(rate: float) -> TopicScoreParams:
    """For a topic of which one knows how many messages a second it brings.

    Of two neighbours in a mesh each gets most messages before the other, or after it: a peer brings half of them, more or less;
    one in many thousand, which is close to us and far from all others, a twentieth. Who brought less than a fiftieth keeps its
    messages to itself, and has to leave the mesh for some minutes. It is not excluded from gossip for that: one that is cut off
    itself brings nothing either.
    """
    decay = decay_factor(EXPECTED)
    steady = rate / (1 - decay)
    threshold = steady / 50
    lost = 20 / threshold**2
    return TopicScoreParams(
        time_in_mesh_weight=0.05,
        time_in_mesh_quantum=1.0,
        time_in_mesh_cap=40.0,
        first_deliveries_weight=1.0,
        first_deliveries_decay=decay_factor(2 * EXPECTED),
        first_deliveries_cap=10.0,
        mesh_deliveries_weight=-lost,
        mesh_deliveries_decay=decay,
        mesh_deliveries_cap=2 * threshold,
        mesh_deliveries_threshold=threshold,
        mesh_deliveries_window=1.0,
        mesh_deliveries_activation=15.0,
        mesh_failure_weight=-lost,
        mesh_failure_decay=decay_factor(10 * EXPECTED),
        invalid_weight=-100.0,
        invalid_decay=decay_factor(60 * EXPECTED),
    )


PLAIN: Final = GossipConfig()
"""As gossip is where nothing is set."""
SCORED: Final = GossipConfig(
    score=ScoreParams(
        topics={TOPIC: topic_scores(RATE)},
        thresholds=Thresholds(gossip=-30.0, publish=-60.0, graylist=-100.0, accept_px=10.0, opportunistic_graft=2.0),
    ),
    flood_publish=True,
    opportunistic_ticks=10,
)
"""As it is set where attacks are to be expected: peers are scored, own messages go to everybody."""
EXCHANGING: Final = GossipConfig(score=SCORED.score, flood_publish=True, opportunistic_ticks=10, peer_exchange=True)
"""The same, and peers of the topic are named to those that are pruned."""
