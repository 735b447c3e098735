"""The log of a command: lines on stderr, escaped, without tracebacks unless asked for."""

import contextlib
import json
import logging
from datetime import UTC, datetime
from typing import final

import click

from cortexnet.cli.output import Output
from cortexnet.cli.text import escaped


def set_up(output: Output, *, as_json: bool = False, level: str = "warning") -> None:
    """Lines from that level on; -v adds what the node has to say, -vv everything. `as_json` makes each line a JSON object."""
    _HANDLER.output = output
    _HANDLER.setFormatter(_JsonFormatter() if as_json else _Formatter())
    root = logging.getLogger()
    if _HANDLER not in root.handlers:
        root.addHandler(_HANDLER)
    asked = (logging.CRITICAL, logging.INFO, logging.DEBUG)[min(output.verbosity, 2)]
    root.setLevel(min(logging.getLevelNamesMapping()[level.upper()], asked))


@final
class _StderrHandler(logging.Handler):
    """Finds stderr anew for each line, and takes the status line away before it."""

    output = Output()

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # whoever read stderr has gone; that is no reason for the node to fail
            self.output.clear_status()
            click.echo(self.format(record), err=True)


FIELDS = ("peer", "protocol")
"""What lines of the library's log say beside their text, as `extra`: a handler of one's own finds them in the record too."""


@final
class _JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: str(vars(record)[name]) for name in FIELDS if name in vars(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


@final
class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname.lower()}: {escaped(record.getMessage())}"
        if not _HANDLER.output.debug:
            return line
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{self.formatTime(record)} {record.name} {line}{trace}"


_HANDLER = _StderrHandler()
