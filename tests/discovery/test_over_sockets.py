"""Discovery over real sockets on the loopback interface, where real time passes."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from cortexnet import BootstrapResult, Config, ConnectionManagerConfig, DiscoveryConfig, Found, Identity, Node, PeerId

LISTEN = "/ip4/127.0.0.1/tcp/0"
SOON = ConnectionManagerConfig(retry_first=0.05, retry_longest=0.2)


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main

    asyncio.run(bounded())


def tcp_node(identity: Identity | None = None, *, listen: str = LISTEN, bootstrap: Any = (), peers: int = 8) -> Node:
    config = Config(kad=None, gossip=None, manager=SOON, discovery=DiscoveryConfig(peers=peers))
    return Node(identity, listen=[listen], bootstrap=bootstrap, config=config)


def test_a_killed_bootstrap_node_and_wrong_ones_are_told_apart_and_the_killed_one_is_found_when_it_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        identity, nobody = Identity.generate(), Identity.generate().peer_id
        async with tcp_node() as gone:
            dead = gone.addresses[0]  # a port where nobody listens any more
        async with tcp_node() as other, AsyncExitStack() as stack:
            first = await stack.enter_async_context(tcp_node(identity))
            place = first.listen_addresses()[0]
            wrong = f"{other.listen_addresses()[0]}/p2p/{nobody}"
            alice = await stack.enter_async_context(tcp_node(bootstrap=[*first.addresses, dead, wrong], peers=0))
            await alice.ready()
            assert [result.outcome for result in alice.bootstrap_results] == ["connected", "unreachable", "wrong peer"]
            async with alice.events(BootstrapResult) as events:
                await first._close()
                ended = [event async for event in first_of(events, identity.peer_id, "unreachable")]
                assert [event.outcome for event in ended] == ["lost", "unreachable"]
                async with tcp_node(identity, listen=str(place)):
                    async for event in first_of(events, identity.peer_id, "connected"):
                        assert event.outcome == "connected"
                    assert alice.peers == [identity.peer_id]
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert any(str(dead) in text and "connection refused" in text and "see whether it runs" in text for text in warnings)
        assert any(wrong in text and f"expected peer {nobody}, but {other.peer_id} answered" in text for text in warnings)

    run(main())


async def first_of(events: Any, peer: PeerId, outcome: str) -> Any:
    """The results of one peer, up to one with this outcome."""
    async for event in events:
        if event.peer_id == peer:
            yield event
            if event.outcome == outcome:
                return


def test_nodes_that_know_one_node_find_the_others_by_exchange() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(tcp_node(peers=0))
            others = [await stack.enter_async_context(tcp_node(bootstrap=first.addresses, peers=0)) for _ in range(3)]
            for other in others:
                await other.ready()
                await first.identify(other.peer_id)
            late = await stack.enter_async_context(tcp_node(bootstrap=first.addresses))
            expected = {first.peer_id: "bootstrap"} | {other.peer_id: "exchange" for other in others}
            found: dict[PeerId, Found] = {}
            async with late.discovered() as stream:
                async for peer in stream:
                    found[peer.peer_id] = peer
                    if len(found) == 4:
                        break
            assert {peer: one.source for peer, one in found.items()} == expected
            for other in others:
                assert set(found[other.peer_id].addresses) == set(other.listen_addresses())
                await late.ping(other.peer_id)

    run(main())
