"""`cortexnet run`: a node that stays up."""

import asyncio
import logging
import os
import sys
from contextlib import ExitStack
from typing import final

import click

from cortexnet.cli import lifecycle, logs, own_key
from cortexnet.cli.access import Rules
from cortexnet.cli.client import connection_facts
from cortexnet.cli.exits import Interrupted
from cortexnet.cli.options import with_output
from cortexnet.cli.options_of_settings import Given, with_settings
from cortexnet.cli.output import Json, Output
from cortexnet.cli.service import ServiceManager, raise_descriptor_limit, ready_file
from cortexnet.cli.text import duration
from cortexnet.errors import ConfigInvalid, describe
from cortexnet.identity.identity import Identity
from cortexnet.node import Node
from cortexnet.settings.describe import changes
from cortexnet.settings.settings import Settings
from cortexnet.transport.connection import Connection
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream

log = logging.getLogger(__name__)

ECHO = "/cortex/echo/1.0.0"
RELOADED = ("deny", "allow_only", "log_level", "log_format")
"""Settings that SIGHUP takes over; all others hold until the end."""


@click.command()
@with_output
@with_settings
def command(output: Output, given: Given) -> None:
    """Run a node until it is told to stop.

    It prints its peer id and addresses, answers ping and identify, and runs until SIGINT (Ctrl-C) or SIGTERM, which end it with
    exit code 0; a second one ends it at once. -v shows connections coming and going.

    Settings come from --config, then from the environment (CORTEXNET_LIMITS__CONNECTIONS=500), then from these options; each
    goes before the ones in front. All of it is checked before a socket is opened. `cortexnet config show` lists what there is.
    SIGHUP reads the file again, and takes over who is refused and what is logged.

    In its state directory it keeps its key, what it knows of peers, and who is denied or allowed; without one (and without
    --identity) it is somebody else each time. Two nodes can't share one.

    \b
    --json prints events "listening" (peer_id, addresses, protocols), "bootstrap"
    (connected, of) once all of these were tried, with -v "connected" (peer_id,
    remote_address, local_address, direction, transport, security, muxer) and
    "disconnected" (the same, seconds, reason), on SIGHUP "reloaded" (settings),
    at the end "stopped" (signal).
    """
    settings = given.read()
    _set_up_log(output, settings)
    identity = own_key.existing(settings)
    given.check_own(settings, identity)  # before a key is made
    try:
        lifecycle.run(lambda: _Service(output, given, settings, identity or own_key.made(settings)).run())
    except Interrupted as interruption:
        output.say(f"stopped by {interruption.name}", "stopped", signal=interruption.name)


def _set_up_log(output: Output, settings: Settings) -> None:
    logs.set_up(output, as_json=settings.log_format == "json", level=settings.log_level)


@final
class _Service:
    """One run of a node."""

    def __init__(self, output: Output, given: Given, settings: Settings, identity: Identity) -> None:
        self._output = output
        self._given = given
        self._settings = settings
        self._began_with = settings
        self._manager = ServiceManager(os.environ)
        self._scope = Scope()
        raise_descriptor_limit(settings.config.limits)
        self._has_key = bool(settings.identity) or settings.config.state_directory is not None
        self._node = Node(identity, listen=settings.listen, bootstrap=settings.bootstrap, config=settings.config)
        self._rules = Rules(self._node.gater)

    async def run(self) -> None:
        """Until it is cancelled, or the node fails."""
        node, settings = self._node, self._settings
        self._rules.set(settings)
        if settings.echo:
            node.handle(ECHO, _echo)
        if self._output.verbosity:
            _Visitors(self._output).watch(node)
        with ExitStack() as stack:
            if self._given.file is not None and not sys.stdin.isatty():  # a terminal that is closed wants the node to end
                stack.enter_context(lifecycle.hangups(self._hung_up))
            async with node:
                self._rules.drop_earlier(settings)
                addresses = [str(address) for address in node.addresses]
                stack.enter_context(ready_file(settings.ready_file, peer_id=str(node.peer_id), addresses=addresses))
                self._say_listening(addresses)
                try:
                    await self._serve()
                finally:
                    self._manager.stopping()
                    await self._scope.close()

    async def _serve(self) -> None:
        self._say_ready()
        self._manager.watch(self._scope)
        if self._settings.bootstrap:
            self._scope.spawn(self._say_bootstrapped(len(self._settings.bootstrap)), name="bootstrap report")
        await self._node.wait_closed()

    def _say_ready(self) -> None:
        self._manager.ready(f"{self._node.peer_id} at {len(self._node.addresses)} addresses")

    # --- SIGHUP ------------------------------------------------------------------------------------------------------------

    def _hung_up(self) -> None:
        if not self._scope.is_closed:
            self._scope.spawn(self._reload(), name="reload")

    async def _reload(self) -> None:
        self._manager.reloading()
        try:
            fresh = await asyncio.to_thread(self._given.read)
        except (ConfigInvalid, OSError) as error:
            log.warning("the settings stay as they are: %s", describe(error))
        else:
            self._take_over(fresh)
        self._say_ready()

    def _take_over(self, fresh: Settings) -> None:
        late = [name for name in changes(self._began_with, fresh) if name not in RELOADED]
        if late:
            log.warning("changed settings that hold from the next start on: %s", ", ".join(late))
        _set_up_log(self._output, fresh)
        self._rules.set(fresh)
        self._rules.drop_earlier(fresh)
        taken = [name for name in changes(self._settings, fresh) if name in RELOADED]
        self._settings = fresh
        self._output.say(f"reloaded   {', '.join(taken) or 'nothing has changed'}", "reloaded", settings=taken)

    # --- what it says ------------------------------------------------------------------------------------------------------

    def _say_listening(self, addresses: list[str]) -> None:
        peer_id, protocols = str(self._node.peer_id), self._node.protocols
        forgotten = "" if self._has_key else "   (new, and forgotten at the end: keep one with --state-dir DIR)"
        lines = [f"peer id    {peer_id}{forgotten}"]
        lines += [f"listening  {address}" for address in addresses]
        lines.append(f"serving    {', '.join(protocols)}")
        lines.append("Ctrl-C or SIGTERM ends it")
        self._output.say("\n".join(lines), "listening", peer_id=peer_id, addresses=addresses, protocols=protocols)

    async def _say_bootstrapped(self, count: int) -> None:
        async with self._output.waiting(f"connecting to {count} bootstrap peer{'s' if count > 1 else ''}"):
            await self._node.ready()
        results = self._node.bootstrap_results
        connected = sum(result.outcome == "connected" for result in results)
        said = f"bootstrap  {connected} of {len(results)} peers connected"
        self._output.say(said, "bootstrap", connected=connected, of=len(results))


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
