"""A search of a namespace: what one answer of a stranger may set off."""

from collections.abc import AsyncIterator
from typing import Any

from cortexnet.discovery.routing_discovery import LOOKUPS_LIMIT, PeerSearch
from cortexnet.errors import NotFound
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats.multiaddr import Multiaddr

OWN = Identity.generate().peer_id
HERE = [Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")]


class Providers:
    """What was found: contacts, of which some have no addresses."""

    def __init__(self, found: list[Contact]) -> None:
        self._found = iter(found)

    def __aiter__(self) -> AsyncIterator[Contact]:
        return self

    async def __anext__(self) -> Contact:
        for contact in self._found:
            return contact
        raise StopAsyncIteration

    def close(self) -> None:
        self._found = iter([])


class Kad:
    """Knows where some are."""

    def __init__(self, known: list[Contact]) -> None:
        self._known = {contact.peer_id: contact for contact in known}
        self.lookups: list[PeerId] = []

    async def find_peer(self, peer: PeerId) -> Contact:
        self.lookups.append(peer)
        if peer not in self._known:
            raise NotFound(f"nobody knows {peer}")
        return self._known[peer]


def contacts(count: int, addresses: list[Multiaddr]) -> list[Contact]:
    return [Contact(Identity.generate().peer_id, addresses) for _ in range(count)]


async def found(kad: Kad, named: list[Contact]) -> list[PeerId]:
    providers: Any = Providers(named)
    service: Any = kad
    return [contact.peer_id async for contact in PeerSearch(service, providers, OWN, None)]


async def test_who_has_no_address_is_looked_up_after_the_others() -> None:
    located, lost = contacts(2, HERE), contacts(2, [])
    kad = Kad([lost[1].with_addresses(HERE)])
    named = [lost[0], located[0], Contact(OWN), lost[1], located[1]]
    assert await found(kad, named) == [located[0].peer_id, located[1].peer_id, lost[1].peer_id]
    assert kad.lookups == [lost[0].peer_id, lost[1].peer_id]


async def test_a_hundred_invented_peers_are_no_hundred_lookups() -> None:
    kad, located = Kad([]), contacts(1, HERE)
    assert await found(kad, [*contacts(110, []), *located]) == [located[0].peer_id]
    assert len(kad.lookups) == LOOKUPS_LIMIT
