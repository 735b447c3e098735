"""Deadlines of exchanges with a peer. A shell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cortexnet.errors import LocalError, PeerTimeout


@asynccontextmanager
async def deadline(seconds: float | None, what: str) -> AsyncIterator[asyncio.Timeout]:
    """Cancel the block after `seconds` and raise PeerTimeout, which says `what` took too long; None waits as long as it takes.

    A TimeoutError of the block's own passes as it is. Raises LocalError for what is no number.
    """
    if seconds is not None and not isinstance(seconds, int | float):
        raise LocalError(f"a timeout is a number of seconds, or None, not {seconds!r}")
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield timeout
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise PeerTimeout(f"{what} took longer than {seconds:g} s") from error
