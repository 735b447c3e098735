"""Finding nodes by their cards: how many are asked at once, in what order they come, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from cortexnet import Card, Contact, CortexError, NegotiationFailed, NoPeers, NotRunning, PeerId
from cortexnet.discovery.card_search import CardSearch
from cortexnet.identity.card import CardDetails
from cortexnet.identity.keys import PrivateKey
from cortexnet.transport.scope import Scope

KEYS = [PrivateKey.generate() for _ in range(12)]
CARDS = [Card.issue(key, CardDetails(), sequence=number, issued=0, lifetime=1) for number, key in enumerate(KEYS)]
NUMBER_OF = {card.peer_id: number for number, card in enumerate(CARDS)}


class Candidates:
    """Names the first `count` nodes, one each `seconds`, and fails then if it has to."""

    def __init__(self, count: int, seconds: float = 0.0, failure: CortexError | None = None) -> None:
        self.left = iter(CARDS[:count])
        self.seconds = seconds
        self.failure = failure
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[Contact]:
        return self

    async def __anext__(self) -> Contact:
        await asyncio.sleep(self.seconds)
        card = None if self.is_closed else next(self.left, None)
        if card is None:
            if self.failure is not None:
                raise self.failure
            raise StopAsyncIteration
        return Contact(card.peer_id)

    async def aclose(self) -> None:
        self.is_closed = True


class Nodes:
    """Who is asked for cards: each takes a second, or what is said, those of `failing` have none."""

    def __init__(self, *, failing: Iterable[int] = (), seconds: dict[int, float] | None = None) -> None:
        self.failing = set(failing)
        self.seconds = seconds or {}
        self.asked: list[int] = []
        self.at_once = self.most = 0

    async def ask(self, peer: PeerId) -> Card:
        number = NUMBER_OF[peer]
        self.asked.append(number)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds.get(number, 1.0))
        finally:
            self.at_once -= 1
        if number in self.failing:
            raise NegotiationFailed(f"number {number} has none\nand more")
        return CARDS[number]


def search(
    candidates: Any, nodes: Nodes, scope: Scope, *, limit: int | None = None, wanted: Any = None, at_once: int = 3
) -> CardSearch:
    return CardSearch(candidates, nodes.ask, wanted or (lambda card: True), scope=scope, limit=limit, at_once=at_once)


async def test_all_come_some_asked_at_once() -> None:
    nodes, scope = Nodes(), Scope()
    begin = asyncio.get_running_loop().time()
    found = [card.sequence async for card in search(Candidates(12), nodes, scope)]
    assert sorted(found) == list(range(12))
    assert nodes.most == 3
    assert asyncio.get_running_loop().time() - begin == pytest.approx(4.0)
    assert len(scope) == 0


async def test_who_answers_first_comes_first_and_a_slow_one_holds_up_nobody() -> None:
    nodes = Nodes(seconds={0: 100.0})
    found = [card.sequence async for card in search(Candidates(5), nodes, Scope())]
    assert (found[-1], sorted(found)) == (0, list(range(5)))


async def test_who_has_none_or_another_one_is_left_out_and_named() -> None:
    nodes = Nodes(failing=[1])
    cards = search(Candidates(3), nodes, Scope(), wanted=lambda card: card.sequence != 2)
    assert [card.sequence async for card in cards] == [0]
    assert {NUMBER_OF[peer]: why for peer, why in cards.skipped.items()} == {
        1: "number 1 has none",
        2: "its card says something else",
    }


@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_no_more_come_than_are_wanted_and_then_nobody_is_asked_any_more(limit: int) -> None:
    nodes, scope, candidates = Nodes(), Scope(), Candidates(12)
    assert len([card async for card in search(candidates, nodes, scope, limit=limit)]) == limit
    assert (len(scope), nodes.at_once, candidates.is_closed) == (0, 0, True)
    assert len(nodes.asked) < limit + 3


async def test_while_nobody_takes_what_was_found_no_more_are_asked() -> None:
    nodes = Nodes()
    cards = search(Candidates(12), nodes, Scope())
    assert (await anext(cards)).sequence == 0
    await asyncio.sleep(60)
    assert len(nodes.asked) <= 4
    assert len([card async for card in cards]) == 11


async def test_a_failure_comes_behind_what_was_found() -> None:
    cards = search(Candidates(2, failure=NoPeers("gone")), Nodes(), Scope())
    assert {(await anext(cards)).sequence for _ in range(2)} == {0, 1}
    with pytest.raises(NoPeers):
        await anext(cards)
    with pytest.raises(StopAsyncIteration):
        await anext(cards)


async def test_a_failure_at_once_is_what_the_first_step_raises() -> None:
    with pytest.raises(NoPeers):
        await anext(search(Candidates(0, failure=NoPeers("nobody")), Nodes(), Scope()))


async def test_a_step_that_is_cancelled_anywhere_loses_nobody() -> None:
    cards, found = search(Candidates(5, seconds=0.3), Nodes(), Scope()), []
    for number in range(60):
        try:
            async with asyncio.timeout(0.05 + 0.01 * (number % 7)):
                found.append((await anext(cards)).sequence)
        except TimeoutError:
            continue
        except StopAsyncIteration:
            break
    assert sorted(found) == list(range(5))


async def test_leaving_it_ends_what_goes_on() -> None:
    nodes, scope, candidates = Nodes(seconds=dict.fromkeys(range(1, 12), 1_000.0)), Scope(), Candidates(12, seconds=0.1)
    async with search(candidates, nodes, scope) as cards:
        assert (await anext(cards)).sequence == 0
        assert nodes.at_once == 2
    assert (len(scope), nodes.at_once, candidates.is_closed) == (0, 0, True)
    with pytest.raises(StopAsyncIteration):
        await anext(cards)


async def test_the_end_of_the_node_ends_it() -> None:
    scope = Scope()
    cards = search(Candidates(12), Nodes(seconds=dict.fromkeys(range(12), 1_000.0)), scope)
    step = asyncio.ensure_future(anext(cards))
    await asyncio.sleep(5)
    await scope.close()
    with pytest.raises(NotRunning):
        await step
    with pytest.raises(NotRunning):
        await anext(cards)
