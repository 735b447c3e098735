"""From a message that has come to the verdict about it: its signature, then what the application says. A shell.

Where there are several signatures they are checked in batches in a thread beside the loop, which OpenSSL leaves to itself
meanwhile. One alone is checked at once: to bring it there and back would take as long. And so are all, a few a turn, where the
thread turns out to be slow: in a busy process it waits up to 5 ms for Python after each signature, which takes 0.1 ms itself.

Not so large messages, which are announced by IDONTWANT: while they are in the thread, the loop hears from whom others have them,
and passes on fewer copies. In `python -m bench gossip` that takes 260 µs of processor time a delivery, and not 350.
Where more wait than one job takes, as in a flood, the rule above holds for them, too.
"""

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol, final

from cortexnet.errors import LocalError
from cortexnet.gossip.actions import Verdict
from cortexnet.gossip.places import Places
from cortexnet.host.deadline import deadline
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from cortexnet.gossip.actions import Validate
    from cortexnet.gossip.config import GossipConfig
    from cortexnet.gossip.delivery import GossipMessage
    from cortexnet.gossip.messages import Message
    from cortexnet.gossip.signing import RejectReason
    from cortexnet.identity.peer_id import PeerId

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

Validator = Callable[["GossipMessage"], Verdict | Awaitable[Verdict]]
"""Says of a message whether it is accepted, rejected or ignored, at once or after a while."""

SIGNATURES_AHEAD = 512
"""Messages that wait for the check of their signature before gossip is read more slowly: 60 ms of work for one thread."""
_SEVERAL = 2  # so many signatures are worth a thread
_FEW = 8  # are checked in one turn of the loop, in 1 ms
_THREADS = 2
_SLOW = 0.0005  # seconds of a signature in the thread from which on the loop checks them itself
_PROBE = 1.0  # and for how long, before the thread is tried again
_BATCH = 64  # signatures of one job: 7 ms, so that others are not held up behind it


class Course(Protocol):
    """Who is told how it goes."""

    def verified(self, tokens: "Sequence[tuple[Validate, RejectReason | None]]") -> None:
        """These signatures were checked: None where they hold."""

    def decided(self, token: "Validate", verdict: Verdict) -> None:
        """The validators have come to a verdict."""

    def throttled(self, token: "Validate") -> None:
        """So many validators are at work, or for this sender, that this one is not asked."""

    def message_of(self, token: "Validate") -> "GossipMessage":
        """The message as applications see it."""

    def pace_changed(self) -> None:
        """`is_ahead` has ended: gossip may be read on."""


@final
class Validation:
    """The messages between their arrival and their verdict. `verify` is called in a thread."""

    def __init__(
        self, config: "GossipConfig", verify: "Callable[[Message], RejectReason | None]", course: Course, scope: "Scope"
    ) -> None:
        self._places: Places[_Running] = Places(config.validation_limit)
        self._topic_limit = config.topic_validation_limit
        self._timeout = config.validation_timeout
        self._verify = verify
        self._announced_size = config.idontwant_size
        self._course = course
        self._scope = scope
        self._asked = Scope(scope, on_error=lambda _: None)  # `_answered` has heard of it
        self._waiting: deque[Validate] = deque()
        self._in_thread = 0
        self._here_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._validators: dict[str, Validator] = {}
        self._topic_places: dict[str, Places[_Running]] = {}  # of validators that take their time
        self.throttled = 0
        """Messages that were dropped, since too many others were being validated."""
        self.failed = 0
        """Messages that were dropped, since their validator raised, or took too long."""

    # --- signatures --------------------------------------------------------------------------------------------------------

    @property
    def is_ahead(self) -> bool:
        """Whether more messages wait for the check of their signature than is good."""
        return len(self._waiting) + self._in_thread >= SIGNATURES_AHEAD

    @property
    def pending(self) -> int:
        """Messages without a verdict."""
        return len(self._waiting) + self._in_thread + len(self._places)

    def add(self, token: "Validate") -> None:
        """Check the signature of a message, at the next `flush`."""
        self._waiting.append(token)

    def flush(self) -> None:
        """Begin with what was added; after `close` nothing is begun, though streams may be read a little longer."""
        if self._in_thread or not self._waiting or self._asked.is_closed:
            return
        count = len(self._waiting)
        is_better_here = count < _SEVERAL or self._loop.time() < self._here_until
        if is_better_here and (count > _BATCH or self._waiting[0].message.size < self._announced_size):
            self._check_here()
        else:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
            self._in_thread = len(batch)
            self._scope.spawn(self._check(batch), name="gossip signatures")

    def _check_here(self) -> None:
        """A few of them, within this turn of the loop."""
        was_ahead = self.is_ahead
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _FEW))]
        self._course.verified([(token, self._verify(token.message)) for token in batch])
        if self._waiting:
            self._loop.call_soon(self.flush)
        self._note_pace(was_ahead)

    async def _check(self, batch: "list[Validate]") -> None:
        verify = self._verify
        began = self._loop.time()
        reasons = await self._loop.run_in_executor(_threads(), lambda: [verify(token.message) for token in batch])
        if self._loop.time() - began > len(batch) * _SLOW:
            self._here_until = self._loop.time() + _PROBE
        was_ahead = self.is_ahead
        self._in_thread = 0
        self._course.verified(list(zip(batch, reasons, strict=True)))
        self.flush()
        self._note_pace(was_ahead)

    def _note_pace(self, was_ahead: bool) -> None:
        if was_ahead and not self.is_ahead:
            self._course.pace_changed()

    def close(self) -> None:
        """Nothing more is checked, nobody asked."""
        was_ahead = self.is_ahead
        self._waiting.clear()
        self._note_pace(was_ahead)
        self._asked.cancel()

    # --- validators --------------------------------------------------------------------------------------------------------

    def set_validator(self, topic: str, validator: Validator) -> None:
        """Ask `validator` about each message of the topic. Raises LocalError where there is one already."""
        if topic in self._validators:
            raise LocalError(f"topic {topic!r} has a validator already; remove that first")
        self._validators[topic] = validator

    def remove_validator(self, topic: str) -> None:
        """Accept what is signed. Raises LocalError where the topic has no validator."""
        if self._validators.pop(topic, None) is None:
            raise LocalError(f"topic {topic!r} has no validator")

    def has_validator(self, topic: str) -> bool:
        """Whether somebody wants to be asked."""
        return topic in self._validators

    def validate(self, token: "Validate") -> None:
        """Come to a verdict about a message whose signature holds. After `close` there is none."""
        if self._asked.is_closed:
            return
        topic = token.message.topic
        validator = self._validators.get(topic)
        if validator is None:
            self._course.decided(token, Verdict.ACCEPT)
            return
        try:
            verdict: object = validator(self._course.message_of(token))
        except Exception as error:  # boundary: a bug in a validator costs the message, not the node
            self._fail(topic, error)
            verdict = Verdict.IGNORE
        if isinstance(verdict, Verdict):
            self._course.decided(token, verdict)
        elif isinstance(verdict, Awaitable):
            self._wait_for(token, verdict)
        else:
            self._fail(topic, TypeError(f"it answers with Accept, Reject or Ignore, not with {verdict!r}"))
            self._course.decided(token, Verdict.IGNORE)

    def _wait_for(self, token: "Validate", verdict: Awaitable[object]) -> None:
        topic, sender = token.message.topic, token.sender
        places = self._topic_places.get(topic) or Places(self._topic_limit)
        waiting = len(self._waiting) + self._in_thread
        if not (self._make_room(places, sender) and self._make_room(self._places, sender, waiting)):
            _discard(verdict)
            self._throttle(token)
            return
        self._topic_places[topic] = places
        asked = _Running(token, verdict)
        places.take(sender, asked)
        self._places.take(sender, asked)
        asked.task = self._asked.spawn(self._ask(asked), name="gossip validator")
        asked.task.add_done_callback(functools.partial(self._answered, asked))

    def _make_room(self, places: "Places[_Running]", sender: "PeerId", waiting: int = 0) -> bool:
        """Whether there is a place for a message of the sender, if need be that of one who holds far more."""
        if places.has_room(sender, waiting):
            return True
        surplus = places.surplus(sender, waiting)
        if surplus is None or surplus.task is None:
            return False
        self._leave(surplus)
        surplus.task.cancel()
        self._throttle(surplus.token)
        return True

    def _throttle(self, token: "Validate") -> None:
        self.throttled += 1
        self._course.throttled(token)

    async def _ask(self, asked: "_Running") -> None:
        async with deadline(self._timeout, "a verdict"):
            said = await asked.verdict
        if not isinstance(said, Verdict):
            raise TypeError(f"it answers with Accept, Reject or Ignore, not with {said!r}")
        asked.answer = said

    def _answered(self, asked: "_Running", task: "asyncio.Task[None]") -> None:
        _discard(asked.verdict)  # where it was cancelled before it had begun
        if self._asked.is_closed or asked.has_left:
            return
        self._leave(asked)
        if asked.answer is None:
            error = asyncio.CancelledError("it cancelled itself") if task.cancelled() else task.exception()
            self._fail(asked.token.message.topic, error)
        self._course.decided(asked.token, Verdict.IGNORE if asked.answer is None else asked.answer)

    def _leave(self, asked: "_Running") -> None:
        topic, sender = asked.token.message.topic, asked.token.sender
        asked.has_left = True
        self._places.leave(sender, asked)
        self._topic_places[topic].leave(sender, asked)
        if not self._topic_places[topic]:
            del self._topic_places[topic]

    def _fail(self, topic: str, error: BaseException | None) -> None:
        self.failed += 1
        log.warning("the validator of topic %.128r failed, its message is ignored: %r", topic, error, exc_info=error)


@final
@dataclass(eq=False, slots=True)
class _Running:
    """A message whose validator takes its time."""

    token: "Validate"
    verdict: Awaitable[object]
    task: "asyncio.Task[None] | None" = None
    answer: Verdict | None = None
    has_left: bool = False
    """Whether its places are another's, or free."""


@cache
def _threads() -> "ThreadPoolExecutor":
    """Of all nodes of this process: more threads than cores would only wait for each other."""
    from concurrent.futures import ThreadPoolExecutor  # a node that hears little never needs it

    return ThreadPoolExecutor(_THREADS, thread_name_prefix="gossip")


def _discard(verdict: Awaitable[object]) -> None:
    """Nobody waits for it any more, or ever did."""
    if asyncio.iscoroutine(verdict):
        verdict.close()
