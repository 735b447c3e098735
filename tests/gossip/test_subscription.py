"""A queue between gossip and the application: its order, its policies, its end."""

import asyncio
from typing import Any

import pytest

from cortexnet.errors import Busy, LocalError, NotRunning, PeerTimeout
from cortexnet.gossip.delivery import GossipMessage
from cortexnet.gossip.subscription import Policy, Subscription
from cortexnet.identity.peer_id import PeerId

PATIENCE = 10.0
SENDER = PeerId.parse("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")


class Topics:
    """What a subscription asks of the service."""

    def __init__(self) -> None:
        self.joined: list[Subscription] = []
        self.needed = self.room = 0
        self.peers = 0
        self.changes: list[asyncio.Future[None]] = []

    def join(self, subscription: Subscription) -> None:
        self.joined.append(subscription)

    def leave(self, subscription: Subscription) -> None:
        if subscription in self.joined:
            self.joined.remove(subscription)

    def room_is_needed(self, topic: str) -> None:
        self.needed += 1

    def room_was_made(self, topic: str) -> None:
        self.room += 1

    def reach(self, topic: str) -> int:
        return self.peers

    async def reach_changes(self) -> None:
        self.changes.append(asyncio.get_running_loop().create_future())
        await self.changes[-1]


def message(number: int, size: int = 1) -> GossipMessage:
    return GossipMessage("t", bytes([number]) * size, SENDER, number, bytes([number]), SENDER)


def subscription(
    policy: Policy = "block", queue: int = 3, queue_bytes: int = 1_000, topics: Topics | None = None
) -> Subscription:
    return Subscription(topics or Topics(), "t", policy=policy, queue=queue, queue_bytes=queue_bytes, patience=PATIENCE)


async def taken(source: Subscription) -> list[int | None]:
    source.close()
    return [each.sequence async for each in source]


async def test_messages_come_in_their_order_and_then_the_end() -> None:
    topics = Topics()
    async with subscription(topics=topics) as source:
        assert topics.joined == [source]
        for number in range(2):
            assert source.offer(message(number))
        assert source.waiting == 2
        assert (await anext(source)).sequence == 0
    assert topics.joined == []
    assert [each.sequence async for each in source] == [1]
    source.close()
    with pytest.raises(NotRunning, match="entered once"):
        await source.__aenter__()


async def test_who_waits_is_woken_and_loses_nothing_when_cancelled() -> None:
    source = subscription()
    source.join()
    waiting = asyncio.ensure_future(anext(source))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await anext(source)
    waiting.cancel()
    await asyncio.wait([waiting])
    source.offer(message(1))
    assert (await anext(source)).sequence == 1
    waiting = asyncio.ensure_future(anext(source))
    await asyncio.sleep(0)
    source.offer(message(2))
    source.offer(message(3))
    assert (await waiting).sequence == 2
    assert source.waiting == 1


@pytest.mark.parametrize(("policy", "kept", "dropped"), [("drop_oldest", [2, 3, 4], 2), ("drop_newest", [0, 1, 2], 2)])
async def test_what_finds_no_room_is_counted(policy: Policy, kept: list[int], dropped: int) -> None:
    source = subscription(policy)
    assert [source.offer(message(number)) for number in range(5)] == [True, True, True, False, False]
    assert (source.dropped, source.is_blocking) == (dropped, False)
    assert await taken(source) == kept


async def test_bytes_are_bounded_as_well() -> None:
    source = subscription("drop_oldest", queue=100)
    source.offer(message(0, 400))
    source.offer(message(1, 400))
    assert not source.is_full
    source.offer(message(2, 400))
    assert source.is_full
    assert source.offer(message(3, 400)) is False
    assert (source.dropped, source.waiting) == (1, 3)
    assert await taken(source) == [1, 2, 3]


async def test_every_message_that_makes_room_for_a_large_one_is_counted() -> None:
    source = subscription("drop_oldest", queue=100)
    for number, size in enumerate((10, 10, 980, 600)):
        source.offer(message(number, size))
    source.offer(message(4, 10))
    assert (source.dropped, source.waiting) == (3, 2)
    source.offer(message(5, 2_000))
    source.offer(message(6, 10))
    assert (source.dropped, await taken(source)) == (6, [6])


async def test_a_full_queue_that_blocks_says_so_until_half_of_it_is_taken() -> None:
    topics = Topics()
    source = subscription("block", queue=4, topics=topics)
    assert [source.offer(message(number)) for number in range(3)] == [True] * 3
    assert not source.is_blocking
    for number in range(3, 6):  # what had been read already is not lost
        assert source.offer(message(number))
        assert source.is_blocking
    assert source.dropped == 0
    for left in (5, 4, 3):
        await anext(source)
        assert (source.waiting, source.is_blocking, topics.room) == (left, True, 0)
    await anext(source)
    assert (source.is_blocking, topics.room) == (False, 1)
    await anext(source)
    assert topics.room == 1


async def test_a_queue_that_blocks_for_too_long_drops_until_half_of_it_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    topics = Topics()
    source = subscription("block", queue=4, topics=topics)
    for number in range(4):
        source.offer(message(number))
    await asyncio.sleep(PATIENCE - 0.1)
    assert (source.is_blocking, topics.needed, topics.room) == (True, 1, 0)
    await asyncio.sleep(0.2)
    assert (source.is_blocking, topics.needed, topics.room) == (False, 1, 1)
    assert "the reader of topic 't' is 4 messages behind for 10 s" in caplog.text
    assert source.offer(message(4)) is False
    assert (await anext(source)).sequence == 0
    assert source.offer(message(5))  # there is room for one, but a reader that is behind makes nobody wait
    assert source.offer(message(6)) is False
    assert (source.dropped, source.is_blocking) == (2, False)
    for _ in range(2):
        await anext(source)
    assert source.offer(message(7))
    assert not source.is_blocking
    assert source.offer(message(8))
    assert (source.is_blocking, topics.needed, topics.room) == (True, 2, 1)
    assert await taken(source) == [3, 5, 7, 8]
    assert (source.dropped, topics.room) == (2, 2)
    await asyncio.sleep(2 * PATIENCE)
    assert topics.room == 2


async def test_a_reader_that_is_back_in_time_has_all_of_its_patience_again(caplog: pytest.LogCaptureFixture) -> None:
    source = subscription("block", queue=2)
    for number in range(0, 8, 2):
        source.offer(message(number))
        source.offer(message(number + 1))
        await asyncio.sleep(PATIENCE - 1)
        assert source.is_blocking
        assert [(await anext(source)).sequence for _ in range(2)] == [number, number + 1]
    await asyncio.sleep(2 * PATIENCE)
    assert (source.dropped, caplog.records) == (0, [])


async def test_nothing_is_queued_after_the_end() -> None:
    topics = Topics()
    source = subscription("block", queue=1, topics=topics)
    source.end()
    assert source.offer(message(1)) is False
    assert (source.waiting, source.is_blocking, topics.needed) == (0, False, 0)


async def test_its_end_lets_gossip_be_read_on() -> None:
    topics = Topics()
    source = subscription("block", queue=1, topics=topics)
    source.offer(message(1))
    assert source.is_blocking
    assert await taken(source) == [1]
    assert (source.is_blocking, topics.room) == (False, 1)


async def test_ready_waits_for_so_many_peers() -> None:
    topics = Topics()
    source = subscription(topics=topics)
    source.join()
    ready = asyncio.ensure_future(source.ready(peers=2))
    for peers in range(3):
        await asyncio.sleep(0)
        assert not ready.done()
        topics.peers = peers
        topics.changes[-1].set_result(None)
    assert await ready == 2
    topics.peers = 0
    with pytest.raises(PeerTimeout, match="1 peers for 't' took longer than 5 s"):
        await source.ready(timeout=5)


async def test_ready_is_told_a_number_of_peers() -> None:
    wrong: Any
    for wrong in ("1", None, 0.5):
        with pytest.raises(LocalError, match=f"peers are a whole number, not {wrong!r}"):
            await subscription().ready(peers=wrong)


async def test_ready_is_for_the_block_of_a_subscription() -> None:
    source = subscription()
    with pytest.raises(LocalError, match="inside of that block"):
        await source.ready(timeout=5)
    source.join()
    source.close()
    with pytest.raises(NotRunning, match="has ended"):
        await source.ready(timeout=5)


@pytest.mark.parametrize(("policy", "queue", "says"), [("drop", 1, "no policy"), ("block", 0, "at least 1")])
async def test_settings_that_are_none_are_refused(policy: Policy, queue: int, says: str) -> None:
    with pytest.raises(LocalError, match=says):
        subscription(policy, queue)


async def test_its_repr_shows_how_it_is() -> None:
    source = subscription("drop_newest", queue=1)
    source.offer(message(1))
    source.offer(message(2))
    assert repr(source) == "<Subscription 't' drop_newest 1 of 1, 1 dropped>"


async def test_before_it_is_entered_it_is_not_waited_for() -> None:
    source = subscription()
    with pytest.raises(LocalError, match="read it inside of that block"):
        await anext(source)
    async with source:
        source.offer(message(1))
        assert (await anext(source)).sequence == 1
