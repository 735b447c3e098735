"""Peers that gossip names: dialed a few at a time, and told of as found."""

import asyncio

from cortexnet import Found, GossipConfig, Identity, Multiaddr, Node
from cortexnet.gossip.actions import Connect
from cortexnet.gossip.connector import Connector
from cortexnet.identity.envelope import PeerRecord
from tests.discovery.test_finding import PASSIVE, node, simulated


def connector_of(one: Node) -> Connector:
    assert one._running is not None
    assert one._running._context is not None
    context = one._running._context
    return Connector(context, GossipConfig(), context.scope)


async def test_who_is_named_with_a_record_is_met_and_found_where_the_record_says() -> None:
    network, identity = simulated(), Identity.generate()
    place = Multiaddr.parse("/memory/70")
    record = PeerRecord(identity.peer_id, 1, (place,)).seal(identity.private_key)
    async with (
        node(network, "alice", PASSIVE) as alice,
        node(network, "bob", PASSIVE, identity=identity, listen=[str(place)]) as bob,
        alice.discovered() as found,
    ):
        connector_of(alice).connect(Connect(bob.peer_id, record, (place,)))
        assert await anext(found) == Found(bob.peer_id, (place,), "gossip")
        await asyncio.sleep(1)
        assert alice.peers == [bob.peer_id]


async def test_who_is_named_by_a_record_of_somebody_else_is_found_nowhere() -> None:
    honest, forger = Identity.generate(), Identity.generate()
    record = PeerRecord(forger.peer_id, 1, (Multiaddr.parse("/memory/70"),)).seal(forger.private_key)
    async with node(simulated(), "alice", PASSIVE) as alice, alice.discovered() as found:
        connector_of(alice).connect(Connect(honest.peer_id, record, ()))
        assert await anext(found) == Found(honest.peer_id, (), "gossip")
        await asyncio.sleep(1)
        assert alice.peers == []
        assert alice.peerstore.addresses(honest.peer_id, 0.0) == []
