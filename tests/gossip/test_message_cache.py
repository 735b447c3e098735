"""The last messages: told of, asked for, and gone after their time."""

import pytest

from cortexnet.gossip.message import Message
from cortexnet.gossip.message_cache import MessageCache
from cortexnet.identity.peer_id import PeerId

A, B = PeerId(b"\x00\x01a"), PeerId(b"\x00\x01b")


def message(number: int, topic: str = "t", size: int = 0) -> Message:
    made = Message.build(topic, bytes(size))
    made.id = str(number).encode()
    return made


def cache(byte_limit: int = 1 << 20) -> MessageCache:
    return MessageCache(5, 3, byte_limit, 3)


def test_messages_are_told_of_for_three_windows_and_kept_for_five() -> None:
    kept = cache()
    told, held = [], []
    kept.put(message(1))
    for _ in range(6):
        told.append(kept.gossip_ids("t"))
        held.append(kept.get(b"1") is not None)
        kept.shift()
    assert told == [[b"1"]] * 3 + [[]] * 3
    assert held == [True] * 5 + [False]
    assert (len(kept), kept.bytes_held) == (0, 0)


def test_newest_windows_come_first_and_topics_apart() -> None:
    kept = cache()
    kept.put(message(1))
    kept.put(message(2))
    kept.shift()
    kept.put(message(3))
    kept.put(message(4, "other"))
    assert kept.gossip_ids("t") == [b"3", b"1", b"2"]
    assert kept.gossip_ids("other") == [b"4"]
    assert kept.gossip_ids("none") == []


def test_a_peer_gets_a_message_three_times() -> None:
    kept = cache()
    first = message(1)
    kept.put(first)
    assert [kept.get_for_peer(b"1", A) for _ in range(5)] == [first, first, first, None, None]
    assert kept.get_for_peer(b"1", B) is first
    assert kept.get_for_peer(b"2", A) is None


def test_a_message_that_is_there_stays_where_it_is() -> None:
    kept = cache()
    kept.put(message(1))
    size = kept.bytes_held
    kept.shift()
    kept.put(message(1))
    assert (kept.bytes_held, len(kept)) == (size, 1)
    for _ in range(4):
        kept.shift()
    assert len(kept) == 0


@pytest.mark.parametrize("shifts", [0, 1])
def test_past_the_byte_limit_the_oldest_goes(shifts: int) -> None:
    size = len(message(1, size=100).wire)
    kept = cache(byte_limit=2 * size)
    for number in range(4):
        kept.put(message(number, size=100))
        for _ in range(shifts):
            kept.shift()
    assert kept.bytes_held == 2 * size
    assert sorted(kept.gossip_ids("t")) == [b"2", b"3"]
    assert kept.get(b"1") is None
    for _ in range(6):
        kept.shift()
    assert (len(kept), kept.bytes_held) == (0, 0)


def test_a_message_over_the_limit_is_not_kept() -> None:
    kept = cache(byte_limit=50)
    kept.put(message(1, size=100))
    assert (len(kept), kept.bytes_held) == (0, 0)
