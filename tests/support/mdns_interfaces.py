"""Sockets for mDNS on real interfaces; run within a network namespace, by `tests/test_mdns_over_sockets.py`."""

import asyncio
import sys
from ipaddress import ip_interface

from cortexnet.discovery.mdns_addresses import Interface
from cortexnet.discovery.mdns_sockets import Socket, SystemNetwork

PATIENCE = 10.0


class Listener:
    """A socket, and what it has heard."""

    def __init__(self) -> None:
        self.socket: Socket | None = None
        self.heard: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    async def open(self, network: SystemNetwork, interface: Interface) -> None:
        self.socket = await network.open(interface, lambda data, source: self.heard.put_nowait((data, source)))

    def send(self, data: bytes) -> None:
        assert self.socket is not None
        self.socket.send(data)

    def close(self) -> None:
        assert self.socket is not None
        self.socket.close()


async def main() -> None:
    network = SystemNetwork()
    by_name = {interface.name: interface for interface in network.interfaces()}
    assert set(by_name) == {"lo", "left", "right"}, by_name
    assert all(interface.is_multicast for interface in by_name.values())
    async with asyncio.timeout(PATIENCE):
        await apart(network, by_name["left"], by_name["right"])
        await failing(network, by_name["left"])
    sys.stdout.write("fine")


async def apart(network: SystemNetwork, left: Interface, right: Interface) -> None:
    """What is sent on an interface is heard by all sockets on it, the sender's too, and by none on another."""
    one, twin, other = listeners = Listener(), Listener(), Listener()
    for listener, interface in zip(listeners, (left, left, right), strict=True):  # on one port, as several programs are
        await listener.open(network, interface)
    one.send(b"from left")
    assert [await one.heard.get(), await twin.heard.get()] == [(b"from left", "10.1.0.1")] * 2
    other.send(b"from right")
    assert await other.heard.get() == (b"from right", "10.2.0.1")
    for listener in listeners:
        listener.close()
        assert listener.heard.empty()


async def failing(network: SystemNetwork, left: Interface) -> None:
    """An interface that is gone, or has no address, is an OSError, and leaves no socket behind."""
    gone = Interface("gone", 77, (ip_interface("10.77.0.1/24"), ip_interface("fd00::1/64")), True)
    for interface in (gone, Interface("left", left.index, (), True)):
        try:
            await network.open(interface, lambda data, source: None)
        except OSError:
            continue
        raise AssertionError(f"{interface} was opened")


if __name__ == "__main__":
    asyncio.run(main())
