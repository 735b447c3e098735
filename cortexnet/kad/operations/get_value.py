"""The best value of a key: everybody near it is asked, and those that lack the best get it."""

from typing import TYPE_CHECKING, final

from cortexnet.errors import InvalidRecord
from cortexnet.kad.engine.operation import Operation, ValueFound
from cortexnet.kad.engine.spread import Spread
from cortexnet.kad.engine.walk import Walk
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.operations.closest import nobody_known, report
from cortexnet.kad.operations.store_near import put_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.routing.contact import Contact


@final
class BestValue:
    """The best of the valid values heard, and who has it. `answers` counts all valid ones."""

    __slots__ = ("_engine", "_key", "answers", "holders", "value")

    def __init__(self, engine: "Engine", key: bytes) -> None:
        self._engine = engine
        self._key = key
        self.value: bytes | None = None
        self.holders: dict[PeerId, None] = {}
        self.answers = 0

    def hear(self, value: bytes, peer_id: "PeerId | None", now: float) -> bool:
        """A peer, or (None) our own store, has this one; whether it is a better one than before. An invalid one is ignored."""
        if value != self.value:
            validators = self._engine.validators
            try:
                validators.validate(self._key, value, self._engine.unix(now))
                self.answers += 1
                if self.value is not None and not validators.is_better(self._key, value, self.value):
                    return False
            except InvalidRecord:
                return False
            self.value = value
            self.holders = {} if peer_id is None else {peer_id: None}
            return True
        self.answers += 1
        if peer_id is not None:
            self.holders[peer_id] = None
        return False

    def correct(self, near: "Sequence[Contact]", now: float) -> None:
        """Give the best to those of the nearest that have not shown it. Nobody waits for it."""
        if self.value is not None:
            lacking = [contact for contact in near if contact.peer_id not in self.holders]
            Spread(self._engine, put_message(self._key, self.value), _ignore).add(lacking, now)


def _ignore(contact: "Contact", is_stored: bool, now: float) -> None:
    """Whether a correction was taken is the peer's business."""


@final
class GetValue:
    """Asks GET_VALUE. Over with more than `quorum` answers; with 0 when all near the key were asked, who are then corrected."""

    def __init__(self, engine: "Engine", key: bytes, quorum: int, now: float) -> None:
        self.operation: Operation[bytes | None] = Operation()
        self._engine = engine
        self._key = key
        self._quorum = quorum
        self._best = BestValue(engine, key)
        request = Message(Type.GET_VALUE, key, cluster_level=1)
        self._walk = Walk(engine, request, now, self._done, on_reply=self._on_reply, on_step=self._step)
        self.operation.when_over(self._walk.stop)

    def start(self, now: float) -> None:
        """Look into our own store, then ask."""
        own = self._engine.values.get(self._key, self._engine.unix(now))
        if own is not None:
            self._hear(own.value, None, now)
        self._walk.start(now)

    def _on_reply(self, contact: "Contact", message: Message, now: float) -> bool:
        record = message.record
        if record is None:
            return True
        if record.key != self._key:
            return False
        self._hear(record.value, contact.peer_id, now)
        return True

    def _hear(self, value: bytes, peer_id: "PeerId | None", now: float) -> None:
        if self._best.hear(value, peer_id, now):
            self.operation.emit(ValueFound(self._key, value, peer_id))
        if 0 < self._quorum < self._best.answers:
            self.operation.finish(self._best.value)

    def _step(self, now: float) -> None:
        report(self.operation, self._walk)

    def _done(self, now: float) -> None:
        if not self._walk.lookup.asked and self._best.value is None:
            self.operation.fail(nobody_known())
            return
        if not self._walk.lookup.is_cut_short:
            self._best.correct(self._walk.closest, now)
        self.operation.finish(self._best.value)
