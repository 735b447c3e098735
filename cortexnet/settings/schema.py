"""What can be set from outside of a program: the fields of the configuration's dataclasses, and of which kind each is.

All of it is read off their declarations. A part of the configuration that is off by default has no object there to be read: it
gets a line in `PARTS`. What has no text (functions, objects of a program) can't be set, and is left out.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Literal, final

from cortexnet.config import Config
from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.peer_gater import PeerGaterParams
from cortexnet.gossip.score_params import ScoreParams, TopicScoreParams
from cortexnet.settings.settings import Settings

Part = type[Any]
Kind = Literal["flag", "count", "number", "text", "texts", "text table", "count table", "number table", "part", "parts"]

PARTS: dict[Part, dict[str, Part]] = {
    Config: {"mdns": MdnsConfig},
    GossipConfig: {"score": ScoreParams, "peer_gater": PeerGaterParams},
}
"""Fields that are None by default, and otherwise have a table of their own."""
PARTS_BY_NAME: dict[Part, dict[str, Part]] = {ScoreParams: {"topics": TopicScoreParams}}
"""Fields that have a table for each name that the user gives: `[gossip.score.topics.blocks]`."""
PATHS = (
    ("identity",),
    ("ready_file",),
    ("state_directory",),
    *(("websocket", name) for name in ("certificate", "private_key", "trusted")),
)
"""Texts that name a file or a folder."""

_KINDS: dict[str, Kind] = {
    "bool": "flag",
    "int": "count",
    "float": "number",
    "str": "text",
    "Sequence[str]": "texts",
    "tuple[str, ...]": "texts",
    "Mapping[str, str]": "text table",
    "Mapping[str, int]": "count table",
    "Mapping[str, float]": "number table",
}


@final
@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set."""

    kind: Kind
    default: Any
    part: Part | None = None
    """The class of a table."""
    can_be_off: bool = False
    """Whether it may be None. Where it has a table, `false` stands for that, and `true` for its defaults."""


@cache
def top_level() -> Mapping[str, Setting]:
    """What stands outside of all tables, and the tables: of `Settings`, and of the `Config` in it."""
    return {name: setting for name, setting in {**settable(Settings), **settable(Config)}.items() if name != "config"}


def settable(owner: Part) -> Mapping[str, Setting]:
    """What can be set of a class, by name, in the order of its declarations."""
    parts, by_name = PARTS.get(owner, {}), PARTS_BY_NAME.get(owner, {})
    found: dict[str, Setting] = {}
    for field in fields(owner):
        names, default = _declared(field.type), field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        part = type(default) if is_dataclass(default) else parts.get(field.name)
        if part is not None:
            found[field.name] = Setting("part", default, part, "None" in names)
        elif field.name in by_name:
            found[field.name] = Setting("parts", default, by_name[field.name])
        else:
            kind = next((_KINDS[name] for name in names if name in _KINDS), None)
            if kind is None and type(default) is str:  # by another name, such as Mode
                kind = "text"
            if kind is not None:
                found[field.name] = Setting(kind, default, None, "None" in names)
    return found


def _declared(declaration: object) -> list[str]:
    """The members of a declared type by their names: Python keeps some of them as text."""
    if isinstance(declaration, type):
        return [declaration.__name__]
    return str(declaration).replace("collections.abc.", "").split(" | ")
