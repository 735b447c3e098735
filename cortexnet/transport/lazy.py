"""A transport that is loaded when an address of it is first used: WebSockets take 35 ms, QUIC 120 ms to load. A shell."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import final

from cortexnet.admission.resources import Reservation
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.connection import Connection
from cortexnet.transport.transport import Accept, Listener, Transport


@final
class LazyTransport:
    """Stands for the transport that `make` gives once `module` is loaded, which happens in a thread: the loop goes on."""

    def __init__(self, name: str, understands: Callable[[Multiaddr], bool], module: str, make: Callable[[], Transport]) -> None:
        self.name = name
        self.can_dial = self.can_listen = understands
        self._module = module
        self._make = make
        self._transport: Transport | None = None

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Connection:
        try:
            transport = await self._loaded()
        except BaseException:
            reservation.release()
            raise
        return await transport.dial(address, expected, reservation)

    async def listen(self, address: Multiaddr, accept: Accept) -> Listener:
        return await (await self._loaded()).listen(address, accept)

    async def _loaded(self) -> Transport:
        if self._transport is None:  # also where sys.modules has it: another dial may have begun to load it
            await asyncio.to_thread(import_module, self._module)
        if self._transport is None:
            self._transport = self._make()
        return self._transport
