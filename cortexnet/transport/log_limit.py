"""Lines of the log that peers can bring about, no more of them than a log can bear. A shell."""

import asyncio
import logging
from typing import final
from weakref import WeakKeyDictionary

LINES = 5
"""Of one kind in `INTERVAL` seconds: enough to see what is wrong. One with a traceback costs 100 µs of the loop's time."""
INTERVAL = 10.0


@final
class _Kind:
    __slots__ = ("begun", "hidden", "shown")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.shown = 0
        self.hidden = 0


@final
class LogLimit(logging.Filter):
    """Lets through `LINES` warnings or errors of a kind in `INTERVAL` seconds; the first after that tells how many were not.

    Of a kind are lines with the same text before their arguments are put in, on one loop, whose time counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, _Kind]] = WeakKeyDictionary()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        loop = asyncio.get_running_loop()
        now = loop.time()
        kinds = self._kinds.setdefault(loop, {})
        kind = kinds.setdefault(record.msg, _Kind(now))
        if now - kind.begun >= INTERVAL:
            if kind.hidden:
                record.msg = f"{record.msg} (and {kind.hidden} more since the last)"
            kind.begun, kind.shown, kind.hidden = now, 0, 0
        if kind.shown >= LINES:
            kind.hidden += 1
            return False
        kind.shown += 1
        return True
