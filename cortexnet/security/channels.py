"""The secure channels of a node, by their names in its configuration."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

from cortexnet.handshake import Handshake
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.noise import NoiseChannel, NoiseKeys
from cortexnet.security.session import SecureChannel, SecureSession

if TYPE_CHECKING:
    from datetime import datetime

    from cortexnet.security.certificate import NodeCertificate

TLS = "/tls/1.0.0"


def secure_channels(
    names: Sequence[str],
    identity: PrivateKey,
    muxers: Sequence[str],
    *,
    now: "Callable[[], datetime]",
    certificate: "Callable[[], NodeCertificate] | None" = None,
) -> list[SecureChannel]:
    """The channels of these names, in their order; `muxers` are offered inside of their handshakes, `now` tells the date.

    `certificate` gives the one to show where the node has one already.
    """
    shown = certificate or certificate_of(identity, now)
    make: dict[str, Callable[[], SecureChannel]] = {
        "noise": lambda: NoiseChannel(NoiseKeys.create(identity, muxers)),
        "tls": lambda: _OnFirstUse(TLS, lambda: _tls(shown(), muxers, now)),
    }
    return [make[name]() for name in names]


def certificate_of(identity: PrivateKey, now: "Callable[[], datetime]") -> "Callable[[], NodeCertificate]":
    """Gives the one certificate of a node, made when it is first asked for: TLS and QUIC show the same."""

    @functools.cache
    def certificate() -> "NodeCertificate":
        from cortexnet.security.certificate import create_certificate

        return create_certificate(identity, now=now())

    return certificate


def _tls(certificate: "NodeCertificate", muxers: Sequence[str], now: "Callable[[], datetime]") -> SecureChannel:
    from cortexnet.security.tls import TlsChannel

    return TlsChannel(certificate, muxers, now=now)


@final
class _OnFirstUse:
    """A channel that is made for its first handshake: OpenSSL takes 40 ms to load, and many a node never meets a peer that it
    speaks TLS with."""

    def __init__(self, name: str, make: Callable[[], SecureChannel]) -> None:
        self.name = name
        self._make = make
        self._made: SecureChannel | None = None

    def _channel(self) -> SecureChannel:
        if self._made is None:
            self._made = self._make()
        return self._made

    def initiate(self, expected: PeerId | None) -> Handshake[SecureSession]:
        return self._channel().initiate(expected)

    def respond(self) -> Handshake[SecureSession]:
        return self._channel().respond()
