"""What a command prints, and where: results on stdout, as text or as JSON lines; what goes on meanwhile on stderr.

With `--json` stdout has one JSON object a line and nothing else; its member `event` says what it is. Text that came from peers
may be anything: here everything is escaped once more on its way out, whatever the caller did about it.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import final

import click

from cortexnet.cli.text import duration, escaped
from cortexnet.transport.scope import Scope

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

_PATIENCE, _TICK = 0.5, 0.5  # seconds before the first line about what takes long, and between two, on a terminal
_QUIET_PATIENCE, _QUIET_TICK = 2.0, 5.0  # the same where the lines stay


@final
class Output:
    """The voice of one command. `verbosity` counts the -v, `debug` asks for tracebacks."""

    def __init__(self, *, as_json: bool = False, verbosity: int = 0, debug: bool = False) -> None:
        self.as_json = as_json
        self.verbosity = verbosity
        self.debug = debug
        self._status_width = 0

    def say(self, text: str, event: str, **members: Json) -> None:
        """A result: `text` for people, may have several lines; or the event for programs."""
        self.clear_status()
        if self.as_json:
            click.echo(json.dumps({"event": event, **members}))
        else:
            click.echo("\n".join(escaped(line) for line in text.split("\n")))

    def text(self, text: str = "") -> None:
        """For people alone."""
        if not self.as_json:
            self.say(text, "")

    def silence(self) -> None:
        """Nobody reads stdout any more: let all that would go there go nowhere, what is buffered included."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

    def say_event(self, event: str, **members: Json) -> None:
        """For programs alone."""
        if self.as_json:
            self.say("", event, **members)

    def note(self, text: str) -> None:
        """To stderr: errors, advice, what is going on."""
        self.clear_status()
        click.echo("\n".join(escaped(line) for line in text.split("\n")), err=True)

    @property
    def has_terminal(self) -> bool:
        """Whether stderr is a terminal, on which a line can be written over."""
        return sys.stderr.isatty()

    def status(self, text: str) -> None:
        """What is going on at the moment, on a line of stderr that the next one replaces; nothing where that is no terminal."""
        if not self.has_terminal:
            return
        line = escaped(text, shutil.get_terminal_size().columns - 1)
        click.echo(f"\r{line.ljust(self._status_width)}", nl=False, err=True)
        self._status_width = len(line)

    def clear_status(self) -> None:
        """Take the line of `status` away."""
        if self._status_width:
            click.echo(f"\r{' ' * self._status_width}\r", nl=False, err=True)
            self._status_width = 0

    @contextlib.asynccontextmanager
    async def waiting(self, what: str) -> AsyncIterator[None]:
        """While the block takes long, show what is waited for, and for how long already."""
        scope = Scope()
        scope.spawn(self._tick(what), name="status line")
        try:
            yield
        finally:
            await scope.close()
            self.clear_status()

    async def _tick(self, what: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(_PATIENCE if self.has_terminal else _QUIET_PATIENCE)
        while True:
            passed = loop.time() - began
            if self.has_terminal:
                self.status(f"{what} ... {passed:.0f} s")
            else:
                self.note(f"{what} ... {duration(passed)}")
            await asyncio.sleep(_TICK if self.has_terminal else _QUIET_TICK)
