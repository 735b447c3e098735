"""What waits for one peer: its order, its bounds, and how it is put into RPCs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.actions import ASKED, CONTROL, FORWARD, GOSSIP, HELLO, OWN, URGENT
from cortexnet.gossip.answers import AnswerQueue, Answers
from cortexnet.gossip.frames import Frames
from cortexnet.gossip.outbox import Outbox

MEGABYTE = 1024 * 1024
FRAME_SIZE, FRAME_MESSAGES = 56 * 1024, 100


def outbox(rpc_limit: int = 128, byte_limit: int = MEGABYTE) -> Outbox:
    answers = AnswerQueue(Answers(100 * MEGABYTE), 5_000)
    return Outbox(
        rpc_limit=rpc_limit, byte_limit=byte_limit, frame_size=FRAME_SIZE, frame_messages=FRAME_MESSAGES, answers=answers
    )


def taken(box: Outbox, size: int = MEGABYTE) -> list[bytes]:
    return Frames(MEGABYTE).take(box.take(size))


def test_the_urgent_goes_first_and_messages_in_their_order() -> None:
    box = outbox()
    for name, priority in (
        (b"asked", ASKED),
        (b"gossip", GOSSIP),
        (b"forward", FORWARD),
        (b"own", OWN),
        (b"control", CONTROL),
        (b"urgent", URGENT),
        (b"hello", HELLO),
    ):
        assert box.offer(name, priority)
    assert taken(box) == [b"hello", b"urgent", b"control", b"forwardown", b"gossip", b"asked"]
    assert (len(box), box.count, box.size, box.take(1)) == (0, 0, 0, b"")


def test_messages_are_joined_up_to_what_every_peer_takes() -> None:
    box = outbox(rpc_limit=1_000)
    for _ in range(FRAME_MESSAGES + 1):
        box.offer(b"x", OWN)
    assert [len(frame) for frame in taken(box)] == [FRAME_MESSAGES, 1]
    for size in (FRAME_SIZE - 1, 1, 1, FRAME_SIZE + 1, 1):
        box.offer(b"x" * size, FORWARD)
    assert [len(frame) for frame in taken(box)] == [FRAME_SIZE, 1, FRAME_SIZE + 1, 1]


def test_what_was_asked_for_has_room_of_its_own_and_goes_when_nothing_else_waits() -> None:
    box = outbox(rpc_limit=1)
    assert all(box.offer(b"x" * 20_000, ASKED) for _ in range(1_000))
    assert box.has_room
    assert box.offer(b"y", FORWARD)
    frames = taken(box, 100_000)
    assert [len(frame) for frame in frames] == [1, 40_000, 40_000, 40_000]
    assert (len(box), box.clear(), len(box)) == (994, 994, 0)


def test_control_is_never_joined() -> None:
    box = outbox()
    for _ in range(3):
        box.offer(b"x", CONTROL)
    assert taken(box) == [b"x"] * 3


def test_no_more_is_taken_than_what_is_asked_for_and_a_frame() -> None:
    box = outbox(rpc_limit=1_000, byte_limit=100 * MEGABYTE)
    for _ in range(100):
        box.offer(b"x" * 30_000, FORWARD)
    assert [len(frame) for frame in taken(box, 1)] == [30_000]
    assert [len(frame) for frame in taken(box, 40_000)] == [30_000] * 2
    assert box.count == 97


@pytest.mark.parametrize(("rpc_limit", "byte_limit", "size"), [(3, MEGABYTE, 1), (1_000, 3 * (100 + 64), 100)])
def test_messages_are_refused_at_the_limit_and_control_at_twice_that(rpc_limit: int, byte_limit: int, size: int) -> None:
    box = outbox(rpc_limit, byte_limit)
    body = b"x" * size
    assert [box.offer(body, FORWARD) for _ in range(4)] == [True, True, True, False]
    assert not box.has_room
    assert [box.offer(body, priority) for priority in (URGENT, OWN, GOSSIP)] == [False] * 3
    assert [box.offer(body, priority) for priority in (CONTROL, HELLO, CONTROL, CONTROL)] == [True, True, True, False]
    assert box.count == 6
    box.take(1)
    assert not box.offer(body, FORWARD)
    assert box.clear() == 5
    assert box.offer(body, FORWARD)


def test_what_is_urgent_leaves_half_of_the_room_to_messages() -> None:
    """It is caused by whoever sends us large messages, forged ones too, and goes to everybody else."""
    box = outbox(rpc_limit=8)
    assert [box.offer(b"x", URGENT) for _ in range(5)] == [True] * 4 + [False]
    assert [box.offer(b"x", FORWARD) for _ in range(5)] == [True] * 4 + [False]
    box.take(1)
    assert box.offer(b"x", URGENT)


@given(st.lists(st.tuples(st.integers(HELLO, GOSSIP), st.binary(min_size=1, max_size=30)), max_size=60), st.integers(1, 200))
def test_nothing_is_lost_or_doubled(items: list[tuple[int, bytes]], size: int) -> None:
    box = outbox(rpc_limit=20)
    kept = [(priority, body) for priority, body in items if box.offer(body, priority)]
    assert box.count == len(kept) <= 40
    pieces = []
    while box.count:
        pieces += taken(box, size)
    assert sorted(b"".join(pieces)) == sorted(b"".join(body for _, body in kept))
    assert box.size == 0
