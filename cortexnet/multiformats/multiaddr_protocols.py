"""The protocols a multiaddr may name: code, size, and how a value is read, written and judged.

Left out on purpose, as by go-multiaddr 0.16: p2p-webrtc-star (275), p2p-stardust (277) and p2p-websocket-star (479), which nobody
serves any more. A component whose code is unknown has no known length, so an address with one is refused whole.

Spec: multiformats/multiaddr, "protocols.csv".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from cortexnet.multiformats import multiaddr_values as values
from cortexnet.multiformats import multibase, varint

VARIABLE = -1
"""Size of values that carry their length in front, which is never zero."""


def _no_text(raw: bytes) -> str:
    return ""


def _no_bytes(text: str) -> bytes:
    return b""


@final
@dataclass(slots=True, eq=False)
class AddressProtocol:
    """One row of the table. `size` is in bytes, 0 without a value; `check` is None where every value of that size will do."""

    name: str
    code: int
    size: int = 0
    to_bytes: Callable[[str], bytes] = _no_bytes
    to_text: Callable[[bytes], str] = _no_text
    check: Callable[[bytes], None] | None = None
    is_path: bool = False
    """The rest of the address is its value."""
    _prefix: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._prefix = varint.encode(self.code)

    def __reduce__(self) -> tuple[object, ...]:
        # A row is compared by identity, so a copy of an address must have the very same one.
        return _row, (self.code,)

    def encode(self, raw: bytes) -> bytes:
        """Code, length where the size is VARIABLE, and value."""
        return self._prefix + varint.encode(len(raw)) + raw if self.size == VARIABLE else self._prefix + raw


def _port(name: str, code: int) -> AddressProtocol:
    return AddressProtocol(name, code, 2, values.port_to_bytes, values.number_to_text)


def _name(name: str, code: int) -> AddressProtocol:
    return AddressProtocol(name, code, VARIABLE, values.utf8_to_bytes, values.utf8_to_text, values.check_name)


IP4 = AddressProtocol("ip4", 4, 4, values.ip4_to_bytes, values.ip4_to_text)
IP6 = AddressProtocol("ip6", 41, 16, values.ip6_to_bytes, values.ip6_to_text)
IP6ZONE = _name("ip6zone", 42)
DNS, DNS4, DNS6, DNSADDR = _name("dns", 53), _name("dns4", 54), _name("dns6", 55), _name("dnsaddr", 56)
NAMES = (DNS, DNS4, DNS6, DNSADDR)
TCP, UDP = _port("tcp", 6), _port("udp", 273)
P2P = AddressProtocol("p2p", 421, VARIABLE, values.peer_to_bytes, multibase.base58_encode, values.check_peer)
P2P_CIRCUIT = AddressProtocol("p2p-circuit", 290)

PROTOCOLS = (
    IP4,
    TCP,
    _port("dccp", 33),
    IP6,
    IP6ZONE,
    AddressProtocol("ipcidr", 43, 1, values.octet_to_bytes, values.number_to_text),
    DNS,
    DNS4,
    DNS6,
    DNSADDR,
    _port("sctp", 132),
    UDP,
    AddressProtocol("p2p-webrtc-direct", 276),
    AddressProtocol("webrtc-direct", 280),
    AddressProtocol("webrtc", 281),
    P2P_CIRCUIT,
    AddressProtocol("udt", 301),
    AddressProtocol("utp", 302),
    AddressProtocol("unix", 400, VARIABLE, values.utf8_to_bytes, values.utf8_to_text, values.check_path, is_path=True),
    P2P,
    AddressProtocol("https", 443),
    AddressProtocol("onion", 444, 12, values.onion_to_bytes, values.onion_to_text, values.check_onion),
    AddressProtocol("onion3", 445, 37, values.onion3_to_bytes, values.onion_to_text, values.check_onion),
    AddressProtocol("garlic64", 446, VARIABLE, values.garlic64_to_bytes, values.garlic64_to_text, values.check_garlic64),
    AddressProtocol("garlic32", 447, VARIABLE, values.garlic32_to_bytes, values.garlic32_to_text, values.check_garlic32),
    AddressProtocol("tls", 448),
    _name("sni", 449),
    AddressProtocol("noise", 454),
    AddressProtocol("quic", 460),
    AddressProtocol("quic-v1", 461),
    AddressProtocol("webtransport", 465),
    AddressProtocol("certhash", 466, VARIABLE, multibase.decode, values.certhash_to_text, values.check_certhash),
    AddressProtocol("ws", 477),
    AddressProtocol("wss", 478),
    AddressProtocol("http", 480),
    AddressProtocol("http-path", 481, VARIABLE, values.http_path_to_bytes, values.http_path_to_text),
    AddressProtocol("memory", 777, 8, values.memory_to_bytes, values.number_to_text),
    AddressProtocol("plaintextv2", 7367777),
)

BY_CODE = {protocol.code: protocol for protocol in PROTOCOLS}
BY_NAME = {protocol.name: protocol for protocol in PROTOCOLS} | {"ipfs": P2P}
"""Names as text may have them: `ipfs` is read as `p2p`, and never printed."""


def _row(code: int) -> AddressProtocol:
    return BY_CODE[code]
