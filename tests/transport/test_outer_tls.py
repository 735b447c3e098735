"""The TLS around WebSockets: two ends in memory, certificates, and files that are none."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from cortexnet.errors import ConfigInvalid, HandshakeFailed, ProtocolViolation
from cortexnet.security.tls_session import pending
from cortexnet.testing.host_certificates import make_host_certificate
from cortexnet.transport.outer_tls import RECORDS_PER_USELESS, USELESS_RECORDS, OuterTls, client_context, server_context
from cortexnet.transport.websocket_config import WebSocketConfig
from tests.support.tls import DATA, HANDSHAKE, KEY_UPDATE, KEY_UPDATE_REQUESTED, Records, context
from tests.support.tls_hosts import NAME, websocket_config


def ends(config: WebSocketConfig | None = None, name: str = NAME) -> tuple[OuterTls, OuterTls]:
    config = config or websocket_config()
    dialer = OuterTls(client_context(config), server_side=False, server_name=name)
    return dialer, OuterTls(server_context(websocket_config()), server_side=True)


BUFFER = memoryview(bytearray(200_000))


def read(tls: OuterTls, data: bytes) -> bytes:
    return bytes(tls.receive(data, BUFFER))


def shake_hands(dialer: OuterTls, listener: OuterTls) -> None:
    read(dialer, b"")
    for _ in range(3):
        read(listener, dialer.data_to_send())
        read(dialer, listener.data_to_send())


@pytest.mark.parametrize("name", [NAME, "localhost", "127.0.0.1", "::1"])
def test_two_ends_talk_until_one_says_goodbye(name: str) -> None:
    dialer, listener = ends(name=name)
    shake_hands(dialer, listener)
    assert dialer.is_open
    assert listener.is_open
    for sender, receiver in ((dialer, listener), (listener, dialer)):
        sender.send(bytes(100_000))
        assert sender.pending > 100_000
        assert read(receiver, sender.data_to_send()) == bytes(100_000)
    dialer.close()
    assert read(listener, dialer.data_to_send()) == b""
    assert listener.has_ended
    assert listener.error is None


def test_a_certificate_for_somebody_else_is_refused_and_the_other_end_is_told() -> None:
    dialer, listener = ends(name="elsewhere.example")
    shake_hands(dialer, listener)
    assert isinstance(dialer.error, HandshakeFailed)
    assert "elsewhere.example" in str(dialer.error)
    assert isinstance(dialer.error.__cause__, ssl.SSLCertVerificationError)
    assert isinstance(listener.error, HandshakeFailed)
    listener.close()
    dialer.send(b"nobody reads this")


def test_a_certificate_nobody_vouches_for_is_refused_unless_that_is_asked_for() -> None:
    dialer, listener = ends(WebSocketConfig())
    shake_hands(dialer, listener)
    assert "self-signed" in str(dialer.error)
    dialer, listener = ends(WebSocketConfig(verify=False), name="elsewhere.example")
    shake_hands(dialer, listener)
    assert dialer.error is None
    assert listener.is_open


def test_bytes_that_are_no_tls_are_a_typed_error() -> None:
    for tls in ends():
        read(tls, b"GET / HTTP/1.1\r\n\r\n" * 10)
        assert isinstance(tls.error, HandshakeFailed)


def test_a_changed_byte_ends_the_session(tmp_path: Path) -> None:
    dialer, listener = ends()
    shake_hands(dialer, listener)
    dialer.send(b"hello")
    data = bytearray(dialer.data_to_send())
    data[-1] ^= 1
    assert read(listener, bytes(data)) == b""
    assert isinstance(listener.error, HandshakeFailed)


# --- records that carry nothing


def dialed_by_records() -> tuple[OuterTls, Records]:
    """A listener, and what seals records as its dialer would."""
    lines: list[bytes] = []
    made = context(alpn=())
    made.set_keylog_callback(lambda _, line: lines.append(line))
    engine = SSL.Connection(made, None)
    engine.set_connect_state()
    listener = OuterTls(server_context(websocket_config()), server_side=True)
    while not listener.is_open:
        with suppress(SSL.WantReadError):
            engine.do_handshake()
        read(listener, pending(engine, 0))
        if listener.pending:
            engine.bio_write(listener.data_to_send())
    secret = next(line.split()[2] for line in lines if line.startswith(b"CLIENT_TRAFFIC_SECRET_0"))
    return listener, Records(bytes.fromhex(secret.decode()))


@pytest.mark.parametrize("request_", [KEY_UPDATE, KEY_UPDATE_REQUESTED])
def test_a_flood_of_key_changes_ends_the_session_before_it_costs_more_than_a_moment(request_: bytes) -> None:
    """128 KiB of them would take OpenSSL 35 to 75 ms."""
    listener, records = dialed_by_records()
    flood = bytearray()
    while len(flood) < 131_072:
        flood += records(HANDSHAKE, request_)
        records.update()
    assert read(listener, bytes(flood)) == b""
    assert isinstance(listener.error, ProtocolViolation)
    assert listener.pending < 16_384


@pytest.mark.parametrize("cut", [1, 2, 5, 27, 10_000])
@pytest.mark.parametrize(("useful", "is_fine"), [(RECORDS_PER_USELESS - 1, False), (RECORDS_PER_USELESS, True)])
def test_records_without_data_are_counted_however_they_are_cut(useful: int, is_fine: bool, cut: int) -> None:
    listener, records = dialed_by_records()
    sent = b"".join(records(DATA, b"x") for _ in range(useful))
    for _ in range(USELESS_RECORDS + 1):
        sent += records(HANDSHAKE, KEY_UPDATE)
        records.update()
    assert b"".join(read(listener, sent[start : start + cut]) for start in range(0, len(sent), cut)) == b"x" * useful
    assert (listener.error is None) is is_fine
    assert read(listener, records(DATA, b"more")) == (b"more" if is_fine else b"")


def test_a_host_of_files_serves_whoever_trusts_it(tmp_path: Path) -> None:
    config = make_host_certificate(tmp_path, names=[NAME])
    dialer = OuterTls(client_context(config), server_side=False, server_name=NAME)
    listener = OuterTls(server_context(config), server_side=True)
    shake_hands(dialer, listener)
    assert dialer.is_open
    assert listener.is_open


def test_a_key_may_stand_in_the_file_of_its_certificate(tmp_path: Path) -> None:
    config = make_host_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(Path(config.certificate or "").read_bytes() + Path(config.private_key or "").read_bytes())
    assert server_context(WebSocketConfig(certificate=str(both)))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    config = make_host_certificate(tmp_path)
    key = serialization.load_pem_private_key(Path(config.private_key or "").read_bytes(), None)
    locked = tmp_path / "locked.pem"
    lock = serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
    with pytest.raises(ConfigInvalid, match="without password"):
        server_context(WebSocketConfig(certificate=config.certificate, private_key=str(locked)))


def test_contexts_of_the_application_are_taken_as_they_are() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    config = WebSocketConfig(server_context=context, client_context=other)
    assert server_context(config) is context
    assert client_context(config) is other
    assert config.can_listen
    assert not WebSocketConfig().can_listen


def test_a_file_that_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    good = make_host_certificate(tmp_path)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    missing = str(tmp_path / "missing.pem")
    for config, key, name in (
        (WebSocketConfig(certificate=missing), "websocket.certificate", missing),
        (WebSocketConfig(certificate=good.certificate, private_key=missing), "websocket.private_key", missing),
        (WebSocketConfig(certificate=str(nonsense)), "websocket.certificate", str(nonsense)),
        (WebSocketConfig(certificate=good.certificate), "websocket.certificate", str(good.certificate)),
        (WebSocketConfig(), "websocket.certificate", "is needed"),
    ):
        with pytest.raises(ConfigInvalid) as caught:
            server_context(config)
        assert caught.value.key == key
        assert name in str(caught.value)
    for path in (missing, str(nonsense)):
        with pytest.raises(ConfigInvalid) as caught:
            client_context(WebSocketConfig(trusted=path))
        assert caught.value.key == "websocket.trusted"
        assert path in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"certificate": 1}, "certificate"),
        ({"private_key": b"a", "certificate": "a"}, "private_key"),
        ({"trusted": 5}, "trusted"),
        ({"verify": "no"}, "verify"),
        ({"private_key": "a"}, "private_key"),
    ],
)
def test_a_setting_that_is_none_is_named(settings: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        WebSocketConfig(**settings)
    assert caught.value.key == f"websocket.{key}"
