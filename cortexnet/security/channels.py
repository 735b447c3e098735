"""The secure channels of a node, by their names in its configuration."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import final

from cortexnet.handshake import Handshake
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security.noise import NoiseChannel, NoiseKeys
from cortexnet.security.session import SecureChannel, SecureSession

TLS = "/tls/1.0.0"


def secure_channels(
    names: Sequence[str], identity: PrivateKey, muxers: Sequence[str], *, now: Callable[[], datetime]
) -> list[SecureChannel]:
    """The channels of these names, in their order; `muxers` are offered inside of their handshakes, `now` tells the date."""
    make: dict[str, Callable[[], SecureChannel]] = {
        "noise": lambda: NoiseChannel(NoiseKeys.create(identity, muxers)),
        "tls": lambda: _OnFirstUse(TLS, lambda: _tls(identity, muxers, now)),
    }
    return [make[name]() for name in names]


def _tls(identity: PrivateKey, muxers: Sequence[str], now: Callable[[], datetime]) -> SecureChannel:
    from cortexnet.security.certificate import create_certificate
    from cortexnet.security.tls import TlsChannel

    return TlsChannel(create_certificate(identity, now=now()), muxers, now=now)


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
