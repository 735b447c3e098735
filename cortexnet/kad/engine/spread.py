"""Something is stored with several peers: the same request to each, and who took it."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.routing.contact import Contact


@final
class Spread:
    """Sends `message`, a PUT_VALUE or an ADD_PROVIDER, once to each contact given.

    `on_end(contact, is_stored, now)` is called for each; who sent more than it should is not asked here. Contacts may be added
    while it runs.
    """

    def __init__(self, engine: "Engine", message: Message, on_end: "Callable[[Contact, bool, float], None]") -> None:
        self._engine = engine
        self._message = message
        self._on_end = on_end
        self._requests: dict[PeerId, int] = {}
        self._told: dict[PeerId, None] = {}
        self.stored = 0
        """Peers that took it."""
        self.failed = 0
        """Peers that did not."""

    @property
    def under_way(self) -> int:
        """Requests whose end is out."""
        return len(self._requests)

    def add(self, contacts: "Iterable[Contact]", now: float) -> None:
        """Send it to those among them that it was not sent to yet."""
        engine = self._engine
        for contact in contacts:
            if contact.peer_id not in self._told:
                self._told[contact.peer_id] = None
                self._requests[contact.peer_id] = engine.requests.send(
                    contact, self._message, self, now, engine.config.store_timeout
                )

    def leave(self) -> None:
        """Wait for none of them any more, and let them go on."""
        for number in self._requests.values():
            self._engine.requests.disown(number)
        self._requests.clear()

    def stop(self) -> None:
        """Give up what is under way."""
        for number in self._requests.values():
            self._engine.requests.cancel(number)
        self._requests.clear()

    def on_answer(self, contact: "Contact", message: Message | None, now: float) -> None:
        """A peer has answered: a value counts as stored where it comes back as it was sent."""
        is_stored = message is None or (message.record is not None and message.record.value == self._value)
        self._end(contact, is_stored, now)

    @property
    def _value(self) -> bytes | None:
        return self._message.record.value if self._message.record is not None else None

    def on_failure(self, contact: "Contact", now: float) -> None:
        """A peer has not."""
        self._end(contact, False, now)

    def _end(self, contact: "Contact", is_stored: bool, now: float) -> None:
        self._requests.pop(contact.peer_id, None)
        if is_stored:
            self.stored += 1
        else:
            self.failed += 1
        self._on_end(contact, is_stored, now)
