"""Two sessions over a wire that delays and cuts as it likes, while both applications do whatever the seam allows.

Both are honest, so neither may ever find fault with the other, whatever crosses on the way. What is not read costs its stream.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cortexnet.errors import LimitExceeded, StreamClosed
from cortexnet.mux.mplex import Mplex
from cortexnet.mux.mplex_config import MplexConfig
from cortexnet.mux.mplex_frames import key_of
from cortexnet.mux.muxer import MuxEvent, StreamOpened, StreamReadable, StreamWasReset
from cortexnet.mux.outbox import RECORD_SIZE
from cortexnet.testing.adversary import AdversarialWire
from tests.support.mplex_session import check
from tests.support.yamux_session import Budget

# Small bounds, so that all of them are met; no patience, since honest peers need none.
CONFIG = MplexConfig(
    unread_limit=200_000,
    outbox_share=100_000,
    max_inbound_streams=5,
    max_outbound_streams=7,
    frames_at_once=2,
    opening_weight=1,
    useless_frames=0,
    stray_data=0,
    late_data=1 << 40,  # the wire may hold any amount
)
MEMORY = 600_000
SIDES = st.booleans()
PICKS = st.integers(0, 7)
SIZES = st.one_of(st.integers(1, 40), st.integers(1, 3_000), st.sampled_from([16_384, 65_536, 100_000, 150_000]))


@dataclass
class Half:
    """One direction of a stream, as its writer and reader know it."""

    written: bytearray = field(default_factory=bytearray)  # what the muxer took
    read: int = 0  # how much of it was read at the other end
    has_ended: bool = False  # the writer closed it


class End:
    """One session, its memory, and the wire that leads away from it."""

    def __init__(self, *, initiator: bool) -> None:
        self.memory = Budget(MEMORY)
        self.core = Mplex(initiator=initiator, config=CONFIG, memory=self.memory)
        self.out = AdversarialWire()
        self.known: list[int] = []
        self.stopped: set[int] = set()  # writers who wait

    def pick(self, number: int) -> int | None:
        alive = [stream_id for stream_id in self.known if self.core.knows(stream_id)]
        return alive[number % len(alive)] if alive else None


def other_name(stream_id: int) -> int:
    """What the other side calls the stream."""
    return key_of(stream_id >> 1, ours=not stream_id & 1)


class MplexPair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.ends = {True: End(initiator=True), False: End(initiator=False)}
        self.halves: dict[tuple[bool, int], Half] = {}  # by writer, and what the writer calls it
        self.pattern = 0

    # --- what applications do

    @rule(side=SIDES)
    def open(self, side: bool) -> None:
        end = self.ends[side]
        could = end.core.can_open()
        try:
            stream_id = end.core.open_stream()
        except LimitExceeded:
            assert not could
            return
        assert could
        end.known.append(stream_id)
        self.halves[side, stream_id] = Half()
        self.halves[not side, other_name(stream_id)] = Half()

    @precondition(lambda self: self.halves)
    @rule(side=SIDES, pick=PICKS, size=SIZES)
    def write(self, side: bool, pick: int, size: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return
        half = self.halves[side, stream_id]
        self.pattern = (self.pattern + 1) % 251
        data = (bytes((self.pattern + index) % 256 for index in range(min(size, 1_000))) * (size // 1_000 + 1))[:size]
        try:
            taken = end.core.send(stream_id, memoryview(data) if size % 2 else data)
        except StreamClosed:
            assert half.has_ended or end.core._streams[stream_id].reset
            return
        half.written += data[:taken]
        if taken < len(data):
            end.stopped.add(stream_id)

    @precondition(lambda self: self.halves)
    @rule(side=SIDES, pick=PICKS, size=SIZES, exactly=st.booleans())
    def read(self, side: bool, pick: int, size: int, exactly: bool) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return
        there = end.core.readable_bytes(stream_id)
        data = end.core.read_exactly(stream_id, size) if exactly else end.core.read(stream_id, size)
        if exactly:
            assert (data is None) == (size > there)
        elif data == b"":
            half = self.halves[not side, other_name(stream_id)]
            assert half.has_ended
            assert half.read == len(half.written)
        self.took(side, stream_id, data or b"")

    @precondition(lambda self: self.halves)
    @rule(side=SIDES, pick=PICKS, size=st.one_of(st.just(0), SIZES, st.integers(1, 2 * MEMORY)))
    def expect(self, side: bool, pick: int, size: int) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None or size < end.core._streams[stream_id].awaited:
            return  # less would make what has come already too much: as a shell does it, that is seen with the next byte
        try:
            end.core.expect(stream_id, size)
        except LimitExceeded:
            assert size + size // 16 > MEMORY

    @precondition(lambda self: self.halves)
    @rule(side=SIDES, pick=PICKS, how=st.sampled_from(["write", "write", "close", "read", "reset"]))
    def end(self, side: bool, pick: int, how: str) -> None:
        end = self.ends[side]
        stream_id = end.pick(pick)
        if stream_id is None:
            return
        end.stopped.discard(stream_id)
        if how == "reset":
            end.core.reset(stream_id)
            return
        if how in ("write", "close"):
            end.core.close_write(stream_id)
            self.halves[side, stream_id].has_ended = True
        if how in ("read", "close") and end.core.knows(stream_id):
            end.core.discard_reads(stream_id)
            end.known.remove(stream_id)  # nobody reads it: nothing is checked of it but the books

    # --- what the network does

    @rule(side=SIDES, full_frames_only=st.booleans())
    def send(self, side: bool, full_frames_only: bool) -> None:
        self.flush(side, full_frames_only=full_frames_only)

    def flush(self, side: bool, *, full_frames_only: bool = False) -> None:
        end = self.ends[side]
        record = b"".join(end.core.data_to_send(full_frames_only=full_frames_only))
        assert len(record) <= RECORD_SIZE
        end.out.send(record)
        end.stopped -= end.core.drained.keys()
        end.core.drained.clear()

    @rule(side=SIDES, size=st.one_of(st.integers(0, 30), st.integers(1, 3_000), st.integers(1, 400_000)))
    def deliver(self, side: bool, size: int) -> None:
        self.flush(not side)
        self.heard(side, self.ends[side].core.receive(self.ends[not side].out.deliver(size), self.now))

    @rule(side=SIDES)
    def arrive_all(self, side: bool) -> None:
        """Everything that one side has to say is heard by the other."""
        end, other = self.ends[side], self.ends[not side]
        while end.core.has_output or len(end.out) or other.core.has_backlog:
            self.flush(side)
            self.heard(not side, other.core.receive(end.out.deliver(1 << 30), self.now))

    @rule(seconds=st.one_of(st.floats(0.0, 0.5), st.floats(0.0, 100.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        for end in self.ends.values():
            due = end.core.next_timeout()
            assert not end.core.timeout_moved
            if due is not None and due <= self.now:
                assert end.core.handle_timeout(self.now) == []

    # --- what comes of it

    def took(self, side: bool, stream_id: int, data: bytes) -> None:
        """What is read is a prefix of what was written."""
        half = self.halves[not side, other_name(stream_id)]
        assert data == half.written[half.read : half.read + len(data)]
        half.read += len(data)

    def heard(self, side: bool, events: list[MuxEvent]) -> None:
        end = self.ends[side]
        seen = set()
        for event in events:
            if isinstance(event, StreamOpened):
                end.known.append(event.stream_id)
            elif isinstance(event, StreamReadable):
                assert event.stream_id not in seen
                seen.add(event.stream_id)
            else:
                assert isinstance(event, StreamWasReset)
                assert event.code == (0 if event.by_peer else 0x1002)
                end.stopped.discard(event.stream_id)

    @invariant()
    def the_books_of_both_agree_with_what_there_is(self) -> None:
        for end in self.ends.values():
            check(end.core, end.memory)
            assert end.memory.used <= MEMORY
            assert end.core._inbound <= CONFIG.max_inbound_streams
            assert end.core._outbound <= CONFIG.max_outbound_streams

    @invariant()
    def a_writer_who_waits_is_waited_for(self) -> None:
        """Bytes of it are queued, and it is named once they have left."""
        for end in self.ends.values():
            for stream_id in end.stopped:
                stream = end.core._streams.get(stream_id)
                if stream is not None and stream_id not in end.core.drained:
                    assert stream.stopped
                    assert stream.outbox.size

    def teardown(self) -> None:
        """Let everything arrive and be read: nothing is missing. Then all books are empty."""
        for _ in range(3):
            for side in self.ends:
                self.arrive_all(side)
        for side, end in self.ends.items():
            for stream_id in end.known:
                while end.core.knows(stream_id) and (data := end.core.read(stream_id, 100_000)):
                    self.took(side, stream_id, data)
                if end.core.knows(stream_id) and self.ends[not side].core.knows(other_name(stream_id)):
                    half = self.halves[not side, other_name(stream_id)]
                    assert half.read == len(half.written)
                    assert end.core.is_finished(stream_id) == half.has_ended
        for end in self.ends.values():
            for stream_id in list(end.core._streams):
                end.core.reset(stream_id)
            assert end.memory.used == 0
            assert end.core.stream_count() == 0


TestMplexPair = MplexPair.TestCase
CHOSEN = settings()
TestMplexPair.settings = settings(
    max_examples=max(CHOSEN.max_examples, 200), stateful_step_count=max(CHOSEN.stateful_step_count, 60)
)
