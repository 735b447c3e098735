"""Strangers from where misbehaviour came, over real sockets; `limit_loopback` makes loopback a network that counts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from cortexnet import Config, DialFailed, Ended, GossipConfig, Limits, Node, StreamReset
from cortexnet.gossip.config import GOSSIPSUB_12
from cortexnet.observe.events import Refused
from cortexnet.reputation.config import ReputationConfig

NETWORK = "127.0.0.0/24"
TOPIC = "test/topic"


@asynccontextmanager
async def a_node(*, reputation: ReputationConfig | None = None, limit_loopback: bool = True) -> AsyncIterator[Node]:
    """A node that others can connect to, and that takes part in gossip."""
    config = Config(
        transports=["tcp"],
        kad=None,
        gossip=GossipConfig(main_topic=TOPIC),
        reputation=reputation or ReputationConfig(),
        limits=Limits(limit_loopback=limit_loopback),
    )
    async with Node(listen=["/ip4/127.0.0.1/tcp/0"], config=config) as node:
        yield node


async def misbehave(node: Node, alice: Node, times: int) -> None:
    """Say what is no RPC of gossip."""
    for _ in range(times):
        async with node.stream(alice.peer_id, GOSSIPSUB_12) as stream:
            await stream.write(b"\x03\xff\xff\xff")
            with pytest.raises(StreamReset):
                await stream.read(1)


async def comes_in(node: Node, alice: Node) -> bool:
    """Whether a dial leads to a connection that lasts: an answer to a ping came over it."""
    try:
        await node.dial(alice.addresses)
        await node.ping(alice.peer_id)
    except (DialFailed, Ended):
        return False
    return True


@asynccontextmanager
async def strangers(count: int) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        config = Config(transports=["tcp"], kad=None, gossip=None, reputation=None)
        yield [await stack.enter_async_context(Node(config=config)) for _ in range(count)]


async def test_strangers_from_where_misbehaviour_came_are_slowed_and_a_good_peer_from_there_is_not() -> None:
    async with a_node() as alice, strangers(12) as (carol, mallory, *newcomers), alice.events(Refused) as refusals:
        assert await comes_in(carol, alice)
        await alice.identify(carol.peer_id)
        assert alice.reputation.score(carol.peer_id) > 0
        await carol.disconnect(alice.peer_id)
        await mallory.dial(alice.addresses)
        await misbehave(mallory, alice, 3)
        assert alice.reputation.explain(mallory.peer_id).violations == pytest.approx(3, abs=0.01)
        assert alice.reputation.strangers_slowed(NETWORK) == pytest.approx(3, abs=0.01)
        admitted = [await comes_in(newcomer, alice) for newcomer in newcomers]
        assert admitted == [True] * 4 + [False] * 6, "16 at once, divided by one more than the offences"
        assert await comes_in(carol, alice)
        refused = await anext(aiter(refusals))
        assert isinstance(refused, Refused)
        assert refused.remedy == "reputation.newcomer_burst"
        assert refused.reason.startswith(f"strangers from {NETWORK}, where misbehaviour came from, at once, then one each 20 s")
        assert alice.tally.refusals == {"reputation.newcomer_burst": 6}
        assert await comes_in(newcomers[0], alice), "who has come in is none any more"


@pytest.mark.parametrize("case", ["nobody misbehaved", "loopback is left alone"])
async def test_else_strangers_come_as_they_like(case: str) -> None:
    async with a_node(limit_loopback=case == "nobody misbehaved") as alice, strangers(11) as (mallory, *newcomers):
        await mallory.dial(alice.addresses)
        if case == "loopback is left alone":
            await misbehave(mallory, alice, 3)
            assert alice.reputation.explain(mallory.peer_id).violations == pytest.approx(3, abs=0.01)
        assert alice.reputation.strangers_slowed(NETWORK) == 0
        assert all([await comes_in(newcomer, alice) for newcomer in newcomers])
