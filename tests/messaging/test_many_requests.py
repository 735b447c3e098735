"""A thousand requests to one peer at once: one connection, so many under way, and room for what else is to be said."""

import asyncio
from dataclasses import replace

import pytest

from cortexnet import Config, LimitExceeded, Limits, Node, PeerTimeout, Request
from cortexnet.testing.network import SimulatedNetwork

ASK, OTHER = "/test/ask/1.0.0", "/test/other/1.0.0"
PLAIN = Config(kad=None, gossip=None)


def node(network: SimulatedNetwork, name: str, config: Config = PLAIN) -> Node:
    return Node(listen=["/memory/0"], config=replace(config, transports=["memory"], memory_network=network.host(name)))


class Held:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.under_way = self.most = self.cancelled = 0

    async def answer(self, request: Request) -> bytes:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        return request.data


async def say(request: Request) -> bytes:
    return b"here"


async def test_a_thousand_use_one_connection_and_leave_room_for_others() -> None:
    network, held = SimulatedNetwork(), Held()
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        bob.respond(ASK, held.answer)
        bob.respond(OTHER, say)
        await alice.dial(bob.addresses)
        asking = [asyncio.ensure_future(alice.request(bob.peer_id, ASK, b"%d" % number)) for number in range(1_000)]
        await asyncio.sleep(1)
        assert (held.under_way, held.most) == (128, 128)
        async with alice.stream(bob.peer_id, OTHER) as stream:  # as gossip and the DHT open theirs
            await stream.close_write()
        held.may_answer.set()
        assert await asyncio.gather(*asking) == [b"%d" % number for number in range(1_000)]
        assert held.most == 128
        assert (alice.tally.connections_outbound, alice.tally.connections_inbound) == (1, 0)


async def test_a_deadline_holds_for_those_that_wait_too_and_the_other_side_is_told() -> None:
    network, held = SimulatedNetwork(), Held()
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        bob.respond(ASK, held.answer)
        await alice.dial(bob.addresses)
        asking = [alice.request(bob.peer_id, ASK, b"", timeout=2) for _ in range(200)]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {PeerTimeout}
        await asyncio.sleep(1)
        assert held.under_way == 0
        assert held.cancelled == held.most == 128
        held.may_answer.set()
        assert await alice.request(bob.peer_id, ASK, b"again", timeout=2) == b"again"


async def test_what_comes_faster_than_it_goes_is_refused_here() -> None:
    network, held = SimulatedNetwork(), Held()
    config = replace(PLAIN, limits=Limits(requests_per_peer=2, requests_waiting_per_peer=3))
    async with node(network, "alice", config) as alice, node(network, "bob") as bob:
        bob.respond(ASK, held.answer)
        await alice.dial(bob.addresses)
        asking = [asyncio.ensure_future(alice.request(bob.peer_id, ASK, b"")) for _ in range(5)]
        await asyncio.sleep(1)
        with pytest.raises(LimitExceeded, match=r"limits\.requests_waiting_per_peer"):
            await alice.request(bob.peer_id, ASK, b"")
        with pytest.raises(LimitExceeded):
            await alice.send(bob.peer_id, b"")
        outcomes = await alice.broadcast([bob.peer_id], b"")
        assert isinstance(outcomes[bob.peer_id], LimitExceeded)
        held.may_answer.set()
        await asyncio.gather(*asking)
        assert alice.reputation.explain(bob.peer_id).failures == 0, "it was our own limit"
