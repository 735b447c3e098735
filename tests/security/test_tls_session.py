"""The TLS channel after the handshake: what only TLS has. What every session does is in test_sessions_conformance."""

import pytest
from OpenSSL import SSL

from cortexnet.errors import ConnectionClosed, ProtocolViolation
from cortexnet.security.tls_session import MAX_BODY, MAX_PLAINTEXT, RECORDS_PER_USELESS, USELESS_RECORDS, TlsSession, pending
from tests.support.certificates import Forge
from tests.support.tls import (
    ALERT,
    ANNA,
    BERT,
    CHANNELS,
    DATA,
    HANDSHAKE,
    KEY_UPDATE,
    KEY_UPDATE_REQUESTED,
    context,
    dialed_by_engine,
    dialed_by_records,
    foreign,
    id_of,
    session_of,
    tls_pair,
)


def test_it_says_what_it_is() -> None:
    one, other = tls_pair()
    assert (one.name, one.remote_peer, other.remote_peer) == ("/tls/1.0.0", id_of(BERT), id_of(ANNA))
    assert one.body_size(b"\x17\3\3\1\2") == 258


@pytest.mark.parametrize("size", [1, MAX_PLAINTEXT - 1, MAX_PLAINTEXT, MAX_PLAINTEXT + 1, 4 * MAX_PLAINTEXT, 100_000])
def test_what_is_sent_is_in_records_that_are_as_large_as_can_be(size: int) -> None:
    one, other = tls_pair()
    sealed = bytes(one.encrypt([bytes(size)]))
    records = -(-size // MAX_PLAINTEXT)
    assert len(sealed) == size + records * 22
    plaintexts, _ = other.decrypt(sealed)
    assert [len(plaintext) for plaintext in plaintexts[:-1]] == [MAX_PLAINTEXT] * (records - 1)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 4_096, 100_000])
def test_all_that_waits_is_taken_out_whatever_was_known_of_its_size(size: int) -> None:
    sender, reader = session_and_engine()
    if size:
        reader.sendall(bytes(size))
    sent = pending(reader, 0)
    assert len(sent) == (size + -(-size // MAX_PLAINTEXT) * 22 if size else 0)
    assert b"".join(sender.decrypt(sent)[0]) == bytes(size)


def session_and_engine() -> tuple[TlsSession, SSL.Connection]:
    session, engine = session_of(CHANNELS[BERT].respond(), foreign(context(Forge(identity=ANNA).node()), is_dialer=True))
    return session, engine


# --- how it ends


def test_a_peer_that_says_goodbye_has_closed_the_connection() -> None:
    session, engine = session_and_engine()
    engine.sendall(b"last words")
    engine.shutdown()
    sent = pending(engine, 0)
    assert session.decrypt(sent + b"rest") == ([b"last words"], len(sent) + 4)
    assert isinstance(session.error, ConnectionClosed)
    assert session.error.by == "remote"
    assert session.decrypt(b"more") == ([], 4)
    assert session.encrypt([b"too late"]) == b""


def test_a_peer_that_refuses_us_is_no_violator() -> None:
    """A dialer's handshake is done before the listener has judged its certificate."""
    session, records = dialed_by_records()
    session.decrypt(records(ALERT, b"\2\x30"))  # unknown ca
    assert isinstance(session.error, ConnectionClosed)
    assert "unknown ca" in str(session.error)
    assert session.error.by == "remote"


def test_a_bad_record_is_answered_with_an_alert() -> None:
    session, engine = session_and_engine()
    assert session.decrypt(b"\x17\3\3\0\x20" + bytes(32)) == ([], 37)
    assert isinstance(session.error, ProtocolViolation)
    alert = session.encrypt([b"farewell"])
    assert session.encrypt([b"farewell"]) == b""
    engine.bio_write(alert)
    with pytest.raises(SSL.Error, match="bad record mac"):
        engine.recv(100)


@pytest.mark.parametrize(("size", "is_fine"), [(MAX_BODY, True), (MAX_BODY + 1, False), (65_535, False)])
def test_a_length_that_can_not_be_ends_it_before_the_body_has_come(size: int, is_fine: bool) -> None:
    session, records = dialed_by_records()
    good, header = records(DATA, b"good"), b"\x17\3\3" + size.to_bytes(2)
    plaintexts, used = session.decrypt(good + header)
    assert (plaintexts, session.error is None) == ([b"good"], is_fine)
    assert used == len(good) + (0 if is_fine else 5)


@pytest.mark.parametrize("kind", [20, 21, 22, 23, 24, 0])
def test_records_without_encryption_are_not_believed(kind: int) -> None:
    for body in (b"\1", b"\2\x28", b"\1\0", KEY_UPDATE):
        session, _ = dialed_by_records()
        assert session.decrypt(bytes([kind, 3, 3]) + len(body).to_bytes(2) + body)[0] == []
        assert session.error is not None


@pytest.mark.parametrize("content", [b"\1\0\0\0", b"\x04\0\0\0", b"\x0d\0\0\3\0\0\0", b"\x14\0\0\0", b"\0\0\0\0", b"\xff" * 9])
def test_handshake_messages_that_nobody_sends_now_end_it(content: bytes) -> None:
    session, records = dialed_by_records()
    assert session.decrypt(records(HANDSHAKE, content) + records(DATA, b"x"))[0] == []
    assert session.error is not None


# --- records without data


def test_a_peer_may_change_its_keys() -> None:
    session, records = dialed_by_records()
    for request in (KEY_UPDATE, KEY_UPDATE_REQUESTED):
        sent = records(DATA, b"before") + records(HANDSHAKE, request)
        records.update()
        sent += records(DATA, b"behind")
        assert session.decrypt(sent) == ([b"before", b"behind"], len(sent))
    assert session.error is None


def test_a_change_of_keys_that_was_asked_for_is_made_with_the_next_data() -> None:
    session, engine, records = dialed_by_engine()
    session.decrypt(records(HANDSHAKE, KEY_UPDATE_REQUESTED))
    sealed = session.encrypt([b"with new keys"])
    assert len(sealed) == (5 + 17 + 5) + (13 + 22)
    engine.bio_write(sealed)
    assert engine.recv(100) == b"with new keys"


def test_padding_and_empty_records_are_legal() -> None:
    session, records = dialed_by_records()
    sent = records(DATA, b"", padding=100) + records(DATA, b"padded", padding=1_000) + records(DATA, b"")
    assert session.decrypt(sent) == ([b"padded"], len(sent))
    assert session.error is None


@pytest.mark.parametrize("useful", [0, 1, RECORDS_PER_USELESS - 2, RECORDS_PER_USELESS, 2 * RECORDS_PER_USELESS])
def test_a_flood_of_key_changes_ends_it(useful: int) -> None:
    """What costs the receiver more than the sender needs a bound, and OpenSSL has none for these. Renegotiation was such a flood
    in TLS 1.2 (CVE-2011-1473)."""
    session, records = dialed_by_records()
    for _ in range(useful):
        session.decrypt(records(DATA, b"x"))
    allowed = USELESS_RECORDS + useful // RECORDS_PER_USELESS
    for _ in range(allowed):
        session.decrypt(records(HANDSHAKE, KEY_UPDATE_REQUESTED))
        records.update()
    assert session.error is None
    assert session.decrypt(records(DATA, b"still here"))[0] == [b"still here"]
    session.decrypt(records(HANDSHAKE, KEY_UPDATE_REQUESTED))
    assert isinstance(session.error, ProtocolViolation)


def test_useless_records_in_one_chunk_count_the_same() -> None:
    session, records = dialed_by_records()
    sent = b""
    for number in range(USELESS_RECORDS + 1):
        sent += records(HANDSHAKE, KEY_UPDATE)
        records.update()
        sent += records(DATA, b"x") if number == 0 else b""
    plaintexts, _ = session.decrypt(sent + records(DATA, b"y"))
    assert plaintexts[0] == b"x"
    assert isinstance(session.error, ProtocolViolation)
