"""The Noise handshake of libp2p: who is at the other end, and an encrypted channel to it.

Each side proves its identity by a signature over its Noise static key, sent inside the handshake. A node has one static key for
its whole life, so it signs once; what it has verified of others it remembers (see `NoiseKeys`).

The three messages come from one of two engines (`security.noise_xx`), and ours is the default for the dial rate's sake. Measured
for both sides in memory on CPython 3.11, identities included, in µs:

    engine            XX alone    whole handshake    the same with the peer's signature remembered
    LeanXX                 360                630                                              390
    NoiseprotocolXX        530                815                                              580

Spec: libp2p specs, noise/.
"""

from collections.abc import Sequence
from typing import final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cortexnet.errors import HandshakeFailed, LocalError, MessageTooLarge, PeerIdMismatch, ProtocolViolation
from cortexnet.handshake import Handshake, Read, Send
from cortexnet.identity.keys import PrivateKey, PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.noise_messages import MAX_MUXERS, MAX_PAYLOAD, Payload, agreed_muxer
from cortexnet.security.noise_session import NoiseSession
from cortexnet.security.noise_xx import OVERHEAD, Engine, LeanXX
from cortexnet.security.session import SecureSession

__all__ = ["NAME", "NoiseChannel", "NoiseKeys", "NoiseSession", "initiate", "respond"]

NAME = "/noise"
SIGNATURE_PREFIX = b"noise-libp2p-static-key:"
MAX_REMEMBERED = 256
"""Verified identities kept per node; at most 4 KiB each (RSA), 0.3 KiB usually."""


@final
class NoiseKeys:
    """What a node brings to each of its handshakes: static key, signed payload, muxers; and the identities it has verified.

    Those are remembered by the exact bytes of identity key, static key and signature, since the nodes of a network keep their
    static key, and checking a signature is the dearest step of a handshake. That is safe: whether these bytes fit together never
    changes, only successes are kept, and that the peer holds the static key is proven by each handshake itself before
    anything is looked up. Who replays the signed payload of another fails there. A flood of identities drives others out of the
    memory, and they are verified again.
    """

    def __init__(
        self, static: X25519PrivateKey, signed_payload: bytes, muxers: Sequence[str] = (), *, engine: Engine = LeanXX
    ) -> None:
        self.static = static
        self.signed_payload = signed_payload
        self.muxers = [muxer.encode() for muxer in muxers]
        self.engine = engine
        self._verified: dict[tuple[bytes, bytes, bytes], tuple[PeerId, PublicKey]] = {}

    @classmethod
    def create(
        cls,
        identity: PrivateKey,
        muxers: Sequence[str],
        *,
        static: X25519PrivateKey | None = None,
        engine: Engine = LeanXX,
    ) -> "NoiseKeys":
        """Sign a static key (a new one by default) with the node's identity.

        `muxers` in order of preference are offered inside the handshake, which saves a round trip; with none, or none in common,
        multistream-select decides afterwards. Raises LocalError for more than 16.
        """
        if len(muxers) > MAX_MUXERS:
            raise LocalError(f"at most {MAX_MUXERS} muxers can be offered, not {len(muxers)}")
        static = static or X25519PrivateKey.generate()
        payload = Payload(
            identity.public_key.marshal(),
            identity.sign(SIGNATURE_PREFIX + static.public_key().public_bytes_raw()),
            [muxer.encode() for muxer in muxers],
        )
        return cls(static, payload.encode(), muxers, engine=engine)

    def verify(self, payload: Payload, remote_static: bytes) -> tuple[PeerId, PublicKey]:
        """Who signed `remote_static`, which must be the one of this handshake. Raises HandshakeFailed."""
        claim = (payload.identity_key, remote_static, payload.identity_signature)
        known = self._verified.pop(claim, None)
        if known is None:
            known = _verify(*claim)
            if len(self._verified) >= MAX_REMEMBERED:
                del self._verified[next(iter(self._verified))]
        self._verified[claim] = known  # at the end: what was used last goes last
        return known


@final
class NoiseChannel:
    """Noise as a secure channel of a node."""

    name = NAME

    def __init__(self, keys: NoiseKeys) -> None:
        self._keys = keys

    def initiate(self, expected: PeerId | None) -> Handshake[SecureSession]:
        """See the module's `initiate`."""
        return initiate(self._keys, expected)

    def respond(self) -> Handshake[SecureSession]:
        """See the module's `respond`."""
        return respond(self._keys)


def initiate(keys: NoiseKeys, expected: PeerId | None) -> Handshake[NoiseSession]:
    """The dialer's side; done when its last message is written, so that a refusal shows as an early end of the connection.

    Raises PeerIdMismatch where the peer proves to be another than `expected` (None: whoever answers), MessageTooLarge, and
    HandshakeFailed for all else.
    """
    state = keys.engine(keys.static, True)
    yield Send(_frame(state.write_message(b"")))
    payload = Payload.decode(state.read_message((yield from _read_message(1))))
    peer_id, public_key = keys.verify(payload, state.remote_static)
    # Compared after the signature: the error must name who answered, not who somebody claimed to be.
    if expected is not None and peer_id != expected:
        raise PeerIdMismatch(expected, peer_id)
    yield Send(_frame(state.write_message(keys.signed_payload)))
    muxer = agreed_muxer(keys.muxers, payload.muxers)
    return NoiseSession(state.split(), remote_peer=peer_id, remote_key=public_key, muxer=muxer)


def respond(keys: NoiseKeys) -> Handshake[NoiseSession]:
    """The listener's side. Raises MessageTooLarge or HandshakeFailed."""
    state = keys.engine(keys.static, False)
    state.read_message((yield from _read_message(0)))  # go drops what comes in the first payload, too
    yield Send(_frame(state.write_message(keys.signed_payload)))
    payload = Payload.decode(state.read_message((yield from _read_message(2))))
    peer_id, public_key = keys.verify(payload, state.remote_static)
    muxer = agreed_muxer(payload.muxers, keys.muxers)
    return NoiseSession(state.split(), remote_peer=peer_id, remote_key=public_key, muxer=muxer)


def _verify(identity_key: bytes, remote_static: bytes, signature: bytes) -> tuple[PeerId, PublicKey]:
    try:
        public_key = PublicKey.unmarshal(identity_key)
    except (ProtocolViolation, MessageTooLarge) as error:
        raise HandshakeFailed(f"unreadable identity key: {error}") from error
    peer_id = PeerId.from_public_key(public_key)
    if not public_key.verify(SIGNATURE_PREFIX + remote_static, signature):
        raise HandshakeFailed(f"somebody claims to be {peer_id} without its signature of the static key")
    return peer_id, public_key


def _frame(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def _read_message(index: int) -> Handshake[bytes]:
    """The body of handshake message 0, 1 or 2; sizes that can't be are refused before it has come."""
    size = int.from_bytes((yield Read(2)), "big")
    overhead = OVERHEAD[index]
    if size < overhead:
        raise HandshakeFailed(f"noise handshake message {index + 1} has {size} bytes, not at least {overhead}")
    if size > overhead + MAX_PAYLOAD:
        raise MessageTooLarge(f"noise handshake message {index + 1}", size, overhead + MAX_PAYLOAD)
    return (yield Read(size))
