"""Nodes as they are by default, over real sockets on loopback: they find each other's content, values and peers."""

import pytest

from cortexnet import Cid, Config, Identity, KadConfig, Node

CID = Cid.for_data(b"hello")


@pytest.mark.parametrize("listen", ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1"])
async def test_default_nodes_on_loopback_find_each_others_providers(listen: str) -> None:
    async with (
        Node(listen=[listen]) as meeting,
        Node(listen=[listen], bootstrap=meeting.addresses) as alice,
        Node(listen=[listen], bootstrap=meeting.addresses) as bob,
    ):
        await alice.kad.provide(CID)
        assert [contact.peer_id async for contact in bob.kad.find_providers(CID)] == [alice.peer_id]
        await alice.advertise("my-app")
        async for found in bob.find_peers("my-app"):
            assert await bob.dial(found.peer_id) == alice.peer_id


async def test_public_keys_are_kept_by_default_nodes() -> None:
    listen, owner = "/ip4/127.0.0.1/tcp/0", Identity.generate("rsa")
    async with Node(listen=[listen]) as alice, Node(bootstrap=alice.addresses) as bob:
        assert await bob.kad.put_value(f"/pk/{owner.peer_id}", owner.public_key.marshal()) == 1
        assert await bob.kad.get_value(f"/pk/{owner.peer_id}") == owner.public_key.marshal()


async def test_networks_of_other_prefixes_are_apart() -> None:
    listen = "/ip4/127.0.0.1/tcp/0"
    async with (
        Node(listen=[listen], config=Config(kad=KadConfig(prefix="/one"))) as alice,
        Node(listen=[listen], bootstrap=alice.addresses, config=Config(kad=KadConfig(prefix="/other"))) as bob,
    ):
        await bob.ready()
        assert [half.is_empty for half in bob.kad.halves] == [True, True]
