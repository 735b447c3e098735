"""Operations that look for peers: the nearest to a key, and one by its id."""

from typing import TYPE_CHECKING, TypeVar, final

from cortexnet.errors import LocalError
from cortexnet.kad.engine.operation import Operation, PeerFound, Progress
from cortexnet.kad.engine.walk import Walk, find_node

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.messages import Message
    from cortexnet.kad.routing.contact import Contact

Result = TypeVar("Result")


def nobody_known() -> LocalError:
    """The error of an operation that has nobody to ask."""
    return LocalError("no peer of this DHT is known: connect to one, or name some to be met first (kad.bootstrap)")


def report(operation: Operation[Result], walk: Walk) -> None:
    """Tell how far an operation is that consists of this walk."""
    lookup = walk.lookup
    operation.progress = Progress(lookup.hops, lookup.asked, walk.answered, walk.failed, lookup.asked, lookup.best)
    operation.changed()


@final
class ClosestPeers:
    """The k nearest to a key."""

    def __init__(self, engine: "Engine", key: bytes, now: float) -> None:
        self.operation: Operation[list[Contact]] = Operation()
        self._walk = Walk(engine, find_node(key), now, self._done, on_step=self._step)
        self.operation.when_over(self._walk.stop)

    def start(self, now: float) -> None:
        self._walk.start(now)

    def _step(self, now: float) -> None:
        report(self.operation, self._walk)

    def _done(self, now: float) -> None:
        if self._walk.lookup.asked:
            self.operation.finish(self._walk.closest)
        else:
            self.operation.fail(nobody_known())


@final
class FindPeer:
    """One peer: over when it has answered itself, or when everybody near its id was asked."""

    def __init__(self, engine: "Engine", peer_id: "PeerId", now: float) -> None:
        self.operation: Operation[Contact | None] = Operation()
        self._engine = engine
        self._peer_id = peer_id
        self._found: Contact | None = None
        self._walk = Walk(engine, find_node(bytes(peer_id)), now, self._done, on_reply=self._on_reply, on_step=self._step)
        self.operation.when_over(self._walk.stop)

    def start(self, now: float) -> None:
        if self._peer_id == self._engine.own_id:
            self.operation.finish(self._engine.own())
            return
        known = self._engine.table.get(self._peer_id)
        if known is not None:
            self._hear(known.contact)
        self._walk.start(now)

    def _on_reply(self, contact: "Contact", message: "Message", now: float) -> bool:
        for heard in message.closer:
            if heard.peer_id == self._peer_id:
                self._hear(heard)
        if contact.peer_id == self._peer_id:
            self._hear(contact)
            self.operation.finish(self._found)
        return True

    def _hear(self, contact: "Contact") -> None:
        known = self._found.addresses if self._found is not None else ()
        addresses = tuple(dict.fromkeys((*known, *contact.addresses)))
        if self._found is None or len(addresses) > len(known):
            self._found = contact.with_addresses(addresses)
            if self._found.addresses:
                self.operation.emit(PeerFound(self._found))

    def _step(self, now: float) -> None:
        report(self.operation, self._walk)

    def _done(self, now: float) -> None:
        if self._walk.lookup.asked:
            self.operation.finish(self._found)
        else:
            self.operation.fail(nobody_known())
