"""`cortexnet run`: a node that stays up."""

import os
from dataclasses import replace
from typing import final

import click

from cortexnet.cli import lifecycle, logs, settings
from cortexnet.cli.client import connection_facts
from cortexnet.cli.exits import Interrupted
from cortexnet.cli.options import to_subjects, with_output
from cortexnet.cli.output import Json, Output
from cortexnet.cli.settings import Settings
from cortexnet.cli.text import duration
from cortexnet.errors import describe
from cortexnet.identity.identity import Identity
from cortexnet.node import Node
from cortexnet.storage.storage import make_private
from cortexnet.swarm.access_rules import Subject
from cortexnet.transport.connection import Connection
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream

ECHO = "/cortex/echo/1.0.0"
KEY_NAME = "identity.key"
_DENY, _ALLOW_ONLY = "--deny", "--allow-only"  # the reasons of rules from the command line


@click.command()
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Where to accept connections.  [default: /ip4/0.0.0.0/tcp/0]")
@click.option("--bootstrap", multiple=True, metavar="ADDRESS", help="A peer to connect to, again and again until it answers.")
@click.option("--announce", multiple=True, metavar="ADDRESS", help="Tell peers this address, not the ones listened on.")
@click.option("--identity", metavar="FILE", help=f"The key file, made where there is none.  [default: {KEY_NAME} in --state-dir]")
@click.option("--state-dir", type=click.Path(file_okay=False), metavar="DIR", help="Keep there what outlives the process.")
@click.option("--config", "config_file", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Settings in TOML.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="Set one limit, such as connections=500.")
@click.option("--deny", multiple=True, metavar="SUBJECT", callback=to_subjects, help="Refuse a peer id, IP address or network.")
@click.option("--allow-only", multiple=True, metavar="SUBJECT", callback=to_subjects, help="Refuse all but these.")
@click.option("--perf", is_flag=True, help="Serve /perf/1.0.0: anybody may make this node send at full speed.")
@click.option("--echo", is_flag=True, help=f"Serve {ECHO}, which sends back what it gets.")
@click.option("--log-json", is_flag=True, help="Write the log, on stderr, as JSON, one object a line.")
@click.option("--show-config", is_flag=True, help="Print all settings as a TOML file, and do no more.")
@with_output
def command(
    output: Output,
    listen: tuple[str, ...],
    bootstrap: tuple[str, ...],
    announce: tuple[str, ...],
    identity: str | None,
    state_dir: str | None,
    config_file: str | None,
    limits: tuple[str, ...],
    deny: list[Subject],
    allow_only: list[Subject],
    perf: bool,
    echo: bool,
    log_json: bool,
    show_config: bool,
) -> None:
    """Run a node until it is told to stop.

    It prints its peer id and addresses, answers ping and identify, and runs until SIGINT (Ctrl-C) or SIGTERM, which end it with
    exit code 0. -v shows connections coming and going. What is given here goes before what the file says.

    In its state directory it keeps its key, what it knows of peers, and who is denied or allowed; without one (and without
    --identity) it is somebody else each time. Two nodes can't share one.

    \b
    --json prints events "listening" (peer_id, addresses, protocols), "bootstrap"
    (connected, of) once all of these were tried, with -v "connected" (peer_id,
    remote_address, local_address, direction, transport, security, muxer) and
    "disconnected" (the same, seconds, reason), at the end "stopped" (signal).
    """
    chosen = settings.load(config_file) if config_file is not None else Settings()
    for key, addresses in (("listen", listen), ("bootstrap", bootstrap), ("announce", announce)):
        settings.check_addresses(f"--{key}", addresses)
    config = replace(
        chosen.config,
        perf=perf or chosen.config.perf,
        announce=announce or chosen.config.announce,
        state_directory=state_dir or chosen.config.state_directory,
    )
    chosen = replace(
        chosen,
        listen=listen or chosen.listen,
        bootstrap=bootstrap or chosen.bootstrap,
        identity=identity or chosen.identity,
        echo=echo or chosen.echo,
        config=config,
    )
    for limit in limits:
        chosen = settings.with_limit(chosen, limit)
    logs.set_up(output, as_json=log_json)
    if show_config:
        click.echo(settings.as_toml(chosen))
        return
    try:
        lifecycle.run(lambda: _serve(output, chosen, deny, allow_only))
    except Interrupted as interruption:
        output.say(f"stopped by {interruption.name}", "stopped", signal=interruption.name)


async def _serve(output: Output, chosen: Settings, deny: list[Subject], allow_only: list[Subject]) -> None:
    identity = _identity(chosen)
    node = Node(identity, listen=chosen.listen, bootstrap=chosen.bootstrap, config=chosen.config)
    _set_rules(node, deny, allow_only)
    if chosen.echo:
        node.handle(ECHO, _echo)
    if output.verbosity:
        _Visitors(output).watch(node)
    scope = Scope()
    async with node:
        _drop_earlier_rules(node, deny, allow_only)
        _say_listening(output, node, is_kept=identity is not None)
        if chosen.bootstrap:
            scope.spawn(_say_bootstrapped(output, node, len(chosen.bootstrap)), name="bootstrap report")
        try:
            await node.wait_closed()
        finally:
            await scope.close()


def _set_rules(node: Node, deny: list[Subject], allow_only: list[Subject]) -> None:
    for subject in deny:
        node.gater.deny(subject, _DENY)
    for subject in allow_only:
        node.gater.allow(subject, _ALLOW_ONLY)
    node.gater.allow_only = bool(allow_only)


def _drop_earlier_rules(node: Node, deny: list[Subject], allow_only: list[Subject]) -> None:
    """What another command line has said was kept with all rules, and holds no more."""
    for reason, subjects in ((_DENY, deny), (_ALLOW_ONLY, allow_only)):
        for rule in node.gater.rules:
            if rule.reason == reason and rule.subject not in subjects:
                node.gater.access.remove(rule.kind, rule.subject)


def _identity(chosen: Settings) -> Identity | None:
    """The key that is kept in a file; None where there is none."""
    directory = chosen.config.state_directory
    if chosen.identity:
        return Identity.load_or_create(chosen.identity)
    if directory is None:
        return None
    name = os.fspath(directory)
    make_private(name)
    return Identity.load_or_create(os.path.join(name, KEY_NAME))


def _say_listening(output: Output, node: Node, *, is_kept: bool) -> None:
    peer_id, addresses = str(node.peer_id), [str(address) for address in node.addresses]
    lines = [f"peer id    {peer_id}{'' if is_kept else '   (new, and forgotten at the end: keep one with --state-dir DIR)'}"]
    lines += [f"listening  {address}" for address in addresses]
    lines.append(f"serving    {', '.join(node.protocols)}")
    lines.append("Ctrl-C or SIGTERM ends it")
    output.say("\n".join(lines), "listening", peer_id=peer_id, addresses=addresses, protocols=node.protocols)


async def _say_bootstrapped(output: Output, node: Node, count: int) -> None:
    async with output.waiting(f"connecting to {count} bootstrap peer{'s' if count > 1 else ''}"):
        await node.ready()
    connected = len(node.peers)
    output.say(f"bootstrap  {connected} of {count} peers connected", "bootstrap", connected=connected, of=count)


async def _echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


@final
class _Visitors:
    """Says who comes and who goes."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._since: dict[Connection, float] = {}

    def watch(self, node: Node) -> None:
        """Begin."""
        node.watch(connected=self._connected, disconnected=self._disconnected)

    def _connected(self, connection: Connection) -> None:
        self._since[connection] = connection.loop.time()
        facts = connection_facts(connection)
        made_of = ", ".join(str(facts[name]) for name in ("transport", "security", "muxer"))
        text = f"+ {connection.peer_id} {connection.direction} {connection.remote_address} ({made_of})"
        self._say(text, "connected", **facts)

    def _disconnected(self, connection: Connection) -> None:
        seconds = connection.loop.time() - self._since.pop(connection)
        reason = describe(connection.error) if connection.error is not None else ""
        text = f"- {connection.peer_id} after {duration(seconds)}: {reason}"
        facts = connection_facts(connection)
        self._say(text, "disconnected", seconds=seconds, reason=reason, **facts)

    def _say(self, text: str, event: str, **members: Json) -> None:
        try:
            self._output.say(text, event, **members)
        except BrokenPipeError:  # who only wanted to see the first lines does not want the node to end
            self._output.silence()
