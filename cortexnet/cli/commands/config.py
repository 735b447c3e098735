"""`cortexnet config`: settings, before a node is run with them."""

import click

from cortexnet.cli import own_key
from cortexnet.cli.options import with_output
from cortexnet.cli.options_of_settings import Given, with_settings
from cortexnet.cli.output import Json, Output
from cortexnet.node import Node
from cortexnet.settings.build import build
from cortexnet.settings.describe import Described, as_toml, described


@click.group()
def command() -> None:
    """Check a file of settings, or show what is in force.

    They come from a file in TOML, then from the environment: CORTEXNET_LIMITS__CONNECTIONS=500 is `connections = 500` in
    [limits]. What comes later goes before. With --json each command prints events, as its own help tells.
    """


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@with_output
def check(output: Output, file: str) -> None:
    """Say whether `cortexnet run --config FILE` would take these settings, those of the environment included.

    Nothing is started or made. Exit code 0: it would; 2: not, and where and why; 1: the key file is damaged or can't be read.

    \b
    --json prints "valid" (file), or "error" (kind, message, advice, file, line,
    key).
    """
    given = Given(file)
    settings = given.read()
    identity = own_key.existing(settings)
    given.check_own(settings, identity)
    Node(identity, listen=settings.listen, bootstrap=settings.bootstrap, config=settings.config)  # it checks what it is given
    output.say(f"{file} is in order", "valid", file=file)


@command.command()
@click.option("--changed", is_flag=True, help="Only what is not as it is by default.")
@with_output
@with_settings
def show(output: Output, given: Given, changed: bool) -> None:
    """Print the settings in force as a file in TOML: each with what it is for, and who has set it.

    It takes the options of `cortexnet run`.

    \b
    --json prints an event "setting" for each (key, value, default, origin:
    where it was set or null, doc).
    """
    sources = given.sources()
    items = described(build(sources), sources)
    if changed:
        items = _kept(items)
    output.text(as_toml(items) if items else "# nothing is set: all is as it is by default")
    for item in items:
        if not item.is_table:
            output.say_event("setting", **_members(item))


def _kept(items: list[Described]) -> list[Described]:
    """What somebody has set, and the tables that have such."""
    kept = [item for item in items if not item.is_table and not item.is_default]
    tables = {item.path[:end] for item in kept for end in range(1, len(item.path))}
    return [item for item in items if item in kept or item.path in tables]


def _members(item: Described) -> dict[str, Json]:
    is_off = item.setting.part is not None  # all that is no table, and might be one
    return {
        "key": ".".join(item.path),
        "value": False if is_off else item.value,
        "default": item.setting.default is not None if is_off else item.setting.default,
        "origin": None if item.place is None else str(item.place),
        "doc": item.doc,
    }
