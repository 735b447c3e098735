"""Twice the bytes are at most 2.3 times the work, whatever the bytes are: calls are counted, and bytes that are copied."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import SupportsIndex

import pytest

from cortexnet.multiformats import varint
from cortexnet.mux.muxer import MuxEvent, StreamOpened
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import RST, SYN, WINDOW_UPDATE, pack
from tests.support.yamux_session import ROOMY, Budget, acked, credit, data, drain, ended, exchange, opened, ping, reset

FACTOR = 2.3
MIB = 1024 * 1024


def calls(work: Callable[[], object]) -> int:
    """How many functions, those of C included, are called meanwhile."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def receive(core: Yamux, wire: bytes, size: int) -> list[MuxEvent]:
    """All of it, in pieces of that size; what is answered leaves at once."""
    events: list[MuxEvent] = []
    for start in range(0, len(wire), size):
        events += core.receive(wire[start : start + size], 0.0)
        while core.has_backlog:
            events += core.receive(b"", 0.0)
        drain(core)
    return events


STREAMS = range(1, 2_001, 2)
FLOODS: dict[str, Callable[[int], bytes]] = {
    "single bytes": lambda count: opened(1) + data(1, b"x") * count,
    "bodies between two sizes": lambda count: opened(1) + (data(1, bytes(1_024)) + data(1, b"x")) * (count // 16),
    "empty frames": lambda count: opened(1) + data(1, b"") * count,
    "pings": lambda count: ping(7) * count,
    "pongs": lambda count: pack(0x0002_0002, 0, 7) * count,
    "credit of one": lambda count: opened(1) + credit(1, 1) * count,
    "credit for nobody": lambda count: credit(77, 1) * count,
    "acknowledgements": lambda count: opened(1) + acked(1) * count,
    "resets of nothing": lambda count: reset(1) * count,
    "ends of nothing": lambda count: ended(1) * count,
    "stray data": lambda count: data(99, bytes(10)) * count,
    "streams": lambda count: b"".join(opened(2 * number + 1) for number in range(count)),
    "streams opened and reset": lambda count: b"".join(opened(2 * n + 1) + reset(2 * n + 1) for n in range(count)),
    "one stream opened and reset": lambda count: (opened(1) + reset(1)) * count,
    "streams of one frame": lambda count: pack(WINDOW_UPDATE | SYN | RST, 1, 0) * count,
    "streams with data": lambda count: b"".join(data(2 * number + 1, bytes(100), SYN) for number in range(count)),
}


@pytest.mark.parametrize("size", [1, 37, 65_000], ids=["byte by byte", "in small pieces", "in records"])
@pytest.mark.parametrize("flood", list(FLOODS))
def test_twice_the_frames_are_twice_the_work(flood: str, size: int) -> None:
    def work(count: int) -> int:
        core = Yamux(initiator=False, config=ROOMY, memory=Budget(16 * MIB))
        wire = FLOODS[flood](count)
        return calls(lambda: receive(core, wire, size))

    small = 300 if size == 1 else 1_500
    assert work(2 * small) <= FACTOR * work(small)


def test_acknowledgements_that_are_held_back_cost_no_more_the_more_there_are() -> None:
    def work(count: int) -> int:
        core = Yamux(initiator=False, config=YamuxConfig(accept_rate=1, max_inbound_streams=100, control_backlog=1 << 30))
        core.receive(b"".join(opened(stream_id) for stream_id in range(1, 101, 2)), 0.0)
        return calls(lambda: receive(core, (opened(1_001) + reset(1_001)) * count, 65_000))

    assert work(4_000) <= FACTOR * work(2_000)


def test_a_peer_whose_streams_all_linger_pays_for_each_new_one_the_same() -> None:
    def work(count: int) -> int:
        core = Yamux(initiator=False, config=YamuxConfig(max_inbound_streams=1_000, control_backlog=1 << 30))
        for event in receive(core, b"".join(opened(stream_id) for stream_id in STREAMS), 65_000):
            assert isinstance(event, StreamOpened)
            core.close_write(event.stream_id)
            core.discard_reads(event.stream_id)
        wire = b"".join(opened(10_001 + 2 * number) for number in range(count))
        return calls(lambda: receive(core, wire, 65_000))

    assert work(800) <= FACTOR * work(400)


class Counted(bytes):
    """Bytes that count how many of them are copied out."""

    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> "int | bytes":  # type: ignore[override]
        part = super().__getitem__(key)
        if isinstance(part, bytes) and len(part) < len(self):
            Counted.copied += len(part)
        return part


@pytest.mark.parametrize("body", [1, 100, 5_000])
def test_a_byte_is_copied_once_however_many_calls_a_chunk_takes(body: int) -> None:
    wire = Counted(data(1, bytes(body)) * (200_000 // body))
    core = Yamux(initiator=False, config=YamuxConfig(max_window=16 * MIB, frames_at_once=10))
    core.receive(opened(1), 0.0)
    core.expect(1, MIB)
    Counted.copied = 0
    core.receive(wire, 0.0)
    while core.has_backlog:
        core.receive(b"", 0.0)
    assert core.readable_bytes(1) == 200_000 // body * body
    assert Counted.copied <= len(wire)


def test_reading_and_writing_messages_is_linear() -> None:
    def work(count: int) -> int:
        left, right = Yamux(initiator=True), Yamux(initiator=False)
        stream_id = left.open_stream()
        exchange(left, right, 0.0)
        message = varint.encode(100) + bytes(100)

        def talk() -> None:
            for _ in range(count):
                assert left.send(stream_id, message) == len(message)
                if left.queued(stream_id) > 50_000:
                    exchange(left, right, 0.0)
                    while right.read_message(stream_id, 1_000) is not None:
                        pass
                    exchange(left, right, 0.0)

        return calls(talk)

    assert work(8_000) <= FACTOR * work(4_000)


def test_reading_a_byte_at_a_time_is_linear() -> None:
    def work(count: int) -> int:
        core = Yamux(initiator=False, config=ROOMY)
        core.receive(opened(1) + data(1, bytes(count)), 0.0)

        def read() -> None:
            while core.read(1, 1):
                pass

        return calls(read)

    assert work(20_000) <= FACTOR * work(10_000)


def test_waking_for_a_message_that_grows_costs_the_same_each_time() -> None:
    def work(count: int) -> int:
        core = Yamux(initiator=False, config=ROOMY)
        core.receive(opened(1) + data(1, varint.encode(200_000)), 0.0)

        def wake() -> None:
            for _ in range(count):
                core.receive(data(1, bytes(10)), 0.0)
                assert core.read_message(1, 1_000_000) is None
                assert core.message_wanted(1) == 200_003

        return calls(wake)

    assert work(4_000) <= FACTOR * work(2_000)


def test_sending_on_many_streams_is_linear() -> None:
    def work(count: int) -> int:
        core = Yamux(initiator=False, config=ROOMY)
        core.receive(b"".join(opened(2 * number + 1) for number in range(count)), 0.0)
        while core.has_backlog:
            core.receive(b"", 0.0)
        for number in range(count):
            core.send(2 * number + 1, bytes(5_000))
        return calls(lambda: drain(core))

    assert work(1_000) <= FACTOR * work(500)
