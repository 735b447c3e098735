"""What nodes say to each other by multicast DNS: the question for a service, its answer, the goodbye; a core.

An answer is one packet with everything: go-libp2p takes no TXT record without SRV and A or AAAA beside it, and of several TXT
records only the last one. It is written to fit into one frame of any network, for the pieces of larger ones get lost.

Spec: libp2p `discovery/mdns`; RFC 6762, RFC 6763 section 6.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from cortexnet.discovery.mdns_packet import (
    ANY,
    PTR,
    HostAddress,
    Location,
    Name,
    Packet,
    Pointer,
    Question,
    Record,
    Texts,
    encode,
)
from cortexnet.errors import ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

ANSWER_SIZE = 1232
"""Bytes of an answer: what IPv6 carries over every link in one piece. Some ten addresses; the rest is told by identify."""
ATTRIBUTES_LIMIT = 32
"""Addresses looked at in one packet. To read one takes 30 µs; rust-libp2p sends up to 29."""
HOST_TTL = 120
"""Seconds, of the records nobody here reads; the value of RFC 6762 section 10, and go's."""
SERVICES: Name = (b"_services", b"_dns-sd", b"_udp", b"local")
"""Asked for by tools that list all services of a network (RFC 6763 section 9)."""

_ATTRIBUTE = b"dnsaddr="
_STRING_LIMIT = 255
_PORT = 4001  # go's number, too; nobody reads it


@final
@dataclass(frozen=True, slots=True)
class Sighting:
    """A peer that was named in an answer, and where it says it listens. No `addresses`: it has said goodbye."""

    peer_id: PeerId
    addresses: tuple[Multiaddr, ...]


def service_name(service: str) -> Name:
    """The name of a service as DNS has it."""
    return (*service.encode().lower().split(b"."), b"local")


def query(service: Name) -> bytes:
    """Who is there?"""
    return encode(Packet(is_response=False, questions=(Question(service, PTR),)))


@final
class Answer:
    """What one node says of itself under a name of its own, which says nothing: `label` is chosen at random."""

    def __init__(self, service: Name, label: bytes, addresses: Sequence[Multiaddr], ips: Iterable[bytes], ttl: int) -> None:
        """`addresses` end in the peer id; what doesn't fit is left out, the last ones first. `ips` is one of each version."""
        texts = [_ATTRIBUTE + str(address).encode() for address in addresses]
        self._strings = [text for text in texts if len(text) <= _STRING_LIMIT]
        self._service = service
        self._ips = tuple(ips)
        self._ttl = ttl
        self.instance: Name = (label, *service)
        """What other nodes call it."""
        self.host: Name = (label, b"local")
        """What other nodes call its machine."""
        self.packet = self._encode(ttl, HOST_TTL)
        """The whole as bytes."""
        while len(self.packet) > ANSWER_SIZE and len(self._strings) > 1:
            self._strings.pop()
            self.packet = self._encode(ttl, HOST_TTL)

    @property
    def goodbye(self) -> bytes:
        """The same, to be forgotten at once."""
        return self._encode(0, 0)

    def is_known(self, answers: Iterable[Record]) -> bool:
        """Whether an asker has it already, and for long enough (RFC 6762 section 7.1)."""
        return any(
            isinstance(known, Pointer) and known.target == self.instance and known.ttl >= self._ttl / 2 for known in answers
        )

    def _encode(self, ttl: int, host_ttl: int) -> bytes:
        found: tuple[Record, ...] = (
            Location(self.instance, ttl, _PORT, self.host, replaces=True),
            Texts(self.instance, ttl, tuple(self._strings), replaces=True),
            *(HostAddress(self.host, host_ttl, ip, replaces=True) for ip in self._ips),
        )
        pointer = Pointer(self._service, ttl, self.instance)
        return encode(Packet(is_response=True, answers=(pointer,), additional=found))


def service_listing(service: Name, ttl: int) -> bytes:
    """The answer to who asks for all services."""
    return encode(Packet(is_response=True, answers=(Pointer(SERVICES, ttl, service),)))


def asks_for(packet: Packet, *names: Name) -> bool:
    """Whether a packet is a question for records of one of these names."""
    return not packet.is_response and any(question.name in names for question in packet.questions)


def asks_for_all(packet: Packet, service: Name) -> bool:
    """Whether a packet is the question that all nodes of a service answer: its asker knows nobody."""
    asks = any(question.name == service and question.kind in (PTR, ANY) for question in packet.questions)
    return asks and not packet.is_response and not packet.answers


def sightings(packet: Packet, service: Name) -> list[Sighting]:
    """The peers that an answer names under a service. What is no address of a peer is left out, as everybody does."""
    records = (*packet.answers, *packet.additional) if packet.is_response else ()
    # rust-libp2p's instances have names outside of the service's: only the pointer says that they are of it.
    instances = {record.target for record in records if isinstance(record, Pointer) and record.name == service}
    found: dict[PeerId, dict[Multiaddr, None]] = {}
    room = ATTRIBUTES_LIMIT
    for record in records:
        if not isinstance(record, Texts) or not (record.name in instances or record.name[1:] == service):
            continue
        for string in record.strings[:room]:
            named = _peer_of(string)
            if named is not None:
                addresses = found.setdefault(named[0], {})
                if record.ttl:
                    addresses[named[1]] = None
        room -= min(room, len(record.strings))
    return [Sighting(peer, tuple(addresses)) for peer, addresses in found.items()]


def _peer_of(string: bytes) -> tuple[PeerId, Multiaddr] | None:
    """The peer that an attribute names, and its address without that."""
    if not string.startswith(_ATTRIBUTE):
        return None
    try:
        address, peer = Multiaddr.parse(string[len(_ATTRIBUTE) :].decode()).split_peer()
        return None if address is None or peer is None else (PeerId.from_bytes(peer), address)
    except (UnicodeDecodeError, ProtocolViolation):
        return None
