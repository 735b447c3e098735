"""Noise and TLS do what every secure session does."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.noise_session import FRAMES_AT_ONCE, NoiseSession
from cortexnet.security.tls_session import RECORDS_AT_ONCE
from tests.conformance.sessions import CHECKS, Check, Pair, Subject
from tests.support.tls import tls_pair

KEY = PrivateKey.generate().public_key
PEER = PeerId.from_public_key(KEY)


def noise_pair() -> Pair:
    key, other = (ChaCha20Poly1305(ChaCha20Poly1305.generate_key()) for _ in range(2))
    return (
        NoiseSession((key, other), remote_peer=PEER, remote_key=KEY, muxer=None),
        NoiseSession((other, key), remote_peer=PEER, remote_key=KEY, muxer=None),
    )


SUBJECTS = {"noise": Subject(noise_pair, FRAMES_AT_ONCE), "tls": Subject(tls_pair, RECORDS_AT_ONCE)}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_secure_session(check: Check, subject: Subject) -> None:
    check(subject)
