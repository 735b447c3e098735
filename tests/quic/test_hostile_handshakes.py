"""Handshakes with something wrong in them, in both roles: none is accepted, none raises what is no error of ours.

Bytes are changed before they are encrypted, so that they arrive: a packet that was changed on its way is dropped, and sent again.
"""

from collections.abc import Callable
from random import Random

import pytest
from aioquic._buffer import Buffer
from aioquic.tls import Epoch

from cortexnet.errors import CortexError
from cortexnet.identity.identity import Identity
from cortexnet.mux.muxer import ConnectionFailed
from cortexnet.quic.aioquic_engine import AioquicEngine
from cortexnet.quic.engine import Origin, QuicConfig
from cortexnet.security.certificate import NodeCertificate, create_certificate
from tests.support.quic_pair import NOW, SERVER, Conditions, Pair, engine, inject, verify

COUNT = 520
"""Of each kind and role: more than 2,000 in all."""
IDENTITIES = [Identity.generate() for _ in range(2)]
CERTIFICATE = create_certificate(IDENTITIES[1].private_key, now=NOW)
Change = Callable[[bytes], bytes]


class ShownCertificate:
    """A certificate as aioquic takes it: it asks for its bytes alone."""

    def __init__(self, der: bytes) -> None:
        self._der = der

    def public_bytes(self, encoding: object) -> bytes:
        return self._der


def with_changed_messages(side: AioquicEngine, change: Change) -> AioquicEngine:
    """Change what the side's TLS says in its handshake, behind the back of its own transcript."""
    quic = side._quic

    def push() -> None:
        for epoch, buffer in quic._crypto_buffers.items():
            data = buffer.data
            quic._crypto_streams[epoch].sender.write(change(data) if data and epoch != Epoch.ONE_RTT else data)
            buffer.seek(0)

    vars(quic)["_push_crypto_data"] = push
    return side


def with_certificate(der: bytes, origin: Origin | None = None) -> AioquicEngine:
    shown = NodeCertificate(der, ShownCertificate(der), CERTIFICATE.private_key)
    return AioquicEngine(shown, verify, QuicConfig(), origin=origin)


def changed(random: Random, data: bytes) -> bytes:
    """One bit is another, or some bytes are missing, too many or noise."""
    kind, position, size = random.randrange(4), random.randrange(len(data)), random.randrange(1, 9)
    if kind == 0:
        return data[:position] + bytes([data[position] ^ 1 << random.randrange(8)]) + data[position + 1 :]
    if kind == 1:
        return data[:position] + data[position + size :]
    if kind == 2:
        return data[:position] + random.randbytes(size) + data[position:]
    return data[:position] + bytes(byte ^ random.randrange(1, 256) for byte in data[position:])


def one_change(random: Random) -> Change:
    """One of the messages is changed: the hello, or what follows it."""
    left = random.randrange(2)

    def change(data: bytes) -> bytes:
        nonlocal left
        left -= 1
        return changed(random, data) if left == -1 else data

    return change


def meet(client: AioquicEngine, make_server: Callable[[Origin], AioquicEngine]) -> Pair:
    both = Pair(client, make_server, Conditions(latency=0.001))
    both.run(4.0, lambda: any(isinstance(event, ConnectionFailed) for event in both.client_events + both.server_events))
    both.run(0.05)
    return both


def check(both: Pair, victim_is_client: bool) -> None:
    victim = both.client if victim_is_client else both._server
    assert victim is None or not victim.is_established
    for event in both.client_events + both.server_events:
        if isinstance(event, ConnectionFailed):
            assert isinstance(event.error, CortexError)


@pytest.mark.parametrize("victim_is_client", [True, False])
def test_changed_messages_are_never_accepted(victim_is_client: bool) -> None:
    for seed in range(COUNT):
        change = one_change(Random(seed))
        if victim_is_client:
            both = meet(
                engine(IDENTITIES[0]),
                lambda origin, change=change: with_changed_messages(engine(IDENTITIES[1], origin=origin), change),
            )
        else:
            both = meet(
                with_changed_messages(engine(IDENTITIES[0]), change),
                lambda origin: engine(IDENTITIES[1], origin=origin),
            )
        check(both, victim_is_client)


@pytest.mark.parametrize("victim_is_client", [True, False])
def test_changed_certificates_are_never_accepted(victim_is_client: bool) -> None:
    random = Random(9)
    for _ in range(COUNT):
        der = CERTIFICATE.der
        while der == CERTIFICATE.der:
            der = changed(random, der)
        if victim_is_client:
            both = meet(engine(IDENTITIES[0]), lambda origin, der=der: with_certificate(der, origin))
        else:
            both = meet(with_certificate(der), lambda origin: engine(IDENTITIES[1], origin=origin))
        check(both, victim_is_client)


def test_the_same_without_a_change_is_accepted() -> None:
    both = meet(
        with_certificate(CERTIFICATE.der), lambda origin: with_changed_messages(engine(IDENTITIES[0], origin=origin), bytes)
    )
    assert both.client.is_established
    assert both.server.is_established


def test_packets_that_were_changed_on_their_way_change_nothing() -> None:
    random = Random(4)
    for _ in range(60):
        both = Pair(engine(IDENTITIES[0]), lambda origin: engine(IDENTITIES[1], origin=origin), Conditions(latency=0.001))
        carry = both._carry

        def meddle(datagram: bytes, target: object, carry=carry) -> None:
            position = random.randrange(len(datagram))
            carry(datagram[:position] + random.randbytes(1) + datagram[position + 1 :], target)
            carry(random.randbytes(random.randrange(1, 1_500)), target)
            carry(datagram, target)

        both._carry = meddle
        both.run(3.0)
        assert both.client.is_established
        assert both.server.is_established


def test_frames_of_noise_from_an_authenticated_peer_end_in_an_event() -> None:
    for seed in range(300):
        random = Random(seed)
        both = Pair(engine(IDENTITIES[0]), lambda origin: engine(IDENTITIES[1], origin=origin), Conditions(latency=0.001))
        both.establish()
        server = both.server
        stream = both.client.open_stream()
        both.client.send(stream, b"x")
        both.flush()
        both.run(0.1)
        kind = random.randrange(0, 0x32)
        plain = Buffer(capacity=1_200)
        plain.push_uint_var(kind)
        plain.push_bytes(random.randbytes(random.randrange(0, 40)))
        events = inject(both, plain.data)
        server.datagrams_to_send(both.now)
        server.handle_timeout(both.now + 1)
        for event in events:
            if isinstance(event, ConnectionFailed):
                assert isinstance(event.error, CortexError)
        assert server.receive(random.randbytes(50), SERVER, both.now) is not None
