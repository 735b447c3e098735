"""Settings of `cortexnet run`, from a TOML file: each is checked, and an error says where it is and what would be allowed."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, final

from cortexnet.config import Config
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.errors import ConfigInvalid, ProtocolViolation
from cortexnet.gossip.config import GossipConfig
from cortexnet.kad.config import KadConfig
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.limits import Limits
from cortexnet.swarm.manager_config import ConnectionManagerConfig
from cortexnet.transport.websocket_config import WebSocketConfig

_Part = Limits | ConnectionManagerConfig | WebSocketConfig | KadConfig | GossipConfig | DiscoveryConfig
_TABLES: dict[str, type[_Part]] = {
    "limits": Limits,
    "manager": ConnectionManagerConfig,
    "websocket": WebSocketConfig,
    "kad": KadConfig,
    "gossip": GossipConfig,
    "discovery": DiscoveryConfig,
}
_CAN_BE_OFF = ("kad", "gossip")
"""Parts that a node can do without: `false` in place of their table."""
_NOT_IN_FILES = {
    *("config", "memory_network", "server_context", "client_context", "validators", "dht", "store"),
    *("message_id", "topic_message_ids", "accept_topic", "score", "peer_gater"),
    *_TABLES,
}
_ADDRESSES = ("listen", "bootstrap", "announce")
_PATHS = {"state_directory": str}  # programs may give others
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    tuple: "a list of texts",
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a node is started with."""

    listen: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/0",)
    bootstrap: tuple[str, ...] = ()
    identity: str = ""
    """The key file, made where there is none; nothing: the one in the state directory, or without that a new one each time."""
    echo: bool = False
    """Serve the echo protocol."""
    config: Config = field(default_factory=Config)


def load(path: str) -> Settings:
    """The settings in a file. Raises ConfigInvalid, OSError."""
    with open(path, "rb") as file:
        data = file.read()
    return parse(data, path)


def parse(data: bytes, name: str) -> Settings:
    """The settings in the text of a file of that name. Raises ConfigInvalid."""
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"not UTF-8: {error}", file=name) from None
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))  # else it is at the end of the document
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        raise ConfigInvalid(f"not TOML: {error}", file=name, line=line) from None
    try:
        return _settings(document)
    except ConfigInvalid as error:
        raise ConfigInvalid(_message(error), key=error.key, file=name, line=_line_of(error.key, text)) from None


def with_limit(settings: Settings, text: str) -> Settings:
    """The settings with one limit set, as by `connections=500`. Raises ConfigInvalid."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigInvalid(f"is set by NAME=VALUE, not by {text!r}", key="limits")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    config = settings.config
    limits = replace(config.limits, **_checked({name.strip(): parsed}, _kinds(Limits), "limits."))
    return replace(settings, config=replace(config, limits=limits))


def check_addresses(key: str, addresses: tuple[str, ...]) -> None:
    """Raises ConfigInvalid where one of them is no multiaddr."""
    for address in addresses:
        try:
            Multiaddr.parse(address)
        except ProtocolViolation as error:
            raise ConfigInvalid(f"{error}; write it like /ip4/192.0.2.7/tcp/4001", key=key) from None


def as_toml(settings: Settings) -> str:
    """The settings as a file that can be read back."""
    lines = [_line(name, value) for name, value in (_values(settings) | _values(settings.config)).items()]
    config = settings.config
    parts = {
        "manager": config.manager,
        "websocket": config.websocket,
        "kad": config.kad,
        "gossip": config.gossip,
        "discovery": config.discovery,
        "limits": config.limits,
    }
    lines += [f"{name} = false" for name, part in parts.items() if part is None]
    for table, part in parts.items():
        if part is None:
            continue
        lines += ["", f"[{table}]", *(_line(name, value) for name, value in _values(part).items())]
    return "\n".join(lines)


def _settings(document: dict[str, Any]) -> Settings:
    of_node, of_config = _kinds(Settings), _kinds(Config)
    tables = {name: _table(name, kind, document.pop(name, {})) for name, kind in _TABLES.items()}
    checked = _checked(document, of_node | of_config, "")
    config = Config(**tables, **{name: value for name, value in checked.items() if name in of_config})
    return Settings(config=config, **{name: value for name, value in checked.items() if name in of_node})


def _table(name: str, kind: type[Any], table: object) -> Any:
    """The part of the configuration that has a table of its own."""
    if table is False and name in _CAN_BE_OFF:
        return None
    if not isinstance(table, dict):
        raise ConfigInvalid(f"must be a table: write [{name}], and its settings below it", key=name)
    return kind(**_checked(table, _kinds(kind), f"{name}."))


def _values(part: Any) -> dict[str, Any]:
    """What a file can set of it, by name."""
    return {name: value for name, value in asdict(part).items() if name not in _NOT_IN_FILES}


@final
@dataclass(frozen=True, slots=True)
class _Kind:
    """What the value of a setting must be."""

    type: type
    default: Any


def _kinds(part: type[Any]) -> dict[str, _Kind]:
    """What a file can set of it, by name; where the default says nothing, its declaration does."""
    defaults = _values(part())
    return {
        field.name: _Kind(_PATHS.get(field.name) or _declared(field.type, value), value)
        for field in fields(part)
        if (value := defaults.get(field.name, _NOT_IN_FILES)) is not _NOT_IN_FILES
    }


def _declared(declaration: object, value: Any) -> type:
    return next((kind for kind in (str, int, float, bool) if declaration == kind | None), type(value))


def _checked(table: Mapping[str, Any], kinds: Mapping[str, _Kind], prefix: str) -> dict[str, Any]:
    """The values of a table, each of the kind its default has. Raises ConfigInvalid."""
    checked: dict[str, Any] = {}
    for name, value in table.items():
        if name not in kinds:
            raise ConfigInvalid(_unknown(name, kinds, prefix), key=prefix + name)
        checked[name] = _of_kind(value, kinds[name], prefix + name)
        if name in _ADDRESSES:
            check_addresses(name, checked[name])
    return checked


def _of_kind(value: Any, wanted: _Kind, key: str) -> Any:
    kind, default = wanted.type, wanted.default
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and isinstance(value, list) and all(type(item) is str for item in value):
        return tuple(value)
    if kind is tuple or type(value) is not kind:
        example = f", such as {_toml(default)}" if default not in ("", (), None) else ""
        raise ConfigInvalid(f"must be {_KINDS[kind]}{example}, not {_toml(value)}", key=key)
    return value


def _unknown(name: str, known: Iterable[str], prefix: str) -> str:
    close = difflib.get_close_matches(name, list(known), n=3)
    guess = f"; did you mean {' or '.join(close)}?" if close else "."
    if prefix:
        what = "limit" if prefix == "limits." else "setting"
        return f"there is no such {what}{guess} `cortexnet run --show-config` lists them all"
    tables = ", ".join(f"[{name}]" for name in sorted(_TABLES))
    return f"there is no such setting{guess} Known are {', '.join(sorted(known))}, and the tables {tables}"


def _line(name: str, value: Any) -> str:
    return f"# {name} = (not set)" if value is None else f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    """A value as it stands in a file; JSON's notation is TOML's for all that occurs."""
    return json.dumps(value, default=str)


def _message(error: ConfigInvalid) -> str:
    """What it says, without the place that stands in front."""
    return str(error).removeprefix(f"{error.key}: ")


def _line_of(key: str, text: str) -> int:
    """The line that sets `key` ("manager.grace", say), or else its table; 0 where it can't be told."""
    table, table_line = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        header = re.fullmatch(r"\s*\[\s*([\w.-]+)\s*\]\s*(#.*)?", line)
        if header is not None:
            table = header[1] + "."
        setting = re.match(r"\s*\"?([\w.-]+)\"?\s*=", line)
        found = table + setting[1] if setting is not None else table[:-1]
        if found == key and found:
            return number
        if not table_line and found and key.startswith(found + "."):
            table_line = number
    return table_line
