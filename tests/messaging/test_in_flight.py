"""Turns of requests: so many of a peer at a time, in the order of asking, and whoever gives up leaves nothing behind."""

import asyncio

import pytest

from cortexnet.errors import LimitExceeded
from cortexnet.identity.peer_id import PeerId
from cortexnet.messaging.in_flight import InFlight
from tests.support.pairs import settle

PEER, OTHER = PeerId.from_bytes(b"\x00\x01a"), PeerId.from_bytes(b"\x00\x01b")


def in_flight(at_once: int = 2, waiting: int = 3) -> InFlight:
    return InFlight(at_once, waiting)


async def test_the_rest_waits_in_the_order_of_asking() -> None:
    turns, order = in_flight(), list[int]()

    async def ask(number: int) -> None:
        await turns.enter(PEER)
        order.append(number)

    tasks = [asyncio.ensure_future(ask(number)) for number in range(5)]
    await settle()
    assert (order, turns.count(PEER)) == ([0, 1], 5)
    for done in range(3, 6):
        turns.leave(PEER)
        await settle()
        assert order == list(range(done))
    await asyncio.gather(*tasks)
    turns.leave(PEER)
    turns.leave(PEER)
    assert turns.count(PEER) == 0


async def test_for_how_long_a_peer_has_finished_nothing() -> None:
    turns = in_flight()
    assert turns.silence(PEER) == 0
    await turns.enter(PEER)
    await asyncio.sleep(1)
    await turns.enter(PEER)
    assert turns.silence(PEER) == pytest.approx(1)
    turns.leave(PEER)
    await asyncio.sleep(0.5)
    assert turns.silence(PEER) == pytest.approx(0.5)
    turns.leave(PEER)
    assert turns.silence(PEER) == 0


async def test_peers_do_not_wait_for_each_other() -> None:
    turns = in_flight(at_once=1)
    await turns.enter(PEER)
    await turns.enter(OTHER)
    assert (turns.count(PEER), turns.count(OTHER)) == (1, 1)


async def test_too_many_that_wait_are_refused() -> None:
    turns = in_flight(at_once=1, waiting=1)
    await turns.enter(PEER)
    waiting = asyncio.ensure_future(turns.enter(PEER))
    await settle()
    with pytest.raises(LimitExceeded, match=r"limits\.requests_waiting_per_peer"):
        await turns.enter(PEER)
    turns.leave(PEER)
    await waiting
    assert turns.count(PEER) == 1


async def test_whoever_stops_waiting_is_left_out() -> None:
    turns = in_flight(at_once=1)
    await turns.enter(PEER)
    first, second = (asyncio.ensure_future(turns.enter(PEER)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert turns.count(PEER) == 2
    turns.leave(PEER)
    await second
    assert first.cancelled()


async def test_who_gives_up_as_a_place_becomes_free_does_not_take_it_along() -> None:
    turns = in_flight(at_once=1)
    await turns.enter(PEER)
    first, second = (asyncio.ensure_future(turns.enter(PEER)) for _ in range(2))
    await settle()
    first.cancel()
    turns.leave(PEER)
    await second
    await asyncio.wait([first])
    assert (first.cancelled(), turns.count(PEER)) == (True, 1)
    third = asyncio.ensure_future(turns.enter(PEER))
    await settle()
    third.cancel()
    turns.leave(PEER)
    await asyncio.wait([third])
    assert turns.count(PEER) == 0


async def test_a_turn_that_came_with_the_end_goes_to_the_next() -> None:
    turns = in_flight(at_once=1)
    await turns.enter(PEER)
    first, second = (asyncio.ensure_future(turns.enter(PEER)) for _ in range(2))
    await settle()
    turns.leave(PEER)  # now it is the first one's turn, and it has not gone on yet
    first.cancel()
    await second
    turns.leave(PEER)
    assert (first.cancelled(), turns.count(PEER)) == (True, 0)


async def test_a_turn_ends_with_its_block_however_that_ends() -> None:
    turns = in_flight(at_once=1)

    async def fail() -> None:
        async with turns.turn(PEER):
            assert turns.count(PEER) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert turns.count(PEER) == 0
