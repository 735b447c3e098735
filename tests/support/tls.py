"""TLS channels and sessions in memory; engines of OpenSSL that do what no channel of ours would."""

from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL

from cortexnet.handshake import Handshake, Read, Send
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.certificate import NodeCertificate
from cortexnet.security.session import SecureSession
from cortexnet.security.tls import TlsChannel
from cortexnet.security.tls_session import TlsSession, pending
from cortexnet.testing.handshakes import run_pair
from tests.support.certificates import NOW, Forge

YAMUX = "/yamux/1.0.0"
ANNA, BERT, EVE = (PrivateKey.generate() for _ in range(3))


def id_of(key: PrivateKey) -> PeerId:
    return PeerId.from_public_key(key.public_key)


def channel_of(key: PrivateKey, *muxers: str) -> TlsChannel:
    return TlsChannel(Forge(identity=key).node(), muxers, now=lambda: NOW)


CHANNELS = {key: channel_of(key, YAMUX) for key in (ANNA, BERT, EVE)}


def tls_pair() -> tuple[TlsSession, TlsSession]:
    """Anna, who dialed, and Bert."""
    one, other = run_pair(CHANNELS[ANNA].initiate(id_of(BERT)), CHANNELS[BERT].respond())
    assert isinstance(one.result, TlsSession)
    assert isinstance(other.result, TlsSession)
    assert one.result.decrypt(one.rest) == ([], len(one.rest))  # tickets
    return one.result, other.result


def context(certificate: NodeCertificate | None = None, *, alpn: Sequence[bytes] = (b"libp2p",)) -> SSL.Context:
    """Of an engine that accepts whoever is there; to be changed further before its first use."""
    made = SSL.Context(SSL.TLS_METHOD)
    if certificate is not None:
        made.use_certificate(certificate.certificate)
        made.use_privatekey(certificate.private_key)
    made.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    made.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
    if alpn:
        made.set_alpn_protos(list(alpn))
        made.set_alpn_select_callback(lambda _, offered: alpn[0])
    return made


def foreign(
    made: SSL.Context, *, is_dialer: bool, change: Callable[[SSL.Connection], None] = lambda _: None
) -> Handshake[SSL.Connection]:
    """A handshake of somebody else's TLS; it returns the engine, or raises what that does."""
    engine = SSL.Connection(made, None)
    change(engine)
    engine.set_connect_state() if is_dialer else engine.set_accept_state()
    while True:
        is_done = True
        try:
            engine.do_handshake()
        except SSL.WantReadError:
            is_done = False
        except SSL.Error:
            yield Send(pending(engine, 0))
            raise
        data = pending(engine, 0)
        if data:
            yield Send(data)
        if is_done:
            return engine
        header = yield Read(5)
        engine.bio_write(header + (yield Read(int.from_bytes(header[3:]))))


def session_of(handshake: Handshake[SecureSession], other: Handshake[SSL.Connection]) -> tuple[TlsSession, SSL.Connection]:
    """What both sides end up with, where they do."""
    one, two = run_pair(handshake, other)
    assert one.error is None, one.error
    assert isinstance(one.result, TlsSession)
    assert two.result is not None
    if two.rest:
        two.result.bio_write(two.rest)  # tickets
    return one.result, two.result


def what_counts(flight: bytes) -> bytes:
    """The records of a flight without what every TLS 1.3 reads over: their versions, and changes of cipher specs."""
    counts, position = bytearray(), 0
    while position < len(flight):
        header = flight[position : position + 5]
        stop = position + 5 + int.from_bytes(header[3:])
        body = flight[position + 5 : stop]
        if (header[:1], body) != (b"\x14", b"\x01"):
            counts += header[:1] + header[3:] + body
        position = stop
    return bytes(counts)


DATA, HANDSHAKE, ALERT = 23, 22, 21
KEY_UPDATE_REQUESTED, KEY_UPDATE = b"\x18\0\0\1\1", b"\x18\0\0\1\0"


class Records:
    """Seals records with the secret of one direction, whatever is in them; for TLS_AES_128_GCM_SHA256."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._number = 0

    def __call__(self, kind: int, content: bytes, *, padding: int = 0) -> bytes:
        header = b"\x17\3\3" + (len(content) + 1 + padding + 16).to_bytes(2)
        nonce = int.from_bytes(self._expand("iv", 12)) ^ self._number
        self._number += 1
        plaintext = content + bytes([kind]) + bytes(padding)
        return header + AESGCM(self._expand("key", 16)).encrypt(nonce.to_bytes(12), plaintext, header)

    def update(self) -> None:
        """Change to the next key, as a peer does behind its KEY_UPDATE."""
        self._secret, self._number = self._expand("traffic upd", 32), 0

    def _expand(self, label: str, size: int) -> bytes:
        name = b"tls13 " + label.encode()
        return HKDFExpand(SHA256(), size, size.to_bytes(2) + bytes([len(name)]) + name + b"\0").derive(self._secret)


def dialed_by_records() -> tuple[TlsSession, Records]:
    """A session of Bert's, and what seals records as its dialer would."""
    session, _, records = dialed_by_engine()
    return session, records


def dialed_by_engine() -> tuple[TlsSession, SSL.Connection, Records]:
    """A session of Bert's, the engine that dialed, and what seals records as that would."""
    lines: list[bytes] = []
    made = context(Forge(identity=ANNA).node())
    made.set_keylog_callback(lambda _, line: lines.append(line))
    session, engine = session_of(CHANNELS[BERT].respond(), foreign(made, is_dialer=True))
    secret = next(line.split()[2] for line in lines if line.startswith(b"CLIENT_TRAFFIC_SECRET_0"))
    return session, engine, Records(bytes.fromhex(secret.decode()))
