"""A profile of all functions, to see what Python does beside cipher and system calls.

Its shares are too large for Python, as the profiler's own time is among them; `bench.shares` has the true ones.
"""

import cProfile
from pathlib import Path
from types import CodeType
from typing import Any, Final, final

WAITING: Final = ("'poll'", "'select'")
SHOWN: Final = 15


@final
class FunctionProfile:
    """From `start` to `stop`."""

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def start(self) -> None:
        self._profile.enable()

    def stop(self) -> dict[str, Any]:
        """The functions that took most: the share of each in all time that was not waiting, and how often it was called."""
        self._profile.disable()
        rows = [(described(entry.code), entry.inlinetime, entry.callcount) for entry in self._profile.getstats()]
        rows = [row for row in rows if not any(name in row[0] for name in WAITING)]
        work = sum(seconds for _, seconds, _ in rows)
        largest = sorted(rows, key=lambda row: row[1], reverse=True)[:SHOWN]
        return {"largest": [(name, seconds / work, calls) for name, seconds, calls in largest]}


def described(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    return f"{code.co_qualname} ({'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_firstlineno})"
