"""The host: which protocols are spoken here, and streams to peers by protocol. A shell over the swarm."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

from cortexnet.errors import LocalError
from cortexnet.multistream import check_protocols
from cortexnet.transport.connection import StreamHandler
from cortexnet.transport.stream import Stream

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.swarm.peerstore import Peerstore
    from cortexnet.swarm.swarm import Swarm


def check_callable(what: str, function: object) -> None:
    """Raises LocalError for a handler that could not be called, such as a coroutine in place of the function that makes one."""
    if not callable(function):
        raise LocalError(f"{what} is a function, not a {type(function).__name__}")


@final
class Protocols:
    """The table of handlers; what connections ask about the streams that peers open."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[StreamHandler, bool]] = {}
        self.on_change: Callable[[], None] | None = None
        """Called when the list of protocols has changed."""

    def handle(self, protocol: str, handler: StreamHandler, *, extended: bool = False) -> None:
        """Run `handler` in a task of its own for every stream a peer opens for `protocol`.

        An exception of the handler resets its stream only; a handler that returns closes it. `extended` lets a connection have
        1,024 streams of it, not 256. Raises LocalError where the protocol has a handler, or is no protocol id, or the handler
        no function.
        """
        check_protocols([protocol])
        if protocol in self._handlers:
            raise LocalError(f"{protocol} has a handler already; unhandle it first")
        check_callable(f"the handler of {protocol}", handler)
        self._handlers[protocol] = handler, extended
        self._changed()

    def unhandle(self, protocol: str) -> None:
        """Accept no more streams of `protocol`; handlers that run go on. Raises LocalError where it has none."""
        if self._handlers.pop(protocol, None) is None:
            raise LocalError(f"{protocol} has no handler")
        self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def names(self) -> list[str]:
        """All protocols, in the order they were added."""
        return list(self._handlers)

    def supports(self, protocol: str) -> bool:
        """Whether there is a handler."""
        return protocol in self._handlers

    def handler(self, protocol: str) -> tuple[StreamHandler, bool]:
        """The handler, and whether it is an extended one."""
        return self._handlers[protocol]


@final
class Host:
    """Streams to peers: over the best connection, dialing if there is none."""

    def __init__(self, swarm: "Swarm", peerstore: "Peerstore") -> None:
        self._swarm = swarm
        self._peerstore = peerstore

    async def open_stream(self, peer: "PeerId", protocols: Sequence[str], *, confirm: bool = False) -> Stream:
        """A stream for the first of the protocols that the peer speaks; see `Connection.open_stream`.

        What identify has told is used: of several protocols, the first that the peer lists is proposed alone, optimistically.
        """
        check_protocols(protocols)  # before anybody is dialed for them
        connection = await self._swarm.dial(peer)
        return await connection.open_stream(self._known(peer, protocols), confirm=confirm)

    def is_superfluous(self, stream: Stream) -> bool:
        """Whether its connection ends as soon as nobody uses it: there is a better one to the peer, for all that is new."""
        return self._swarm.is_superfluous(stream.connection)

    def _known(self, peer: "PeerId", protocols: Sequence[str]) -> Sequence[str]:
        if len(protocols) > 1:
            for protocol in protocols:
                if self._peerstore.supports(peer, protocol):
                    return [protocol]
        return protocols
