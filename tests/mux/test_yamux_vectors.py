"""A session of go-libp2p, frame by frame: what we send is what go sends, and what go sends is understood."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortexnet.errors import ConnectionClosed
from cortexnet.mux.muxer import ConnectionFailed, StreamOpened, StreamReadable, StreamWasReset
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_frames import FRAME_SIZE, pack
from tests.support.yamux_session import Frame, Session, drain, frames_of

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "yamux.json").read_text())["frames"]
WRITTEN = bytes(range(250)) * 600  # 150,000 bytes


def golden() -> Iterator[tuple[str, bytes]]:
    """Who sends, and the whole frame; the bodies that the golden file has only the size of are pieces of WRITTEN."""
    rest = WRITTEN
    for frame in GOLDEN:
        body = bytes.fromhex(frame.get("body", ""))
        if "body_length" in frame:
            body, rest = rest[: frame["body_length"]], rest[frame["body_length"] :]
        yield frame["from"], bytes.fromhex(frame["header"]) + body


def test_both_ends_of_a_session_send_what_go_sends() -> None:
    dialer, listener = Session(initiator=True), Session()
    wire = golden()

    def same(sender: Session, *, ahead: int = 1) -> bytes:
        """What `sender` sends is the next golden frame; all of them go to the other end."""
        side = "D" if sender is dialer else "L"
        frames = [next(wire) for _ in range(ahead)]
        assert {who for who, _ in frames} == {side}
        out = drain(sender.core)
        assert out == b"".join(frame for _, frame in frames)
        return out

    assert dialer.core.open_stream() == 1
    assert listener.receive(same(dialer)) == [StreamOpened(1)]
    assert dialer.receive(same(listener)) == []
    assert dialer.core.send(1, b"hello") == 5
    assert listener.receive(same(dialer)) == [StreamReadable(1)]

    # go's frames have 65,524 bytes, ours 65,012: theirs are delivered, ours only counted
    assert dialer.core.send(1, WRITTEN) == 131_072
    assert dialer.core.send(1, WRITTEN[131_072:]) == 0
    ours = frames_of(drain(dialer.core))
    assert dialer.core.send(1, memoryview(WRITTEN)[131_072:]) == 150_000 - 131_072
    ours += frames_of(drain(dialer.core))
    assert b"".join(frame.body for frame in ours) == WRITTEN
    assert max(frame.length for frame in ours) == FRAME_SIZE
    theirs = b"".join(frame for _, frame in [next(wire) for _ in range(3)])
    assert listener.receive(theirs) == [StreamReadable(1)]

    assert listener.core.read_exactly(1, 131_072) == (b"hello" + WRITTEN)[:131_072]
    assert dialer.receive(same(listener)) == []
    assert dialer.core._streams[1].send_window == 262_144 - 150_005 + 131_072
    listener.core.send(1, b"ok")
    assert dialer.receive(same(listener)) == [StreamReadable(1)]
    dialer.core.close_write(1)
    assert listener.receive(same(dialer)) == [StreamReadable(1)]
    listener.core.close_write(1)
    assert dialer.receive(same(listener)) == [StreamReadable(1)]
    assert dialer.core.read(1, 10) == b"ok"
    assert not dialer.core.knows(1)
    assert listener.core.read_exactly(1, 150_005 - 131_072) == (b"hello" + WRITTEN)[131_072:]
    assert not listener.core.knows(1)

    assert listener.core.open_stream() == 2
    assert dialer.receive(same(listener)) == [StreamOpened(2)]
    drain(dialer.core)  # our acknowledgement: go sends it once the application accepts, which it did not
    listener.core.reset(2, 0x1001)
    assert dialer.receive(same(listener)) == [StreamWasReset(2, 0x1001, by_peer=True)]

    assert dialer.core.open_stream() == 3
    assert listener.receive(same(dialer)) == [StreamOpened(3)]
    assert dialer.receive(same(listener)) == []
    listener.core.reset(3)
    assert dialer.receive(same(listener)) == [StreamWasReset(3, 0, by_peer=True)]

    (_, pong), (_, ping) = next(wire), next(wire)  # they crossed
    assert dialer.receive(ping) == []
    assert drain(dialer.core) == pong

    dialer.core.close(0x1005)
    (failed,) = listener.receive(same(dialer))
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(failed.error, ConnectionClosed)
    assert (failed.error.by, failed.error.code) == ("remote", 0x1005)
    assert not listener.core.has_output
    assert next(wire, None) is None


@pytest.mark.parametrize(
    ("meaning", "frame"),
    [
        ("open stream 1", "000100010000000100000000"),
        ("accept", "000100020000000100000000"),
        ("data, 5 bytes", "000000000000000100000005"),
        ("credit of 131072", "000100000000000100020000"),
        ("close write", "000100040000000100000000"),
        ("reset, code 0x1001", "000100080000000100001001"),
        ("ping 7", "000200010000000000000007"),
        ("pong 7", "000200020000000000000007"),
        ("go away, normal", "000300000000000000000000"),
    ],
)
def test_a_header_is_twelve_bytes_in_big_endian(meaning: str, frame: str) -> None:
    kind, flags = int(frame[2:4], 16) << 16, int(frame[4:8], 16)
    assert pack(kind | flags, int(frame[8:16], 16), int(frame[16:24], 16)).hex() == frame


# How rust says it (rust-libp2p 0.57.1): flags on data frames.
RUST_OPENS = Frame(0, 1, 1, 20, bytes(range(20)))
RUST_ENDS = Frame(0, 4, 1)
RUST_RESETS = Frame(0, 8, 1)
RUST_ACCEPTS_WITH_DATA = Frame(0, 2, 2, 3, b"abc")


def test_rust_opens_a_stream_with_its_first_data() -> None:
    session = Session()
    assert session.receive(bytes(RUST_OPENS)) == [StreamOpened(1), StreamReadable(1)]
    assert session.core.read(1, 100) == bytes(range(20))


def test_rust_ends_and_resets_with_an_empty_data_frame() -> None:
    session = Session()
    session.receive(bytes(RUST_OPENS))
    assert session.receive(bytes(RUST_ENDS)) == [StreamReadable(1)]
    assert session.receive(bytes(RUST_RESETS)) == [StreamWasReset(1, 0, by_peer=True)]


def test_rust_accepts_with_its_first_data() -> None:
    session = Session()
    assert session.core.open_stream() == 2
    assert session.receive(bytes(RUST_ACCEPTS_WITH_DATA)) == [StreamReadable(2)]
    assert session.core._table.unacknowledged == 0


def test_the_ping_protocol_of_a_go_dialer_runs_through() -> None:
    """The worked exchange: SYN, proposal, ACK, answer, echo, both ends."""
    listener = Yamux(initiator=False)

    def dialer_sends(frame: str, body: bytes = b"") -> None:
        listener.receive(bytes.fromhex(frame) + body, 0.0)

    dialer_sends("000100010000000100000000")
    dialer_sends("000000000000000100000026", bytes(38))
    assert listener.read_exactly(1, 38) == bytes(38)
    listener.send(1, bytes(20))
    listener.send(1, bytes(18))
    dialer_sends("000000000000000100000020", bytes(range(32)))
    listener.send(1, listener.read_exactly(1, 32) or b"")
    dialer_sends("000100040000000100000000")
    assert listener.read(1, 1) == b""
    listener.close_write(1)
    sent = drain(listener)
    assert sent.hex() == (
        "000100020000000100000000"
        + "000000000000000100000046"
        + bytes(38).hex()
        + bytes(range(32)).hex()
        + "000100040000000100000000"
    )
    assert not listener.knows(1)
