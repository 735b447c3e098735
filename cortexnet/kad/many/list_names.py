"""The names of a namespace: its region is explored once, and each of its peers tells what it holds, page by page."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.explore import Explore
from cortexnet.kad.engine.operation import NameFound, Operation, Progress
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.operations.closest import nobody_known
from cortexnet.kad.records.namespaces import LISTING_LIMIT, Listing, Name

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.timers import Timer
    from cortexnet.kad.routing.contact import Contact


@final
class ListNames:
    """Lists a namespace. The result has its keys, sorted."""

    def __init__(self, engine: "Engine", name: Name, now: float) -> None:
        self.operation: Operation[list[bytes]] = Operation()
        self._engine = engine
        self._name = name
        self._explore = Explore(engine, name.region, now, self._explored)
        self._listing: Listing | None = None
        self._timer: Timer | None = None
        self._requests: dict[PeerId, int] = {}
        self._failed = 0
        self.operation.when_over(self._stop)

    def start(self, now: float) -> None:
        """Begin."""
        if self._engine.table:
            self._explore.start(now)
        else:
            self.operation.fail(nobody_known())

    def _explored(self, explore: Explore, now: float) -> None:
        self._listing = Listing(self._name, explore.contacts)
        self._timer = self._engine.timers.at(now + self._engine.config.lookup_timeout, self._on_time_over)
        self._step(self._listing, now)

    def _step(self, listing: Listing, now: float) -> None:
        engine = self._engine
        for contact, cursor in listing.next():
            request = Message(Type.LIST_PREFIX, listing.key, cursor=cursor)
            self._requests[contact.peer_id] = engine.requests.send(contact, request, self, now, engine.config.request_timeout)
        find_nodes = self._explore.exploration.requests
        asked = find_nodes + listing.requests
        answered = asked - self._failed - len(self._requests)
        self.operation.progress = Progress(asked=asked, answered=answered, failed=self._failed, find_nodes=find_nodes)
        self.operation.changed()
        if listing.is_done:
            self._finish(now)

    def _on_time_over(self, now: float) -> None:
        """Somebody tells names one by one, or there are more than can be told: the others have told theirs by now."""
        self._finish(now)

    def _finish(self, now: float) -> None:
        told = self._listing.names if self._listing is not None else ()
        self.operation.finish(sorted({*told, *self._own_names(now)}))

    def _own_names(self, now: float) -> list[bytes]:
        key = self._name.whole.key
        return self._engine.values.names(key, self._engine.unix(now), limit=LISTING_LIMIT)

    def on_answer(self, contact: "Contact", message: Message | None, now: float) -> None:
        """A peer has sent a page."""
        assert self._listing is not None  # for it has asked
        assert message is not None
        del self._requests[contact.peer_id]
        for key in self._listing.on_page(contact.peer_id, message.names, message.cursor):
            self.operation.emit(NameFound(key))
        self._step(self._listing, now)

    def on_failure(self, contact: "Contact", now: float) -> None:
        """A peer has not."""
        assert self._listing is not None
        del self._requests[contact.peer_id]
        self._failed += 1
        self._listing.on_failure(contact.peer_id)
        self._step(self._listing, now)

    def _stop(self) -> None:
        self._explore.stop()
        if self._timer is not None:
            self._timer.cancel()
        for number in self._requests.values():
            self._engine.requests.cancel(number)
        self._requests.clear()
