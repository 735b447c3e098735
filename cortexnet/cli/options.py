"""Options and arguments that several commands share."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, final

import click

from cortexnet.admission.access_rules import Subject, parse_subject
from cortexnet.cli import logs
from cortexnet.cli.output import Output
from cortexnet.cli.text import escaped, parse_size
from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

Command = Callable[..., None]


@final
class Seconds(click.FloatRange):
    """A number of seconds in that range; neither `nan`, which is in every one, nor `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. Raises BadParameter, as click wants it."""
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{str(value)[:64]!a} is no time: write seconds as a number, such as 2.5", param, ctx)
        return seconds


def to_address(ctx: click.Context, param: click.Parameter, value: str) -> Multiaddr:
    """A callback of click: the multiaddr of the text."""
    try:
        return parse_address(value)
    except LocalError as error:
        raise click.BadParameter(escaped(str(error)), ctx, param) from None


def to_addresses(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[Multiaddr, ...]:
    """A callback of click: the multiaddrs of the texts."""
    return tuple(to_address(ctx, param, value) for value in values)


def to_size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A callback of click: the bytes that the text stands for."""
    try:
        return parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def to_subjects(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[Subject]:
    """A callback of click: the peer ids, IP addresses and networks of the texts."""
    try:
        return [parse_subject(value) for value in values]
    except LocalError as error:
        raise click.BadParameter(escaped(str(error)), ctx, param) from None


def parse_address(text: str) -> Multiaddr:
    """The address of a text, said in a way that helps somebody who typed it. Raises LocalError."""
    try:
        return Multiaddr.parse(text)
    except ProtocolViolation as error:
        raise LocalError(f"{error}; {_what_it_should_be(text)}") from None


def _what_it_should_be(text: str) -> str:
    example = "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW..."
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and "/" not in text:
        kind = "ip4" if host.replace(".", "").isdecimal() else "ip6" if ":" in host else "dns"
        return f"write it as /{kind}/{host.strip('[]')}/tcp/{port}"
    if "/" not in text:
        try:
            return f"{PeerId.parse(text)} is a peer id: put the address it has in front, as in {example}"
        except ProtocolViolation:
            pass
    return f"an address looks like {example}"


def with_output(command: Command) -> Command:
    """Give the command an Output, made of --json, -v and --debug, as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
    @click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")
    @click.option("--debug", is_flag=True, hidden=True)
    @functools.wraps(command)
    def wrapper(*args: Any, as_json: bool, verbose: int, debug: bool, **kwargs: Any) -> None:
        output = Output(as_json=as_json, verbosity=verbose, debug=debug)
        click.get_current_context().find_root().obj = output
        logs.set_up(output)
        command(output, *args, **kwargs)

    return wrapper


def with_dialing(command: Command) -> Command:
    """The options of commands that connect to one peer: who we are, and how long to try."""
    command = click.option(
        "--timeout",
        type=Seconds(min=0.0, min_open=True),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long each attempt, and each answer, may take.",
    )(command)
    return click.option(
        "--identity",
        "identity_file",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="Be who is in this key file; otherwise a new identity is made and forgotten.",
    )(command)


def with_gossip(command: Command) -> Command:
    """Give the command a Meeting, made of --peer, --listen, --identity and --timeout, as `meeting`."""

    @click.option("--peer", "others", multiple=True, metavar="ADDRESS", callback=to_addresses, help="Connect to this peer.")
    @click.option("--listen", multiple=True, metavar="ADDRESS", callback=to_addresses, help="Accept connections here.")
    @click.option("--identity", "identity_file", metavar="FILE", help="The key file, made where there is none.")
    @click.option(
        "--timeout",
        type=Seconds(min=0.0, min_open=True),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for peers.",
    )
    @functools.wraps(command)
    def wrapper(
        *args: Any,
        others: tuple[Multiaddr, ...],
        listen: tuple[Multiaddr, ...],
        identity_file: str | None,
        timeout: float,
        **kwargs: Any,
    ) -> None:
        from cortexnet.cli.topics import Meeting

        if not others and not listen:
            raise click.UsageError("name a --peer to connect to, or --listen for others, or both")
        meeting = Meeting(peers=others, listen=listen, identity_file=identity_file, timeout=timeout)
        command(*args, meeting=meeting, **kwargs)

    return wrapper


address_argument = click.argument("address", callback=to_address)
