"""The encrypted channel: frames of every size, any cut, and an end at the first frame that does not decrypt."""

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ProtocolViolation
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.noise_session import CUT, FRAMES_AT_ONCE, MAX_PLAINTEXT, NoiseSession

if TYPE_CHECKING:
    from cortexnet.security.session import SecureSession

KEY = PrivateKey.generate().public_key
PEER = PeerId.from_public_key(KEY)


def session(send: bytes = b"a", receive: bytes = b"b") -> NoiseSession:
    ciphers = ChaCha20Poly1305(send * 32), ChaCha20Poly1305(receive * 32)
    return NoiseSession(ciphers, remote_peer=PEER, remote_key=KEY, muxer=None)


def pair() -> tuple[NoiseSession, NoiseSession]:
    return session(b"a", b"b"), session(b"b", b"a")


def frame(number: int, plaintext: bytes, key: bytes = b"a") -> bytes:
    """A frame as the specification words it: big-endian length, then the box under a little-endian 64-bit counter."""
    box = ChaCha20Poly1305(key * 32).encrypt(bytes(4) + struct.pack("<Q", number), plaintext, b"")
    return struct.pack(">H", len(box)) + box


def received(reader: NoiseSession, pieces: Sequence[bytes]) -> bytes:
    """All plaintext of bytes that come in pieces, presented again until they are taken."""
    plaintext, waiting = b"", b""
    for piece in pieces:
        waiting += piece
        got, consumed = reader.decrypt(waiting)
        plaintext += b"".join(got)
        waiting = waiting[consumed:]
    return plaintext


def test_a_noise_session_is_a_secure_session() -> None:
    secured: SecureSession = session()
    assert (secured.name, secured.remote_peer, secured.remote_key) == ("/noise", PEER, KEY)
    assert (secured.muxer, secured.error) == (None, None)


@pytest.mark.parametrize("size", [1, 4_095, 4_096, 4_097, MAX_PLAINTEXT - 1, MAX_PLAINTEXT])
def test_what_fits_into_a_frame_is_one(size: int) -> None:
    writer, reader = pair()
    data = bytes(range(256)) * (size // 256 + 1)
    for number in range(2):
        sealed = writer.encrypt([data[:size]])
        assert bytes(sealed) == frame(number, data[:size])
        assert reader.decrypt(bytes(sealed)) == ([data[:size]], size + 18)


@pytest.mark.parametrize("size", [MAX_PLAINTEXT + 1, 2 * CUT, 2 * CUT + 1, 2 * MAX_PLAINTEXT, 300_000])
def test_what_is_longer_is_cut_into_frames_that_are_fast(size: int) -> None:
    writer, reader = pair()
    data = bytes(range(251)) * (size // 251 + 1)
    pieces = [data[start : min(start + CUT, size)] for start in range(0, size, CUT)]
    sealed = bytes(writer.encrypt([data[:100], memoryview(data)[100:size]]))
    assert sealed == b"".join(frame(number, piece) for number, piece in enumerate(pieces))
    assert reader.decrypt(sealed) == (pieces, len(sealed))
    assert bytes(writer.encrypt([b"next"])) == frame(len(pieces), b"next")


@pytest.mark.parametrize("parts", [[], [b""], [b"", b""], [bytearray()], [memoryview(b"")]])
def test_nothing_makes_no_frame(parts: list[bytes]) -> None:
    writer, _ = pair()
    assert writer.encrypt(parts) == b""
    assert bytes(writer.encrypt([b"x"])) == frame(0, b"x")


@pytest.mark.parametrize("size", [5, 5_000])
def test_parts_of_any_kind_are_joined(size: int) -> None:
    writer, _ = pair()
    data = bytes(size)
    cuts: list[list[bytes | bytearray | memoryview]] = [[data], [bytearray(data)], [memoryview(data)]]
    cuts.append([data[:2], bytearray(data[2:4]), memoryview(data)[4:]])
    for number, parts in enumerate(cuts):
        assert bytes(writer.encrypt(parts)) == frame(number, data)


def test_the_result_is_never_written_to_again() -> None:
    writer, _ = pair()
    results = [writer.encrypt([bytes(size)]) for size in (10, 10_000, 70_000) for _ in range(2)]
    before = [bytes(result) for result in results]
    writer.encrypt([bytes(70_000)])
    assert [bytes(result) for result in results] == before


def test_each_direction_counts_for_itself() -> None:
    one, other = pair()
    for number in range(3):
        assert bytes(one.encrypt([b"to"])) == frame(number, b"to", b"a")
    assert bytes(other.encrypt([b"fro"])) == frame(0, b"fro", b"b")


def test_the_counter_is_64_bits_little_endian() -> None:
    _, reader = pair()
    data = b"".join(frame(number, b"x") for number in range(300))
    assert reader.decrypt(data) == ([b"x"] * 300, len(data))


@pytest.mark.parametrize("missing", [1, 2, 17, 18, 19, 20, 21])
def test_an_incomplete_frame_waits_and_is_not_consumed(missing: int) -> None:
    _, reader = pair()
    first, second = frame(0, b"abc"), frame(1, b"abc")
    data = first + second
    assert reader.decrypt(memoryview(data)[:-missing]) == ([b"abc"], 21)
    assert reader.decrypt(second) == ([b"abc"], 21)
    assert reader.decrypt(b"") == ([], 0)


def test_empty_frames_are_legal_and_left_out() -> None:
    _, reader = pair()
    data = frame(0, b"") + frame(1, b"a") + frame(2, b"")
    assert reader.decrypt(data) == ([b"a"], len(data))
    assert reader.error is None


@pytest.mark.parametrize("plaintext", [b"", b"x"])
@pytest.mark.parametrize("count", [FRAMES_AT_ONCE - 1, FRAMES_AT_ONCE, FRAMES_AT_ONCE + 1, 3 * FRAMES_AT_ONCE])
def test_of_many_small_frames_a_thousand_are_decrypted_at_a_time(count: int, plaintext: bytes) -> None:
    """128 KiB of empty frames, which nobody needs, would take 13 ms."""
    waiting, got = b"".join(frame(number, plaintext, b"b") for number in range(count)), b""
    reader = session(b"a", b"b")
    size, rounds = len(waiting) // count, 0
    while waiting:
        plaintexts, used = reader.decrypt(waiting)
        assert used <= FRAMES_AT_ONCE * size
        assert reader.has_backlog or used == len(waiting)
        got += b"".join(plaintexts)
        waiting = waiting[used:]
        rounds += 1
    assert got == count * plaintext
    assert rounds == -(-count // FRAMES_AT_ONCE)
    assert reader.decrypt(b"") == ([], 0)
    assert not reader.has_backlog


def test_a_bad_frame_leaves_no_backlog() -> None:
    reader = session(b"a", b"b")
    good = b"".join(frame(number, b"x", b"b") for number in range(FRAMES_AT_ONCE - 1))
    plaintexts, _ = reader.decrypt(good + b"\x00\x10" + bytes(16) + frame(FRAMES_AT_ONCE, b"x", b"b"))
    assert len(plaintexts) == FRAMES_AT_ONCE - 1
    assert (reader.error is not None, reader.has_backlog) == (True, False)


def test_plaintexts_survive_the_buffer_they_were_read_from() -> None:
    _, reader = pair()
    buffer = bytearray(frame(0, b"secret"))
    plaintexts, _ = reader.decrypt(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert plaintexts == [b"secret"]


BAD = {
    "damaged": frame(1, b"x")[:-1] + b"\x00",
    "repeated": frame(0, b"first"),
    "skipped": frame(2, b"x"),
    "reflected": frame(1, b"x", b"b"),
    "empty": b"\x00\x00",
    "shorter than a tag": b"\x00\x0f" + bytes(15),
    "only a tag of nothing": b"\x00\x10" + bytes(16),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_frame_that_does_not_decrypt_ends_the_session_behind_the_good_ones(bad: bytes) -> None:
    _, reader = pair()
    data = frame(0, b"first") + bad + frame(1, b"never") + b"\x00"
    assert reader.decrypt(data) == ([b"first"], len(data))
    assert isinstance(reader.error, ProtocolViolation)
    error = reader.error
    # The frame that would have been right comes too late: no second try.
    assert reader.decrypt(frame(1, b"never")) == ([], 22 + 1)
    assert reader.decrypt(b"\x00") == ([], 1)
    assert reader.error is error


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 30), max_size=30), st.integers(0, 400))
def test_cutting_the_bytes_elsewhere_changes_nothing(plaintexts: list[bytes], cuts: list[int], damaged: int) -> None:
    data = bytearray(b"".join(frame(number, plaintext) for number, plaintext in enumerate(plaintexts)))
    if damaged < len(data):
        data[damaged] ^= 1
    pieces, rest = [], bytes(data)
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    whole, cut_up = pair()[1], pair()[1]
    assert received(whole, [bytes(data)]) == received(cut_up, [*pieces, rest])
    assert repr(whole.error) == repr(cut_up.error)
    if damaged >= len(data):
        assert whole.error is None


@given(st.lists(st.lists(st.binary(max_size=30), max_size=4), max_size=6))
def test_what_is_sent_is_what_is_received(writes: list[list[bytes]]) -> None:
    writer, reader = pair()
    data = b"".join(bytes(writer.encrypt(parts)) for parts in writes)
    plaintexts, consumed = reader.decrypt(data)
    assert consumed == len(data)
    assert b"".join(plaintexts) == b"".join(part for parts in writes for part in parts)


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_garbage_is_never_delivered_and_never_raises(pieces: list[bytes]) -> None:
    _, reader = pair()
    assert received(reader, pieces) == b""
