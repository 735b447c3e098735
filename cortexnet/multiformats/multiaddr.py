"""Multiaddrs: addresses that name every protocol on the way, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW….

The binary form is the address: it is kept, compared and hashed. Components and text are made from it when they are asked for.

Spec: multiformats/multiaddr, "Specification".
"""

from collections.abc import Iterable
from typing import Self, final

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import multiaddr_class, multiaddr_pattern, varint
from cortexnet.multiformats.multiaddr_protocols import (
    BY_CODE,
    BY_NAME,
    DNS,
    DNS4,
    DNS6,
    IP4,
    IP6,
    IP6ZONE,
    NAMES,
    P2P,
    P2P_CIRCUIT,
    TCP,
    UDP,
    VARIABLE,
    AddressProtocol,
)

MAX_BYTES = 1024
"""A relayed WebTransport address with two certificate hashes and two peer ids takes 200."""
MAX_COMPONENTS = 64
MAX_TEXT = 4096
"""Characters; every address within the two limits above prints in less."""

_CIRCUIT = varint.encode(P2P_CIRCUIT.code)
_HOSTS = (IP4, IP6, DNS, DNS4, DNS6)


@final
class Component:
    """One protocol of an address with its value: `raw` as bytes, `value` as text (None for protocols that take none)."""

    __slots__ = ("_protocol", "raw")

    def __init__(self, protocol: AddressProtocol, raw: bytes) -> None:
        """For bytes that are known to be a value of the protocol; use `of` for others."""
        self._protocol = protocol
        self.raw = raw

    @classmethod
    def of(cls, name: str, value: str = "") -> Self:
        """The component of a protocol's name and the text of its value.

        Raises LocalError if there is no protocol of the name, ProtocolViolation if the value is none of its values.
        """
        protocol = _known(name)
        return cls(protocol, _raw_value(protocol, value))

    @property
    def protocol(self) -> str:
        """The name, as it is printed."""
        return self._protocol.name

    @property
    def code(self) -> int:
        """The number in the multiaddr table, with which the binary form begins."""
        return self._protocol.code

    @property
    def value(self) -> str | None:
        """The value's text; None for protocols that have none, such as quic-v1."""
        return self._protocol.to_text(self.raw) if self._protocol.size else None

    def __bytes__(self) -> bytes:
        return self._protocol.encode(self.raw)

    def __str__(self) -> str:
        if not self._protocol.size:
            return "/" + self._protocol.name
        # The value of a path begins with a slash of its own.
        return f"/{self._protocol.name}{'' if self._protocol.is_path else '/'}{self._protocol.to_text(self.raw)}"

    def __repr__(self) -> str:
        return f"Component({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Component):
            return NotImplemented
        return self._protocol is other._protocol and self.raw == other.raw

    def __hash__(self) -> int:
        return hash((self._protocol.code, self.raw))


@final
class Multiaddr:
    """An address of one to 64 components, immutable, equal and hashed by its bytes.

    Everything that makes one raises ProtocolViolation if the outcome is no address, also where the fault is the caller's:
    most text and nearly all bytes come from peers.
    """

    __slots__ = ("_bytes", "_components", "_text")

    def __init__(self, data: bytes) -> None:
        """The address whose binary form is the whole of `data`."""
        try:
            self._bytes = bytes(data)
        except TypeError as error:
            raise LocalError("Multiaddr.parse makes an address of a text, Multiaddr.from_bytes of bytes") from error
        self._components: tuple[Component, ...] | None = None
        self._text: str | None = None
        _walk(self._bytes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The address whose binary form is the whole of `data`. Raises ProtocolViolation."""
        return cls(data)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address of a text, slashes at its end ignored. Raises ProtocolViolation, which says what is wrong and where."""
        if len(text) > MAX_TEXT:
            raise ProtocolViolation(f"multiaddr of {len(text)} characters is over the limit of {MAX_TEXT}")
        first, *parts = text.rstrip("/").split("/")
        if first or not parts:
            raise ProtocolViolation(f"multiaddr {text[:128]!a} does not begin with a slash and a protocol")
        try:
            return cls._trusted(_encode(parts))
        except ProtocolViolation as error:
            raise ProtocolViolation(f"multiaddr {text[:128]!a}: {error}") from None

    @classmethod
    def from_components(cls, components: Iterable[Component]) -> Self:
        """The address of these components in this order."""
        return cls(b"".join([bytes(component) for component in components]))

    @classmethod
    def from_endpoint(cls, host: str, port: int, transport: str = "tcp") -> Self:
        """/ip4 or /ip6 and the port, from what sockets call their address; a zone (`fe80::1%eth0`) goes in front."""
        address, _, zone = host.partition("%")
        components = [Component.of("ip6zone", zone)] if zone else []
        components += Component.of("ip6" if ":" in address else "ip4", address), Component.of(transport, str(port))
        return cls.from_components(components)

    @classmethod
    def _trusted(cls, data: bytes) -> Self:
        address = cls.__new__(cls)
        address._bytes = data
        address._components = address._text = None
        return address

    @property
    def components(self) -> tuple[Component, ...]:
        """Its parts in order; made on first use."""
        if self._components is None:
            data = self._bytes
            self._components = tuple([Component(protocol, data[start:end]) for protocol, start, end in _walk(data)])
        return self._components

    @property
    def protocols(self) -> tuple[str, ...]:
        """The names alone."""
        return tuple([component.protocol for component in self.components])

    def has(self, name: str) -> bool:
        """Whether the named protocol occurs. Raises LocalError if there is none of the name."""
        protocol = _known(name)
        return any(component._protocol is protocol for component in self.components)

    def value_of(self, name: str) -> str | None:
        """The text value of the first component of the named protocol; None if there is none, or it takes no value.

        Raises LocalError if there is no protocol of the name.
        """
        protocol = _known(name)
        for component in self.components:
            if component._protocol is protocol:
                return component.value
        return None

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host (an IP address, with its zone behind %, or a name) and TCP or UDP port the address begins with, else None."""
        rest = list(self.components[:3])
        zone = f"%{rest.pop(0).value}" if rest[0]._protocol is IP6ZONE else ""
        if len(rest) < 2 or rest[0]._protocol not in _HOSTS or rest[1]._protocol not in (TCP, UDP):
            return None
        return f"{rest[0].value}{zone}", int.from_bytes(rest[1].raw, "big")

    def encapsulate(self, other: "Multiaddr") -> Self:
        """This address with `other` behind it."""
        return type(self)(self._bytes + other._bytes)

    def decapsulate(self, name: str) -> Self | None:
        """What is left of the last component of the named protocol: all if there is none, None if it is the first.

        Raises LocalError if there is no protocol of the name.
        """
        protocol, components = _known(name), self.components
        for index in range(len(components) - 1, -1, -1):
            if components[index]._protocol is protocol:
                return self._until(index)
        return self

    def split_peer(self) -> tuple[Self | None, bytes | None]:
        """The address without a /p2p at its end, and the id from there (a multihash); None for what is not there."""
        last = self.components[-1]
        return (self._until(len(self.components) - 1), last.raw) if last._protocol is P2P else (self, None)

    def with_peer(self, multihash: bytes) -> Self:
        """The address ending in /p2p with this id, also if it did before. Raises ProtocolViolation if it ends in another id."""
        _, named = self.split_peer()
        if named == multihash:
            return self
        if named is not None:
            raise ProtocolViolation(f"{str(self)[:256]!a} is an address of another peer")
        return type(self)(self._bytes + P2P.encode(multihash))

    def starts_with(self, other: "Multiaddr") -> bool:
        """Whether the first components are those of `other`."""
        # No component's bytes are the beginning of another's, so equal bytes are equal components.
        return self._bytes.startswith(other._bytes)

    def ends_with(self, other: "Multiaddr") -> bool:
        """Whether the last components are those of `other`."""
        return self.components[-len(other.components) :] == other.components

    def matches(self, pattern: str) -> bool:
        """Whether the protocols, from first to last, are those of a pattern such as `/HOST/tcp/tls|noise?/p2p?`.

        See `multiaddr_pattern` for the rules. Raises LocalError for a name that no protocol has.
        """
        return multiaddr_pattern.matches(pattern, [component._protocol for component in self.components])

    @property
    def is_loopback(self) -> bool:
        """Leads to this machine. As all classes: told by the first component (after a zone), so a relay's for relayed ones."""
        return multiaddr_class.is_loopback(*self._location())

    @property
    def is_private(self) -> bool:
        """Leads into a private network, this machine included."""
        return multiaddr_class.is_private(*self._location())

    @property
    def is_public(self) -> bool:
        """Leads to an address the whole internet routes. Some, as 192.0.2.1, are neither private nor public."""
        return multiaddr_class.is_public(*self._location())

    @property
    def is_unspecified(self) -> bool:
        """Begins with 0.0.0.0 or ::."""
        return multiaddr_class.is_unspecified(*self._location())

    @property
    def is_named(self) -> bool:
        """Begins with a name that has to be looked up."""
        return self._location()[0] in NAMES

    @property
    def is_relayed(self) -> bool:
        """Goes through a relay."""
        if _CIRCUIT not in self._bytes:  # nearly always, and a twentieth of the time
            return False
        return any(component._protocol is P2P_CIRCUIT for component in self.components)

    def _location(self) -> tuple[AddressProtocol, bytes]:
        # Not by way of `components`: lists of addresses are filtered before anybody looks into one.
        protocol, start, end = _read_component(self._bytes, 0)
        if protocol is IP6ZONE and end < len(self._bytes):
            protocol, start, end = _read_component(self._bytes, end)
        return protocol, self._bytes[start:end]

    def _until(self, index: int) -> Self | None:
        return self._trusted(b"".join([bytes(component) for component in self.components[:index]])) if index else None

    def __bytes__(self) -> bytes:
        return self._bytes

    def __str__(self) -> str:
        if self._text is None:
            self._text = "".join([str(component) for component in self.components])
        return self._text

    def __repr__(self) -> str:
        return f"Multiaddr({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Multiaddr):
            return NotImplemented
        return self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)


def _known(name: str) -> AddressProtocol:
    try:
        return BY_NAME[name]
    except KeyError:
        raise LocalError(f"there is no multiaddr protocol {name!r}") from None


def _encode(parts: list[str]) -> bytes:
    """The binary form of a text that was split at its slashes."""
    pieces: list[bytes] = []
    rest = iter(parts)
    for name in rest:
        protocol = BY_NAME.get(name)
        if protocol is None:
            raise ProtocolViolation(f"protocol {name[:64]!a} is unknown")
        value = ""
        if protocol.is_path:
            value = "".join(["/" + part for part in rest])
        elif protocol.size:
            value = next(rest, "")
        pieces.append(protocol.encode(_raw_value(protocol, value)))
        if len(pieces) > MAX_COMPONENTS:
            raise ProtocolViolation(f"more than {MAX_COMPONENTS} components")
    data = b"".join(pieces)
    if len(data) > MAX_BYTES:
        raise ProtocolViolation(f"{len(data)} bytes are over the limit of {MAX_BYTES}")
    return data


def _raw_value(protocol: AddressProtocol, text: str) -> bytes:
    """The bytes of a value, checked. The error says what, and of which protocol."""
    if bool(protocol.size) != bool(text):
        raise ProtocolViolation(f"/{protocol.name} takes {'a' if protocol.size else 'no'} value")
    try:
        raw = protocol.to_bytes(text)
        if protocol.check is not None:
            protocol.check(raw)
    except ProtocolViolation as error:
        raise ProtocolViolation(f"/{protocol.name} cannot be {text[:128]!a}: {error}") from None
    return raw


def _walk(data: bytes) -> list[tuple[AddressProtocol, int, int]]:
    """Protocol, start and end of the value of every component; all of `data` is used, and every value checked."""
    if not 0 < len(data) <= MAX_BYTES:
        raise ProtocolViolation(f"multiaddr of {len(data)} bytes; it has 1 to {MAX_BYTES}")
    found: list[tuple[AddressProtocol, int, int]] = []
    end = 0
    try:
        while end < len(data):
            if len(found) == MAX_COMPONENTS:
                raise ProtocolViolation(f"more than {MAX_COMPONENTS} components")
            component = _read_component(data, end)
            found.append(component)
            protocol, _, end = component
            if protocol.is_path and end < len(data):
                raise ProtocolViolation(f"nothing may follow /{protocol.name}")
    except ProtocolViolation as error:
        raise ProtocolViolation(f"multiaddr, component {len(found)} at byte {end}: {error}") from None
    return found


def _read_component(data: bytes, position: int) -> tuple[AddressProtocol, int, int]:
    code, start = varint.decode(data, position)
    protocol = BY_CODE.get(code)
    if protocol is None:
        raise ProtocolViolation(f"protocol {code} is unknown")
    size = protocol.size
    if not size:
        return protocol, start, start
    if size == VARIABLE:
        size, start = varint.decode(data, start)
        if not size:
            raise ProtocolViolation(f"/{protocol.name} takes a value")
    end = start + size
    if end > len(data):
        raise ProtocolViolation(f"/{protocol.name} is cut short: {len(data) - start} of {size} bytes")
    if protocol.check is not None:
        try:
            protocol.check(data[start:end])
        except ProtocolViolation as error:
            raise ProtocolViolation(f"/{protocol.name}: {error}") from None
    return protocol, start, end


AnyAddress = Multiaddr | str


def address_of(address: AnyAddress) -> Multiaddr:
    """An address or the text of one, as callers name it; `Multiaddr.parse` is for what peers name. Raises LocalError."""
    if isinstance(address, Multiaddr):
        return address
    if not isinstance(address, str):
        raise LocalError(
            f"an address is a Multiaddr or the text of one, such as /ip4/192.0.2.7/tcp/4001, not a {type(address).__name__}"
        )
    if not address.startswith("/"):
        raise LocalError(f"{address[:128]!a} is no address: write it like /ip4/192.0.2.7/tcp/4001")
    try:
        return Multiaddr.parse(address)
    except ProtocolViolation as error:
        raise LocalError(f"{error}; write it like /ip4/192.0.2.7/tcp/4001") from None


def addresses_of(name: str, addresses: Iterable[AnyAddress]) -> list[Multiaddr]:
    """Several of them, as `address_of` one, for what `name` says.

    Raises LocalError, also for a single one: a text is a list of texts too, says Python.
    """
    if isinstance(addresses, str | Multiaddr):
        raise LocalError(f"{name} takes a list of addresses: {name}=[{str(addresses)!r}]")
    several: object = addresses
    if not isinstance(several, Iterable):
        raise LocalError(f"{name} takes a list of addresses, not a {type(several).__name__}")
    return [address_of(address) for address in addresses]
