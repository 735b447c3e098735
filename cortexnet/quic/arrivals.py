"""Datagrams that belong to no connection: what they are, and whom to ask for proof of their address. A core.

Anybody may write anybody's address on a datagram. So who is met for the first time is asked to come back with a token, for which
nothing is kept here, as soon as there are many such: a flood under false addresses ends there.
Spec: RFC 9000, sections 8.1 (Retry), 6 (version negotiation), 10.2.3 (closing before the handshake).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from aioquic._buffer import Buffer
from aioquic.quic.connection import TRANSPORT_CLOSE_FRAME_CAPACITY
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.retry import QuicRetryTokenHandler

from cortexnet.admission.limits import Limits
from cortexnet.admission.rate_limit import KeyedRateLimit
from cortexnet.admission.subnet import subnets_of
from cortexnet.mux.allowance import Allowance
from cortexnet.quic.engine import Address, Origin

ID_SIZE = 8
"""Bytes of the connection ids that we choose: by them a packet with a short header finds its connection."""
MIN_INITIAL = 1_200
"""Bytes of a datagram that may begin a connection; RFC 9000, 14.1: answers must not be larger than what asked for them."""
_VERSION = QuicProtocolVersion.VERSION_1
_LONG = 0x80
_UNVERIFIED_BURST = 4  # connections at once from an address that has not been proven; go-libp2p's value
_UNVERIFIED_RATE = 0.1  # and a second; go-libp2p's value
_REFUSALS = 100  # a second; more are silence


def destination(datagram: bytes) -> bytes:
    """The connection id a datagram is for; b"" where it is none of QUIC's."""
    if not datagram:
        return b""
    if datagram[0] & _LONG:
        return datagram[6 : 6 + datagram[5]] if len(datagram) > 5 else b""
    return datagram[1 : 1 + ID_SIZE]


@final
@dataclass(slots=True)
class Arrival:
    """A datagram that may begin a connection, or is of a version we do not speak."""

    version: int
    destination: bytes
    source: bytes
    token: bytes

    @property
    def is_known_version(self) -> bool:
        """Whether a connection can come of it."""
        return self.version == _VERSION


def read_arrival(datagram: bytes) -> Arrival | None:
    """None for what begins nothing: short headers of connections that are gone, other packets, noise."""
    if len(datagram) < MIN_INITIAL or not datagram[0] & _LONG:
        return None
    try:
        header = pull_quic_header(Buffer(data=datagram))
    except ValueError:
        return None
    if not header.version:  # itself a version negotiation: to answer could go on for ever
        return None
    if header.version != _VERSION:
        return Arrival(header.version, header.destination_cid, header.source_cid, b"")
    if header.packet_type != QuicPacketType.INITIAL or len(header.destination_cid) < ID_SIZE:
        return None
    return Arrival(header.version, header.destination_cid, header.source_cid, header.token)


def version_negotiation(arrival: Arrival) -> bytes:
    """The versions we speak, for who has begun with another."""
    return encode_quic_version_negotiation(
        source_cid=arrival.destination, destination_cid=arrival.source, supported_versions=[_VERSION]
    )


def refusal(arrival: Arrival) -> bytes:
    """An Initial packet that refuses the connection; its keys follow from what came."""
    crypto = CryptoPair()
    crypto.setup_initial(cid=arrival.destination, is_client=False, version=arrival.version)
    builder = QuicPacketBuilder(
        host_cid=arrival.destination,
        is_client=False,
        max_datagram_size=MIN_INITIAL,
        peer_cid=arrival.source,
        version=arrival.version,
    )
    builder.start_packet(QuicPacketType.INITIAL, crypto)
    buf = builder.start_frame(QuicFrameType.TRANSPORT_CLOSE, capacity=TRANSPORT_CLOSE_FRAME_CAPACITY)
    buf.push_uint_var(QuicErrorCode.CONNECTION_REFUSED)
    buf.push_uint_var(QuicFrameType.PADDING)
    buf.push_uint_var(0)
    return builder.flush()[0][0]


@final
@dataclass(slots=True)
class Welcome:
    """Let it in; with `is_proven` it is known to come from where it says."""

    origin: Origin
    is_proven: bool


@final
class Doorkeeper:
    """Who may begin a connection, and who has to prove its address first. One of each node.

    `random_bytes(n)` gives n of them.
    """

    def __init__(self, limits: Limits, random_bytes: Callable[[int], bytes]) -> None:
        self._limits = limits
        self._random_bytes = random_bytes
        self._tokens = QuicRetryTokenHandler()
        self._unverified: KeyedRateLimit[str] = KeyedRateLimit(
            _UNVERIFIED_RATE, _UNVERIFIED_BURST, size_limit=limits.rate_table_size
        )
        self._refusals = Allowance(_REFUSALS, 1.0)

    def judge(self, arrival: Arrival, address: Address, half_open: int, now: float) -> Welcome | bytes:
        """Whether to go on with an arrival of our version while so many handshakes go on; else the Retry to answer with."""
        original = self._proven(arrival, address, now)
        if original is not None:
            return Welcome(Origin(original, arrival.destination), is_proven=True)
        if half_open >= self._limits.quic_retry_above or not self._is_rare(address, now):
            return self._retry(arrival, address, now)
        return Welcome(Origin(arrival.destination), is_proven=False)

    def refuse(self, arrival: Arrival, now: float) -> bytes | None:
        """The packet that refuses it; None for silence, where there are too many."""
        return refusal(arrival) if self._refusals.spend(1, now) else None

    def _proven(self, arrival: Arrival, address: Address, now: float) -> bytes | None:
        """The id of the first packet, where this one brings the token for it. Any other token is as good as none."""
        if not arrival.token:
            return None
        try:
            return self._tokens.validate_token(address=address, destination_cid=arrival.destination, token=arrival.token, now=now)
        except ValueError:
            return None

    def _is_rare(self, address: Address, now: float) -> bool:
        subnets = subnets_of(address[0])
        if subnets.is_loopback and not self._limits.limit_loopback:
            return True
        return self._unverified.take(subnets.host, now)

    def _retry(self, arrival: Arrival, address: Address, now: float) -> bytes:
        source = self._random_bytes(ID_SIZE)
        token = self._tokens.create_token(
            address=address,
            original_destination_connection_id=arrival.destination,
            retry_source_connection_id=source,
            now=now,
        )
        return encode_quic_retry(
            version=arrival.version,
            source_cid=source,
            destination_cid=arrival.source,
            original_destination_cid=arrival.destination,
            retry_token=token,
        )
