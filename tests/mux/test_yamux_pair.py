"""Two sessions over a wire that delays and cuts as it likes, while both applications do whatever the seam allows.

Both are honest, so neither may ever find fault with the other, whatever crosses on the way.
"""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cortexnet.errors import ConnectionClosed, LimitExceeded, RemoteError, StreamClosed
from cortexnet.multiformats import varint
from cortexnet.mux.inbox import Inbox
from cortexnet.mux.muxer import (
    ConnectionFailed,
    MuxEvent,
    RoundTripMeasured,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    StreamWritable,
)
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import RECORD_SIZE
from cortexnet.testing.adversary import AdversarialWire
from tests.support.yamux_session import Budget, check

# Small bounds, so that all of them are met.
CONFIG = YamuxConfig(
    max_window=1024 * 1024,
    max_inbound_streams=6,
    max_outbound_streams=8,
    ack_backlog=4,
    accept_rate=5,
    frames_at_once=2,
    opening_weight=1,
    useless_frames=64,  # the pings that each sends in the first second, and resets that cross: 3 were too few by chance
    stray_data=0,
    pong_backlog=2,
)
MEMORY = 1024 * 1024
SIDES = st.booleans()
PICKS = st.integers(0, 7)
CODES = st.integers(0, 0xFFFF_FFFF)
LARGE = [16_384, 65_536, 131_072, INITIAL_WINDOW, INITIAL_WINDOW, 400_000, 700_000, 900_000]
SIZES = st.one_of(st.integers(1, 40), st.integers(1, 3_000), st.sampled_from(LARGE))


@dataclass
class Half:
    """One direction of a stream, as its writer and reader know it."""

    written: bytearray = field(default_factory=bytearray)  # what the muxer took
    read: int = 0  # how much of it was read at the other end
    has_ended: bool = False  # the writer closed it
    is_complete: bool = False  # the reader saw the end


class End:
    """One session, its memory, and the wire that leads away from it."""

    def __init__(self, *, initiator: bool) -> None:
        self.memory = Budget(MEMORY)
        # One side can queue more than a window, the other must take turns.
        config = replace(CONFIG, outbox_share=400_000 if initiator else 20_000)
        self.core = Yamux(initiator=initiator, config=config, memory=self.memory)
        self.out = AdversarialWire()
        self.known: list[int] = []
        self.promised: dict[int, int] = {}  # the most a stream might ever hold
        self.is_over = False
        self.readable: set[int] = set()
        self.stopped: set[int] = set()  # writers who wait

    def pick(self, number: int) -> int | None:
        alive = [stream_id for stream_id in self.known if self.core.knows(stream_id)]
        return alive[number % len(alive)] if alive else None


def has_streams(machine: "YamuxPair") -> bool:
    return any(end.core.stream_count() for end in machine.ends.values())


class YamuxPair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.ends = {True: End(initiator=True), False: End(initiator=False)}
        self.halves: dict[tuple[bool, int], Half] = {}  # by writer
        self.pattern = 0
        self.said_goodbye = False

    @initialize(left=st.integers(0, 3), right=st.integers(0, 3))
    def start(self, left: int, right: int) -> None:
        for end in self.ends.values():
            assert end.core.handle_timeout(self.now) == []
        for _ in range(left):
            self.open(True)
        for _ in range(right):
            self.open(False)
        self.arrive_all(True)
        self.arrive_all(False)

    # --- what applications do

    @rule(side=SIDES)
    def open(self, side: bool) -> None:
        end = self.ends[side]
        could = end.core.can_open()
        try:
            stream_id = end.core.open_stream()
        except (LimitExceeded, ConnectionClosed):
            assert not could
            return
        assert could
        assert (stream_id % 2 == 1) == side
        end.known.append(stream_id)
        for writer in (True, False):
            self.halves[writer, stream_id] = Half()

    @precondition(has_streams)
    @rule(side=SIDES, pick=PICKS, size=SIZES, as_message=st.booleans())
    def write(self, side: bool, pick: int, size: int, as_message: bool) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return
        half = self.halves[side, stream_id]
        self.pattern = (self.pattern + 1) % 251
        data = bytes((self.pattern + index) % 256 for index in range(min(size, 1_000))) * (size // 1_000 + 1)
        data = (varint.encode(size) if as_message else b"") + data[:size]
        try:
            taken = end.core.send(stream_id, memoryview(data) if size % 2 else data)
        except StreamClosed:
            assert half.has_ended or end.is_over or end.core._streams[stream_id].reset
            return
        assert not half.has_ended
        assert 0 <= taken <= len(data)
        half.written += data[:taken]
        if taken < len(data):
            end.stopped.add(stream_id)

    @precondition(has_streams)
    @rule(side=SIDES, pick=PICKS, size=SIZES, how=st.sampled_from(["some", "all", "exactly", "message", "stop"]))
    def take(self, side: bool, pick: int, size: int, how: str) -> None:
        if how == "some":
            self.read(side, pick, size)
        elif how == "all":
            while self.read(side, pick, size):
                pass
        elif how == "exactly":
            self.read_exactly(side, pick, size)
        elif how == "message":
            self.read_message(side, pick, size)
        else:
            self.expect(side, pick, 0)

    def read(self, side: bool, pick: int, size: int) -> bool:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return False
        there = end.core.readable_bytes(stream_id)
        data = end.core.read(stream_id, size)
        assert bool(data) == bool(there)
        if data == b"":
            self.ended(side, stream_id)
        self.took(side, stream_id, data or b"", size)
        return bool(data)

    def read_exactly(self, side: bool, pick: int, size: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return
        there = end.core.readable_bytes(stream_id)
        data = end.core.read_exactly(stream_id, size)
        assert (data is None) == (size > there)
        assert data is None or len(data) == size
        self.took(side, stream_id, data or b"", size)

    def read_message(self, side: bool, pick: int, limit: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return
        half = self.halves[not side, stream_id]
        there = end.core.readable_bytes(stream_id)
        model = Inbox()
        if there:
            model.append(bytes(half.written[half.read : half.read + there]))
        try:
            expected = model.take_message(limit)
        except RemoteError as error:
            with pytest.raises(type(error)):
                end.core.read_message(stream_id, limit)
            assert end.core.readable_bytes(stream_id) == there
            return
        assert end.core.read_message(stream_id, limit) == expected
        if expected is not None:
            half.read += len(varint.encode(len(expected))) + len(expected)

    @precondition(has_streams)
    @rule(side=SIDES, pick=PICKS, size=st.one_of(SIZES, st.integers(INITIAL_WINDOW, MEMORY)))
    def expect(self, side: bool, pick: int, size: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return
        used = end.memory.used
        try:
            end.core.expect(stream_id, size)
        except LimitExceeded:
            assert size + size // 8 > MEMORY - 65_537
            assert end.memory.used == used

    @precondition(has_streams)
    @rule(
        side=SIDES,
        pick=PICKS,
        code=CODES,
        how=st.sampled_from(["write", "write", "close", "read", "reset"]),
    )
    def end(self, side: bool, pick: int, code: int, how: str) -> None:
        if how in ("write", "close"):
            self.close_write(side, pick)
        if how in ("read", "close"):
            self.discard_reads(side, pick)
        if how == "reset":
            self.reset(side, pick, code)

    def close_write(self, side: bool, pick: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is not None:
            end.core.close_write(stream_id)
            self.halves[side, stream_id].has_ended = True
            end.stopped.discard(stream_id)

    def discard_reads(self, side: bool, pick: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is not None:
            end.core.discard_reads(stream_id)
            end.known.remove(stream_id)  # nobody reads it: nothing is checked of it but the books
            end.stopped.discard(stream_id)

    def reset(self, side: bool, pick: int, code: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is not None:
            end.core.reset(stream_id, code)
            assert not end.core.knows(stream_id)

    @precondition(lambda self: not self.said_goodbye and len(self.halves) > 16)
    @rule(side=SIDES, code=CODES, sure=st.integers(0, 9))
    def say_goodbye(self, side: bool, code: int, sure: int) -> None:
        if sure:
            return  # seldom: it ends everything
        self.said_goodbye = True
        end = self.ends[side]
        end.core.close(code)
        end.is_over = True
        end.stopped.clear()

    # --- what the network does

    @rule(side=SIDES, how=st.sampled_from(["a record", "full frames", "all"]))
    def send(self, side: bool, how: str) -> None:
        self.flush(side, how == "full frames")
        while how == "all" and self.ends[side].core.has_output:
            self.flush(side, False)

    def flush(self, side: bool, full_frames_only: bool) -> None:
        end = self.ends[side]
        record = b"".join(end.core.data_to_send(full_frames_only=full_frames_only))
        assert len(record) <= RECORD_SIZE
        end.out.send(record)
        for stream_id in end.core.drained:
            end.stopped.discard(stream_id)
        end.core.drained.clear()

    @rule(side=SIDES, size=st.one_of(st.integers(0, 30), st.integers(1, 3_000), st.integers(1, 400_000)))
    def deliver(self, side: bool, size: int) -> None:
        other = self.ends[not side]
        other.out.send(b"".join(other.core.data_to_send()))
        self.heard(side, self.ends[side].core.receive(other.out.deliver(size), self.now))

    @rule(side=SIDES)
    def deliver_everything(self, side: bool) -> None:
        self.arrive_all(not side)

    @rule(seconds=st.one_of(st.floats(0.0, 0.2), st.floats(0.0, 5.0)))
    def let_time_pass(self, seconds: float) -> None:
        """No wire is silent for so long that it counts as dead: what is on its way arrives before."""
        self.now += seconds
        for side, end in self.ends.items():
            heard = end.core._liveness.heard
            if heard is not None and self.now - heard > 30.0:
                self.arrive_all(not side)
                end.out.send(b"".join(end.core.data_to_send()))
                self.arrive_all(side)
        for side, end in self.ends.items():
            for _ in range(5):
                due = end.core.next_timeout()
                assert not end.core.timeout_moved
                if due is None or due > self.now:
                    break
                self.heard(side, end.core.handle_timeout(self.now))

    def arrive_all(self, side: bool) -> None:
        """Everything that one side has to say is heard by the other."""
        end, other = self.ends[side], self.ends[not side]
        while True:
            end.out.send(b"".join(end.core.data_to_send()))
            if not len(end.out) and not other.core.has_backlog:
                return
            self.heard(not side, other.core.receive(end.out.deliver(1 << 30), self.now))

    # --- what comes of it

    def took(self, side: bool, stream_id: int, data: bytes, limit: int) -> None:
        """What is read is a prefix of what was written."""
        half = self.halves[not side, stream_id]
        assert len(data) <= limit
        assert data == half.written[half.read : half.read + len(data)]
        half.read += len(data)

    def ended(self, side: bool, stream_id: int) -> None:
        """An end is seen only behind the last byte, and only where the writer made one."""
        half = self.halves[not side, stream_id]
        assert half.has_ended
        assert half.read == len(half.written)
        half.is_complete = True

    def heard(self, side: bool, events: list[MuxEvent]) -> None:
        end = self.ends[side]
        seen = set()
        for event in events:
            assert not end.is_over
            if isinstance(event, StreamOpened):
                assert (event.stream_id % 2 == 1) != side
                end.known.append(event.stream_id)
            elif isinstance(event, StreamReadable):
                assert event.stream_id not in seen
                seen.add(event.stream_id)
            elif isinstance(event, StreamWritable):
                end.stopped.discard(event.stream_id)
            elif isinstance(event, StreamWasReset):
                assert event.by_peer or event.code == 0x1002
                end.stopped.discard(event.stream_id)
            elif isinstance(event, ConnectionFailed):
                assert self.said_goodbye, event.error
                assert isinstance(event.error, ConnectionClosed)
                end.is_over = True
                end.stopped.clear()
            else:
                assert isinstance(event, RoundTripMeasured)

    @invariant()
    def the_books_of_both_agree_with_what_there_is(self) -> None:
        for end in self.ends.values():
            check(end.core, end.memory)
            assert end.memory.used <= MEMORY + RECORD_SIZE * 8 or not end.core._streams

    @invariant()
    def no_inbox_exceeds_its_window_plus_what_was_demanded(self) -> None:
        for end in self.ends.values():
            for stream in end.core._streams.values():
                most = end.promised[stream.id] = max(end.promised.get(stream.id, 0), stream.window.promised)
                if not stream.is_draining:  # a demand may have been granted, met and ended between two looks
                    assert stream.inbox.size + stream.window.credit <= most

    @invariant()
    def nobody_has_more_streams_than_allowed(self) -> None:
        for end in self.ends.values():
            table = end.core._table
            assert table.inbound <= CONFIG.max_inbound_streams
            assert table.outbound <= CONFIG.max_outbound_streams
            assert table.unacknowledged <= CONFIG.ack_backlog

    @invariant()
    def a_writer_who_waits_is_waited_for(self) -> None:
        """Somebody will wake it: credit that is not there yet, or a record that has not left yet."""
        for end in self.ends.values():
            for stream_id in end.stopped:
                stream = end.core._streams.get(stream_id)
                if stream is not None and stream_id not in end.core.drained:
                    assert stream.stopped
                    assert not stream.send_window or stream.outbox.size

    def teardown(self) -> None:
        """Let everything arrive and be read: nothing is missing. Then all books are empty."""
        for end in self.ends.values():
            for stream_id in list(end.core._streams):
                end.core.expect(stream_id, 0)
        for _ in range(200):
            moved = False
            for side, end in self.ends.items():
                moved = moved or end.core.has_output or len(end.out) > 0
                self.arrive_all(side)
            for side, end in self.ends.items():
                for stream_id in end.known:
                    while end.core.knows(stream_id) and (data := end.core.read(stream_id, 100_000)):
                        self.took(side, stream_id, data, 100_000)
                        moved = True
            if not moved:
                break
        else:
            raise AssertionError("the sessions never come to rest")
        for side, end in self.ends.items():
            other = self.ends[not side]
            for stream_id in end.known:
                if end.core.knows(stream_id) and other.core.knows(stream_id) and not (end.is_over or other.is_over):
                    half = self.halves[not side, stream_id]
                    assert half.read == len(half.written)
                    assert end.core.is_finished(stream_id) == half.has_ended
        self.now += 2.0
        for side, end in self.ends.items():
            self.heard(side, end.core.handle_timeout(self.now))  # acknowledgements that were held back
        for side in self.ends:
            self.arrive_all(side)
        for end in self.ends.values():
            assert end.is_over or end.core._table.unacknowledged <= max(0, CONFIG.ack_backlog)
            for stream_id in list(end.core._streams):
                end.core.reset(stream_id)
            check(end.core, end.memory)
            assert end.memory.used == 0
            assert end.core.stream_count() == 0


TestYamuxPair = YamuxPair.TestCase
CHOSEN = settings()
TestYamuxPair.settings = settings(
    max_examples=max(CHOSEN.max_examples, 200), stateful_step_count=max(CHOSEN.stateful_step_count, 60)
)
