"""Events: typed, bounded, in order; who listens slowly loses the oldest and is told."""

import asyncio

import pytest

from cortexnet.errors import Busy, LocalError
from cortexnet.identity.identity import Identity
from cortexnet.observe.bus import EventBus
from cortexnet.observe.events import AddressesChanged, DialEnded, Event, EventsLost, Refused
from tests.support.pairs import settle

PEER = Identity.generate().peer_id


def failed(number: int) -> DialEnded:
    return DialEnded(PEER, str(number))


async def test_events_come_in_the_order_in_which_they_happened() -> None:
    bus = EventBus()
    async with bus.subscribe((), queue=10) as events:
        for number in range(3):
            bus.publish(failed(number))
        bus.close()
        assert [event async for event in events] == [failed(0), failed(1), failed(2)]


async def test_only_those_of_the_kinds_asked_for_come() -> None:
    bus = EventBus()
    async with bus.subscribe((Refused, AddressesChanged), queue=10) as events:
        bus.publish(failed(1))
        bus.publish(AddressesChanged(()))
        bus.close()
        assert [event async for event in events] == [AddressesChanged(())]


async def test_where_nobody_listens_no_event_need_be_made() -> None:
    bus = EventBus()
    assert not bus.has_listeners
    async with bus.subscribe((), queue=1):
        assert bus.has_listeners
    assert not bus.has_listeners


@pytest.mark.parametrize(("count", "lost"), [(2, 0), (3, 1), (10, 8)])
async def test_of_more_than_the_queue_holds_the_oldest_go_and_it_is_said_how_many(count: int, lost: int) -> None:
    bus = EventBus()
    async with bus.subscribe((), queue=2) as events:
        for number in range(count):
            bus.publish(failed(number))
        bus.close()
        expected: list[Event] = [EventsLost(lost)] if lost else []
        assert [event async for event in events] == [*expected, failed(count - 2), failed(count - 1)]


async def test_several_kinds_may_be_named_as_one() -> None:
    bus = EventBus()
    async with bus.subscribe((Refused | AddressesChanged,), queue=10) as events:
        bus.publish(failed(1))
        bus.publish(AddressesChanged(()))
        bus.close()
        assert [event async for event in events] == [AddressesChanged(())]


@pytest.mark.parametrize("kind", [[Refused, DialEnded], "Refused", AddressesChanged(())])
async def test_what_is_no_kind_of_events_hurts_who_asks_for_it_and_not_who_publishes(kind: object) -> None:
    bus = EventBus()
    with pytest.raises(LocalError, match="by their types"):
        bus.subscribe((kind,), queue=1)
    bus.publish(failed(1))


async def test_a_queue_that_holds_nothing_is_refused() -> None:
    with pytest.raises(LocalError, match="at least 1"):
        EventBus().subscribe((), queue=0)


async def test_who_waits_is_woken_by_an_event_and_loses_none_when_cancelled() -> None:
    bus = EventBus()
    async with bus.subscribe((), queue=2) as events:
        waiting = asyncio.ensure_future(anext(events))
        await settle()
        waiting.cancel()
        bus.publish(failed(1))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await anext(events) == failed(1)
        waiting = asyncio.ensure_future(anext(events))
        await settle()
        bus.publish(failed(2))
        assert await waiting == failed(2)


async def test_two_tasks_do_not_wait_for_the_same_events() -> None:
    bus = EventBus()
    async with bus.subscribe((), queue=10) as events:
        waiting = asyncio.ensure_future(anext(events))
        await settle()
        with pytest.raises(Busy, match="another task reads these events"):
            await anext(events)
        bus.publish(failed(1))
        assert await waiting == failed(1)
        waiting = asyncio.ensure_future(anext(events))
        await settle()
        waiting.cancel()
        await asyncio.wait([waiting])
        bus.publish(failed(2))
        assert await anext(events) == failed(2)


async def test_the_end_of_the_bus_ends_who_waits_and_who_comes_later() -> None:
    bus = EventBus()
    async with bus.subscribe((), queue=2) as events:
        waiting = asyncio.ensure_future(anext(events, None))
        await settle()
        bus.close()
        assert await waiting is None
    async with bus.subscribe((), queue=2) as events:
        assert [event async for event in events] == []


async def test_after_leaving_nothing_is_queued_and_the_iteration_is_over() -> None:
    bus = EventBus()
    async with bus.subscribe((), queue=2) as events:
        pass
    bus.publish(failed(1))
    assert [event async for event in events] == []


async def test_before_the_block_events_are_not_waited_for() -> None:
    events = EventBus().subscribe((), queue=1)
    with pytest.raises(LocalError, match="read them inside of that block"):
        await anext(events)
