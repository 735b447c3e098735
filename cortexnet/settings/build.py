"""Makes `Settings` of what the sources say: each value is checked, and an error says where it stands and what would be right."""

import difflib
from collections.abc import Mapping
from typing import Any, final

from cortexnet.config import Config
from cortexnet.errors import ConfigInvalid
from cortexnet.settings.places import Path
from cortexnet.settings.schema import Kind, Part, Setting, settable, top_level
from cortexnet.settings.settings import Settings
from cortexnet.settings.sources import Source, Table, from_environment, from_profile, from_toml, merged, place_of
from cortexnet.settings.toml import written

_WANTED: dict[Kind, str] = {
    "flag": "true or false",
    "count": "a whole number",
    "number": "a number",
    "text": "a text in quotes",
    "texts": "a list of texts",
    "text table": 'a table of texts, such as { name = "text" }',
    "count table": "a table of whole numbers, such as { name = 5 }",
    "number table": "a table of numbers, such as { name = 0.5 }",
}
_SHOWN = 80  # characters of a wrong value


def parse(data: bytes, name: str, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in the text of a TOML file of that name; those of the environment go before it. Raises ConfigInvalid."""
    return build([from_toml(data, name), from_environment(environment or {})])


def build(sources: list[Source]) -> Settings:
    """The settings of several sources, each of which goes before those in front of it. Raises ConfigInvalid."""
    known = with_profile(sources)
    try:
        return _settings(merged(known))
    except _Objection as objection:
        raise _placed(objection, known) from None


def placed(error: ConfigInvalid, sources: list[Source]) -> ConfigInvalid:
    """The same error, and where the setting that it names stands in these sources."""
    message = str(error).removeprefix(f"{error.key}: ")
    return _placed(_Objection(tuple(error.key.split(".")), message), with_profile(sources))


def _placed(objection: "_Objection", sources: list[Source]) -> ConfigInvalid:
    place = place_of(sources, objection.path, objection.message)
    key = ".".join(str(name) for name in objection.path)
    return ConfigInvalid(objection.message, key=key, file=place.name, line=place.line)


def with_profile(sources: list[Source]) -> list[Source]:
    """The same behind the defaults of the profile that they name."""
    name = merged(sources).get("profile")
    return [from_profile(name), *sources] if isinstance(name, str) else sources


@final
class _Objection(Exception):
    """What is wrong with the setting there."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def _settings(table: Table) -> Settings:
    values = _values(table, top_level(), ())
    of_config = settable(Config)
    values["config"] = _made(Config, {name: values.pop(name) for name in list(values) if name in of_config}, table, ())
    settings: Settings = _made(Settings, values, table, ())
    return settings


def _part(owner: Part, table: Table, path: Path) -> Any:
    return _made(owner, _values(table, settable(owner), path), table, path)


def _made(owner: Part, values: Mapping[str, Any], table: Table, path: Path) -> Any:
    """The object, or what it has to say against it."""
    try:
        return owner(**values)
    except ConfigInvalid as error:
        name = error.key.rpartition(".")[2]
        where = (*path, name) if name in table else tuple(error.key.split("."))
        raise _Objection(where, str(error).removeprefix(f"{error.key}: ")) from None


def _values(table: Table, known: Mapping[str, Setting], path: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise _Objection((*path, name), _unknown(name, known, path))
        values[name] = _value(value, known[name], (*path, name))
    return values


def _value(value: Any, setting: Setting, path: Path) -> Any:
    """As the dataclass wants it."""
    part = setting.part
    if part is not None:
        if isinstance(value, bool) and setting.can_be_off:
            return part() if value else None
        if not isinstance(value, dict):
            off = ", or true or false" if setting.can_be_off else ""
            name = ".".join(str(each) for each in path)
            raise _Objection(path, f"must be a table{off}: write [{name}], and its settings below it")
        if setting.kind == "part":
            return _part(part, value, path)
        return {name: _value(inner, Setting("part", None, part), (*path, name)) for name, inner in value.items()}
    if setting.kind == "number":
        value = _number(value)
    elif setting.kind == "number table" and isinstance(value, dict):
        value = {name: _number(item) for name, item in value.items()}
    if not _is_of_kind(value, setting.kind):
        example = f", such as {written(setting.default)}" if setting.default not in ("", (), None, {}) else ""
        shown = written(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        raise _Objection(path, f"must be {_WANTED[setting.kind]}{example}, not {shown}")
    return tuple(value) if setting.kind == "texts" else value


def _number(value: Any) -> Any:
    """A whole number is a number too; one that no float holds is none."""
    return float(value) if type(value) is int and abs(value) < 1 << 63 else value


_TYPES: dict[Kind, type] = {"flag": bool, "count": int, "number": float, "text": str}
_ITEMS: dict[Kind, type] = {"texts": str, "text table": str, "count table": int, "number table": float}


def _is_of_kind(value: Any, kind: Kind) -> bool:
    if kind in _TYPES:
        return type(value) is _TYPES[kind]  # exactly: True is an int too
    if not isinstance(value, list if kind == "texts" else dict):
        return False
    return all(type(item) is _ITEMS[kind] for item in (value.values() if isinstance(value, dict) else value))


def _unknown(name: str, known: Mapping[str, Setting], path: Path) -> str:
    close = difflib.get_close_matches(name, list(known), n=3)
    guess = f"; did you mean {' or '.join(close)}?" if close else "."
    if path:
        what = "limit" if path == ("limits",) else "setting"
        return f"there is no such {what}{guess} `cortexnet config show` lists them all"
    tables = ", ".join(f"[{each}]" for each in sorted(known) if known[each].part is not None)
    texts = ", ".join(each for each in sorted(known) if known[each].part is None)
    return f"there is no such setting{guess} Known are {texts}, and the tables {tables}"
