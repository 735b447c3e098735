"""From where events happen to those who want to know. A shell."""

from collections import deque
from types import UnionType
from typing import TYPE_CHECKING, Self, final

from cortexnet.errors import LocalError
from cortexnet.transport.one_reader import OneReader

if TYPE_CHECKING:
    from cortexnet.observe.events import Event


@final
class EventBus:
    """The events of one node. Who publishes never waits, and is never hurt by who listens."""

    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, None] = {}
        self._is_closed = False

    @property
    def has_listeners(self) -> bool:
        """Whether anybody wants events: where nobody does, none need be made."""
        return bool(self._subscriptions)

    def publish(self, event: "Event") -> None:
        """Hand an event to all who listen for its kind."""
        for subscription in self._subscriptions:
            subscription.offer(event)

    def subscribe(self, kinds: "tuple[type[Event], ...]", *, queue: int) -> "Subscription":
        """See `Node.events`."""
        return Subscription(self, kinds, queue)

    def add(self, subscription: "Subscription") -> None:
        """What entering a subscription does."""
        self._subscriptions[subscription] = None
        if self._is_closed:
            subscription.end()

    def remove(self, subscription: "Subscription") -> None:
        """What leaving a subscription does."""
        self._subscriptions.pop(subscription, None)

    def close(self) -> None:
        """There will be no more events: who listens gets what is queued, and then the end."""
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.end()


@final
class Subscription:
    """Events from its `async with` on, one after the other by `async for`, until the node is closed.

    At most `queue` events wait; then the oldest go, and an EventsLost says how many. One task may iterate, a
    second one gets Busy; before the block that raises LocalError. Cancelled while it waits: no event is lost.
    """

    def __init__(self, bus: EventBus, kinds: "tuple[type[Event], ...]", queue: int) -> None:
        """Raises LocalError for a queue that holds nothing, and for kinds that are none."""
        if queue < 1:
            raise LocalError(f"a queue of events holds at least 1, not {queue}")
        for kind in kinds:
            if not isinstance(kind, type | UnionType):  # else whoever publishes would raise
                raise LocalError(f"events are named by their types, one after the other, not by {kind!r}")
        self._bus = bus
        self._kinds = kinds
        self._limit = queue
        self._events: deque[Event] = deque()
        self._lost = 0
        self._is_added = False
        self._reader = OneReader("these events")

    async def __aenter__(self) -> Self:
        self._is_added = True
        self._bus.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.remove(self)
        self.end()

    def offer(self, event: "Event") -> None:
        """Queue an event, if it is of a kind that is wanted."""
        if self._kinds and not isinstance(event, self._kinds):
            return
        if len(self._events) >= self._limit:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        self._reader.wake()

    def end(self) -> None:
        """Nothing more comes."""
        self._reader.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "Event":
        while not self._events:
            if not self._is_added:
                raise LocalError("nothing comes before `async with node.events(…) as events`: read them inside of that block")
            await self._reader.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            from cortexnet.observe.events import EventsLost

            return EventsLost(lost)
        return self._events.popleft()
