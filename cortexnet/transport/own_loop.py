"""That a node is used in the event loop it lives in. A shell."""

import asyncio

from cortexnet.errors import LocalError


def check_loop(own: asyncio.AbstractEventLoop) -> None:
    """Raises LocalError where another event loop runs. Where none runs, nobody can tell which thread this is."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is not own:
        raise LocalError(
            "a node is used in the event loop that it was started in: "
            "`asyncio.run_coroutine_threadsafe(coroutine, loop)` does that from another thread"
        )
