"""All settings as they are in force: the value, where it came from, its default, and what it is for."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from textwrap import wrap
from typing import Any, final

from cortexnet.documented import field_docs
from cortexnet.settings.build import with_profile
from cortexnet.settings.schema import Part, Setting, settable, top_level
from cortexnet.settings.settings import Settings
from cortexnet.settings.sources import Place, Source, place_of
from cortexnet.settings.toml import key, written

_WIDTH = 100  # characters of a comment


@final
@dataclass(frozen=True, slots=True)
class Described:
    """One setting. Where `part` is given, a table begins, and `value` is None."""

    path: tuple[str, ...]
    value: Any
    setting: Setting
    place: Place | None
    """Who has set it; None: it is the default."""
    doc: str

    @property
    def is_table(self) -> bool:
        """Whether its settings follow."""
        return self.setting.part is not None and self.value is not None

    @property
    def is_default(self) -> bool:
        """Whether nobody has set it."""
        return self.place is None


def described(settings: Settings, sources: list[Source]) -> list[Described]:
    """Every setting that these sources were made into: those outside of all tables first, then table by table."""
    sources = with_profile(sources)
    docs = field_docs(type(settings)) | field_docs(type(settings.config))
    owners = {name: settings if name in settable(Settings) else settings.config for name in top_level()}
    values = {name: attrgetter(name)(owner) for name, owner in owners.items()}
    return list(_of(dict(top_level()), values, docs, (), sources))


def as_toml(items: list[Described], *, comments: bool = True) -> str:
    """As a file that can be read back; with what each is for, where it is from, and what else it would be."""
    lines: list[str] = []
    for item in items:
        if item.is_table:
            lines += ["", *(_comment(item) if comments else ()), f"[{key(*item.path)}]"]
            continue
        if comments:
            lines += ["", *_comment(item)]
        lines.append(_line(item) + (_origin(item) if comments else ""))
    return "\n".join(lines).strip("\n")


def changes(old: Settings, new: Settings) -> list[str]:
    """The keys of all settings that are others in the new ones."""
    before, after = ({item.path: item for item in described(each, [])} for each in (old, new))
    return [".".join(path) for path in before | after if _shown(before.get(path)) != _shown(after.get(path))]


def _shown(item: Described | None) -> str:
    return "" if item is None else "table" if item.is_table else written(item.value)


def _of(
    known: dict[str, Setting], values: dict[str, Any], docs: dict[str, str], path: tuple[str, ...], sources: list[Source]
) -> Iterator[Described]:
    """Values first: behind the heading of a table all belongs to it."""
    tables: list[Described] = []
    for name, setting in known.items():
        where = (*path, name)
        item = Described(where, values[name], setting, _set_by(sources, where), docs.get(name, ""))
        if item.is_table:
            tables.append(item)
        else:
            yield item
    for item in tables:
        part = item.setting.part
        assert part is not None  # that makes it a table
        if item.setting.kind == "part":
            yield item
            yield from _inside(item.value, part, item.path, sources)
            continue
        for name, inner in item.value.items():
            table = Described((*item.path, name), inner, Setting("part", None, part), None, inspect.cleandoc(item.doc))
            yield table
            yield from _inside(inner, part, table.path, sources)


def _inside(value: Any, part: Part, path: tuple[str, ...], sources: list[Source]) -> Iterator[Described]:
    known = dict(settable(part))
    values = {name: attrgetter(name)(value) for name in known}
    return _of(known, values, field_docs(part), path, sources)


def _set_by(sources: list[Source], path: tuple[str, ...]) -> Place | None:
    """Who has set exactly this."""
    is_set = any(path in source.places for source in sources)
    return place_of(sources, path) if is_set else None


def _line(item: Described) -> str:
    name = key(item.path[-1])
    if item.value is None:
        return f"{name} = false" if item.setting.part is not None else f"# {name} = (not set)"
    return f"{name} = {written(item.value)}"


def _comment(item: Described) -> list[str]:
    text = " ".join(item.doc.split())
    return [f"# {line}" for line in wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _origin(item: Described) -> str:
    """Of what somebody has set: who, and what it would be otherwise."""
    if item.place is None:
        return ""
    default = item.setting.default
    usual = "not set" if default is None else written(default)
    return f"  # {item.place}" if item.setting.part is not None else f"  # {item.place}; by default {usual}"
