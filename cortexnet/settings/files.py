"""Reads settings from the disk. A shell."""

import os
from collections.abc import Mapping
from pathlib import Path

from cortexnet.settings.build import build
from cortexnet.settings.settings import Settings
from cortexnet.settings.sources import Source, from_environment, from_toml


def load_settings(path: str | os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in a TOML file, and in variables of the environment (`os.environ`, say), which go before it.

        settings = load_settings("node.toml", os.environ)
        async with Node(listen=settings.listen, bootstrap=settings.bootstrap, config=settings.config) as node: ...

    Raises ConfigInvalid, which names the file, the line, the key and what would be right; OSError where the file can't be read.
    """
    return build(sources(path, environment or {}))


def sources(path: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> list[Source]:
    """The same, not put together yet. Raises ConfigInvalid, OSError."""
    found = [] if path is None else [from_toml(Path(path).read_bytes(), os.fspath(path))]
    return [*found, from_environment(environment)]
