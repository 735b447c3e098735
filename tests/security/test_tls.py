"""TLS handshakes, against peers of all kinds: who is accepted, what ALPN leads to, and all the ways in which they must fail.

What every secure channel does is in test_handshakes_conformance.
"""

import gc
from collections.abc import Callable
from random import Random
from typing import Any, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from OpenSSL import SSL, crypto

from cortexnet.errors import HandshakeFailed, LocalError, MessageTooLarge, NegotiationFailed, PeerIdMismatch
from cortexnet.handshake import Handshake
from cortexnet.identity.keys import KeyType, PrivateKey
from cortexnet.security.certificate import NodeCertificate
from cortexnet.security.der import BIT_STRING, SEQUENCE, one
from cortexnet.security.tls import MAX_HANDSHAKE, MAX_RECORDS, TlsChannel
from cortexnet.security.tls_session import MAX_BODY, TlsSession
from cortexnet.testing.handshakes import Outcome, run_over, run_pair
from tests.security.test_certificate import FALSE_PROOFS, NOT_CRITICAL
from tests.support.certificates import NAME, NOW, P256, Forge, element, mutated
from tests.support.tls import ANNA, BERT, CHANNELS, EVE, YAMUX, channel_of, context, foreign, id_of, session_of

CLIENT_HELLO = run_over(CHANNELS[ANNA].initiate(None), []).sent


def failure(outcome: Outcome[Any]) -> Exception:
    assert outcome.result is None
    assert outcome.error is not None
    return outcome.error


def engine_says(handshake: Handshake[SSL.Connection], other: Handshake[Any]) -> tuple[str, Outcome[Any]]:
    """What the foreign engine got to know of its failure, and the outcome of our side."""
    found: list[str] = []

    def watched() -> Handshake[None]:
        try:
            yield from handshake
        except SSL.Error as error:
            found.append(str(error))

    outcome, _ = run_pair(other, watched())
    return "".join(found), outcome


# --- who is accepted


@pytest.mark.parametrize("dialer", get_args(KeyType))
@pytest.mark.parametrize("listener", get_args(KeyType))
def test_keys_of_all_types_authenticate_each_other(dialer: KeyType, listener: KeyType) -> None:
    first, second = PrivateKey.generate(dialer), PrivateKey.generate(listener)
    one, other = run_pair(channel_of(first).initiate(id_of(second)), channel_of(second).respond())
    assert one.result is not None
    assert other.result is not None
    assert (one.result.remote_peer, other.result.remote_peer) == (id_of(second), id_of(first))


CERTIFICATE_KEYS: dict[str, dict[str, Any]] = {
    "P-256": {},
    "P-384": {"key": ec.generate_private_key(ec.SECP384R1()), "hash": SHA384()},
    "Ed25519": {"key": ed25519.Ed25519PrivateKey.generate()},
    "RSA": {"key": rsa.generate_private_key(65_537, 2_048)},
}


@pytest.mark.parametrize("key", CERTIFICATE_KEYS.values(), ids=CERTIFICATE_KEYS)
@pytest.mark.parametrize("critical", [False, True])
def test_peers_whose_certificates_have_other_keys_or_extensions_are_accepted(key: dict[str, Any], critical: bool) -> None:
    for others in ({}, {"before": NOT_CRITICAL}, {"after": NOT_CRITICAL}):
        forge = Forge(identity=ANNA, critical=critical, **key, **others)
        peer = NodeCertificate(b"", forge.make(), forge.key)  # type: ignore[arg-type]
        for is_dialer in (False, True):
            ours, _ = session_of(
                CHANNELS[BERT].respond() if is_dialer else CHANNELS[BERT].initiate(id_of(ANNA)),
                foreign(context(peer), is_dialer=is_dialer),
            )
            assert (ours.remote_peer, ours.remote_key) == (id_of(ANNA), ANNA.public_key)


def test_the_dialer_sends_no_name() -> None:
    assert b"\0\0" not in extensions_of(CLIENT_HELLO)
    assert b"\0\x10" in extensions_of(CLIENT_HELLO)  # ALPN


def extensions_of(hello: bytes) -> list[bytes]:
    """The types of the extensions of a ClientHello in one record."""
    position = 5 + 4 + 2 + 32
    position += 1 + hello[position]
    position += 2 + int.from_bytes(hello[position : position + 2])
    position += 1 + hello[position]
    position += 2
    found = []
    while position < len(hello):
        found.append(hello[position : position + 2])
        position += 4 + int.from_bytes(hello[position + 2 : position + 4])
    return found


# --- what ALPN leads to


@pytest.mark.parametrize(
    ("alpn", "muxer"), [((), None), ((b"libp2p",), None), ((b"/x", b"libp2p"), None), ((YAMUX.encode(),), YAMUX)]
)
def test_dialers_of_all_kinds_are_served(alpn: tuple[bytes, ...], muxer: str | None) -> None:
    """rust-libp2p offers `libp2p` alone; a dialer without ALPN is taken by every stack, too."""
    ours, _ = session_of(CHANNELS[BERT].respond(), foreign(context(Forge(identity=ANNA).node(), alpn=alpn), is_dialer=True))
    assert ours.muxer == muxer


@pytest.mark.parametrize(("alpn", "muxer"), [((), None), ((b"libp2p",), None), ((YAMUX.encode(),), YAMUX)])
def test_listeners_of_all_kinds_are_taken(alpn: tuple[bytes, ...], muxer: str | None) -> None:
    ours, _ = session_of(
        CHANNELS[BERT].initiate(id_of(ANNA)), foreign(context(Forge(identity=ANNA).node(), alpn=alpn), is_dialer=False)
    )
    assert ours.muxer == muxer


def test_a_dialer_with_no_protocol_in_common_is_told_so() -> None:
    dialer = foreign(context(Forge(identity=ANNA).node(), alpn=(b"h2", b"\xff")), is_dialer=True)
    told, ours = engine_says(dialer, CHANNELS[BERT].respond())
    error = failure(ours)
    assert isinstance(error, NegotiationFailed)
    assert error.protocols == ("h2", "�")
    assert "no application protocol" in told


def test_a_listener_that_chooses_what_was_not_offered_is_refused() -> None:
    _, ours = engine_says(
        foreign(context(Forge(identity=ANNA).node(), alpn=(b"/other",)), is_dialer=False), CHANNELS[BERT].initiate(None)
    )
    assert isinstance(failure(ours), HandshakeFailed)
    # OpenSSL has seen to it; were it not to:
    channel = channel_of(BERT, YAMUX)
    channel._muxers.clear()
    one, _ = run_pair(channel.initiate(None), CHANNELS[ANNA].respond())
    assert isinstance(failure(one), NegotiationFailed)


def test_too_many_muxers_are_the_callers_error() -> None:
    channel_of(ANNA, *["/a"] * 16)
    with pytest.raises(LocalError):
        channel_of(ANNA, *["/a"] * 17)


# --- who is refused


def refused_in_both_roles(
    certificate: NodeCertificate, change: Callable[[SSL.Context], object] = lambda _: None
) -> list[Exception]:
    errors = []
    for is_dialer in (False, True):
        made = context(certificate)
        change(made)
        ours = CHANNELS[BERT].respond() if is_dialer else CHANNELS[BERT].initiate(None)
        _, outcome = engine_says(foreign(made, is_dialer=is_dialer), ours)
        error = failure(outcome)
        assert isinstance(error, HandshakeFailed)
        errors.append(error)
    return errors


@pytest.mark.parametrize("proof", FALSE_PROOFS.values(), ids=FALSE_PROOFS)
def test_a_false_proof_in_a_good_certificate_is_found_by_both_sides(proof: bytes) -> None:
    refused_in_both_roles(Forge(identity=ANNA, extension=proof).node())


def test_none_of_many_mutated_proofs_is_accepted() -> None:
    random = Random(20_261_128)
    honest = Forge(identity=ANNA).proof()
    for _ in range(150):
        proof = mutated(honest, random)
        if proof != honest:
            refused_in_both_roles(Forge(identity=ANNA, extension=proof).node())


BAD = {
    "expired": Forge(identity=ANNA, begin=NOW.replace(year=2020), end=NOW.replace(year=2021)),
    "not valid yet": Forge(identity=ANNA, begin=NOW.replace(year=2027), end=NOW.replace(year=2028)),
    "critical extension": Forge(identity=ANNA, after=[(x509.BasicConstraints(True, None), True)]),
    "key usage": Forge(identity=ANNA, after=[(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.2.3")]), True)]),
    "too large": Forge(identity=ANNA, after=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(16_000)), False)]),
}


@pytest.mark.parametrize("forge", BAD.values(), ids=BAD)
def test_an_unacceptable_certificate_is_refused_by_both_sides(forge: Forge) -> None:
    refused_in_both_roles(forge.node())


def resigned(signed: bytes) -> bytes:
    """A certificate that says this, whatever it is, with a good signature."""
    signature = P256.sign(signed, ec.ECDSA(SHA256()))
    return element(SEQUENCE, signed + bytes.fromhex("300a06082a8648ce3d040302") + element(BIT_STRING, b"\0" + signature))


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL X509 objects")
def test_certificates_that_openssl_reads_and_other_libraries_do_not_are_refused() -> None:
    """OpenSSL is the first that sees a certificate, and not strict."""
    signed = one(Forge(identity=ANNA).der(), SEQUENCE).take_whole(SEQUENCE)
    head = bytes.fromhex("a00302010202014d")  # version and serial number
    assert signed.count(head) == 1
    for changed in ("a00302010002014d", "a00302010702014d", "a0030201020201cd"):
        certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, resigned(signed.replace(head, bytes.fromhex(changed))))
        refused_in_both_roles(Forge(identity=ANNA).node(), lambda made, shown=certificate: made.use_certificate(shown))


def test_the_refused_peer_is_told_by_an_alert_before_we_have_shown_who_we_are() -> None:
    bad = context(Forge(identity=ANNA, extension=b"").node())
    told, ours = engine_says(foreign(bad, is_dialer=False), CHANNELS[BERT].initiate(None))
    assert "alert" in told
    assert len(ours.sent) < len(CLIENT_HELLO) + 100
    one, other = run_pair(CHANNELS[ANNA].initiate(id_of(EVE)), CHANNELS[BERT].respond())
    assert isinstance(failure(one), PeerIdMismatch)
    assert "alert" in str(failure(other))


def test_a_dialer_without_a_certificate_is_refused() -> None:
    _, ours = engine_says(foreign(context(), is_dialer=True), CHANNELS[BERT].respond())
    assert "peer did not return a certificate" in str(failure(ours))


def test_a_chain_of_certificates_is_refused_even_if_the_first_is_good() -> None:
    """OpenSSL shows a self-signed certificate to its owner and never mentions those behind it."""
    second = Forge(identity=EVE).make()
    for error in refused_in_both_roles(Forge(identity=ANNA).node(), lambda made: made.add_extra_chain_cert(second)):
        assert "2 certificates" in str(error)


def test_a_certificate_that_another_one_signed_is_refused() -> None:
    forge = Forge(identity=ANNA)
    authority = ec.generate_private_key(ec.SECP256R1())
    other_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])

    def issued(subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder(other_name, subject).public_key(key).serial_number(1)
        return (
            builder.not_valid_before(forge.begin)
            .not_valid_after(forge.end)
            .add_extension(extension, True)
            .sign(authority, SHA256())
        )

    root = issued(other_name, authority.public_key(), x509.BasicConstraints(True, None))
    assert isinstance(forge.key, ec.EllipticCurvePrivateKey)
    leaf = issued(
        NAME, forge.key.public_key(), x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1"), forge.proof())
    )
    refused_in_both_roles(NodeCertificate(b"", leaf, forge.key))
    refused_in_both_roles(NodeCertificate(b"", leaf, forge.key), lambda made: made.add_extra_chain_cert(root))


def test_older_versions_of_tls_are_refused() -> None:
    for error in refused_in_both_roles(Forge(identity=ANNA).node(), lambda made: made.set_max_proto_version(SSL.TLS1_2_VERSION)):
        assert "version" in str(error) or "unsupported protocol" in str(error)


def test_no_session_is_resumed_and_every_handshake_shows_certificates() -> None:
    """Tickets are sent, since pyOpenSSL can't keep them back, but stand for nothing: resumed sessions show no certificates."""
    made = context(Forge(identity=ANNA).node())
    made.set_session_cache_mode(SSL.SESS_CACHE_CLIENT)
    _, engine = session_of(CHANNELS[BERT].respond(), foreign(made, is_dialer=True))
    with pytest.raises(SSL.WantReadError):
        engine.recv(100)
    ticket = engine.get_session()
    assert ticket is not None
    plain, _ = run_pair(CHANNELS[BERT].respond(), foreign(made, is_dialer=True))
    again, _ = run_pair(CHANNELS[BERT].respond(), foreign(made, is_dialer=True, change=lambda other: other.set_session(ticket)))
    assert again.result is not None
    assert again.result.remote_peer == id_of(ANNA)
    assert abs(len(again.sent) - len(plain.sent)) < 10  # signatures vary; a certificate has 400 bytes


# --- what a handshake may cost


def record(size: int, kind: int = 22) -> bytes:
    return bytes([kind, 3, 3]) + size.to_bytes(2) + bytes(size)


def test_a_record_that_can_not_be_is_refused_before_its_body_has_come() -> None:
    assert run_over(CHANNELS[BERT].respond(), [record(MAX_BODY)[:5]]).error is None
    error = failure(run_over(CHANNELS[BERT].respond(), [record(MAX_BODY + 1)[:5]]))
    assert isinstance(error, MessageTooLarge)
    assert (error.size, error.limit) == (MAX_BODY + 1, MAX_BODY)


@pytest.mark.parametrize(("count", "is_fine"), [(MAX_RECORDS - 1, True), (MAX_RECORDS, True), (MAX_RECORDS + 1, False)])
def test_a_handshake_has_a_number_of_records(count: int, is_fine: bool) -> None:
    """The ClientHello alone may come in all of them."""
    message = CLIENT_HELLO[5:]
    size = len(message) // count
    pieces = [message[start : start + size] for start in range(0, size * (count - 1), size)] + [message[size * (count - 1) :]]
    assert len(pieces) == count
    outcome = run_over(CHANNELS[BERT].respond(), [b"".join(b"\x16\3\1" + len(piece).to_bytes(2) + piece for piece in pieces)])
    assert (outcome.error is None, bool(outcome.sent)) == (is_fine, is_fine)


def test_a_handshake_has_a_size() -> None:
    """A ClientHello may say that it has 16 MiB; OpenSSL itself would read 128 KiB of it."""
    body = bytes(16_000)
    hello = b"\x01" + (131_000).to_bytes(3) + b"\3\3" + body
    pieces = [hello[start : start + 8_000] for start in range(0, len(hello), 8_000)] + [bytes(8_000)] * 4
    sent = b"".join(b"\x16\3\1" + len(piece).to_bytes(2) + piece for piece in pieces)
    error = failure(run_over(CHANNELS[BERT].respond(), [sent]))
    assert isinstance(error, HandshakeFailed)
    assert run_over(CHANNELS[BERT].respond(), [sent[: MAX_HANDSHAKE - 10_000]]).error is None


def test_the_certificate_with_the_largest_keys_has_its_place() -> None:
    identity = PrivateKey.generate("rsa")
    key = rsa.generate_private_key(65_537, 4_096)
    forge = Forge(identity=identity, key=key)
    peer = NodeCertificate(b"", forge.make(), key)  # type: ignore[arg-type]
    ours, _ = session_of(CHANNELS[BERT].respond(), foreign(context(peer), is_dialer=True))
    assert ours.remote_peer == id_of(identity)


def test_handshakes_that_fail_leave_nothing_for_the_collector() -> None:
    """Each engine has 40 KiB that Python knows nothing of: in circles of references they would pile up under a flood."""
    engines = SSL.Connection._reverse_mapping
    gc.collect()
    before = len(engines)
    gc.disable()
    try:
        for _ in range(5):
            run_pair(CHANNELS[ANNA].initiate(id_of(EVE)), CHANNELS[BERT].respond())
            run_over(CHANNELS[BERT].respond(), [CLIENT_HELLO.replace(YAMUX.encode(), bytes(12)).replace(b"libp2p", b"libp2q")])
            run_over(CHANNELS[BERT].respond(), [record(200)])
            run_over(CHANNELS[BERT].respond(), [record(MAX_BODY + 1)[:5]])
            run_over(CHANNELS[BERT].respond(), [CLIENT_HELLO])
        assert len(engines) == before
    finally:
        gc.enable()


def test_the_date_is_that_of_the_handshake() -> None:
    dates = [NOW, NOW.replace(year=2030)]
    channel = TlsChannel(Forge(identity=BERT).node(), [], now=lambda: dates.pop(0))
    first, _ = run_pair(channel.initiate(None), CHANNELS[ANNA].respond())
    second, _ = run_pair(channel.initiate(None), CHANNELS[ANNA].respond())
    assert isinstance(first.result, TlsSession)
    assert "not valid at 2030-11-25" in str(failure(second))
