"""Sockets for multicast DNS, on one interface each, and which interfaces there are. A shell.

On Linux a socket hears only the groups it has joined on its own interface, and nothing that was sent to this machine alone;
elsewhere the system may give it what came on another interface, which then counts as come on this one.
"""

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Interface, ip_interface
from typing import Any, Protocol, cast, final

from cortexnet.discovery.mdns_addresses import Interface

log = logging.getLogger(__name__)

PORT = 5353
GROUP4, GROUP6 = "224.0.0.251", "ff02::fb"

Received = Callable[[bytes, str], None]
"""Called with each packet and the IP address it came from; must not raise."""

_IS_LINUX = sys.platform == "linux"
_HOPS = 255  # RFC 6762 section 11
_MULTICAST_ALL4, _MULTICAST_ALL6 = 49, 29  # of Linux; Python has no names for them
_GET_FLAGS, _UP, _MULTICAST = 0x8913, 0x1, 0x1000  # of Linux: SIOCGIFFLAGS, IFF_UP, IFF_MULTICAST
_REQUEST_SIZE = 40  # of struct ifreq
_NAME_SIZE = 16  # of the name in it


class Socket(Protocol):
    """Reaches everybody on one interface."""

    def send(self, data: bytes) -> None:
        """What can't be sent is lost, as packets may be."""

    def close(self) -> None:
        """Nothing comes any more."""


class Network(Protocol):
    """The interfaces of this machine, and sockets on them."""

    def interfaces(self) -> list[Interface]:
        """Those that are up. Raises OSError where the system does not say."""

    async def open(self, interface: Interface, received: Received) -> Socket:
        """Join the group on an interface, by IPv4 and IPv6 as far as it has them. Raises OSError where neither will do."""


@final
class SystemNetwork:
    """The real one; see `Network`."""

    def interfaces(self) -> list[Interface]:
        import ifaddr

        found: dict[tuple[str, int], list[Any]] = {}
        for adapter in ifaddr.get_adapters():
            networks = found.setdefault((adapter.name, adapter.index or 0), [])
            for each in adapter.ips:
                ip = each.ip if isinstance(each.ip, str) else each.ip[0]
                networks.append(ip_interface(f"{ip}/{each.network_prefix}"))
        interfaces = [Interface(name, index, tuple(networks), True) for (name, index), networks in found.items() if networks]
        return _by_flags(interfaces) if _IS_LINUX else [_by_addresses(interface) for interface in interfaces]

    async def open(self, interface: Interface, received: Received) -> Socket:
        opened = _Sockets()
        failure = OSError(f"interface {interface.name} has no address")
        for make in (_bound4, _bound6):
            try:
                bound = make(interface)
                if bound is not None:
                    await opened.add(*bound, received)
            except OSError as error:
                log.debug("mDNS on %s: %s", interface.name, error)
                failure = error
            except BaseException:
                opened.close()
                raise
        if not opened:
            raise failure
        return opened


def _by_flags(interfaces: list[Interface]) -> list[Interface]:
    """What Linux says of them; those that are down are left out."""
    import fcntl

    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for each in interfaces:
            request = struct.pack(f"{_REQUEST_SIZE}s", each.name.encode()[: _NAME_SIZE - 1])
            try:
                (flags,) = struct.unpack_from("H", fcntl.ioctl(asking, _GET_FLAGS, request), _NAME_SIZE)
            except OSError:  # it has gone meanwhile
                continue
            if flags & _UP:
                found.append(Interface(each.name, each.index, each.networks, bool(flags & _MULTICAST)))
    return found


def _by_addresses(interface: Interface) -> Interface:
    """Elsewhere the loopback interface is made for multicast, too; as on Linux it is to be used only if it is named."""
    return Interface(interface.name, interface.index, interface.networks, not interface.is_loopback)


_Bound = tuple[socket.socket, tuple[Any, ...]]
"""A socket, and where it sends to."""


def _bound4(interface: Interface) -> _Bound | None:
    ip = next((str(each.ip) for each in interface.networks if isinstance(each, IPv4Interface)), None)
    if ip is None:
        return None
    bound = _shared(socket.AF_INET)
    try:
        own = socket.inet_aton(ip)
        if _IS_LINUX:
            bound.setsockopt(socket.IPPROTO_IP, _MULTICAST_ALL4, 0)
        bound.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        bound.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _HOPS)
        bound.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        bound.bind((GROUP4 if _IS_LINUX else "", PORT))
        bound.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP4) + own)
    except BaseException:
        bound.close()
        raise
    return bound, (GROUP4, PORT)


def _bound6(interface: Interface) -> _Bound | None:
    if not socket.has_ipv6 or all(each.version == 4 for each in interface.networks):
        return None
    bound = _shared(socket.AF_INET6)
    try:
        index = struct.pack("@I", interface.index)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if _IS_LINUX:
            bound.setsockopt(socket.IPPROTO_IPV6, _MULTICAST_ALL6, 0)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        bound.bind((GROUP6, PORT, 0, interface.index) if _IS_LINUX else ("", PORT))
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, GROUP6) + index)
    except BaseException:
        bound.close()
        raise
    return bound, (GROUP6, PORT, 0, interface.index)


def _shared(family: int) -> socket.socket:
    """A socket whose port others on this machine may use as well: every program that speaks mDNS has this one."""
    shared = socket.socket(family, socket.SOCK_DGRAM)
    shared.setblocking(False)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform != "win32":
        with suppress(OSError):
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return shared


@final
class _Sockets:
    """See `Socket`: one for each version of IP."""

    def __init__(self) -> None:
        self._ends: list[tuple[asyncio.DatagramTransport, tuple[Any, ...]]] = []

    def __len__(self) -> int:
        return len(self._ends)

    async def add(self, bound: socket.socket, group: tuple[Any, ...], received: Received) -> None:
        """One more, which is closed where that fails."""
        loop = asyncio.get_running_loop()
        try:
            io, _ = await loop.create_datagram_endpoint(lambda: _Packets(received), sock=bound)
        except BaseException:
            bound.close()
            raise
        self._ends.append((io, group))

    def send(self, data: bytes) -> None:
        for io, group in self._ends:
            io.sendto(data, group)

    def close(self) -> None:
        for io, _ in self._ends:
            io.close()


@final
class _Packets(asyncio.DatagramProtocol):
    def __init__(self, received: Received) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._received(data, cast("str", addr[0]).partition("%")[0])

    def error_received(self, exc: Exception) -> None:
        log.debug("mDNS: a packet was not sent: %s", exc)
