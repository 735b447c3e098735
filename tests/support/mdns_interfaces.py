"""Sockets for mDNS on real interfaces; run within a network namespace, by `tests/test_mdns_over_sockets.py`."""

import asyncio
import sys
from collections.abc import Callable
from ipaddress import ip_interface

from cortexnet.discovery.mdns_addresses import Interface
from cortexnet.discovery.mdns_sockets import Received, SystemNetwork

Heard = list[tuple[bytes, str]]


async def main() -> None:
    network = SystemNetwork()
    by_name = {interface.name: interface for interface in network.interfaces()}
    assert set(by_name) == {"lo", "left", "right"}, by_name
    assert all(interface.is_multicast for interface in by_name.values())
    await apart(network, by_name["left"], by_name["right"])
    await failing(network, by_name["left"])
    sys.stdout.write("fine")


async def apart(network: SystemNetwork, left: Interface, right: Interface) -> None:
    """What is sent on an interface is heard by all sockets on it, the sender's too, and by none on another."""
    heard: dict[str, Heard] = {"left": [], "right": [], "twin": []}

    def listener(name: str) -> Received:
        return lambda data, source: heard[name].append((data, source))

    # On one port, all of them, as several programs on a machine are.
    places = (("left", left), ("right", right), ("twin", left))
    sockets = {name: await network.open(interface, listener(name)) for name, interface in places}
    sockets["left"].send(b"from left")
    await until(lambda: bool(heard["left"] and heard["twin"]))
    sockets["right"].send(b"from right")
    await until(lambda: bool(heard["right"]))
    for socket in sockets.values():
        socket.close()
    left_said, right_said = (b"from left", "10.1.0.1"), (b"from right", "10.2.0.1")
    assert heard == {"left": [left_said], "twin": [left_said], "right": [right_said]}


async def until(condition: Callable[[], bool]) -> None:
    """Real sockets: nothing to wait for but what comes."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


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
