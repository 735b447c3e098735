"""Operations that store something with the peers nearest to its key: find these, then tell each."""

from typing import TYPE_CHECKING, final

from cortexnet.errors import LocalError
from cortexnet.kad.engine.operation import Operation, Stored
from cortexnet.kad.engine.spread import Spread
from cortexnet.kad.engine.walk import find_node
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.operations.closest import nobody_known, report
from cortexnet.kad.operations.near import Near
from cortexnet.kad.operations.optimistic import OptimisticProvide

if TYPE_CHECKING:
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.routing.contact import Contact


def put_message(key: bytes, value: bytes) -> Message:
    """Keep this value!"""
    return Message(Type.PUT_VALUE, key, Record(key, value), cluster_level=1)


def provide_message(key: bytes, own: "Contact") -> Message:
    """I have the content! Raises LocalError where nobody could come and get it."""
    if not own.addresses:
        raise LocalError("this node has no address that others could be told, so they would not take it for a provider")
    return Message(Type.ADD_PROVIDER, key, providers=(own,), cluster_level=1)


@final
class StoreNear:
    """Sends `message` to the k nearest to its key. The result is how many took it."""

    def __init__(self, engine: "Engine", message: Message, now: float) -> None:
        self.operation: Operation[int] = Operation()
        self._key = message.key
        self._near = Near(engine, find_node(message.key), now, self._found, on_step=self._step)
        self._spread = Spread(engine, message, self._ended)
        self._optimistic = _optimistic(engine, message, now)
        self._is_found = False
        self.operation.when_over(self._stop)

    def start(self, now: float) -> None:
        """Begin to look for them."""
        self._near.start(now)

    def _step(self, now: float) -> None:
        if self._optimistic is not None and not self._is_found:
            self._spread.add(self._optimistic.on_progress(self._near.walk.lookup.nearest_heard), now)
            if self._optimistic.may_stop:
                self._near.walk.conclude()
        report(self.operation, self._near.walk)

    def _found(self, now: float) -> None:
        if not self._near.walk.lookup.asked:
            self.operation.fail(nobody_known())
            return
        self._is_found = True
        closest = self._near.closest
        self._spread.add(closest if self._optimistic is None else self._optimistic.on_end(closest), now)
        self._spread.add(self._near.others, now)
        self._end_if_done()

    def _ended(self, contact: "Contact", is_stored: bool, now: float) -> None:
        if is_stored:
            self.operation.emit(Stored(self._key, contact.peer_id))
        if self._optimistic is not None:
            self._optimistic.on_stored(contact.peer_id, is_stored=is_stored)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if not self._is_found:
            return
        if self._optimistic is not None and self._optimistic.is_enough:
            self._spread.leave()
        if not self._spread.under_way:
            self.operation.finish(self._spread.stored)

    def _stop(self) -> None:
        self._near.stop()
        self._spread.stop()


def _optimistic(engine: "Engine", message: Message, now: float) -> OptimisticProvide | None:
    """Where it is wished, and the size of the network is known."""
    size = engine.size.estimate(now)
    if not engine.config.optimistic_provide or message.type is not Type.ADD_PROVIDER or size is None:
        return None
    return OptimisticProvide(engine.position(message.key), size, k=engine.config.k)
