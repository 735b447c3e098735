"""The entrance of the command line: finds the command, runs it, and turns what it raises into words and an exit code."""

import sys

try:
    import difflib
    import errno
    from importlib import import_module
    from io import TextIOWrapper
    from types import TracebackType
    from typing import Any, final

    import click

    from cortexnet.cli.exits import ExitCode, Interrupted
    from cortexnet.errors import CortexError
    from cortexnet.version import VERSION
except KeyboardInterrupt:  # whoever has thought better of it while this loads wants no traceback
    sys.exit(130)  # ExitCode.INTERRUPTED, which may not be there yet

COMMANDS = {
    "id": "Show an identity, or create it.",
    "run": "Run a node until it is told to stop.",
    "config": "Check a file of settings, or show what is in force.",
    "ping": "Measure round trips to a peer.",
    "perf": "Measure how fast data goes to a peer and back.",
    "connect": "Connect to a peer and show what it says about itself.",
    "dht": "Find peers, providers and values in a DHT, and store them.",
    "card": "Show what a node says about itself.",
    "find": "Find nodes by what they can do.",
    "peers": "Show whom a running node is connected to.",
    "pub": "Publish to a topic.",
    "sub": "Show what is published to a topic.",
    "doctor": "Find out why a peer cannot be reached.",
    "demo": "Show a small network at work on this machine.",
}

_HELP = """A peer-to-peer node that speaks libp2p.

Addresses are multiaddrs, such as /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...; with /p2p/ at the end, nobody but that peer will do.
"""

_EPILOG = """\b
Exit codes: 0 it worked; 1 the network, the peer or this machine failed;
2 the command line, an address or a setting makes no sense;
130 interrupted (SIGINT), 143 terminated (SIGTERM); `run` ends with 0 on both.

With --json stdout has one JSON object a line; its member "event" says what it
is. Results go to stdout, errors and everything else to stderr.
"""


@final
class Commands(click.Group):
    """Loads a command's module when it is called: nobody waits for parts that are not used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = vars(import_module(f"cortexnet.cli.commands.{cmd_name}"))["command"]
        assert isinstance(command, click.Command)  # each of our modules has one
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(COMMANDS)}."
            ctx.fail(f"There is no command {name[:64]!a}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Interrupted as interruption:
            click.echo(str(interruption), err=True)
            ctx.exit(interruption.exit_code)
        except KeyboardInterrupt:  # before the command's own handling began, or after it ended
            ctx.exit(ExitCode.INTERRUPTED)
        except (CortexError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever read our output has gone: click knows what to do
            # Only a command that has run raises these: what explains them is loaded already, or is what failed to load.
            from cortexnet.cli import failures
            from cortexnet.cli.output import Output

            failures.show(error, ctx.obj if isinstance(ctx.obj, Output) else Output())
            ctx.exit(failures.exit_code(error))


cli = Commands(name="cortexnet", help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
click.version_option(VERSION, prog_name="cortexnet")(cli)


def main() -> None:
    """Run the command line of this process, and end it with the command's exit code. Nobody ever sees a traceback unasked."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode gets escapes, no error
    sys.excepthook = show_bug
    cli.main(prog_name="cortexnet")


def show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The hook for what no command expects: one line, since a traceback helps nobody but those who look for the bug."""
    if "--debug" in sys.argv:
        sys.__excepthook__(kind, error, trace)
    elif isinstance(error, KeyboardInterrupt):
        click.echo("interrupted", err=True)
    else:
        click.echo(f"Error: {kind.__name__}: {error}", err=True)
        click.echo("This is a bug in cortexnet: please report it, with what --debug shows.", err=True)
