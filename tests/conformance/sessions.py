"""What every secure session does, whatever its records are: checks over a pair of them that use nothing but the seam.

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_noise_is_a_secure_session(check: Check) -> None:
    check(SUBJECT)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import final

from cortexnet.errors import ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.session import SecureSession

Pair = tuple[SecureSession, SecureSession]
SIZES = (1, 2, 100, 4_096, 16_384, 16_385, 65_519, 65_520, 200_000)
PATTERN = bytes(range(251)) * 900


@final
@dataclass(frozen=True)
class Subject:
    """A kind of session."""

    make: Callable[[], Pair]
    """Two sessions that have just shaken hands; both peers have read all that the handshake left behind."""
    records_at_once: int
    """How many records one `decrypt` takes."""


Check = Callable[[Subject], None]


def text_of(size: int, start: int = 0) -> bytes:
    return PATTERN[start % 251 : start % 251 + size]


def records_of(session: SecureSession, sealed: bytes) -> list[bytes]:
    """`sealed`, cut where its records end."""
    records, position = [], 0
    while position < len(sealed):
        header = sealed[position : position + session.header_size]
        stop = position + session.header_size + session.body_size(header)
        records.append(sealed[position:stop])
        position = stop
    assert b"".join(records) == sealed
    return records


def received(reader: SecureSession, pieces: Sequence[bytes]) -> bytes:
    """All plaintext of bytes that come in pieces, presented again until they are taken, in a buffer that is used again."""
    plaintext, waiting = bytearray(), b""
    for piece in pieces:
        waiting += piece
        while True:
            buffer = bytearray(waiting)
            got, consumed = reader.decrypt(memoryview(buffer))
            buffer[:] = bytes(len(buffer))
            plaintext += b"".join(got)
            waiting = waiting[consumed:]
            if not reader.has_backlog:
                break
    return bytes(plaintext)


def cut(data: bytes, random: Random, most: int) -> list[bytes]:
    pieces = []
    while data:
        size = random.randint(1, most)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def it_says_who_is_there(subject: Subject) -> None:
    for session in subject.make():
        assert session.name.startswith("/")
        assert session.remote_peer == PeerId.from_public_key(session.remote_key)
        assert (session.error, session.has_backlog) == (None, False)


def what_is_sent_is_what_is_received(subject: Subject) -> None:
    one, other = subject.make()
    for size in SIZES:
        for writer, reader in ((one, other), (other, one)):
            assert received(reader, [bytes(writer.encrypt([text_of(size, size)]))]) == text_of(size, size)


def parts_of_any_kind_are_joined(subject: Subject) -> None:
    writer, reader = subject.make()
    for size in (5, 5_000, 100_000):
        data = text_of(size)
        half = size // 2
        ways: list[list[bytes | bytearray | memoryview]] = [[data], [bytearray(data)], [memoryview(data)]]
        ways += [[data[:half], bytearray(data[half:])], [b"", data[:1], memoryview(data)[1:], b""], [memoryview(b"x" + data)[1:]]]
        for parts in ways:
            assert received(reader, [bytes(writer.encrypt(parts))]) == data


def nothing_makes_no_record(subject: Subject) -> None:
    writer, reader = subject.make()
    for parts in ([], [b""], [b"", bytearray()], [memoryview(b"")]):
        assert writer.encrypt(parts) == b""
    assert reader.decrypt(b"") == ([], 0)
    assert received(reader, [bytes(writer.encrypt([b"x"]))]) == b"x"


def the_result_is_never_written_to_again(subject: Subject) -> None:
    writer, _ = subject.make()
    results = [writer.encrypt([text_of(size)]) for size in (10, 10_000, 70_000) for _ in range(2)]
    before = [bytes(result) for result in results]
    writer.encrypt([bytes(70_000)])
    assert [bytes(result) for result in results] == before


def cutting_the_bytes_elsewhere_changes_nothing(subject: Subject) -> None:
    writer, reader = subject.make()
    random = Random(1)
    for most in (1, 2, 7, 1_000, 40_000):
        plaintexts = [text_of(random.choice(SIZES[: 4 if most < 100 else 9]), start) for start in range(5)]
        sealed = b"".join(bytes(writer.encrypt([plaintext])) for plaintext in plaintexts)
        assert received(reader, cut(sealed[:8_000], random, most) + cut(sealed[8_000:], random, 40_000)) == b"".join(plaintexts)
    assert reader.error is None


def an_incomplete_record_waits_and_is_not_consumed(subject: Subject) -> None:
    writer, reader = subject.make()
    first, second = (bytes(writer.encrypt([text])) for text in (b"first", b"second"))
    for size in range(len(second)):
        got, consumed = reader.decrypt(first + second[:size])
        assert (got, consumed) == ([b"first"] if first else [], len(first))
        assert not reader.has_backlog
        first = b""
    assert reader.decrypt(second) == ([b"second"], len(second))


def headers_say_how_long_records_are(subject: Subject) -> None:
    writer, reader = subject.make()
    for size in SIZES:
        records = records_of(reader, bytes(writer.encrypt([text_of(size)])))
        plaintexts = [reader.decrypt(record) for record in records]
        assert [used for _, used in plaintexts] == [len(record) for record in records]
        assert b"".join(b"".join(pieces) for pieces, _ in plaintexts) == text_of(size)


def small_records_are_taken_a_share_at_a_time(subject: Subject) -> None:
    for count in (subject.records_at_once - 1, subject.records_at_once, subject.records_at_once + 1, 2 * subject.records_at_once):
        writer, reader = subject.make()
        waiting, got, rounds = b"".join(bytes(writer.encrypt([b"x"])) for _ in range(count)), b"", 0
        while waiting:
            plaintexts, used = reader.decrypt(waiting)
            assert len(plaintexts) <= subject.records_at_once
            assert reader.has_backlog or used == len(waiting)
            got += b"".join(plaintexts)
            waiting = waiting[used:]
            rounds += 1
        assert (got, rounds) == (b"x" * count, -(-count // subject.records_at_once))
        assert reader.decrypt(b"") == ([], 0)
        assert not reader.has_backlog


def a_damaged_record_ends_it_behind_the_good_ones(subject: Subject) -> None:
    random = Random(2)
    for _ in range(40):
        writer, reader = subject.make()
        records = [bytes(writer.encrypt([text_of(20, number)])) for number in range(4)]
        number = random.randrange(4)
        position = random.randrange(reader.header_size, len(records[number]))  # lengths are another matter
        damaged = bytearray(records[number])
        damaged[position] ^= 1 << random.randrange(8)
        data = b"".join([*records[:number], bytes(damaged), *records[number + 1 :]])
        assert received(reader, random.choice([[data], cut(data, random, 9)])) == b"".join(text_of(20, n) for n in range(number))
        assert_over(reader, records[number])


def assert_over(reader: SecureSession, rest: bytes) -> None:
    """No second try: not even what would have been right is taken any more."""
    error = reader.error
    assert isinstance(error, ProtocolViolation)
    for data in (rest, b"", b"\x17", rest + rest):
        assert reader.decrypt(data) == ([], len(data))
    assert (reader.error is error, reader.has_backlog) == (True, False)
    assert isinstance(reader.encrypt([b"farewell"]), bytes | bytearray)


def records_out_of_order_end_it(subject: Subject) -> None:
    orders: dict[str, Callable[[list[bytes]], list[bytes]]] = {
        "repeated": lambda records: [records[0], records[0]],
        "skipped": lambda records: [records[0], records[2]],
        "swapped": lambda records: [records[0], records[2], records[1]],
    }
    for change in orders.values():
        writer, reader = subject.make()
        records = [bytes(writer.encrypt([text_of(9, number)])) for number in range(3)]
        assert received(reader, [b"".join(change(records))]) == text_of(9, 0)
        assert_over(reader, records[1])


def what_was_sent_is_not_believed_when_it_comes_back(subject: Subject) -> None:
    one, other = subject.make()
    sealed = bytes(one.encrypt([b"mine"]))
    assert received(one, [sealed]) == b""
    assert_over(one, sealed)
    assert received(other, [sealed]) == b"mine"


def records_of_another_session_end_it(subject: Subject) -> None:
    (writer, _), (_, reader) = subject.make(), subject.make()
    sealed = bytes(writer.encrypt([b"for another"]))
    assert received(reader, [sealed]) == b""
    assert_over(reader, sealed)


def a_failed_session_costs_no_other_one_anything(subject: Subject) -> None:
    """OpenSSL's list of errors is one for all sessions of a thread: what one leaves there, the next could be told."""
    writer, reader = subject.make()
    for number in range(20):
        _, failing = subject.make()
        sealed = bytes(writer.encrypt([text_of(50, number)]))
        failing.decrypt(sealed)
        assert failing.error is not None
        assert reader.decrypt(sealed[:-1]) == ([], 0)
        assert received(reader, [sealed]) == text_of(50, number)


def no_bytes_are_delivered_that_were_not_sent(subject: Subject) -> None:
    random = Random(3)
    for _ in range(60):
        _, reader = subject.make()
        garbage = random.randbytes(random.randint(0, 60))
        if random.randrange(2):
            size = random.randint(0, 40)
            garbage = b"\x17\x03\x03" + size.to_bytes(2) + random.randbytes(size)
        assert received(reader, cut(garbage, random, 20)) == b""
        assert reader.error is None or isinstance(reader.error, ProtocolViolation)


CHECKS: list[Check] = [
    it_says_who_is_there,
    what_is_sent_is_what_is_received,
    parts_of_any_kind_are_joined,
    nothing_makes_no_record,
    the_result_is_never_written_to_again,
    cutting_the_bytes_elsewhere_changes_nothing,
    an_incomplete_record_waits_and_is_not_consumed,
    headers_say_how_long_records_are,
    small_records_are_taken_a_share_at_a_time,
    a_damaged_record_ends_it_behind_the_good_ones,
    records_out_of_order_end_it,
    what_was_sent_is_not_believed_when_it_comes_back,
    records_of_another_session_end_it,
    a_failed_session_costs_no_other_one_anything,
    no_bytes_are_delivered_that_were_not_sent,
]
