"""Deadlines of exchanges with a peer. A shell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isnan

from cortexnet.errors import LocalError, PeerTimeout


def check_seconds(timeout: object) -> None:
    """Raises LocalError for a timeout that is no number of seconds, nor None."""
    if timeout is not None and (not isinstance(timeout, int | float) or isnan(timeout)):
        raise LocalError(f"a timeout is a number of seconds, or None, not {timeout!r}")


@asynccontextmanager
async def deadline(seconds: float | None, what: str) -> AsyncIterator[asyncio.Timeout]:
    """Cancel the block after `seconds` and raise PeerTimeout, which says `what` took too long; None waits as long as it takes.

    A TimeoutError of the block's own passes as it is. Raises LocalError for what is no number.
    """
    check_seconds(seconds)
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield timeout
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise PeerTimeout(f"{what} took longer than {seconds:g} s") from error
