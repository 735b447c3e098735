"""Where settings come from, and where in it each of them stands: a profile, a TOML file, the environment, options."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from cortexnet.errors import ConfigInvalid
from cortexnet.profiles import PROFILES
from cortexnet.settings.places import Path, lines_of
from cortexnet.settings.schema import Setting, settable, top_level
from cortexnet.settings.toml import written

PREFIX = "CORTEXNET_"
"""What the names of variables of the environment begin with; nested tables are parted by two underscores."""
_NOT_SETTINGS = ("CORTEXNET_INTEROP", "CORTEXNET_FUZZ_UNTIL")  # what the tests of the project are told
_DEEPEST = 16  # tables within tables
Table = dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where a setting stands."""

    name: str
    """The file, the variable, the option."""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name


@final
@dataclass(frozen=True, slots=True)
class Source:
    """Settings as somebody has written them, unchecked."""

    table: Table = field(default_factory=dict)
    places: Mapping[Path, Place] = field(default_factory=dict)


def from_profile(name: str) -> Source:
    """The defaults that a profile changes. None for a name that is none: `Settings` refuses it."""
    profile = PROFILES.get(name)
    if profile is None:
        return Source()
    table: Table = {part: dict(values) for part, values in profile.changes.items()}
    return _source(table, Place(f"profile {name}"))


def from_toml(data: bytes, name: str) -> Source:
    """What the text of a file says. Raises ConfigInvalid where it is no TOML."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"not UTF-8: {error}", file=name) from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))  # else it is at the end of the document
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        raise ConfigInvalid(f"not TOML: {error}", file=name, line=line) from None
    except (RecursionError, ValueError) as error:  # lists within lists without end, numbers of thousands of digits
        raise ConfigInvalid(f"no TOML that can be read: {error}", file=name) from None
    if _is_deep(table):
        raise ConfigInvalid(f"tables lie within tables, more than {_DEEPEST} of them: no setting does", file=name)
    return Source(table, {path: Place(name, line) for path, line in lines_of(text).items()})


def from_environment(environment: Mapping[str, str]) -> Source:
    """What its variables say, such as `CORTEXNET_LIMITS__CONNECTIONS=500`. Raises ConfigInvalid for one that can't be read."""
    table: Table = {}
    places: dict[Path, Place] = {}
    for variable in sorted(environment, key=lambda name: (name.upper(), name)):  # a table before what is in it
        if variable.startswith(PREFIX) and variable not in _NOT_SETTINGS:
            path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
            meant = None if path[0] in top_level() else _parted("_".join(path), top_level())
            if meant is not None:
                name = PREFIX + "__".join(meant).upper()
                raise ConfigInvalid(f"there is no such setting; did you mean {name}?", key=".".join(path), file=variable)
            _set(table, path, environment[variable], places, Place(variable))
    return Source(table, places)


def _parted(text: str, known: Mapping[str, Setting]) -> tuple[str, ...] | None:
    """The path to a setting whose names were all joined by single underscores; None where it leads to none."""
    if text in known:
        return (text,)
    for name, setting in known.items():
        if setting.part is not None and setting.kind == "part" and text.startswith(f"{name}_"):
            rest = _parted(text.removeprefix(f"{name}_"), settable(setting.part))
            if rest is not None:
                return (name, *rest)
    return None


def from_options(options: Mapping[tuple[str, ...], Any], names: Mapping[tuple[str, ...], str]) -> Source:
    """What the command line says, by path; texts are read as the environment's. Raises ConfigInvalid."""
    table: Table = {}
    places: dict[Path, Place] = {}
    for path, value in options.items():
        _set(table, path, value, places, Place(names[path]))
    return Source(table, places)


def merged(sources: list[Source]) -> Table:
    """All together: of each setting the last one that says it."""
    whole: Table = {}
    for source in sources:
        _merge(whole, source.table)
    return whole


def place_of(sources: list[Source], path: Path, message: str = "") -> Place:
    """Where a setting stands that came from these; of a list's, the element that the message names. Else where its table does.

    Where not even that is there, but missing, the first of these that says anything.
    """
    while path:
        for source in reversed(sources):
            if path in source.places:
                return _element(source, path, message) or source.places[path]
        path = path[:-1]
    return Place(next((place.name for source in sources for place in source.places.values()), ""))


def _element(source: Source, path: Path, message: str) -> Place | None:
    value: Any = source.table
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, list):
        return None
    tests: tuple[Callable[[Any], bool], ...] = (
        lambda item: not isinstance(item, str),
        lambda item: repr(item) in message,
        lambda item: item != "" and item in message,
    )
    for is_it in tests:
        for index, item in enumerate(value):
            if is_it(item):
                return source.places.get((*path, index))
    return None


def _is_deep(table: Table) -> bool:
    level: list[Table] = [table]
    for _ in range(_DEEPEST):
        level = [value for each in level for value in each.values() if isinstance(value, dict)]
    return bool(level)


def _source(table: Table, place: Place) -> Source:
    return Source(table, dict.fromkeys(_paths(table, ()), place))


def _paths(table: Table, path: Path) -> Iterator[Path]:
    for name, value in table.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from _paths(value, (*path, name))


def _set(table: Table, path: tuple[str, ...], value: Any, places: dict[Path, Place], place: Place) -> None:
    if isinstance(value, str):
        value = _read(_setting(path), value)
    for depth, name in enumerate(path[:-1], 1):
        inner = table.setdefault(name, {})
        if inner is True:  # on with its defaults, from which this one differs
            inner = table[name] = {}
        if not isinstance(inner, dict):
            whole = places[path[:depth]]
            raise ConfigInvalid(
                f"{whole} says {written(inner)} for all of it: leave one of the two out", key=".".join(path), file=place.name
            )
        table = inner
    table[path[-1]] = value
    for end in range(1, len(path) + 1):
        places[path[:end]] = place
    if isinstance(value, dict):
        places.update(dict.fromkeys(_paths(value, path), place))


def _setting(path: tuple[str, ...]) -> Setting | None:
    """What can be set there; None where it is nothing, or something that the user names."""
    known, setting = top_level(), None
    for name in path:
        setting = known.get(name)
        known = settable(setting.part) if setting is not None and setting.part is not None and setting.kind == "part" else {}
    return setting


def _read(setting: Setting | None, text: str) -> Any:
    """The value of a text that has no quotes and no brackets of its own. What it should be is checked with all others."""
    if setting is not None and setting.kind == "text":
        return text
    if setting is not None and setting.kind == "texts" and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _merge(whole: Table, table: Table) -> None:
    for name, value in table.items():
        if isinstance(value, dict):
            inner = whole.get(name)
            if not isinstance(inner, dict):
                inner = whole[name] = {}
            _merge(inner, value)
        else:
            whole[name] = value
