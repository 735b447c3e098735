"""The stream of found peers, and what the peerstore learns of them."""

import asyncio

import pytest

from cortexnet import Busy, Identity, Limits, LocalError, Multiaddr, Node, NotRunning, PeerId
from cortexnet.admission.tally import Tally
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.discovery.discovered import Discovered
from cortexnet.discovery.found import Found
from cortexnet.swarm.peerstore import Peerstore

OWN, ALICE, BOB, CAROL = [Identity.generate().peer_id for _ in range(4)]
PLACE = Multiaddr.parse("/ip4/192.0.2.7/tcp/4001")
NAME = Multiaddr.parse("/dns4/alice.example.org/tcp/4001")


class Parts:
    def __init__(self, **settings: float) -> None:
        self.peerstore, self.tally, self.published = Peerstore(Limits()), Tally(), list[Found]()
        config = DiscoveryConfig(**settings)  # type: ignore[arg-type]
        self.discovered = Discovered(OWN, self.peerstore, config, tally=self.tally, publish=self.published.append)

    def find(self, *peers: PeerId) -> None:
        for peer in peers:
            self.discovered.found(peer, [PLACE], "mdns")


async def test_the_peerstore_learns_where_a_found_peer_is_and_forgets_it_soon() -> None:
    parts, now = Parts(), asyncio.get_running_loop().time
    parts.discovered.found(ALICE, [PLACE, NAME], "exchange")
    assert parts.peerstore.addresses(ALICE, now()) == [PLACE, NAME]
    assert parts.peerstore.private_names(ALICE) == frozenset()
    await asyncio.sleep(121)
    assert parts.peerstore.addresses(ALICE, now()) == []
    parts.discovered.found(ALICE, [], "mdns", is_near=True)
    assert parts.peerstore.addresses(ALICE, now()) == [PLACE, NAME], "what other sources have said is still known"
    assert parts.peerstore.private_names(ALICE) == {NAME}


async def test_each_news_is_counted_and_published_once() -> None:
    parts = Parts()
    parts.find(ALICE, ALICE, OWN)
    assert parts.published == [Found(ALICE, (PLACE,), "mdns")]
    assert (parts.tally.peers_found, parts.tally.peers_found_refused) == (1, 0)


async def test_what_comes_too_fast_is_counted_and_changes_nothing() -> None:
    parts = Parts(found_burst=1, found_rate=0.5)
    parts.find(ALICE, BOB)
    assert (parts.tally.peers_found, parts.tally.peers_found_refused) == (1, 1)
    assert BOB not in parts.peerstore


async def test_who_dials_hears_of_every_finding() -> None:
    parts, heard = Parts(), list[PeerId]()
    parts.discovered.on_found = lambda known: heard.append(known.peer_id)
    parts.find(ALICE, ALICE, OWN, BOB)
    assert heard == [ALICE, ALICE, BOB]


async def test_a_stream_begins_with_those_found_before() -> None:
    parts = Parts(found_ttl=60.0)
    parts.find(CAROL)
    await asyncio.sleep(61)
    parts.find(BOB)
    await asyncio.sleep(1)
    parts.find(ALICE)
    async with parts.discovered.subscribe(10) as stream:
        assert [(await anext(stream)).peer_id, (await anext(stream)).peer_id] == [BOB, ALICE]
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(1)
        parts.find(ALICE, CAROL)
        assert (await waiting).peer_id == CAROL


async def test_a_stream_that_is_not_read_loses_the_oldest_and_counts_them() -> None:
    parts = Parts()
    async with parts.discovered.subscribe(2) as stream:
        parts.find(ALICE, BOB, CAROL)
        assert stream.dropped == 1
        assert [(await anext(stream)).peer_id, (await anext(stream)).peer_id] == [BOB, CAROL]


async def test_a_stream_ends_with_the_node_after_what_is_queued() -> None:
    parts = Parts()
    async with parts.discovered.subscribe(2) as stream, parts.discovered.subscribe(2) as other:
        waiting = asyncio.create_task(anext(other, None))
        await asyncio.sleep(0)
        parts.find(ALICE)
        parts.discovered.close()
        assert [found.peer_id async for found in stream] == [ALICE]
        assert (await waiting) is not None
    async with parts.discovered.subscribe(2) as late:
        assert [found.peer_id async for found in late] == [ALICE]


async def test_a_stream_that_was_left_hears_no_more() -> None:
    parts = Parts()
    async with parts.discovered.subscribe(2) as stream:
        pass
    parts.find(ALICE)
    assert [found async for found in stream] == []


async def test_one_task_reads_a_stream_and_cancelled_loses_nobody() -> None:
    parts = Parts()
    async with parts.discovered.subscribe(2) as stream:
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await anext(stream)
        parts.find(ALICE)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (await anext(stream)).peer_id == ALICE


async def test_a_queue_that_holds_nothing_is_none() -> None:
    with pytest.raises(LocalError, match="at least 1"):
        Parts().discovered.subscribe(0)


async def test_a_node_that_does_not_run_finds_nobody() -> None:
    with pytest.raises(NotRunning):
        Node().discovered()


async def test_before_the_block_a_stream_is_not_waited_for() -> None:
    with pytest.raises(LocalError, match="read it inside of that block"):
        await anext(Parts().discovered.subscribe(1))
