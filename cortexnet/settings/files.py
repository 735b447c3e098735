"""Reads settings from the disk, and knows whose home `~` is. A shell."""

import os
from collections.abc import Mapping
from pathlib import Path

from cortexnet.errors import ConfigInvalid
from cortexnet.settings.build import build
from cortexnet.settings.schema import PATHS
from cortexnet.settings.settings import Settings
from cortexnet.settings.sources import Source, Table, from_environment, from_toml, place_of


def load_settings(path: str | os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in a TOML file, and in variables of the environment (`os.environ`, say), which go before it.

    A path may begin with `~`, the home of whoever runs this.

        settings = load_settings("node.toml", os.environ)
        async with Node(listen=settings.listen, bootstrap=settings.bootstrap, config=settings.config) as node: ...

    Raises ConfigInvalid, which names the file, the line, the key and what would be right; OSError where the file can't be read.
    """
    return build(sources(path, environment or {}))


def sources(path: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> list[Source]:
    """The same, not put together yet. Raises ConfigInvalid, OSError."""
    found = [] if path is None else [from_toml(Path(path).read_bytes(), os.fspath(path))]
    return [at_home(source) for source in (*found, from_environment(environment))]


def at_home(source: Source) -> Source:
    """The same source, in whose paths a home stands for `~` at the beginning. Raises ConfigInvalid where nobody knows it."""
    for path in PATHS:
        table: Table | None = source.table
        for name in path[:-1]:
            inner = table.get(name) if table is not None else None
            table = inner if isinstance(inner, dict) else None
        text = None if table is None else table.get(path[-1])
        if table is None or not isinstance(text, str) or not text.startswith("~"):
            continue
        table[path[-1]] = os.path.expanduser(text)
        if table[path[-1]] == text:
            place = place_of([source], path)
            user = text.partition("/")[0]
            message = f"nobody knows the home that {user!r} stands for: write the path in full, or ./{user} for what is called so"
            raise ConfigInvalid(message, key=".".join(path), file=place.name, line=place.line)
    return source
