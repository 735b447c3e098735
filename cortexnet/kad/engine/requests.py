"""Requests under way: each has a number, and somebody who waits for its end."""

from typing import TYPE_CHECKING, Protocol, final

from cortexnet.kad.engine.actions import Action, Cancel, ContactsWanted, Send
from cortexnet.kad.messages import Message, Type

if TYPE_CHECKING:
    from cortexnet.kad.routing.contact import Contact


class Asker(Protocol):
    """Who waits for the end of a request."""

    def on_answer(self, contact: "Contact", message: Message | None, now: float) -> None:
        """It was answered; or (None) written, where no answer is expected."""

    def on_failure(self, contact: "Contact", now: float) -> None:
        """It failed."""


@final
class _Nobody:
    """For requests whose asker is gone."""

    def on_answer(self, contact: "Contact", message: Message | None, now: float) -> None:
        pass

    def on_failure(self, contact: "Contact", now: float) -> None:
        pass


NOBODY: Asker = _Nobody()


@final
class Request:
    """One request under way."""

    __slots__ = ("asker", "contact", "sent_at", "type")

    def __init__(self, contact: "Contact", kind: Type, asker: Asker, sent_at: float) -> None:
        self.contact = contact
        self.type = kind
        self.asker = asker
        self.sent_at = sent_at


@final
class Requests:
    """Numbers requests, and knows which are under way. Their number is bounded by what the operations bound."""

    def __init__(self) -> None:
        self._under_way: dict[int, Request] = {}
        self._actions: list[Action] = []
        self._last = 0

    def __len__(self) -> int:
        return len(self._under_way)

    def send(self, contact: "Contact", message: Message, asker: Asker, now: float, timeout: float) -> int:
        """Ask; `asker` is told of the end unless it cancels or disowns it before."""
        self._last += 1
        kind = message.type
        self._under_way[self._last] = Request(contact, kind, asker, now)
        self._actions.append(Send(self._last, contact, message, kind is not Type.ADD_PROVIDER, timeout))
        return self._last

    def cancel(self, number: int) -> None:
        """Nobody waits for it any more; without effect where it has ended."""
        if self._under_way.pop(number, None) is not None:
            self._actions.append(Cancel(number))

    def disown(self, number: int) -> None:
        """Its asker waits no more, but whether it is answered still says whether the peer is there."""
        request = self._under_way.get(number)
        if request is not None:
            request.asker = NOBODY

    def end(self, number: int) -> Request | None:
        """The request that has ended; None where nobody waits for it."""
        return self._under_way.pop(number, None)

    def want(self, action: Action) -> None:
        """Have the driver do something else."""
        self._actions.append(action)

    def cancel_all(self) -> None:
        """Nobody waits for anything."""
        for number in list(self._under_way):
            self.cancel(number)

    def take_actions(self) -> list[Action]:
        """What is to be done now. A request cancelled before the driver ever saw it is not among it."""
        actions, self._actions = self._actions, []
        cancelled = {action.id for action in actions if type(action) is Cancel}
        if not cancelled:
            return actions
        unseen = {action.id for action in actions if type(action) is Send and action.id in cancelled}
        return [action for action in actions if type(action) is ContactsWanted or action.id not in unseen]
