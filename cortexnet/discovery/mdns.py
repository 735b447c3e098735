"""Multicast DNS: the nodes of a network, or of a machine, find each other without knowing anybody. A shell.

Spec: libp2p `discovery/mdns`.
"""

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, final

from cortexnet.discovery.mdns_addresses import Interface, believed, told, usable
from cortexnet.discovery.mdns_answer import Sighting
from cortexnet.discovery.mdns_heard import Heard
from cortexnet.discovery.mdns_link import MdnsLink
from cortexnet.discovery.mdns_sockets import Network, Socket, SystemNetwork
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortexnet.discovery.mdns_config import MdnsConfig
    from cortexnet.host.context import Context
    from cortexnet.multiformats.multiaddr import Multiaddr

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

SOURCE = "mdns"


@final
class Mdns:
    """Says on each interface where this node listens, and tells the node whom it hears. No failure of the network ends it."""

    def __init__(self, context: "Context", config: "MdnsConfig", network: Network | None = None) -> None:
        self._context = context
        self._config = config
        self._network = network or SystemNetwork()
        self._random = Random()
        self._scope = Scope(context.scope)
        self._now = asyncio.get_running_loop().time
        self._heard = Heard(context.identity.peer_id, config)
        self._links: dict[Interface, _Link] = {}
        self._own: frozenset[str] = frozenset()
        self._is_warned = False

    async def start(self) -> None:
        """Begin on the interfaces that are there now; others follow."""
        await self._look()
        self._scope.spawn(self._watch(), name="mdns watch")

    async def close(self) -> None:
        """Say goodbye everywhere."""
        try:
            await self._scope.close()
        finally:
            for interface in list(self._links):
                self._links.pop(interface).close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._config.watch_interval)
            await self._look()

    async def _look(self) -> None:
        """Use the interfaces that are there now, as they are now, and tell on each what is listened on there."""
        listen = self._context.swarm.listen_addresses
        try:
            present = self._network.interfaces()
        except OSError as error:
            self._warn(f"the interfaces can't be read: {error}")
            return
        self._own = frozenset([str(each.ip) for interface in present for each in interface.networks])
        wanted = usable(present, self._config.interfaces, listen)
        for gone in [interface for interface in self._links if interface not in wanted]:
            self._links.pop(gone).close()
        failures = [f"there is no interface {name}" for name in self._config.interfaces if name not in {i.name for i in wanted}]
        for interface in wanted:
            if interface not in self._links:
                failures += await self._open(interface)
        for interface, link in self._links.items():
            link.tell([address.with_peer(bytes(self._context.identity.peer_id)) for address in told(listen, interface)])
        if self._links:
            self._is_warned = False
        else:
            self._warn("; ".join(failures) or _nothing_for(listen))

    async def _open(self, interface: Interface) -> list[str]:
        """One more; or why not."""
        link = _Link(self, interface, MdnsLink(self._config, self._random, self._now()))
        try:
            link.socket = await self._network.open(interface, link.received)
        except OSError as error:
            return [f"{interface.name}: {error}"]
        self._links[interface] = link
        return []

    def _warn(self, reason: str) -> None:
        """Once, until it has worked again."""
        if not self._is_warned:
            self._is_warned = True
            log.warning("mDNS finds nobody: %s; the node goes on without, and tries again", reason)

    def found(self, sighting: Sighting, interface: Interface, source: str) -> None:
        """A packet that came on an interface from an IP address has named a peer."""
        if not sighting.addresses:
            self._heard.left(sighting.peer_id)
            return
        addresses = believed(sighting.addresses, source, interface, self._own)
        if self._heard.heard(sighting.peer_id, addresses, source, self._now()):
            log.debug("%s is at %s", sighting.peer_id, ", ".join(map(str, addresses)))
            self._context.discovered.found(sighting.peer_id, addresses, SOURCE)


def _nothing_for(listen: "Sequence[Multiaddr]") -> str:
    """Why no interface is used, where none was named and none has failed."""
    if listen and all(address.is_loopback for address in listen):
        return 'this node listens on loopback alone; MdnsConfig(interfaces=["lo"]) finds others on this machine'
    return "no network interface is up and made for multicast"


@final
class _Link:
    """A core and its socket on one interface, and the one timer of both."""

    def __init__(self, mdns: Mdns, interface: Interface, core: MdnsLink) -> None:
        self.socket: Socket | None = None
        self._mdns = mdns
        self._interface = interface
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, addresses: "Sequence[Multiaddr]") -> None:
        """See the core; and begin, if this is the first time."""
        self._core.tell(addresses, self._loop.time())
        self._settle()

    def received(self, data: bytes, source: str) -> None:
        """A packet has come."""
        for event in self._core.receive(data, source, self._loop.time()):
            if isinstance(event, Sighting):
                self._mdns.found(event, self._interface, source)
            else:
                log.debug("a packet from %s: %s", source, event.error)
        self._settle()

    def _settle(self) -> None:
        """Send what the core has to say, and wake it in time."""
        if self.socket is None:
            return  # the very first packets came while the second socket was being opened
        for data in self._core.data_to_send():
            self.socket.send(data)
        due = self._core.next_timeout()
        if self._timer is None or self._timer.cancelled() or self._timer.when() != due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._time)

    def _time(self) -> None:
        self._timer = None
        self._core.handle_timeout(self._loop.time())
        self._settle()

    def close(self) -> None:
        """Say goodbye, and hear nothing more."""
        self._core.fall_silent()
        self._settle()
        if self._timer is not None:
            self._timer.cancel()
        if self.socket is not None:
            self.socket.close()
            self.socket = None
