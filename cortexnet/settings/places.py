"""On which line of a TOML document each key stands: what the parser of the standard library does not tell.

The document is one that this parser has taken, so nothing is checked here; no nesting is too deep, and the time is linear.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import final

Path = tuple[str | int, ...]
"""The names that lead to a value, from the outermost table on; the elements of a list have their number."""

_TOKEN = re.compile(
    r'''(?P<string>"""(?:\\[\s\S]|[^\\])*?""""{0,2}|\'\'\'[\s\S]*?\'\'\'\'{0,2}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')'''
    r"""|(?P<skip>[ \t\r]+|\#[^\n]*)|(?P<mark>[\n\[\]{}=,.])|(?P<word>[^\s\[\]{}=,.\#"']+)"""
)


def lines_of(text: str) -> dict[Path, int]:
    """The line of each key, of each table at its first mention, and of each element of a list, counted from 1."""
    walk = _Walk()
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token[0]
        if kind == "mark":
            walk.mark(found)
        elif kind != "skip":
            walk.word(found)
        walk.line += found.count("\n")
    return walk.lines


@final
@dataclass(slots=True)
class _Open:
    """A list or an inline table that has not ended yet. `index` counts the elements of a list; None: it is a table."""

    path: Path
    index: int | None


@final
class _Walk:
    """Goes through the tokens, and remembers where it is."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.line = 1
        self._table: Path = ()  # of the last header
        self._open: list[_Open] = []
        self._parts: list[str] = []  # of the key that is being read
        self._key_line = 0
        self._value: Path | None = None  # what is being read now; None: a key is
        self._brackets = 0  # of a header

    def word(self, token: str) -> None:
        """A string, or a piece of anything that has no quotes."""
        if self._value is not None:
            self._begin_value()
            return
        if not self._parts:
            self._key_line = self.line
        self._parts.append(_name(token))

    def mark(self, token: str) -> None:
        """A punctuation mark, or the end of a line."""
        if self._brackets:
            self._in_header(token)
        elif token == "=" and self._value is None:
            self._value = self._note(self._open[-1].path if self._open else self._table)
        elif token in "[{":
            self._begin(token)
        elif token in "]}":
            self._open.pop()
            self._value = self._open[-1].path if self._open else self._value
        elif token == "," and self._open:
            self._next()
        elif token == "\n" and not self._open:
            self._value = None

    def _in_header(self, token: str) -> None:
        if token == "[":
            self._brackets += 1
        elif token == "]":
            self._brackets -= 1
            if not self._brackets:
                self._table = self._note(())

    def _begin(self, token: str) -> None:
        if self._value is None:
            self._brackets = 1
            return
        self._begin_value()
        top = self._open[-1] if self._open else None
        path = (*top.path, top.index) if top is not None and top.index is not None else self._value
        self._open.append(_Open(path, 0 if token == "[" else None))
        self._value = path if token == "[" else None

    def _begin_value(self) -> None:
        """The first token of an element says where it is."""
        if self._open and self._open[-1].index is not None:
            self.lines.setdefault((*self._open[-1].path, self._open[-1].index), self.line)

    def _next(self) -> None:
        top = self._open[-1]
        if top.index is None:
            self._value = None
        else:
            top.index += 1

    def _note(self, table: Path) -> Path:
        """The path of the key that has been read; each table on the way to it counts as mentioned."""
        path = table
        for part in self._parts:
            path = (*path, part)
            self.lines.setdefault(path, self._key_line)
        self._parts.clear()
        return path


def _name(token: str) -> str:
    """A part of a key without its quotes."""
    if token[0] not in "\"'":
        return token
    return next(iter(tomllib.loads(f"{token} = 0")))
