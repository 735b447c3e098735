"""Operations that store something with the peers nearest to its key: find these, then tell each."""

from typing import TYPE_CHECKING, final

from cortexnet.errors import LocalError
from cortexnet.kad.closest import nobody_known, report
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.operation import Operation, Stored
from cortexnet.kad.spread import Spread
from cortexnet.kad.walk import Walk, find_node

if TYPE_CHECKING:
    from cortexnet.kad.contact import Contact
    from cortexnet.kad.engine import Engine


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
        self._walk = Walk(engine, find_node(message.key), now, self._found, on_step=self._step)
        self._spread = Spread(engine, message, self._stored)
        self.operation.when_over(self._stop)

    def start(self, now: float) -> None:
        """Begin to look for them."""
        self._walk.start(now)

    def _stop(self) -> None:
        self._walk.stop()
        self._spread.stop()

    def _step(self, now: float) -> None:
        report(self.operation, self._walk)

    def _found(self, now: float) -> None:
        if not self._walk.lookup.asked:
            self.operation.fail(nobody_known())
            return
        self._spread.add(self._walk.closest, now)
        self._end_if_done()

    def _stored(self, contact: "Contact", is_stored: bool, now: float) -> None:
        if is_stored:
            self.operation.emit(Stored(self._key, contact.peer_id))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._walk.lookup.is_done and not self._spread.under_way:
            self.operation.finish(self._spread.stored)
