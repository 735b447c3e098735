"""Providers as a caller gets them: those that can be dialed first, each once."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import pytest

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.engine.operation import OperationEvent, ProviderFound
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.service.calls import Calls
from cortexnet.kad.service.search import ProviderSearch
from cortexnet.multiformats.multiaddr import Multiaddr

ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
ANN, BOB, CAROL = [PeerId(b"\x12\x20" + bytes([number]) * 32) for number in range(3)]


class Told:
    """What operations tell, one step after the other."""

    def __init__(self, *steps: Sequence[Contact]) -> None:
        self._steps = list(steps)
        self.is_closed = False

    @property
    def is_done(self) -> bool:
        return len(self._steps) <= 1

    def events(self) -> Iterator[OperationEvent]:
        return iter([ProviderFound(b"key", contact) for contact in self._steps[0]])

    async def step(self) -> None:
        await asyncio.sleep(0)
        del self._steps[0]

    def close(self) -> None:
        self.is_closed = True


def search(told: Told, limit: int | None, remember: Callable[[Contact], object] = lambda contact: contact) -> ProviderSearch:
    async def begin() -> Calls[list[Contact]]:
        return cast("Calls[list[Contact]]", told)

    return ProviderSearch(begin, remember, limit)


def located(peer: PeerId) -> Contact:
    return Contact(peer, [ADDRESS])


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [(None, [located(BOB), located(CAROL), Contact(ANN)]), (2, [located(BOB), located(CAROL)]), (1, [located(BOB)])],
)
async def test_a_provider_that_nobody_locates_comes_last_and_takes_nobodys_place(
    limit: int | None, wanted: list[Contact]
) -> None:
    told = Told([Contact(ANN), Contact(BOB)], [located(BOB), Contact(ANN)], [located(CAROL), Contact(BOB), located(BOB)])
    assert [contact async for contact in search(told, limit)] == wanted
    assert told.is_closed


async def test_where_too_few_can_be_located_others_fill_up_to_the_limit() -> None:
    told = Told([Contact(ANN), Contact(BOB), located(CAROL)])
    assert [contact async for contact in search(told, 2)] == [located(CAROL), Contact(ANN)]


async def test_a_search_that_is_left_gives_no_more() -> None:
    told = Told([Contact(ANN), located(BOB), located(CAROL)], [])
    async with search(told, None) as found:
        assert await anext(found) == located(BOB)
    assert told.is_closed
    with pytest.raises(StopAsyncIteration):
        await anext(found)


async def test_addresses_are_remembered_one_provider_after_the_other() -> None:
    """A thousand providers of sixteen addresses each come in a few answers: to remember them together took a second."""
    remembered: list[Contact] = []
    async with search(Told([located(ANN), located(BOB), Contact(CAROL)], []), None, remembered.append) as found:
        assert await anext(found) == located(ANN)
        assert remembered == [located(ANN)]
        assert await anext(found) == located(BOB)
        assert await anext(found) == Contact(CAROL)
    assert remembered == [located(ANN), located(BOB)]
