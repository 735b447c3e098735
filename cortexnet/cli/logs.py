"""The log of a command: lines on stderr, escaped, without tracebacks unless asked for."""

import contextlib
import logging
from typing import final

import click

from cortexnet.cli.output import Output
from cortexnet.cli.text import escaped


def set_up(output: Output) -> None:
    """Warnings always; -v adds what the node has to say, -vv everything."""
    _HANDLER.output = output
    root = logging.getLogger()
    if _HANDLER not in root.handlers:
        root.addHandler(_HANDLER)
    root.setLevel((logging.WARNING, logging.INFO)[output.verbosity] if output.verbosity < 2 else logging.DEBUG)


@final
class _StderrHandler(logging.Handler):
    """Finds stderr anew for each line, and takes the status line away before it."""

    output = Output()

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # whoever read stderr has gone; that is no reason for the node to fail
            self.output.clear_status()
            click.echo(self.format(record), err=True)


@final
class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname.lower()}: {escaped(record.getMessage())}"
        if not _HANDLER.output.debug:
            return line
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{self.formatTime(record)} {record.name} {line}{trace}"


_HANDLER = _StderrHandler()
_HANDLER.setFormatter(_Formatter())
