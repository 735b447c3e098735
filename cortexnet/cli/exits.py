"""How a command ends. Light: the command line loads this before it knows which command it runs."""

import signal
from typing import final


class ExitCode:
    """What the process ends with."""

    OK = 0
    FAILED = 1
    """The network, the peer or this machine did not do what was asked for."""
    USAGE = 2
    """The command line, an address or a setting makes no sense; nothing was tried."""
    INTERRUPTED = 130
    """SIGINT (Ctrl-C), as shells have it: 128 and the signal's number. SIGTERM: 143."""


@final
class Interrupted(Exception):
    """A signal asked the process to end, and it has cleaned up."""

    def __init__(self, number: int) -> None:
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number
        super().__init__(f"interrupted by {self.name}")
