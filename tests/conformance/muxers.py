"""What every muxer does, whatever its frames are: checks over a pair of them that use nothing but the seam.

SUBJECT = Subject(make=lambda initiator, memory: Yamux(initiator=initiator, memory=memory))

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_yamux_is_a_muxer(check: Check) -> None:
    check(SUBJECT)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import final

import pytest

from cortexnet.errors import ConnectionClosed, Ended, LimitExceeded, LocalError, MessageTooLarge, RemoteError, StreamClosed
from cortexnet.multiformats import varint
from cortexnet.mux.muxer import (
    ConnectionFailed,
    MemoryBudget,
    Muxer,
    MuxEvent,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    StreamWritable,
)
from tests.support.yamux_session import Budget

MIB = 1024 * 1024
PATTERN = bytes(range(251)) * 4_200  # a bit more than 1 MiB


@final
@dataclass(frozen=True)
class Subject:
    """A muxer and what it is able to."""

    make: Callable[[bool, MemoryBudget], Muxer]
    """A fresh core: whether it dialed, and its memory."""
    has_windows: bool = True
    """Whether a writer is stopped by a reader who does not read."""
    has_codes: bool = True
    """Whether a reset brings its code."""
    has_farewell: bool = True
    """Whether the peer of a session that closes is told."""


Check = Callable[[Subject], None]


class Link:
    """The two sessions of a connection, and the bytes between them; what arrives is cut into pieces of `cut` bytes."""

    def __init__(self, subject: Subject, *, cut: int = 1 << 30) -> None:
        self.memories = Budget(64 * MIB), Budget(64 * MIB)
        self.dialer = subject.make(True, self.memories[0])
        self.listener = subject.make(False, self.memories[1])
        self.cut = cut
        self.now = 1_000.0
        assert self.dialer.handle_timeout(self.now) == self.listener.handle_timeout(self.now) == []

    def run(self) -> tuple[list[MuxEvent], list[MuxEvent]]:
        """Let both talk until neither has anything to say: what the dialer and the listener got to know."""
        events: tuple[list[MuxEvent], list[MuxEvent]] = ([], [])
        while self.dialer.has_output or self.listener.has_output:
            events[1].extend(self.carry(self.dialer, self.listener))
            events[0].extend(self.carry(self.listener, self.dialer))
        return events

    def carry(self, sender: Muxer, receiver: Muxer) -> Iterator[MuxEvent]:
        while sender.has_output:
            record = b"".join(sender.data_to_send())
            for start in range(0, len(record), self.cut):
                yield from self.received(receiver, record[start : start + self.cut])

    def received(self, receiver: Muxer, data: bytes) -> list[MuxEvent]:
        events = list(receiver.receive(data, self.now))
        readable = [event.stream_id for event in events if isinstance(event, StreamReadable)]
        assert len(readable) == len(set(readable)), "readability is said once for each stream"
        while receiver.has_backlog:
            events += receiver.receive(b"", self.now)
        return events

    def opened(self) -> tuple[int, int]:
        """A stream that both know: its id at the dialer's and at the listener's end."""
        here = self.dialer.open_stream()
        self.dialer.send(here, b"\x00")
        _, events = self.run()
        (there,) = [event.stream_id for event in events if isinstance(event, StreamOpened)]
        assert self.listener.read(there, 1) == b"\x00"
        self.run()
        return here, there

    def is_empty(self) -> bool:
        return all(memory.used == 0 for memory in self.memories)


def send_all(muxer: Muxer, stream_id: int, data: bytes) -> None:
    """Where it is taken in whole."""
    assert muxer.send(stream_id, data) == len(data)


def read_all(muxer: Muxer, stream_id: int) -> bytes:
    data = b""
    while muxer.knows(stream_id) and (piece := muxer.read(stream_id, 65_536)):
        data += piece
    return data


# --- streams


def a_stream_is_announced_once_to_the_other_end(subject: Subject) -> None:
    link = Link(subject)
    assert link.dialer.can_open()
    here = link.dialer.open_stream()
    send_all(link.dialer, here, b"hello")
    at_dialer, at_listener = link.run()
    assert [event for event in at_dialer if isinstance(event, StreamOpened)] == []
    (opened,) = [event for event in at_listener if isinstance(event, StreamOpened)]
    assert StreamReadable(opened.stream_id) in at_listener
    assert link.listener.knows(opened.stream_id)
    assert link.dialer.knows(here)
    assert link.listener.read(opened.stream_id, 100) == b"hello"


def both_ends_open_streams(subject: Subject) -> None:
    link = Link(subject)
    ids = [(muxer, muxer.open_stream()) for muxer in (link.dialer, link.listener, link.dialer, link.listener)]
    for number, (muxer, stream_id) in enumerate(ids):
        send_all(muxer, stream_id, bytes([number]))
    at_dialer, at_listener = link.run()
    for muxer, events in ((link.dialer, at_dialer), (link.listener, at_listener)):
        opened = [event.stream_id for event in events if isinstance(event, StreamOpened)]
        expected = [b"\x01", b"\x03"] if muxer is link.dialer else [b"\x00", b"\x02"]
        assert [muxer.read(stream_id, 1) for stream_id in opened] == expected


def many_streams_do_not_mix(subject: Subject) -> None:
    link = Link(subject)
    pairs = [link.opened() for _ in range(50)]
    for number, (here, there) in enumerate(pairs):
        send_all(link.dialer, here, PATTERN[number : number + 1_000])
        send_all(link.listener, there, PATTERN[number + 100 : number + 1_100])
    link.run()
    for number, (here, there) in enumerate(pairs):
        assert read_all(link.listener, there) == PATTERN[number : number + 1_000]
        assert read_all(link.dialer, here) == PATTERN[number + 100 : number + 1_100]


def bytes_arrive_in_order_wherever_they_are_cut(subject: Subject) -> None:
    for cut in (1, 7, 1_000):
        link = Link(subject, cut=cut)
        here, there = link.opened()
        for size in (1, 10, 100, 3_000, 5_000):
            send_all(link.dialer, here, PATTERN[:size])
        send_all(link.listener, there, PATTERN[:4_000])
        link.run()
        assert read_all(link.listener, there) == b"".join(PATTERN[:size] for size in (1, 10, 100, 3_000, 5_000))
        assert read_all(link.dialer, here) == PATTERN[:4_000]


def opening_stops_at_a_limit(subject: Subject) -> None:
    link = Link(subject)
    for _ in range(100_000):
        if not link.dialer.can_open():
            break
        link.dialer.open_stream()
    with pytest.raises(LimitExceeded):
        link.dialer.open_stream()
    link.run()
    assert not link.listener.receive(b"", link.now)


# --- reading


def what_is_not_there_is_none_and_the_end_is_empty(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    assert link.listener.read(there, 10) is None
    assert link.listener.read_exactly(there, 1) is None
    assert link.listener.read_message(there, 10) is None
    assert link.listener.message_wanted(there) == 0
    assert link.listener.readable_bytes(there) == 0
    assert not link.listener.is_finished(there)
    link.dialer.close_write(here)
    _, events = link.run()
    assert events == [StreamReadable(there)]
    assert link.listener.is_finished(there)
    assert link.listener.read(there, 10) == b""


def bytes_are_read_in_any_portions(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    send_all(link.dialer, here, PATTERN[:20_000])
    link.run()
    got, random = b"", Random(0)
    while (left := link.listener.readable_bytes(there)) > 0:
        size = random.randint(1, 3_000)
        exact = link.listener.read_exactly(there, size)
        assert (exact is None) == (size > left)
        got += exact or link.listener.read(there, size) or b""
        assert link.listener.readable_bytes(there) < left
    assert got == PATTERN[:20_000]


def messages_are_read_whole(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    for size in (0, 1, 127, 128, 20_000):
        send_all(link.dialer, here, varint.encode(size) + PATTERN[:size])
    send_all(link.dialer, here, varint.encode(1_000) + b"begun")
    link.run()
    for size in (0, 1, 127, 128, 20_000):
        assert link.listener.read_message(there, 20_000) == PATTERN[:size]
    assert link.listener.read_message(there, 20_000) is None
    assert link.listener.message_wanted(there) == 1_002
    with pytest.raises(MessageTooLarge):
        link.listener.read_message(there, 999)
    assert link.listener.readable_bytes(there) == 7


# --- ends


def one_direction_ends_and_the_other_goes_on(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    send_all(link.dialer, here, b"question")
    link.dialer.close_write(here)
    link.dialer.close_write(here)
    with pytest.raises(StreamClosed):
        link.dialer.send(here, b"more")
    link.run()
    assert link.listener.read(there, 100) == b"question"
    assert link.listener.read(there, 100) == b""
    send_all(link.listener, there, b"answer")
    link.listener.close_write(there)
    link.run()
    assert link.dialer.read(here, 100) == b"answer"
    assert link.dialer.is_finished(here)
    assert not link.dialer.knows(here)
    assert not link.listener.knows(there)
    assert link.is_empty()


def a_stream_is_known_until_its_last_byte_was_read(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    link.dialer.close_write(here)
    send_all(link.listener, there, b"answer")
    link.listener.close_write(there)
    link.run()
    assert link.dialer.knows(here)
    assert read_all(link.dialer, here) == b"answer"
    assert not link.dialer.knows(here)
    assert not link.listener.knows(there)


def a_reset_ends_both_directions(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    send_all(link.dialer, here, b"unsent")
    send_all(link.listener, there, b"on its way")
    link.dialer.reset(here, 0x1001)
    assert not link.dialer.knows(here)
    _, events = link.run()
    (reset,) = [event for event in events if isinstance(event, StreamWasReset)]
    assert (reset.stream_id, reset.by_peer) == (there, True)
    assert reset.code == (0x1001 if subject.has_codes else 0)
    assert not link.listener.knows(there)
    assert link.is_empty()


def a_reset_after_the_end_leaves_what_came_before(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    send_all(link.dialer, here, b"complete")
    link.dialer.close_write(here)
    link.run()
    link.dialer.reset(here)
    _, events = link.run()
    assert [event.stream_id for event in events if isinstance(event, StreamWasReset)] == [there]
    with pytest.raises(Ended):
        link.listener.send(there, b"x")
    assert read_all(link.listener, there) == b"complete"
    assert not link.listener.knows(there)
    assert link.is_empty()


def what_goes_unread_is_told_and_nothing_else(subject: Subject) -> None:
    """So that somebody can give it back to the system; what was read is wanted again at once."""
    link = Link(subject)
    memory, size = link.memories[1], 30_000
    ends: list[Callable[[int, int], None]] = [
        lambda here, there: link.dialer.reset(here),
        lambda here, there: link.listener.reset(there),
        lambda here, there: link.listener.discard_reads(there),
    ]
    for number, end in enumerate(ends):
        here, there = link.opened()
        send_all(link.dialer, here, bytes(2 * size))
        link.run()
        assert link.listener.read_exactly(there, size) == bytes(size)
        assert memory.unread <= number * (2 * size + 1_000)
        end(here, there)
        link.run()
        assert (number + 1) * size <= memory.unread <= (number + 1) * (2 * size + 1_000), (
            "a piece that is read in part is held whole"
        )
    told = memory.unread
    here, there = link.opened()
    link.dialer.reset(here)
    link.run()
    assert memory.unread == told


def a_stream_that_is_gone_is_unknown_to_every_verb(subject: Subject) -> None:
    link = Link(subject)
    here, _ = link.opened()
    link.dialer.reset(here)
    assert link.dialer.is_finished(here)
    verbs: list[Callable[[Muxer], object]] = [
        lambda muxer: muxer.send(here, b"x"),
        lambda muxer: muxer.queued(here),
        lambda muxer: muxer.read_exactly(here, 1),
        lambda muxer: muxer.read_message(here, 1),
        lambda muxer: muxer.readable_bytes(here),
        lambda muxer: muxer.expect(here, 1),
        lambda muxer: muxer.message_wanted(here),
        lambda muxer: muxer.close_write(here),
        lambda muxer: muxer.discard_reads(here),
        lambda muxer: muxer.reset(here),
    ]
    for verb in verbs:
        with pytest.raises(LocalError):
            verb(link.dialer)
    assert link.dialer.read(here, 1) is None


def what_nobody_reads_is_dropped(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    send_all(link.dialer, here, PATTERN[:5_000])
    link.run()
    link.listener.discard_reads(there)
    assert link.memories[1].used == 0
    send_all(link.dialer, here, PATTERN[:5_000])
    _, events = link.run()
    assert events == []
    assert link.memories[1].used == 0
    send_all(link.listener, there, b"still alive")
    link.run()
    assert link.dialer.read(here, 100) == b"still alive"


def frames_that_cross_the_end_of_a_stream_hurt_nobody(subject: Subject) -> None:
    link = Link(subject)
    for number in range(200):
        here, there = link.opened()
        send_all(link.dialer, here, PATTERN[:100])
        send_all(link.listener, there, PATTERN[:100])
        if number % 2:
            link.dialer.close_write(here)
            link.listener.close_write(there)
        link.dialer.reset(here)
        link.listener.reset(there)
        events = link.run()
        assert [event for event in (*events[0], *events[1]) if isinstance(event, ConnectionFailed)] == []
    assert link.is_empty()


# --- much data


def a_lot_of_data_crosses_in_both_directions(subject: Subject) -> None:
    link = Link(subject, cut=10_000)
    here, there = link.opened()
    rests = {link.dialer: memoryview(PATTERN), link.listener: memoryview(PATTERN)}
    ids = {link.dialer: here, link.listener: there}
    got = {link.dialer: b"", link.listener: b""}
    for _ in range(10_000):
        for muxer, rest in rests.items():
            if rest:
                rests[muxer] = rest[muxer.send(ids[muxer], rest) :]
        link.run()
        for muxer, stream_id in ids.items():
            got[muxer] += read_all(muxer, stream_id)
        if len(got[link.dialer]) == len(got[link.listener]) == len(PATTERN):
            break
    assert list(got.values()) == [PATTERN, PATTERN]


def a_reader_who_does_not_read_stops_its_writer_and_nobody_else(subject: Subject) -> None:
    if not subject.has_windows:
        return
    link = Link(subject)
    here, there = link.opened()
    other, other_there = link.opened()
    taken = 0
    while size := link.dialer.send(here, bytes(65_536)):
        taken += size
        link.run()
        assert taken < 64 * MIB
    send_all(link.dialer, other, b"still moving")
    link.run()
    assert link.listener.read(other_there, 100) == b"still moving"
    assert link.dialer.queued(here) == 0
    assert len(read_all(link.listener, there)) == taken
    at_dialer, _ = link.run()
    assert StreamWritable(here) in at_dialer
    assert link.dialer.send(here, b"more") == 4


def a_writer_who_outran_the_socket_is_named_once_there_is_room(subject: Subject) -> None:
    link = Link(subject)
    here, _ = link.opened()
    taken = link.dialer.send(here, PATTERN)
    if taken == len(PATTERN):
        return  # its share is that large
    assert link.dialer.queued(here) == taken
    assert not link.dialer.drained
    link.dialer.data_to_send()
    assert list(link.dialer.drained) == [here]


def full_frames_are_sent_before_the_rest(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    size = link.dialer.record_size
    send_all(link.dialer, here, PATTERN[: size - 1])
    assert link.dialer.data_to_send(full_frames_only=True) == []
    send_all(link.dialer, here, PATTERN[size - 1 : size + 10])
    record = b"".join(link.dialer.data_to_send(full_frames_only=True))
    assert size <= len(record) <= 65_519  # what one Noise message takes
    assert link.dialer.has_output
    link.received(link.listener, record)
    link.run()
    assert read_all(link.listener, there) == PATTERN[: size + 10]


def a_reader_may_wait_for_more_than_a_window(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    link.listener.expect(there, MIB)
    rest = memoryview(PATTERN)[:MIB]
    for _ in range(1_000):
        rest = rest[link.dialer.send(here, rest) :] if rest else rest
        link.run()
        if link.listener.readable_bytes(there) == MIB:
            break
    assert link.listener.read_exactly(there, MIB) == PATTERN[:MIB]
    link.listener.expect(there, 0)
    link.run()
    link.listener.reset(there)
    link.run()
    assert link.is_empty()


# --- the session


def garbage_ends_the_session_and_nothing_else(subject: Subject) -> None:
    for seed in range(50):
        random = Random(seed)
        link = Link(subject)
        _, there = link.opened()
        garbage = random.choice([bytes(100_000), b"\xff" * 100_000, random.randbytes(100_000), b"GET / HTTP/1.1\r\n\r\n" * 1_000])
        events: list[MuxEvent] = []
        for start in range(0, len(garbage), 1_000):
            events += link.received(link.listener, garbage[start : start + 1_000])
        failures = [event for event in events if isinstance(event, ConnectionFailed)]
        assert failures == events[-len(failures) :] if failures else True
        assert all(isinstance(event.error, RemoteError | Ended) for event in failures)
        if failures:
            assert link.received(link.listener, garbage) == []
            assert not link.listener.can_open()
        if link.listener.knows(there):
            link.listener.reset(there)


def a_session_that_closes_is_over_but_what_came_can_be_read(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    send_all(link.dialer, here, b"unread")
    link.run()
    send_all(link.listener, there, b"unsent")
    for muxer in (link.listener, link.dialer):
        muxer.close(7)
        assert muxer.next_timeout() is None
        assert not muxer.can_open()
        with pytest.raises(ConnectionClosed):
            muxer.open_stream()
        assert muxer.handle_timeout(1e9) == []
    with pytest.raises(Ended):
        link.listener.send(there, b"more")
    assert link.listener.read(there, 100) == b"unread"
    assert link.is_empty()


def a_farewell_tells_the_peer(subject: Subject) -> None:
    if not subject.has_farewell:
        return
    link = Link(subject)
    link.opened()
    link.listener.close(0x1005)
    events, _ = link.run()
    (failed,) = events
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(failed.error, ConnectionClosed)
    assert (failed.error.code, failed.error.by) == (0x1005, "remote")
    assert not link.dialer.has_output


def an_idle_session_lives_on(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    for _ in range(1_000):
        link.now += 1.0
        for muxer in (link.dialer, link.listener):
            due = muxer.next_timeout()
            if due is not None and due <= link.now:
                assert [event for event in muxer.handle_timeout(link.now) if isinstance(event, ConnectionFailed)] == []
        events = link.run()
        assert [event for event in (*events[0], *events[1]) if isinstance(event, ConnectionFailed)] == []
    send_all(link.dialer, here, b"still there")
    link.run()
    assert link.listener.read(there, 100) == b"still there"


def nothing_received_means_nothing(subject: Subject) -> None:
    link = Link(subject)
    here, there = link.opened()
    send_all(link.dialer, here, b"\x05hello")
    record = b"".join(link.dialer.data_to_send())
    link.received(link.listener, record[:-3])
    for _ in range(3):
        assert link.listener.receive(b"", link.now) == []
    assert link.listener.read_message(there, 10) is None
    link.received(link.listener, record[-3:])
    assert link.listener.read_message(there, 10) == b"hello"


def memory_over_its_cap_costs_the_largest_unread_stream(subject: Subject) -> None:
    link = Link(subject)
    pairs = [link.opened() for _ in range(3)]
    for (here, _), size in zip(pairs, (10_000, 40_000, 20_000), strict=True):
        send_all(link.dialer, here, bytes(size))
    link.run()
    link.memories[1].limit = 65_000
    send_all(link.dialer, pairs[0][0], b"one more")
    _, events = link.run()
    resets = [event for event in events if isinstance(event, StreamWasReset)]
    assert [(event.stream_id, event.by_peer) for event in resets] == [(pairs[1][1], False)]
    assert not link.listener.knows(pairs[1][1])
    assert not link.dialer.knows(pairs[1][0])
    (reset,) = link.listener.reset_largest_unread()
    assert isinstance(reset, StreamWasReset)
    assert reset.stream_id == pairs[2][1]


CHECKS: list[Check] = [
    a_stream_is_announced_once_to_the_other_end,
    both_ends_open_streams,
    many_streams_do_not_mix,
    bytes_arrive_in_order_wherever_they_are_cut,
    opening_stops_at_a_limit,
    what_is_not_there_is_none_and_the_end_is_empty,
    bytes_are_read_in_any_portions,
    messages_are_read_whole,
    one_direction_ends_and_the_other_goes_on,
    a_stream_is_known_until_its_last_byte_was_read,
    a_reset_ends_both_directions,
    a_reset_after_the_end_leaves_what_came_before,
    what_goes_unread_is_told_and_nothing_else,
    a_stream_that_is_gone_is_unknown_to_every_verb,
    what_nobody_reads_is_dropped,
    frames_that_cross_the_end_of_a_stream_hurt_nobody,
    a_lot_of_data_crosses_in_both_directions,
    a_reader_who_does_not_read_stops_its_writer_and_nobody_else,
    a_writer_who_outran_the_socket_is_named_once_there_is_room,
    full_frames_are_sent_before_the_rest,
    a_reader_may_wait_for_more_than_a_window,
    garbage_ends_the_session_and_nothing_else,
    a_session_that_closes_is_over_but_what_came_can_be_read,
    a_farewell_tells_the_peer,
    an_idle_session_lives_on,
    nothing_received_means_nothing,
    memory_over_its_cap_costs_the_largest_unread_stream,
]
