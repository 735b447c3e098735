"""Twice the bytes are at most 2.3 times the work, whatever the bytes are: calls are counted, and bytes that are copied."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import SupportsIndex

import pytest

from cortexnet.mux.mplex import Mplex
from cortexnet.mux.mplex_config import MplexConfig
from cortexnet.mux.mplex_frames import NEW, frame
from tests.support.mplex_session import ROOMY, data, drain, ended, opened, reset, theirs
from tests.support.yamux_session import Budget

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


def receive(core: Mplex, wire: bytes, size: int) -> None:
    """All of it, in pieces of that size; what is answered leaves at once."""
    for start in range(0, len(wire), size):
        core.receive(wire[start : start + size], 0.0)
        while core.has_backlog:
            core.receive(b"", 0.0)
        drain(core)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "single bytes": lambda count: opened(1) + data(1, b"x") * count,
    "bodies between two sizes": lambda count: opened(1) + (data(1, bytes(1_024)) + data(1, b"x")) * (count // 16),
    "empty frames": lambda count: opened(1) + data(1, b"") * count,
    "resets of nothing": lambda count: reset(1) * count,
    "ends of nothing": lambda count: ended(1) * count,
    "stray data": lambda count: data(99, bytes(10)) * count,
    "names": lambda count: b"".join(frame(n, NEW, ours=True, body=bytes(200)) for n in range(count)),
    "streams": lambda count: b"".join(opened(number) for number in range(count)),
    "streams opened and reset": lambda count: b"".join(opened(number) + reset(number) for number in range(count)),
    "one stream opened and reset": lambda count: (opened(1) + reset(1)) * count,
    "streams with data": lambda count: b"".join(opened(number) + data(number, bytes(100)) for number in range(count)),
    "data after the end": lambda count: b"".join(opened(n) + ended(n) + data(n, b"x") for n in range(count)),
}


@pytest.mark.parametrize("size", [1, 37, 65_000], ids=["byte by byte", "in small pieces", "in records"])
@pytest.mark.parametrize("flood", list(FLOODS))
def test_twice_the_frames_are_twice_the_work(flood: str, size: int) -> None:
    def work(count: int) -> int:
        core = Mplex(initiator=False, config=replace(ROOMY, max_inbound_streams=1 << 40), memory=Budget(16 * MIB))
        wire = FLOODS[flood](count)
        return calls(lambda: receive(core, wire, size))

    small = 300 if size == 1 else 1_500
    assert work(2 * small) <= FACTOR * work(small)


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
    core = Mplex(initiator=False, config=MplexConfig(frames_at_once=10))
    core.receive(opened(1), 0.0)
    Counted.copied = 0
    core.receive(wire, 0.0)
    while core.has_backlog:
        core.receive(b"", 0.0)
    assert core.readable_bytes(theirs(1)) == 200_000 // body * body
    assert Counted.copied <= len(wire)


def test_sending_on_many_streams_is_linear() -> None:
    def work(count: int) -> int:
        core = Mplex(initiator=False, config=ROOMY)
        receive(core, b"".join(opened(number) for number in range(count)), 65_000)
        for number in range(count):
            core.send(theirs(number), bytes(5_000))
        return calls(lambda: drain(core))

    assert work(1_000) <= FACTOR * work(500)
