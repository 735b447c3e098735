"""A network for multicast DNS in memory: machines with interfaces, on links where everybody hears everything."""

import asyncio
from collections.abc import Iterable
from ipaddress import ip_interface
from types import SimpleNamespace
from typing import Any, final

from cortexnet.discovery.mdns import Mdns
from cortexnet.discovery.mdns_addresses import Interface
from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.discovery.mdns_sockets import Received
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.scope import Scope

Seen = list[tuple[PeerId, list[str]]]


def interface(name: str, *networks: str, is_multicast: bool = True) -> Interface:
    return Interface(name, len(name), tuple([ip_interface(network) for network in networks]), is_multicast)


@final
class Lan:
    """One link: what is sent goes to all sockets on it a moment later, the sender's too."""

    def __init__(self) -> None:
        self.sockets: list[LanSocket] = []
        self.packets: list[tuple[str, bytes]] = []
        """All that was ever sent, and from where."""

    def send(self, source: str, data: bytes) -> None:
        self.packets.append((source, data))
        for socket in list(self.sockets):
            asyncio.get_running_loop().call_later(0.001, socket.hear, source, data)


@final
class LanSocket:
    def __init__(self, lan: Lan, ip: str, received: Received) -> None:
        self._lan, self._ip, self._received = lan, ip, received
        self._is_closed = False
        lan.sockets.append(self)

    def send(self, data: bytes) -> None:
        assert not self._is_closed, "a closed socket is used"
        self._lan.send(self._ip, data)

    def hear(self, source: str, data: bytes) -> None:
        if not self._is_closed:
            self._received(data, source)

    def close(self) -> None:
        self._is_closed = True
        self._lan.sockets.remove(self)


@final
class Machine:
    """A `Network` whose interfaces can be changed, and its links."""

    def __init__(self, **links: tuple[Interface, Lan]) -> None:
        self.links = links
        self.failure: OSError | None = None
        """Raised by `interfaces`."""
        self.broken: dict[str, OSError] = {}
        """Raised by `open`, by interface."""
        self.opened = 0

    def interfaces(self) -> list[Interface]:
        if self.failure is not None:
            raise self.failure
        return [interface for interface, _ in self.links.values()]

    async def open(self, interface: Interface, received: Received) -> LanSocket:
        await asyncio.sleep(0)
        self.opened += 1
        if interface.name in self.broken:
            raise self.broken[interface.name]
        return LanSocket(self.links[interface.name][1], str(interface.networks[0].ip), received)


def at(lan: Lan, ip: str = "10.0.0.1") -> Machine:
    """A machine with one interface."""
    return Machine(eth0=(interface("eth0", f"{ip}/8"), lan))


@final
class Node:
    """What a node gives its services, as far as this one asks for it; `seen` is whom it was told of."""

    def __init__(self, machine: Machine, number: int, listen: Iterable[str] = (), config: MdnsConfig | None = None) -> None:
        self.peer_id = PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big"))
        self.scope = Scope()
        self.seen: Seen = []
        self.swarm = SimpleNamespace(listen_addresses=[Multiaddr.parse(text) for text in listen])
        context: Any = SimpleNamespace(
            identity=SimpleNamespace(peer_id=self.peer_id), scope=self.scope, swarm=self.swarm, discovered=self
        )
        self.mdns = Mdns(context, config or MdnsConfig(), machine)

    def found(self, peer: PeerId, addresses: Iterable[Multiaddr], source: str) -> None:
        assert source == "mdns"
        self.seen.append((peer, [str(address) for address in addresses]))

    def saw(self, other: "Node") -> list[list[str]]:
        """The addresses of another node, each time that it was told."""
        return [addresses for peer, addresses in self.seen if peer == other.peer_id]

    async def __aenter__(self) -> "Node":
        await self.mdns.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.mdns.close()
        assert len(self.scope) == 0
        await self.scope.close()
