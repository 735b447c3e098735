"""Notices that the machine has got other addresses, or has slept. A shell.

Systems tell of both in ways of their own; to look is the same everywhere, and costs a millisecond.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import final

from cortexnet.transport.interfaces import all_addresses

log = logging.getLogger(__name__)

SLEEP = 10.0
"""Seconds that must be missing before we say that the machine has slept: TCP and NAT survive less, and a busy machine is no
sleeping one."""


OnChange = Callable[[frozenset[str], frozenset[str], float], None]
"""Called with the IP addresses that are gone, those that are new, and for how many seconds the machine slept."""


@final
class NetworkWatch:
    """Looks every `interval` seconds, the first time after as many: who ends before that pays nothing."""

    def __init__(
        self,
        on_change: OnChange,
        *,
        interval: float,
        addresses: Callable[[], frozenset[str]] = all_addresses,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`addresses` may raise OSError, which is no news. `wall` is the time of day, in seconds."""
        self._on_change = on_change
        self._interval = interval
        self._addresses = addresses
        self._wall = wall
        self._known: frozenset[str] | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due, wall = loop.time() + self._interval, self._wall()
            await asyncio.sleep(self._interval)
            # The loop's clock stands still while Linux and macOS sleep, and goes on under Windows and in a stopped process.
            late = loop.time() - due
            self._look(max(late, self._wall() - wall - self._interval))

    def _look(self, missing: float) -> None:
        gone, new = self._compare()
        slept = missing if missing > SLEEP else 0.0
        if gone or new or slept:
            log.info("the network has changed: gone %s, new %s, slept %.0f s", sorted(gone), sorted(new), slept)
            self._on_change(gone, new, slept)

    def _compare(self) -> tuple[frozenset[str], frozenset[str]]:
        """What is gone since the last time, and what is new."""
        try:
            found = self._addresses()
        except OSError as error:
            log.debug("the interfaces can't be read: %s", error)
            return frozenset(), frozenset()
        known, self._known = self._known, found
        return (frozenset(), frozenset()) if known is None else (known - found, found - known)
