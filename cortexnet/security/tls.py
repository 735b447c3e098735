"""The TLS 1.3 handshake of libp2p: who is at the other end, and an encrypted channel to it.

Both sides show a self-signed certificate that names and proves their identity (`security.certificate`). OpenSSL is the engine, by
way of pyOpenSSL, since the `ssl` module of Python has no way to take a self-signed certificate from a client. The engine accepts
none by itself: our check is made while it reads the peer's certificate, so that it answers a bad one with an alert.

Sessions are never resumed, because only certificates prove who the peer is. pyOpenSSL can't keep a server from sending tickets
(two, 158 bytes), but nothing is kept that they could stand for.

Spec: libp2p specs, tls/, and connections/inlined-muxer-negotiation.md; RFC 8446.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import final

from OpenSSL import SSL, crypto

from cortexnet.errors import HandshakeFailed, LocalError, MessageTooLarge, NegotiationFailed
from cortexnet.handshake import Handshake, Read, Send
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.certificate import KnownCertificates, NodeCertificate
from cortexnet.security.session import SecureSession
from cortexnet.security.tls_session import HEADER_SIZE, MAX_BODY, NAME, TlsSession, pending, reason

__all__ = ["NAME", "TlsChannel", "TlsSession"]

MAX_MUXERS = 16
MAX_HANDSHAKE = 32_768
"""Bytes that a peer may send in a handshake: twice the largest certificate."""
MAX_RECORDS = 64
"""Records of a handshake, which takes four to ten."""

_LIBP2P = b"libp2p"
"""What ALPN agrees on where the muxer is to be negotiated inside of the channel."""
# The fastest first, where the processor knows AES; the peer decides if it is the server.
_CIPHERS = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


@final
class TlsChannel:
    """TLS as a secure channel of a node.

    `muxers` in order of preference are offered inside the handshake, which saves a round trip; with none, or none in common,
    multistream-select decides afterwards. `now` tells the date, with its time zone. Raises LocalError for more than 16.
    """

    name = NAME

    def __init__(self, certificate: NodeCertificate, muxers: Sequence[str], *, now: Callable[[], datetime]) -> None:
        if len(muxers) > MAX_MUXERS:
            raise LocalError(f"at most {MAX_MUXERS} muxers can be offered, not {len(muxers)}")
        self._muxers = [muxer.encode() for muxer in muxers]
        self._now = now
        self._known = KnownCertificates()
        self._client = _context(certificate)
        self._client.set_alpn_protos([*self._muxers, _LIBP2P])
        self._server = _context(certificate)
        self._server.set_alpn_select_callback(self._choose)

    def initiate(self, expected: PeerId | None) -> Handshake[SecureSession]:
        """The dialer's side; done when its last message is written, so that a refusal shows as an early end of the connection.

        Raises PeerIdMismatch where the peer proves to be another than `expected` (None: whoever answers), and HandshakeFailed for
        all else.
        """
        engine = SSL.Connection(self._client, None)
        engine.set_connect_state()
        return self._shake_hands(engine, expected, certificates_in_front=0)

    def respond(self) -> Handshake[SecureSession]:
        """The listener's side. Raises HandshakeFailed."""
        engine = SSL.Connection(self._server, None)
        engine.set_accept_state()
        return self._shake_hands(engine, None, certificates_in_front=1)

    def _choose(self, engine: SSL.Connection, offered: list[bytes]) -> bytes:
        """The first muxer of the client's list that we have; without one the peers negotiate inside of the channel."""
        for protocol in offered:
            if protocol in self._muxers:
                return protocol
        if _LIBP2P in offered:
            return _LIBP2P
        raise NegotiationFailed(
            "no application protocol in common", protocols=[name.decode(errors="replace") for name in offered]
        )

    def _shake_hands(
        self, engine: SSL.Connection, expected: PeerId | None, *, certificates_in_front: int
    ) -> Handshake[SecureSession]:
        """What OpenSSL calls the chain is without the peer's own certificate on one of the sides: `certificates_in_front`."""
        judge = _Judge(self._known, expected, self._now())
        engine.set_app_data(judge)
        size = count = 0
        while not (yield from _advance(engine, judge)):
            record = yield from _read_record()
            size, count = size + len(record), count + 1
            if size > MAX_HANDSHAKE or count > MAX_RECORDS:
                raise HandshakeFailed(f"a TLS handshake of more than {MAX_HANDSHAKE} bytes or {MAX_RECORDS} records")
            engine.bio_write(record)
        certificates = certificates_in_front + len(engine.get_peer_cert_chain() or ())
        if certificates != 1 or judge.verdict is None:
            raise HandshakeFailed(f"the peer sent {certificates} certificates instead of one")
        peer_id, public_key = judge.verdict
        muxer = self._agreed(engine.get_alpn_proto_negotiated())
        yield Send(pending(engine, 0))
        return TlsSession(engine, remote_peer=peer_id, remote_key=public_key, muxer=muxer)

    def _agreed(self, protocol: bytes) -> str | None:
        if protocol in self._muxers:
            return protocol.decode()
        if protocol in (b"", _LIBP2P):  # some stacks choose none
            return None
        raise NegotiationFailed(f"the peer chose {protocol[:128]!r}, which was not offered")


@final
@dataclass(slots=True)
class _Judge:
    """Looks at the certificate of one peer, once."""

    known: KnownCertificates
    expected: PeerId | None
    now: datetime
    verdict: tuple[PeerId, PublicKey] | None = None
    error: HandshakeFailed | None = None

    def accepts(self, certificate: crypto.X509, depth: int) -> bool:
        if self.error is None and (self.verdict is None or depth > 0):
            try:
                if depth > 0:
                    raise HandshakeFailed("the peer sent a chain of certificates")
                der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
                self.verdict = self.known.verify_chain([der], expected=self.expected, now=self.now)
            except HandshakeFailed as error:
                self.error = error.with_traceback(None)  # which leads back here
        return self.error is None


def _verify(engine: SSL.Connection, certificate: crypto.X509, code: int, depth: int, is_good: int) -> bool:
    """OpenSSL asks about each fault that it finds, the first being that nobody it knows signed the certificate."""
    judge = engine.get_app_data()
    assert isinstance(judge, _Judge)  # set before the engine runs
    return judge.accepts(certificate, depth)


def _context(certificate: NodeCertificate) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(_CIPHERS)
    context.use_certificate(certificate.certificate)
    context.use_privatekey(certificate.private_key)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # the 16 KiB of a record are kept only while it is worked on
    return context


def _advance(engine: SSL.Connection, judge: _Judge) -> Handshake[bool]:
    """Let the engine go on; whether it is done. Of a handshake that is done nothing is sent yet: the peer is not accepted."""
    failure: HandshakeFailed | None = None
    try:
        engine.do_handshake()
        return True
    except SSL.WantReadError:
        pass
    except NegotiationFailed as error:
        failure = error
        _clear_errors(engine)
    except SSL.Error as error:
        failure = judge.error or HandshakeFailed(f"TLS handshake: {reason(error)}")
    yield Send(pending(engine, 0))  # the next flight, or an alert
    if failure is not None:
        raise failure  # not from OpenSSL's error: that holds the engine, and says no more
    return False


def _clear_errors(engine: SSL.Connection) -> None:
    """Empty OpenSSL's list of errors, as pyOpenSSL does unless a callback raised.

    It is one for all engines of the thread: the next of them that asks for bytes would be told of this error.
    """
    try:
        engine.do_handshake()
    except SSL.Error:
        return


def _read_record() -> Handshake[bytes]:
    header = yield Read(HEADER_SIZE)
    size = int.from_bytes(header[3:])
    if size > MAX_BODY:
        raise MessageTooLarge("TLS record", size, MAX_BODY)
    return header + (yield Read(size))
