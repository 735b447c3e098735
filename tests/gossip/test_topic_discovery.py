"""Peers of a topic are found by its name, as long as some are missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from cortexnet import GossipConfig, LocalError
from cortexnet.gossip.service import Gossip
from cortexnet.gossip.topic_discovery import LONGEST, TopicDiscovery
from cortexnet.kad.routing.contact import Contact
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.scope import Scope
from tests.gossip.nodes import IDENTITIES, gossip_node

if TYPE_CHECKING:
    from cortexnet.gossip.actions import Connect

PEERS = [Contact(identity.peer_id) for identity in IDENTITIES[:3]]


class Finder:
    """Knows some peers, at first nobody to tell anything."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = 1

    async def advertise(self, namespace: str) -> int:
        self.calls.append(f"advertise {namespace}")
        if self.fails:
            self.fails -= 1
            raise LocalError("nobody can be told")
        return 3

    def stop_advertising(self, namespace: str) -> None:
        self.calls.append(f"stop {namespace}")
        raise LocalError("it was not advertised")

    @asynccontextmanager
    async def find_peers(self, namespace: str, limit: int | None) -> AsyncIterator[AsyncIterator[Contact]]:
        self.calls.append(f"find {namespace}")

        async def found() -> AsyncIterator[Contact]:
            for contact in PEERS:
                yield contact

        yield found()


async def test_a_topic_is_advertised_and_searched_while_its_mesh_lacks_peers() -> None:
    finder, scope = Finder(), Scope()
    lacks, wishes = 6, list["Connect"]()
    discovery = TopicDiscovery(finder, scope, missing=lambda _: lacks, connect=wishes.append, random=Random(1))
    discovery.join("t")
    await asyncio.sleep(1)
    assert (finder.calls, wishes) == (["advertise floodsub:t"], [])
    await asyncio.sleep(10)
    assert finder.calls[1:] == ["advertise floodsub:t", "find floodsub:t"]
    assert [wish.peer for wish in wishes] == [contact.peer_id for contact in PEERS]
    await asyncio.sleep(2 * LONGEST)
    searches = len(finder.calls)
    assert 5 < searches < 15
    lacks = 0
    await asyncio.sleep(LONGEST)
    assert len(finder.calls) <= searches + 1
    discovery.leave("t")
    await asyncio.sleep(LONGEST)
    assert finder.calls[-1] == "stop floodsub:t"
    await scope.close()


async def test_joining_and_leaving_a_topic_begins_and_ends_it() -> None:
    finder = Finder()
    async with gossip_node(SimulatedNetwork(), 0) as node:
        assert node._running is not None
        context = node._running._context
        assert context is not None
        gossip = Gossip(context, GossipConfig(topic_discovery=True), finder=finder)
        await gossip.start()
        async with gossip.subscribe("t"):
            await asyncio.sleep(15)
        await asyncio.sleep(1)
        assert finder.calls == ["advertise floodsub:t"] * 2 + ["find floodsub:t", "stop floodsub:t"]
        await gossip.close()
