"""The options that set what a node is started with, and the sources of its settings: file, environment, options."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import click

from cortexnet.cli.options import to_subjects
from cortexnet.errors import ConfigInvalid
from cortexnet.identity.identity import Identity
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.preflight import check_listening, check_own
from cortexnet.settings.build import build, placed
from cortexnet.settings.files import at_home, sources
from cortexnet.settings.settings import Settings
from cortexnet.settings.sources import Source, from_options

Path = tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Given:
    """What one command line says. `read` may be called again: the file may have changed."""

    file: str | None = None
    options: dict[Path, Any] = field(default_factory=dict)
    names: dict[Path, str] = field(default_factory=dict)
    """Of each of these the option that says it."""

    def sources(self) -> list[Source]:
        """Those in which settings are looked for, each before the ones in front of it. Raises ConfigInvalid, OSError."""
        return [*sources(self.file, os.environ), at_home(from_options(self.options, self.names))]

    def read(self) -> Settings:
        """The settings, with which this machine could listen as far as that is known before. Raises ConfigInvalid, OSError."""
        sources = self.sources()
        settings = build(sources)
        own = [Multiaddr.parse(address).split_peer()[0] for address in settings.listen]
        try:
            check_listening(settings.config, [address for address in own if address is not None])
        except ConfigInvalid as error:
            raise placed(error, sources) from None
        return settings

    def check_own(self, settings: Settings, identity: Identity | None) -> None:
        """Raise ConfigInvalid where an address of the node is another's. Without an identity its key is not made yet."""
        owner = None if identity is None else identity.peer_id
        try:
            for key, texts in (("listen", settings.listen), ("announce", settings.config.announce)):
                check_own(key, texts, owner)
        except ConfigInvalid as error:
            raise placed(error, self.sources()) from None


_LISTS = {
    "listen": ("--listen", ("listen",)),
    "bootstrap": ("--bootstrap", ("bootstrap",)),
    "announce": ("--announce", ("announce",)),
    "deny": ("--deny", ("deny",)),
    "allow_only": ("--allow-only", ("allow_only",)),
}
_TEXTS = {
    "identity": ("--identity", ("identity",)),
    "state_dir": ("--state-dir", ("state_directory",)),
    "profile": ("--profile", ("profile",)),
    "ready_file": ("--ready-file", ("ready_file",)),
}
_FLAGS = {
    "perf": ("--perf", ("perf",), True),
    "echo": ("--echo", ("echo",), True),
    "mdns": ("--mdns", ("mdns",), True),
    "log_json": ("--log-json", ("log_format",), "json"),
}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command a Given, made of these options, as `given`."""

    @click.option("--config", "file", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Settings in TOML.")
    @click.option("--profile", metavar="NAME", help="Defaults for a kind of node: default, light or server.")
    @click.option("--listen", multiple=True, metavar="ADDRESS", help="Accept connections there.  [default: /ip4/0.0.0.0/tcp/0]")
    @click.option("--bootstrap", multiple=True, metavar="ADDRESS", help="A peer to connect to, again and again until it answers.")
    @click.option("--announce", multiple=True, metavar="ADDRESS", help="Tell peers this address, not the ones listened on.")
    @click.option("--identity", metavar="FILE", help="The key file, made where there is none.  [default: the state directory's]")
    @click.option("--state-dir", type=click.Path(file_okay=False), metavar="DIR", help="Keep there what outlives the process.")
    @click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="Set one limit, such as connections=500.")
    @click.option("--deny", multiple=True, metavar="SUBJECT", callback=_subjects, help="Refuse a peer id, IP address or network.")
    @click.option("--allow-only", multiple=True, metavar="SUBJECT", callback=_subjects, help="Refuse all but these.")
    @click.option("--perf", is_flag=True, help="Serve /perf/1.0.0: anybody may make this node send at full speed.")
    @click.option("--echo", is_flag=True, help="Serve /cortex/echo/1.0.0, which sends back what it gets.")
    @click.option("--mdns", is_flag=True, help="Be found in the local networks, and find others there, by multicast DNS.")
    @click.option("--ready-file", metavar="FILE", help="Have this file there while the node accepts connections.")
    @click.option("--log-json", is_flag=True, help="Write the log, on stderr, as JSON, one object a line.")
    @functools.wraps(command)
    def wrapper(*args: Any, file: str | None, limits: tuple[str, ...], **values: Any) -> None:
        given = Given(file)
        for name, (option, path) in {**_LISTS, **_TEXTS}.items():
            _note(given, path, option, list(values.pop(name) or ()) if name in _LISTS else values.pop(name))
        for name, (option, path, meaning) in _FLAGS.items():
            _note(given, path, option, meaning if values.pop(name) else None)
        for text in limits:
            limit, equals, value = text.partition("=")
            if not equals:
                raise ConfigInvalid(f"is set by NAME=VALUE, not by {text!r}", key="limits", file="--limit")
            _note(given, ("limits", limit.strip()), "--limit", value.strip())
        command(*args, given=given, **values)

    return wrapper


def _note(given: Given, path: Path, option: str, value: Any) -> None:
    if value:
        given.options[path] = value
        given.names[path] = option


def _subjects(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    to_subjects(ctx, param, values)
    return values
