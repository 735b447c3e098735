"""Networks in memory: numbered places to listen at (`/memory/N`), and links between those who dial and those who listen."""

import asyncio
import contextvars
import errno
from collections.abc import Callable
from itertools import count
from random import Random
from typing import TypeVar, final

from cortexnet.errors import LocalError
from cortexnet.transport.memory_link import LinkTransport, MemoryLink
from cortexnet.transport.memory_wire import LinkConditions

P = TypeVar("P", bound=asyncio.BaseProtocol)

ProtocolFactory = Callable[[], asyncio.BaseProtocol]

_NUMBER_MAX = (1 << 64) - 1
_FIRST_DIALER = 1 << 32  # dialing ends are numbered from here on, so that nobody takes one for a place to listen at


def memory_address(number: int) -> str:
    """The multiaddr text of a place."""
    return f"/memory/{number}"


@final
class MemoryListener:
    """Somebody listens at `number` until `close`."""

    def __init__(self, number: int, name: str, protocol_factory: ProtocolFactory, on_close: Callable[[], None]) -> None:
        self.number = number
        self.name = name
        self._factory = protocol_factory
        self._on_close = on_close
        self._context = contextvars.copy_context()

    def close(self) -> None:
        """Accept no more links; those that were accepted live on. A second call does nothing."""
        self._on_close()

    def accept(self, link: MemoryLink, extra: dict[str, str]) -> None:
        """Called by the network: a dialer has come. An error of the protocol factory goes to the loop's exception handler."""
        asyncio.get_running_loop().call_soon(self._accept, link, extra, context=self._context)

    def _accept(self, link: MemoryLink, extra: dict[str, str]) -> None:
        if link.is_over:
            return
        accepted = False
        try:
            link.open_listener(self._factory(), extra)
            accepted = True
        finally:
            if not accepted:
                link.abandon_accept()


@final
class MemoryNetwork:
    """Who listens at which number, and every link there is. All that use it run on one event loop.

    There is no global one: whoever shares the object shares the network. `named` gives views of it, so that a test can tell
    the links of one node from those of another.
    """

    def __init__(
        self,
        *,
        conditions: LinkConditions | None = None,
        random: Random | None = None,
        on_link: Callable[[MemoryLink], None] | None = None,
    ) -> None:
        """Links get `conditions` in both directions; `on_link` is called with each new one before anything travels on it.

        All chance comes from `random` (`Random(0)` where none is given).
        """
        self.name = ""
        self._registry = _Registry(conditions or LinkConditions(), random or Random(0), on_link)

    def named(self, name: str) -> "MemoryNetwork":
        """The same network for the end called `name`: its links carry that name."""
        view = MemoryNetwork()
        view.name = name
        view._registry = self._registry
        return view

    @property
    def links(self) -> tuple[MemoryLink, ...]:
        """The links that are being dialed or are open at one end at least, oldest first."""
        return tuple(self._registry.links)

    async def listen(self, number: int, protocol_factory: ProtocolFactory) -> MemoryListener:
        """Listen at `number`, as `loop.create_server` does at a port; 0 picks a free one, see the listener's `number`.

        Raises OSError (EADDRINUSE) where somebody listens already, LocalError for what is no 64-bit number.
        """
        _check(number)
        listeners = self._registry.listeners
        if number in listeners:
            raise OSError(errno.EADDRINUSE, f"somebody listens at {memory_address(number)} already")
        if number == 0:
            number = next(free for free in self._registry.numbers if free not in listeners)
        name = self.name or memory_address(number)
        listener = MemoryListener(number, name, protocol_factory, lambda: self._registry.forget(listener))
        listeners[number] = listener
        return listener

    async def connect(self, number: int, protocol_factory: Callable[[], P]) -> tuple[LinkTransport, P]:
        """Dial `number`, as `loop.create_connection` does; takes one round trip, and returns after `connection_made`.

        Raises ConnectionRefusedError where nobody listens, ConnectionResetError where the link is cut meanwhile. Has no
        timeout of its own. Cancelled: nothing is left open on this side, and a link that was accepted is reset.
        """
        _check(number)
        registry = self._registry
        ours, theirs = memory_address(next(registry.dialers)), memory_address(number)
        listener = registry.listeners.get(number)
        link = registry.open_link(self.name or ours, listener.name if listener else theirs)
        transport: LinkTransport | None = None
        connected = False
        try:
            await link.forward.travel()
            listener = registry.listeners.get(number)
            if listener is not None:
                listener.accept(link, {"sockname": theirs, "peername": ours})
            await link.backward.travel()
            if listener is None:
                raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at {theirs}")
            protocol = protocol_factory()
            transport = link.open_dialer(protocol, {"sockname": ours, "peername": theirs})
            await asyncio.sleep(0)  # connection_made runs in this turn
            connected = True
            return transport, protocol
        finally:
            if transport is None:
                link.abandon_dial()
            elif not connected:
                transport.abort()


@final
class _Registry:
    """What the views of one network share."""

    def __init__(self, conditions: LinkConditions, random: Random, on_link: Callable[[MemoryLink], None] | None) -> None:
        self.listeners: dict[int, MemoryListener] = {}
        self.links: dict[MemoryLink, None] = {}
        self.numbers = count(1)
        self.dialers = count(_FIRST_DIALER)
        self._conditions = conditions
        self._random = random
        self._on_link = on_link

    def open_link(self, dialer: str, listener: str) -> MemoryLink:
        link = MemoryLink(dialer, listener, self._conditions, self._random, lambda: self.links.pop(link, None))
        self.links[link] = None
        if self._on_link is not None:
            self._on_link(link)
        return link

    def forget(self, listener: MemoryListener) -> None:
        if self.listeners.get(listener.number) is listener:
            del self.listeners[listener.number]


def _check(number: int) -> None:
    if not 0 <= number <= _NUMBER_MAX:
        raise LocalError(f"a memory address is numbered 0 to 2^64 - 1, not {number}")
