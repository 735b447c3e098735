"""What a DHT at work believes of an answer, and how much of the loop it takes to read one."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from cortexnet import Contact, KadConfig, Multiaddr
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.service.half import ANNOUNCED_AT_ONCE, READ_AT_ONCE, Half
from tests.kad.kad_nodes import PRIVATE, node, simulated
from tests.support.dht_network import random_peer_id

RANDOM = Random(0)
TELLER = random_peer_id(RANDOM)
KEY = b"\x12\x20" + bytes(32)
PUBLIC, HOME, LOOPBACK = (Multiaddr.parse(f"/ip4/{ip}/tcp/4001") for ip in ("1.2.3.4", "192.168.1.7", "127.0.0.1"))
ALL = [PUBLIC, HOME, LOOPBACK]
DUAL = KadConfig(loopback=True)


def seen_at(half: Half, *remotes: Multiaddr) -> None:
    """Every peer is connected from there, as far as this DHT knows."""
    half._remotes = lambda peer: list(remotes)  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("remotes", "believed"),
    [([PUBLIC], [PUBLIC]), ([HOME], [PUBLIC, HOME]), ([LOOPBACK], ALL), ([PUBLIC, LOOPBACK], ALL), ([], [])],
)
@pytest.mark.parametrize("kad", [PRIVATE, DUAL], ids=["one", "lan"])
async def test_nobody_sends_us_where_he_can_not_have_been(
    kad: KadConfig, remotes: list[Multiaddr], believed: list[Multiaddr]
) -> None:
    """A peer of the internet that names 127.0.0.1 or 192.168.1.7 would have us knock at doors of our own network."""
    contact = Contact(random_peer_id(RANDOM), ALL)
    answer = Message(Type.GET_PROVIDERS, KEY, closer=(contact,), providers=(contact,))
    async with node(simulated(), "alice", kad) as alice:
        half = alice.kad.lan or alice.kad.wan
        seen_at(half, *remotes)
        read = await half._read(TELLER, answer.encode())
        assert list(read.closer[0].addresses) == list(read.providers[0].addresses) == believed
        half._answer(TELLER, Message(Type.ADD_PROVIDER, KEY, providers=(Contact(TELLER, ALL),)).encode())
        (provider,) = half.dht.providers.get(KEY, half._unix())
        assert list(provider.addresses) == believed


async def test_the_public_dht_believes_public_addresses_of_anybody() -> None:
    contact = Contact(random_peer_id(RANDOM), ALL)
    async with node(simulated(), "alice", DUAL) as alice:
        for remotes in ([PUBLIC], [LOOPBACK], []):
            seen_at(alice.kad.wan, *remotes)
            read = await alice.kad.wan._read(TELLER, Message(Type.FIND_NODE, closer=(contact,)).encode())
            assert list(read.closer[0].addresses) == [PUBLIC]


async def test_names_may_lead_into_private_networks_only_where_all_are_in_one() -> None:
    network = simulated()
    async with node(network, "bob", PRIVATE) as bob, node(network, "alice", PRIVATE) as alice:
        await alice.dial(bob.addresses)
        assert alice.kad.wan._is_near()
        (connection,) = alice.kad.wan._context.swarm.connections
        connection.endpoints = replace(connection.endpoints, remote=PUBLIC)
        assert not alice.kad.wan._is_near()
    async with node(network, "carol", DUAL) as carol:
        assert carol.kad.lan is not None
        assert carol.kad.lan._is_near()
        assert not carol.kad.wan._is_near()


async def test_an_answer_with_sixteen_thousand_addresses_leaves_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Turns:
        steps = 0

        async def run(self, step: Callable[[], object], *, of: object) -> object:
            assert of == TELLER
            self.steps += 1
            return step()

    turns = Turns()
    addresses = [Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{port}") for port in range(1, 17)]
    providers = [Contact(random_peer_id(RANDOM), addresses) for _ in range(1_000)]
    answer = Message(Type.GET_PROVIDERS, KEY, providers=tuple(providers)).encode()
    async with node(simulated(), "alice", DUAL) as alice:
        monkeypatch.setattr("cortexnet.kad.service.half.step_turns", lambda: turns)
        read = await alice.kad.wan._read(TELLER, answer)
        assert list(read.providers) == providers
        assert turns.steps >= 1_000 / READ_AT_ONCE


@pytest.mark.parametrize("place", [ANNOUNCED_AT_ONCE - 1, ANNOUNCED_AT_ONCE])
async def test_of_a_request_no_more_than_sixteen_providers_are_read(place: int) -> None:
    """It is to hold one: its sender. Three thousand fit into 128 KiB."""
    others = [Contact(random_peer_id(RANDOM), [PUBLIC]) for _ in range(1_000)]
    providers = (*others[:place], Contact(TELLER, [PUBLIC]), *others[place:])
    async with node(simulated(), "alice", DUAL) as alice:
        half = alice.kad.wan
        request = Message(Type.ADD_PROVIDER, KEY, providers=providers).encode()
        if place < ANNOUNCED_AT_ONCE:
            assert half._answer(TELLER, request) is None
        else:
            with pytest.raises(Exception, match="without the address"):
                half._answer(TELLER, request)
