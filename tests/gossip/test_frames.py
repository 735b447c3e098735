"""Cutting a stream into RPCs: every cut of the same bytes gives the same frames, and then the same fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.gossip.frames import Frames
from cortexnet.multiformats import varint

LIMIT = 1_000


def framed(*bodies: bytes) -> bytes:
    return b"".join(varint.encode(len(body)) + body for body in bodies)


def outcome(pieces: list[bytes]) -> tuple[list[bytes], str]:
    frames = Frames(LIMIT)
    taken = [frame for piece in pieces for frame in frames.take(piece)]
    return taken, repr(frames.fault)


def slices(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces, position = [], 0
    for cut in cuts:
        pieces.append(data[position : position + cut])
        position += cut
    return [*pieces, data[position:]]


@given(st.lists(st.binary(max_size=400), max_size=8), st.lists(st.integers(1, 300)))
def test_what_was_framed_comes_out_however_it_was_cut(bodies: list[bytes], cuts: list[int]) -> None:
    taken, fault = outcome(slices(framed(*bodies), cuts))
    assert taken == [body for body in bodies if body]
    assert fault == "None"


@given(st.binary(max_size=400), st.lists(st.integers(1, 20)))
def test_cutting_the_bytes_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    assert outcome(slices(data, cuts)) == outcome([data]) == outcome([bytes([byte]) for byte in data])


def test_a_length_over_the_limit_is_refused_before_its_body() -> None:
    for size in (LIMIT - 1, LIMIT):
        assert outcome([framed(b"x" * size)]) == ([b"x" * size], "None")
    frames = Frames(LIMIT)
    assert frames.take(framed(b"good") + varint.encode(LIMIT + 1)) == [b"good"]
    assert isinstance(frames.fault, MessageTooLarge)
    assert (frames.fault.size, frames.fault.limit) == (LIMIT + 1, LIMIT)
    assert frames.take(framed(b"late")) == []


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff" * 9])
def test_a_length_that_is_no_varint_is_a_violation(data: bytes) -> None:
    frames = Frames(LIMIT)
    assert frames.take(data) == []
    assert isinstance(frames.fault, ProtocolViolation)


def test_it_says_how_much_of_a_frame_is_missing() -> None:
    frames = Frames(LIMIT)
    assert frames.take(b"\x90") == []
    assert frames.missing == 0  # nobody knows yet
    assert frames.take(b"\x03" + b"x" * 100) == []
    assert frames.missing == 300
    assert frames.take(b"x" * 200) == []
    assert frames.missing == 100
    assert frames.take(b"x" * 100 + b"\x01y") == [b"x" * 400, b"y"]
    assert frames.missing == 0
