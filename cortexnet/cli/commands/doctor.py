"""`cortexnet doctor`: why a peer cannot be reached."""

import sys

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.diagnosis import Diagnosis, diagnose, tree
from cortexnet.cli.exits import ExitCode
from cortexnet.cli.options import with_dialing, with_output
from cortexnet.cli.output import Output


@click.command()
@click.argument("address")
@with_dialing
@with_output
def command(output: Output, address: str, identity_file: str | None, timeout: float) -> None:
    """Find out why a peer cannot be reached.

    Tries every step of a dial to every address that ADDRESS leads to, and shows what came of each, with advice.
    Exit code 0 if one address works in full, 1 if none does, 2 if ADDRESS is no address.

    \b
    --json prints one line: event "diagnosis", address, reachable, steps and
    attempts (one for each address), both lists of {name, status ("ok",
    "failed", "skipped"), detail, advice, seconds, steps}.
    """
    diagnosis = lifecycle.run(lambda: _diagnose(output, address, identity_file, timeout))
    output.say(
        "\n".join([*tree(diagnosis, is_ascii=not _can_draw()), "", verdict(diagnosis)]),
        "diagnosis",
        address=diagnosis.address,
        reachable=diagnosis.is_reachable,
        steps=[step.as_members() for step in diagnosis.steps],
        attempts=[step.as_members() for step in diagnosis.attempts],
    )
    if not diagnosis.is_reachable:
        click.get_current_context().exit(ExitCode.FAILED if diagnosis.is_address else ExitCode.USAGE)


async def _diagnose(output: Output, address: str, identity_file: str | None, timeout: float) -> Diagnosis:
    async with output.waiting("examining"):
        return await diagnose(address, identity_file, timeout)


def verdict(diagnosis: Diagnosis) -> str:
    """All of it in one sentence."""
    working, tried = sum(attempt.is_ok for attempt in diagnosis.attempts), len(diagnosis.attempts)
    if not diagnosis.is_address:
        return "This is no address, so nothing was tried."
    if not tried:
        return "It cannot be reached: there is no address to try."
    if not working:
        return f"It cannot be reached: {'the address does' if tried == 1 else f'all {tried} addresses do'} not work."
    return f"It can be reached: {'the address works' if tried == 1 else f'{working} of {tried} addresses work'}."


def _can_draw() -> bool:
    """Whether the terminal has characters for branches."""
    try:
        "├└│─".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
