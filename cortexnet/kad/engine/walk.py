"""One lookup under way: its requests go out, what comes back goes in."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, final

from cortexnet.kad.lookup.lookup import Lookup
from cortexnet.kad.messages import Message, Type

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.timers import Timer
    from cortexnet.kad.routing.contact import Contact

OnReply = Callable[["Contact", Message, float], bool]
"""Sees each answer before its closer peers count. False: the answer is none, and the peer has failed."""


@final
class Walk:
    """Asks `message` of ever closer peers. Runs from `start` until `on_done(now)` is called, or until `stop`."""

    def __init__(
        self,
        engine: "Engine",
        message: Message,
        now: float,
        on_done: Callable[[float], None],
        *,
        on_reply: OnReply | None = None,
        on_step: Callable[[float], None] | None = None,
        timeout: float | None = None,
        is_cached: bool = True,
    ) -> None:
        self._engine = engine
        self._message = message
        self._on_done = on_done
        self._on_reply = on_reply
        self._on_step = on_step
        self._is_cached = is_cached and engine.config.is_cached
        self._is_warm = False
        self._timer: Timer | None = None
        self._requests: dict[PeerId, int] = {}
        self._is_over = False
        self.failed = 0
        """Requests that have failed."""
        self.answered = 0
        """Requests that were answered."""
        config = engine.lookup_config
        target = engine.position(message.key)
        self.lookup = Lookup(
            target,
            self._seeds(target, now),
            own=engine.own_id,
            config=config if timeout is None else replace(config, timeout=min(config.timeout, timeout)),
            now=now,
            accept=engine.filters.accept,
            groups_of=engine.filters.groups_of,
        )

    def start(self, now: float) -> None:
        """Send the first requests."""
        self._step(now)

    def _seeds(self, target: int, now: float) -> "list[Contact]":
        engine = self._engine
        known = engine.table.nearest(target, engine.config.k)
        cached = engine.cache.get(self._message.key, now, position=target) if self._is_cached else None
        if not cached:
            return known
        self._is_warm = True
        return list({contact.peer_id: contact for contact in (*known, *cached)}.values())

    @property
    def closest(self) -> "list[Contact]":
        """The k nearest found."""
        return self.lookup.closest

    def conclude(self) -> None:
        """Enough is known: end it with that. To be called by `on_step`."""
        self.lookup.stop()

    def stop(self) -> None:
        """End it without a word; its requests are given up."""
        for number in self._requests.values():
            self._engine.requests.cancel(number)
        self._leave()

    def _leave(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.lookup.stop()
            self._requests.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def on_answer(self, contact: "Contact", message: Message | None, now: float) -> None:
        """A peer has answered."""
        self._requests.pop(contact.peer_id, None)
        if message is None or (self._on_reply is not None and not self._on_reply(contact, message, now)):
            self._fail(contact, now)
            return
        if not self._is_over:
            self.answered += 1
            self.lookup.on_reply(contact.peer_id, message.closer, now)
            self._step(now)

    def on_failure(self, contact: "Contact", now: float) -> None:
        """A peer has not."""
        self._requests.pop(contact.peer_id, None)
        self._fail(contact, now)

    def _fail(self, contact: "Contact", now: float) -> None:
        self.failed += 1
        self.lookup.on_failure(contact.peer_id, now)
        self._step(now)

    def _step(self, now: float) -> None:
        engine, lookup = self._engine, self.lookup
        for contact in lookup.next(now):
            number = engine.requests.send(contact, self._message, self, now, engine.config.request_timeout)
            self._requests[contact.peer_id] = number
        if self._on_step is not None:
            self._on_step(now)
        if self._is_over:
            return
        if lookup.is_done:
            self._end(now)
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        """One entry in the heap: a later time is found out when the earlier one comes."""
        due = self.lookup.next_timeout()
        timer = self._timer
        if due is None or (timer is not None and timer.time <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._engine.timers.at(due, self._on_time)

    def _on_time(self, now: float) -> None:
        self._timer = None
        due = self.lookup.next_timeout()
        if due is not None and due > now:
            self._set_timer()
        else:
            self._step(now)

    def _end(self, now: float) -> None:
        if not self.lookup.is_cut_short:
            self._remember(now)
        for number in self._requests.values():
            # Who has not answered yet is waited for by nobody, but shall leave the table if it never does.
            self._engine.requests.disown(number)
        self._leave()
        self._on_done(now)

    def _remember(self, now: float) -> None:
        engine, lookup = self._engine, self.lookup
        closest = lookup.closest
        engine.lookup_ended(lookup.target, closest, now)
        if self._is_cached:
            engine.cache.put(self._message.key, lookup.neighbourhood, now)
            engine.cache.ended(is_warm=self._is_warm, hops=lookup.hops)


def find_node(key: bytes) -> Message:
    """Who is near `key`?"""
    return Message(Type.FIND_NODE, key, cluster_level=1)
