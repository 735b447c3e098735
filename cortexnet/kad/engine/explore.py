"""One exploration of a region under way: its requests go out, what comes back goes in."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.walk import find_node
from cortexnet.kad.lookup.regions import ExplorationConfig, RegionExploration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.timers import Timer
    from cortexnet.kad.messages import Message
    from cortexnet.kad.routing.contact import Contact
    from cortexnet.kad.routing.key import Prefix

    Accept = Callable[[Contact], bool]


@final
class _Question:
    """One request: who is near a key. A peer may be asked for several keys at once."""

    __slots__ = ("explore", "key", "number")

    def __init__(self, explore: "Explore", key: bytes) -> None:
        self.explore = explore
        self.key = key
        self.number = 0

    def on_answer(self, contact: "Contact", message: "Message | None", now: float) -> None:
        assert message is not None  # only ADD_PROVIDER is ever answered by nothing
        self.explore.on_reply(self, contact, message, now)

    def on_failure(self, contact: "Contact", now: float) -> None:
        self.explore.on_failure(self, contact, now)


@final
class Explore:
    """Finds the peers of a region. Runs from `start` until `on_done(self, now)` is called, or until `stop`.

    `seeds` are where to begin besides the routing table; `accept` leaves peers out.
    """

    def __init__(
        self,
        engine: "Engine",
        prefix: "Prefix",
        now: float,
        on_done: "Callable[[Explore, float], None]",
        *,
        seeds: "Iterable[Contact]" = (),
        accept: "Accept | None" = None,
    ) -> None:
        self._engine = engine
        self._on_done = on_done
        self._questions: dict[int, None] = {}
        self._timer: Timer | None = None
        config = engine.config
        known = [*seeds, *engine.table.nearest(prefix.first, config.k), *(engine.cache.get(prefix, now) or ())]
        self._is_selective = accept is not None
        self.exploration = RegionExploration(
            prefix,
            {contact.peer_id: contact for contact in known if accept is None or accept(contact)}.values(),
            own=engine.own_id,
            config=ExplorationConfig(k=config.k, timeout=config.lookup_timeout, slow_after=config.slow_after),
            now=now,
            random=engine.random,
            accept=_both(engine.filters.accept, accept),
            groups_of=engine.filters.groups_of,
        )

    @property
    def contacts(self) -> "list[Contact]":
        """Who was found."""
        return self.exploration.contacts

    def start(self, now: float) -> None:
        """Send the first requests."""
        self._step(now)

    def on_reply(self, question: _Question, contact: "Contact", message: "Message", now: float) -> None:
        """A question was answered."""
        del self._questions[question.number]
        self.exploration.on_reply(contact.peer_id, question.key, message.closer, now)
        self._step(now)

    def on_failure(self, question: _Question, contact: "Contact", now: float) -> None:
        """A question was not."""
        del self._questions[question.number]
        self.exploration.on_failure(contact.peer_id, question.key, now)
        self._step(now)

    def _step(self, now: float) -> None:
        engine = self._engine
        for asked in self.exploration.next(now):
            question = _Question(self, asked.key)
            request = find_node(asked.key)
            question.number = engine.requests.send(asked.contact, request, question, now, engine.config.request_timeout)
            self._questions[question.number] = None
        if self.exploration.is_done:
            self._end(now)
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        due = self.exploration.next_timeout()
        if due is not None and (self._timer is None or due < self._timer.time):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._engine.timers.at(due, self._on_time)

    def _on_time(self, now: float) -> None:
        self._timer = None
        self._step(now)

    def _end(self, now: float) -> None:
        engine, exploration = self._engine, self.exploration
        if exploration.is_complete and engine.config.is_cached and not self._is_selective:
            engine.cache.put(exploration.prefix, exploration.contacts, now)
        for number in self._questions:
            engine.requests.disown(number)
        self._leave()
        self._on_done(self, now)

    def _leave(self) -> None:
        self._questions.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """End it without a word; its requests are given up."""
        for number in self._questions:
            self._engine.requests.cancel(number)
        self.exploration.stop()
        self._leave()


def _both(one: "Accept | None", other: "Accept | None") -> "Accept | None":
    if one is None or other is None:
        return one or other
    return lambda contact: one(contact) and other(contact)
