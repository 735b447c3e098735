"""Many requests to many peers: so many peers at a time, so many requests to each, and nobody waits for a peer that is gone."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.messages import Message
    from cortexnet.kad.routing.contact import Contact

OnEnd = Callable[["Contact", "Message", "Message | None", bool, float], None]
"""Called with a request's peer, the request, its answer, whether it has succeeded, and the time. None is the answer to a request
that has failed or has none."""


@final
class _Line:
    """What one peer is to get."""

    __slots__ = ("contact", "failures", "requests", "under_way")

    def __init__(self, contact: "Contact") -> None:
        self.contact = contact
        self.requests: deque[Message] = deque()
        self.under_way: dict[int, Message] = {}
        self.failures = 0


@final
class _Job:
    """One request under way; its number is set once it has one."""

    __slots__ = ("bulk", "line", "number", "request")

    def __init__(self, bulk: "Bulk", line: _Line, request: "Message") -> None:
        self.bulk = bulk
        self.line = line
        self.request = request
        self.number = 0

    def on_answer(self, contact: "Contact", message: "Message | None", now: float) -> None:
        self.bulk.ended(self, message, True, now)

    def on_failure(self, contact: "Contact", now: float) -> None:
        self.bulk.ended(self, None, False, now)


@final
class Bulk:
    """Sends what `add` is given, in that order for each peer. `on_end` is told of each request, also of those that were never
    sent because their peer was given up; it may add more. `on_idle(now)` is called when nothing is left."""

    def __init__(self, engine: "Engine", on_end: OnEnd, on_idle: Callable[[float], None]) -> None:
        self._engine = engine
        self._on_end = on_end
        self._on_idle = on_idle
        self._lines: dict[PeerId, _Line] = {}
        self._waiting: deque[_Line] = deque()
        self._served = 0
        self._is_over = False
        self.asked = 0
        """Requests sent."""
        self.failed = 0
        """Of these those that have failed; what was never sent counts as neither."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to send or to wait for."""
        return not self._lines

    def add(self, contact: "Contact", requests: "Iterable[Message]") -> None:
        """Have a peer sent these; `pump` sends them."""
        line = self._lines.get(contact.peer_id)
        if line is None:
            line = self._lines[contact.peer_id] = _Line(contact)
            self._waiting.append(line)
        line.requests.extend(requests)

    def pump(self, now: float) -> None:
        """Send as much as may be under way."""
        while self._waiting and self._served < self._engine.config.bulk_peers:
            self._served += 1
            self._serve(self._waiting.popleft(), now)
        if not self._lines and not self._is_over:
            self._on_idle(now)

    def _serve(self, line: _Line, now: float) -> None:
        engine = self._engine
        while line.requests and len(line.under_way) < engine.config.bulk_requests:
            request = line.requests.popleft()
            job = _Job(self, line, request)
            job.number = engine.requests.send(line.contact, request, job, now, engine.config.request_timeout)
            line.under_way[job.number] = request
            self.asked += 1
        if not line.under_way:
            del self._lines[line.contact.peer_id]
            self._served -= 1

    def ended(self, job: _Job, answer: "Message | None", is_good: bool, now: float) -> None:
        """A request has ended."""
        line = job.line
        line.under_way.pop(job.number, None)
        line.failures = 0 if is_good else line.failures + 1
        lost: list[Message] = [] if is_good else [job.request]
        if line.failures >= self._engine.config.bulk_failures:
            lost += line.requests
            line.requests.clear()
        self.failed += not is_good
        if is_good:
            self._on_end(line.contact, job.request, answer, True, now)
        for request in lost:
            self._on_end(line.contact, request, None, False, now)
        if not self._is_over:
            self._serve(line, now)
            self.pump(now)

    def stop(self) -> None:
        """Send nothing more, and give up what is under way."""
        self._is_over = True
        for line in self._lines.values():
            for number in line.under_way:
                self._engine.requests.cancel(number)
        self._lines.clear()
        self._waiting.clear()
