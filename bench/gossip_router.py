"""`python -m bench.gossip_router`: what the gossip router costs, without streams and signatures around it.

Fifty neighbours, eight of them in the mesh, with and without scores. The figures are CPU time of this process: of a heartbeat
without news, of a message on its way to seven others, of a copy of it, and of 400,000 ids of spam in control messages, from the
bytes of their RPCs on. Then what a router takes, and what the spam leaves behind. The least of some rounds counts.
"""

import argparse
import gc
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from random import Random
from time import process_time
from typing import Final

from cortexnet import PeerId
from cortexnet.gossip.actions import Validate, Verdict
from cortexnet.gossip.config import GOSSIPSUB_12, GossipConfig
from cortexnet.gossip.message import Message
from cortexnet.gossip.messages import ControlMessages, IHave, Rpc, Subscription, decode, encode
from cortexnet.gossip.router import Router
from cortexnet.gossip.score_params import ScoreParams, TopicScoreParams

TOPIC: Final = "blocks"
NEIGHBOURS: Final = 50
MESH: Final = 8
MESSAGES: Final = 5_000
BEATS: Final = 500
SPAM_RPCS: Final = 80
IDS: Final = 5_000  # of one of them
MIB: Final = 1024 * 1024

PEERS: Final = [PeerId(b"\x12\x20" + sha256(b"%d" % number).digest()) for number in range(NEIGHBOURS + 2)]
AUTHOR: Final = PEERS[-1]


def main(rounds: int) -> None:
    """Print a table."""
    topic = TopicScoreParams(first_deliveries_weight=1.0, allow_silence=True)
    configs = {"no scores": GossipConfig(), "scores": GossipConfig(score=ScoreParams(topics={TOPIC: topic}))}
    print(f"{'':28}" + "".join(f"{name:>12}" for name in configs))
    for what, unit, measure in MEASURES:
        best = [min(measure(config) for _ in range(rounds)) for config in configs.values()]
        print(f"{what:28}" + "".join(f"{figure:12.3g}" for figure in best) + f"  {unit}")


def a_router(config: GossipConfig) -> Router:
    """A router with its neighbours, some of them in the mesh."""
    router = Router(PEERS[0], config, Random(1), 0.0)
    router.subscribe(TOPIC, 0.0)
    for number, peer in enumerate(PEERS[1:-1]):
        router.add_peer(peer, GOSSIPSUB_12, outbound=number % 2 == 0, now=0.0)
        control = ControlMessages(graft=[TOPIC]) if number < MESH else None
        router.receive(peer, Rpc([Subscription(TOPIC)], control=control), 0.0)
    router.handle_timeout(router.next_timeout())
    router.take_actions()
    return router


def heartbeat(config: GossipConfig) -> float:
    router = a_router(config)
    began = process_time()
    for _ in range(BEATS):
        router.handle_timeout(router.next_timeout())
    return (process_time() - began) / BEATS * 1e6


def forwarding(config: GossipConfig) -> float:
    router, messages = a_router(config), some_messages()
    began = process_time()
    bring(router, messages)
    return (process_time() - began) / MESSAGES * 1e6


def copy(config: GossipConfig) -> float:
    router, messages = a_router(config), some_messages()
    bring(router, messages)
    began = process_time()
    for message in messages:
        router.receive(PEERS[2], Rpc(messages=[message]), 1.0)
    return (process_time() - began) / MESSAGES * 1e6


def some_messages() -> list[Message]:
    numbers = [number.to_bytes(8, "big") for number in range(MESSAGES)]
    return [Message.build(TOPIC, bytes(1_000), author=bytes(AUTHOR), seqno=seqno, signature=bytes(64)) for seqno in numbers]


def bring(router: Router, messages: list[Message]) -> None:
    """One after the other, and all are good."""
    for message in messages:
        router.receive(PEERS[1], Rpc(messages=[message]), 1.0)
        for action in router.take_actions():
            if isinstance(action, Validate):
                router.validated(action, Verdict.ACCEPT, 1.0)
        router.take_actions()


def spam_time(config: GossipConfig) -> float:
    router, spam = a_router(config), some_spam()
    began = process_time()
    take_spam(router, spam, config)
    return process_time() - began


def spam_memory(config: GossipConfig) -> float:
    router, spam = a_router(config), some_spam()
    return held(lambda: take_spam(router, spam, config)) / MIB


def some_spam() -> list[bytes]:
    """RPCs with as many ids as one may have: IHAVE, IWANT and IDONTWANT in turn."""
    rpcs = []
    for number in range(SPAM_RPCS):
        ids = [b"%032d" % (number * IDS + index) for index in range(IDS)]
        kinds = (ControlMessages(ihave=[IHave(TOPIC, ids)]), ControlMessages(iwant=ids), ControlMessages(idontwant=ids))
        rpcs.append(encode(Rpc(control=kinds[number % 3])))
    return rpcs


def take_spam(router: Router, spam: list[bytes], config: GossipConfig) -> None:
    for number, data in enumerate(spam):
        router.receive(PEERS[1 + number % 5], decode(data, config), 1.0)
    router.take_actions()


def memory(config: GossipConfig) -> float:
    routers: list[Router] = []
    return held(lambda: routers.extend(a_router(config) for _ in range(10))) / 10 / 1024


def held(action: Callable[[], object]) -> int:
    """Bytes that are there after it, and were not before."""
    gc.collect()
    tracemalloc.start()
    action()
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken


MEASURES: Final = (
    ("heartbeat without news", "µs", heartbeat),
    ("message to 7 others", "µs", forwarding),
    ("copy of a message", "µs", copy),
    ("400,000 ids of spam", "s", spam_time),
    ("left of them", "MiB", spam_memory),
    ("a router", "KiB", memory),
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
