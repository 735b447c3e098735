"""WebSocket frames: golden bytes, every cut, and what a hostile peer may send."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Oracle
from websockets.protocol import Side, State

from cortexnet.errors import ProtocolViolation
from cortexnet.transport.websocket_frames import FRAMES_AT_ONCE, MESSAGE_SIZE, NO_CODE, FrameReader, FrameWriter

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "websocket.json").read_text(encoding="utf-8"))
KEY = bytes.fromhex("37fa213d")
USELESS = 1_000


def reader(*, is_server: bool = False, useless: int = USELESS) -> FrameReader:
    return FrameReader(is_server=is_server, useless_frames=useless)


def read_all(frames: FrameReader, *chunks: bytes, now: float = 0.0) -> bytes:
    """All payload of these chunks, with whatever calls that takes."""
    payload = b""
    for chunk in chunks:
        payload += b"".join(bytes(piece) for piece in frames.receive(chunk, now))
        while frames.has_backlog:
            payload += b"".join(bytes(piece) for piece in frames.receive(b"", now))
    return payload


def outcome(frames: FrameReader, payload: bytes) -> tuple[object, ...]:
    return payload, str(frames.error), frames.close_code, frames.ping


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"", reserved: int = 0) -> bytes:
    """A frame, honest or not."""
    length = len(payload)
    extended = b"" if length < 126 else length.to_bytes(2, "big") if length < 65_536 else length.to_bytes(8, "big")
    short = length if length < 126 else 126 if length < 65_536 else 127
    head = bytes(((0x80 if fin else 0) | reserved << 4 | opcode, (0x80 if mask else 0) | short)) + extended + mask
    return head + (bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)) if mask else payload)


# --- golden bytes


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_frames_are_those_of_others(vector: dict[str, str]) -> None:
    is_server = vector["from"] == "client"
    frames = reader(is_server=is_server)
    payload = read_all(frames, bytes.fromhex(vector["bytes"]))
    assert payload == bytes.fromhex(vector.get("payload", ""))
    assert (frames.error, frames.close_code, frames.ping) == (
        None,
        vector.get("close_code"),
        bytes.fromhex(vector["ping"]) if "ping" in vector else None,
    )


def test_a_clients_proposal_of_noise_is_that_of_the_specification() -> None:
    writer = FrameWriter(lambda: bytes(4))
    expected = "829c00000000132f6d756c746973747265616d2f312e302e300a072f6e6f6973650a"
    assert b"".join(writer.message(b"\x13/multistream/1.0.0\n\x07/noise\n")).hex() == expected


# --- the library is the oracle


@given(st.lists(st.binary(min_size=1, max_size=70_000), max_size=4), st.booleans())
def test_the_library_reads_what_we_write(messages: list[bytes], is_client: bool) -> None:
    writer = FrameWriter((lambda: os.urandom(4)) if is_client else None)
    oracle = Oracle(Side.SERVER if is_client else Side.CLIENT, state=State.OPEN)
    for message in messages:
        oracle.receive_data(b"".join(writer.message(message)))
    oracle.receive_data(writer.pong(b"abc") + writer.close(1000))
    events = [event for event in oracle.events_received() if isinstance(event, Frame)]
    assert [bytes(event.data) for event in events[: len(messages)]] == messages
    assert [event.opcode for event in events[len(messages) :]] == [Opcode.PONG, Opcode.CLOSE]
    assert oracle.close_rcvd is not None
    assert oracle.close_rcvd.code == 1000


@given(st.lists(st.tuples(st.binary(max_size=3_000), st.booleans()), max_size=6), st.booleans(), st.lists(st.integers(1, 2_000)))
def test_we_read_what_the_library_writes_wherever_it_is_cut(
    parts: list[tuple[bytes, bool]], is_client: bool, cuts: list[int]
) -> None:
    oracle = Oracle(Side.CLIENT if is_client else Side.SERVER, state=State.OPEN)
    within = False
    for payload, is_last in parts:
        (oracle.send_continuation if within else oracle.send_binary)(payload, is_last)
        within = not is_last
        oracle.send_ping(payload[:5])
    data = b"".join(oracle.data_to_send())
    frames = reader(is_server=is_client)
    assert read_all(frames, *slices(data, cuts)) == b"".join(payload for payload, _ in parts)
    assert frames.error is None


def slices(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces, position = [], 0
    for cut in cuts:
        pieces.append(data[position : position + cut])
        position += cut
    return [*pieces, data[position:]]


# --- hostile bytes


ANY_FRAMES = st.lists(
    st.builds(
        frame,
        st.sampled_from([0, 1, 2, 2, 2, 3, 8, 9, 10, 11]),
        st.binary(max_size=140),
        fin=st.booleans(),
        mask=st.sampled_from([b"", KEY]),
        reserved=st.sampled_from([0, 0, 0, 0, 4]),
    ),
    max_size=6,
).map(b"".join)


@given(st.one_of(st.binary(max_size=300), ANY_FRAMES), st.lists(st.integers(1, 60)), st.booleans())
def test_cutting_the_bytes_elsewhere_changes_nothing(data: bytes, cuts: list[int], is_server: bool) -> None:
    whole, cut, single = (reader(is_server=is_server, useless=2) for _ in range(3))
    expected = outcome(whole, read_all(whole, data))
    assert outcome(cut, read_all(cut, *slices(data, cuts))) == expected
    assert outcome(single, read_all(single, *[bytes([byte]) for byte in data])) == expected


BAD = {
    "an unmasked frame of a client": (True, frame(2, b"abc"), "not masked"),
    "a masked frame of a server": (False, frame(2, b"abc", mask=KEY), "is masked"),
    "an extension": (False, frame(2, b"abc", reserved=4), "extension"),
    "an unknown kind": (False, frame(3, b"abc"), "no known kind"),
    "an unknown control frame": (False, frame(11, b"abc"), "no known kind"),
    "a long ping": (False, frame(9, bytes(126)), "control frame"),
    "a ping in fragments": (False, frame(9, b"abc", fin=False), "control frame"),
    "a continuation of nothing": (False, frame(0, b"abc"), "continues no message"),
    "a message within another": (False, frame(2, b"", fin=False) + frame(2, b"abc"), "within another"),
    "half a close code": (False, frame(8, b"\x03"), "half a code"),
    "a length of more than 63 bits": (False, b"\x82\x7f" + b"\xff" * 8, "2^63"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_breaks_the_protocol_is_said_and_ends_the_reading(name: str) -> None:
    is_server, data, objection = BAD[name]
    frames = reader(is_server=is_server)
    good = frame(2, b"good", mask=KEY if is_server else b"")
    assert read_all(frames, good + data + good) == b"good"
    assert isinstance(frames.error, ProtocolViolation)
    assert objection in str(frames.error)
    assert frames.is_over
    assert read_all(frames, good) == b""


def test_nothing_is_read_behind_a_close_frame() -> None:
    frames = reader()
    assert read_all(frames, frame(2, b"abc") + frame(8, b"\x03\xe8bye") + frame(2, b"def")) == b"abc"
    assert frames.close_code == 1000
    without = reader()
    read_all(without, frame(8))
    assert without.close_code == NO_CODE


def test_a_promise_of_bytes_reserves_nothing_and_payload_is_given_up_as_it_comes() -> None:
    """A frame of 2^62 bytes: published faults of other stacks allocated it."""
    frames = reader()
    assert read_all(frames, b"\x82\x7f" + (1 << 62).to_bytes(8, "big") + b"abc") == b"abc"
    assert read_all(frames, b"def") == b"def"
    assert frames._rest == b""


def test_a_message_may_have_fragments_without_end() -> None:
    frames = reader(is_server=True)
    data = frame(2, b"x", fin=False, mask=KEY) + 3 * FRAMES_AT_ONCE * frame(0, b"yz", fin=False, mask=KEY)
    assert read_all(frames, data) == b"x" + 3 * FRAMES_AT_ONCE * b"yz"


def test_one_call_looks_at_so_many_frames_and_no_more() -> None:
    frames = reader()
    pieces = frames.receive(FRAMES_AT_ONCE * frame(2, b"a") + frame(2, b"b"), 0.0)
    assert len(pieces) == FRAMES_AT_ONCE
    assert frames.has_backlog
    assert [bytes(piece) for piece in frames.receive(b"", 0.0)] == [b"b"]
    assert not frames.has_backlog


@pytest.mark.parametrize("useless", [frame(9), frame(10, b"abc"), frame(2)])
def test_frames_that_carry_nothing_are_counted(useless: bytes) -> None:
    frames = reader(useless=3)
    read_all(frames, 3 * useless)
    assert frames.error is None
    read_all(frames, 3 * useless, now=10.0)
    assert frames.error is None
    read_all(frames, useless, now=11.0)
    assert "one too many" in str(frames.error)


def test_text_is_payload_even_where_it_is_none() -> None:
    """As in go-libp2p and rust-libp2p."""
    frames = reader()
    assert read_all(frames, frame(1, b"\xff\xfe", fin=False) + frame(0, b"c")) == b"\xff\xfec"
    assert frames.error is None


def test_a_head_may_come_in_pieces() -> None:
    for size in (3, 200, 70_000):
        frames = reader(is_server=True)
        data = frame(2, bytes(size), mask=KEY)
        assert read_all(frames, *[bytes([byte]) for byte in data[:20]], data[20:]) == bytes(size)


def test_the_last_ping_is_kept() -> None:
    frames = reader(is_server=True)
    read_all(frames, frame(9, b"first", mask=KEY) + frame(9, b"second", mask=KEY))
    assert frames.ping == b"second"


# --- writing


def test_large_writes_become_several_messages_and_empty_ones_none() -> None:
    writer = FrameWriter(None)
    assert writer.message(b"") == []
    parts = writer.message(bytes(2 * MESSAGE_SIZE + 1))
    assert [len(part) for part in parts[1::2]] == [MESSAGE_SIZE, MESSAGE_SIZE, 1]
    frames = reader()
    assert len(read_all(frames, b"".join(parts))) == 2 * MESSAGE_SIZE + 1


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536])
def test_lengths_are_written_as_short_as_they_can_be(size: int) -> None:
    head = FrameWriter(None).message(bytes(size))[0]
    assert len(head) == (2 if size < 126 else 4 if size < 65_536 else 10)
