"""Inbox: what went in comes out, in order, whatever the pieces were; and what it costs to keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.multiformats import varint
from cortexnet.mux.inbox import PIECE_OVERHEAD, SMALL_PIECE, Inbox

PIECES = st.lists(
    st.one_of(st.binary(min_size=1, max_size=40), st.integers(1, 40_000).map(lambda size: bytes(range(256)) * (size // 256 + 1))),
    max_size=30,
)
READS = st.lists(
    st.tuples(st.sampled_from(["take", "exactly"]), st.one_of(st.integers(1, 60), st.integers(1, 100_000))), max_size=40
)


def filled(*pieces: bytes) -> Inbox:
    inbox = Inbox()
    for piece in pieces:
        inbox.append(piece)
    return inbox


def test_an_empty_inbox_has_nothing() -> None:
    inbox = Inbox()
    assert (inbox.size, inbox.charge) == (0, 0)
    assert inbox.take(10) == b""
    assert inbox.take_exactly(1) is None
    assert inbox.take_exactly(0) == b""
    assert inbox.take_message(10) is None
    assert inbox.message_wanted() == 0


def test_a_piece_comes_out_as_it_went_in_without_a_copy() -> None:
    piece = bytes(70_000)
    inbox = filled(piece)
    assert inbox.take(70_000) is piece
    assert (inbox.size, inbox.charge) == (0, 0)


def test_a_piece_is_read_in_parts_down_to_its_last_byte() -> None:
    inbox = filled(b"abcdef")
    assert [inbox.take(2), inbox.take(3), inbox.take(2), inbox.take(2)] == [b"ab", b"cde", b"f", b""]


def test_several_small_pieces_are_read_together_but_none_is_cut() -> None:
    pieces = [bytes([number]) * 2_000 for number in range(4)]
    inbox = filled(*pieces)
    assert inbox.take(5_000) == pieces[0] + pieces[1]
    assert inbox.take(1_999) == pieces[2][:1_999]
    assert inbox.take(5_000) == pieces[2][1_999:] + pieces[3]


def test_a_large_piece_is_read_alone() -> None:
    inbox = filled(bytes(16_384), bytes(2_000))
    assert len(inbox.take(100_000)) == 16_384
    assert len(inbox.take(100_000)) == 2_000


def test_small_pieces_are_merged_into_one() -> None:
    inbox = filled(*[b"x"] * 5_000)
    assert inbox.charge == 5_000 + PIECE_OVERHEAD
    assert inbox.take(4_000) == b"x" * 4_000
    assert inbox.take(4_000) == b"x" * 1_000


def test_merging_ends_at_16_kib_so_that_nothing_is_copied_again_and_again() -> None:
    inbox = filled(*[bytes(1_000)] * 64)
    assert inbox.charge == 64_000 + 4 * PIECE_OVERHEAD


def test_a_piece_that_was_handed_out_in_part_still_grows() -> None:
    inbox = filled(b"abc", b"def")
    assert inbox.take(2) == b"ab"
    inbox.append(b"ghi")
    assert inbox.take_exactly(7) == b"cdefghi"


@pytest.mark.parametrize("size", [1, 2, SMALL_PIECE - 1, SMALL_PIECE, SMALL_PIECE + 1])
def test_what_is_kept_costs_at_most_an_eighth_more_than_its_bytes(size: int) -> None:
    """256 KiB that arrive in 2-byte frames would be 5.4 MiB, were each piece kept as an object of its own.

    The worst a peer can do is to send a piece of one byte between any two that are just too large to be merged.
    """
    for pieces in ([bytes(size)] * (262_144 // size), [bytes(SMALL_PIECE), bytes(size)] * (262_144 // (SMALL_PIECE + size))):
        inbox = filled(*pieces)
        assert inbox.charge <= inbox.size * 9 / 8 + PIECE_OVERHEAD


def test_a_piece_that_was_read_in_part_is_charged_whole() -> None:
    """A reader of messages leaves the first byte of the next one in a record of 64 KiB: the record is still in memory."""
    inbox = filled(bytes(65_000), bytes(5_000))
    assert inbox.take_exactly(64_999)
    assert inbox.charge == 70_000 + 2 * PIECE_OVERHEAD
    assert inbox.take_exactly(1)
    assert inbox.charge == 5_000 + PIECE_OVERHEAD


def test_clearing_drops_everything() -> None:
    inbox = filled(b"abc", bytes(5_000))
    inbox.take(1)
    inbox.clear()
    assert (inbox.size, inbox.charge, inbox.take(10)) == (0, 0, b"")
    inbox.append(b"new")
    assert inbox.take(10) == b"new"


@given(PIECES, READS)
def test_what_is_read_is_what_went_in(pieces: list[bytes], reads: list[tuple[str, int]]) -> None:
    inbox = filled(*pieces)
    waiting = b"".join(pieces)
    for kind, size in reads:
        if kind == "take":
            got = inbox.take(size)
            assert bool(got) == bool(waiting)
            assert len(got) <= size
        else:
            exact = inbox.take_exactly(size)
            assert (exact is None) == (size > len(waiting))
            got = exact or b""
            assert len(got) in (0, size)
        assert got == waiting[: len(got)]
        waiting = waiting[len(got) :]
        assert inbox.size == len(waiting)
        assert inbox.charge >= inbox.size
    assert inbox.take_exactly(inbox.size) == waiting
    assert inbox.charge == 0


# --- messages


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 40_000])
def test_a_message_is_taken_once_it_is_whole(size: int) -> None:
    message = varint.encode(size) + bytes(size)
    start = message[:-1]
    for cut in {0, 1, len(start) // 2, len(start)}:
        inbox = filled(*[piece for piece in (start[:cut], start[cut:]) if piece])
        assert inbox.take_message(size) is None
        inbox.append(message[-1:] + b"rest")
        assert inbox.take_message(size) == bytes(size)
        assert inbox.take(10) == b"rest"


@pytest.mark.parametrize("size", [1, 127, 128, 5_000])
def test_a_message_is_taken_at_its_limit_and_refused_above_it(size: int) -> None:
    message = varint.encode(size) + bytes(size) + b"rest"
    assert filled(message).take_message(size) == bytes(size)
    inbox = filled(message)
    with pytest.raises(MessageTooLarge) as caught:
        inbox.take_message(size - 1)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)
    assert inbox.size == len(message)


def test_a_message_is_refused_by_its_length_alone() -> None:
    with pytest.raises(MessageTooLarge):
        filled(varint.encode(1 << 40)).take_message(1 << 20)


@pytest.mark.parametrize("prefix", [b"\x80\x00", b"\xff" * 9, b"\x80" * 9 + b"\x01"])
def test_a_length_that_is_none_is_a_violation_and_stays(prefix: bytes) -> None:
    for inbox in (filled(prefix), filled(*[prefix[index : index + 1] for index in range(len(prefix))])):
        with pytest.raises(ProtocolViolation):
            inbox.take_message(1 << 62)
        assert inbox.size == len(prefix)


def test_a_message_says_how_much_it_wants_once_its_length_is_whole() -> None:
    inbox = filled(b"\x80")
    assert inbox.message_wanted() == 0
    inbox.append(b"\x02ab")
    assert inbox.message_wanted() == 258
    assert filled(b"\x00").message_wanted() == 1


def test_messages_are_taken_out_of_a_merged_piece() -> None:
    inbox = filled(b"\x03a", b"bc\x02d", b"e\x00")
    assert [inbox.take_message(9) for _ in range(4)] == [b"abc", b"de", b"", None]


def test_a_length_may_begin_in_one_piece_and_end_in_another() -> None:
    inbox = filled(bytes(SMALL_PIECE - 1) + b"\x80", b"\x08" + bytes(SMALL_PIECE), b"!")
    assert inbox.take_exactly(SMALL_PIECE - 1)
    assert inbox.take_message(SMALL_PIECE) == bytes(SMALL_PIECE)
    assert inbox.take(1) == b"!"


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 200), min_size=1))
def test_messages_come_out_whole_wherever_they_were_cut(messages: list[bytes], cuts: list[int]) -> None:
    rest = b"".join(varint.encode(len(message)) + message for message in messages)
    inbox, got = Inbox(), []
    while rest:
        for cut in cuts:
            if rest[:cut]:
                inbox.append(rest[:cut])
            rest = rest[cut:]
            while (message := inbox.take_message(300)) is not None:
                got.append(message)
    assert got == messages
    assert inbox.charge == 0


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=10), st.integers(0, 100))
def test_no_bytes_bring_about_anything_but_a_message_or_a_remote_error(pieces: list[bytes], limit: int) -> None:
    inbox = filled(*pieces)
    size = inbox.size
    try:
        while (message := inbox.take_message(limit)) is not None:
            assert len(message) <= limit
            size -= len(message) + len(varint.encode(len(message)))
    except RemoteError:
        pass
    assert inbox.size == size
