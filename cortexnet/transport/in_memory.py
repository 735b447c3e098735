"""The transport over in-memory links, for simulations and tests: `/memory/N`. A shell."""

import functools
from typing import TYPE_CHECKING, final

from cortexnet.errors import LocalError
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.memory import MemoryListener, MemoryNetwork, memory_address
from cortexnet.transport.upgrade import Outcome, Upgrade, Upgrader, dial_over

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from cortexnet.admission.resources import Reservation
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.transport.transport import Accept, Listener


@final
class InMemoryTransport:
    """Everything of a real connection, handshakes and encryption too, but the socket."""

    name = "memory"

    def __init__(self, upgrader: Upgrader, network: MemoryNetwork) -> None:
        self._upgrader = upgrader
        self._network = network

    def can_dial(self, address: Multiaddr) -> bool:
        return address.protocols == ("memory",)

    can_listen = can_dial

    async def dial(self, address: Multiaddr, expected: "PeerId | None", reservation: "Reservation") -> Connection:
        async def create(factory: "Callable[[], Upgrade]") -> None:
            await self._network.connect(_number(address), factory)

        return await dial_over(create, self._upgrader, functools.partial(_dialed, address), reservation, expected)

    async def listen(self, address: Multiaddr, accept: "Accept") -> "Listener":
        def finished(outcome: Outcome) -> None:
            if isinstance(outcome, Connection):
                accept(outcome)

        listener = await self._network.listen(_number(address), lambda: Upgrade(self._upgrader, _accepted, finished))
        return InMemoryListener(listener)


@final
class InMemoryListener:
    """A place somebody listens at."""

    def __init__(self, listener: MemoryListener) -> None:
        self._listener = listener
        self.address = Multiaddr.parse(memory_address(listener.number))

    def close(self) -> None:
        """Stop accepting."""
        self._listener.close()


def _number(address: Multiaddr) -> int:
    value = address.value_of("memory")
    if value is None:
        raise LocalError(f"{address} is no memory address")
    return int(value)


def _accepted(io: "asyncio.Transport") -> Endpoints:
    return Endpoints(
        local=Multiaddr.parse(io.get_extra_info("sockname")),
        remote=Multiaddr.parse(io.get_extra_info("peername")),
        direction="inbound",
        transport="memory",
    )


def _dialed(address: Multiaddr, io: "asyncio.Transport") -> Endpoints:
    local = Multiaddr.parse(io.get_extra_info("sockname"))
    return Endpoints(local=local, remote=address, direction="outbound", transport="memory")
