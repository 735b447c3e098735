"""Many large requests and answers at once on one connection: they wait for room, in both directions, and none is lost."""

import asyncio
from dataclasses import replace

from cortexnet import Config, LimitExceeded, Limits, Node, Request, RequestFailed
from cortexnet.testing.network import SimulatedNetwork

ASK, FETCH = "/test/ask/1.0.0", "/test/fetch/1.0.0"
PLAIN = Config(kad=None, gossip=None)
MIB = 1024 * 1024


def node(network: SimulatedNetwork, name: str, limits: Limits | None = None) -> Node:
    config = replace(PLAIN, transports=["memory"], memory_network=network.host(name), limits=limits or Limits())
    return Node(listen=["/memory/0"], config=config)


class Held:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.waiting = 0

    async def answer(self, request: Request) -> bytes:
        self.waiting += 1
        await self.may_answer.wait()
        return b"%d" % len(request.data)


async def echo(request: Request) -> bytes:
    return request.data


async def give(request: Request) -> bytes:
    return bytes(int(request.data))


async def test_seventy_of_a_mebibyte_go_each_way_at_once() -> None:
    """Of 100 requests 40 used to be reset: each may send 256 KiB unasked, and a connection held 16 MiB."""
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        for each in (alice, bob):
            each.respond(ASK, echo)
        await alice.dial(bob.addresses)
        data = bytes(MIB)
        asking = [alice.request(bob.peer_id, ASK, data) for _ in range(70)]
        asking += [bob.request(alice.peer_id, ASK, data) for _ in range(70)]
        assert set(await asyncio.gather(*asking)) == {data}


async def test_large_answers_wait_for_each_other() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        bob.respond(FETCH, give)
        await alice.dial(bob.addresses)
        answers = await asyncio.gather(*[alice.request(bob.peer_id, FETCH, b"%d" % MIB) for _ in range(150)])
        assert {len(answer) for answer in answers} == {MIB}


async def test_small_requests_pass_by_the_large_ones_that_wait() -> None:
    network, held = SimulatedNetwork(), Held()
    async with node(network, "alice", Limits(large_messages_per_peer=3)) as alice, node(network, "bob") as bob:
        bob.respond(ASK, held.answer)
        bob.respond(FETCH, echo)
        await alice.dial(bob.addresses)
        large = [asyncio.ensure_future(alice.request(bob.peer_id, ASK, bytes(131_073))) for _ in range(5)]
        await asyncio.sleep(1)
        assert held.waiting == 3
        at_the_bound = asyncio.ensure_future(alice.request(bob.peer_id, ASK, bytes(131_072)))
        await asyncio.sleep(1)
        assert held.waiting == 4
        assert await alice.request(bob.peer_id, FETCH, b"small") == b"small"
        held.may_answer.set()
        assert await asyncio.gather(*large, at_the_bound) == [b"131073"] * 5 + [b"131072"]


async def test_an_answer_there_is_no_memory_for_names_the_limit_here_and_there() -> None:
    """Other stacks send as many answers at once as they like; here such a peer is told to."""
    network = SimulatedNetwork()
    async with (
        node(network, "alice", Limits(connection_memory=2 * MIB)) as alice,
        node(network, "bob", Limits(large_messages_per_peer=1_000)) as bob,
    ):
        bob.respond(FETCH, give)
        await alice.dial(bob.addresses)
        asking = [alice.request(bob.peer_id, FETCH, b"%d" % MIB) for _ in range(30)]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert {type(error) for error in refused} == {LimitExceeded}
        assert "raise it with limits.connection_memory and limits.peer_memory" in str(refused[0])
        assert alice.reputation.explain(bob.peer_id).failures == 0, "it was our own limit"


async def test_a_request_the_other_side_has_no_memory_for_says_so() -> None:
    network = SimulatedNetwork()
    async with (
        node(network, "alice", Limits(large_messages_per_peer=1_000)) as alice,
        node(network, "bob", Limits(connection_memory=2 * MIB)) as bob,
    ):
        bob.respond(ASK, echo)
        await alice.dial(bob.addresses)
        asking = [alice.request(bob.peer_id, ASK, bytes(MIB)) for _ in range(30)]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert {type(error) for error in refused} == {RequestFailed}
        assert "passed a limit of its own" in str(refused[0])
