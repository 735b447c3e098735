"""`cortexnet ping`: round trips to one peer."""

import asyncio
import statistics
from typing import final

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.client import Dialed, dialed, say_connected
from cortexnet.cli.exits import ExitCode, Interrupted
from cortexnet.cli.failures import as_members, lines_of
from cortexnet.cli.options import Seconds, address_argument, with_dialing, with_output
from cortexnet.cli.output import Output
from cortexnet.cli.text import duration
from cortexnet.errors import CortexError
from cortexnet.multiformats.multiaddr import Multiaddr


@click.command()
@address_argument
@click.option("-n", "--count", type=click.IntRange(min=0), default=4, show_default=True, help="How often; 0: until interrupted.")
@click.option(
    "--interval",
    type=Seconds(min=0.0),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="From one ping to the next.",
)
@with_dialing
@with_output
def command(output: Output, address: Multiaddr, count: int, interval: float, identity_file: str | None, timeout: float) -> None:
    """Measure round trips to a peer.

    Exit code 0 if every ping was answered, 1 if one was not, or there was no connection.

    \b
    --json prints events "connected" (peer_id, remote_address, local_address,
    direction, transport, security, muxer, seconds), "reply" (number, seconds),
    "lost" (number, kind, message, advice), at the end "summary" (sent,
    answered, and min, mean, max, deviation in seconds, null without replies);
    instead of all that "error" (kind, message, advice, attempts) if there was
    no connection.
    """
    tally = Tally()
    try:
        lifecycle.run(lambda: _ping(output, tally, address, count, interval, identity_file, timeout))
    except Interrupted:
        if tally.sent:
            tally.say(output)
        if count or not tally.sent:
            raise
    else:
        tally.say(output)
    click.get_current_context().exit(ExitCode.OK if tally.is_complete else ExitCode.FAILED)


@final
class Tally:
    """The times of the pings that were answered."""

    def __init__(self) -> None:
        self.sent = 0
        self.seconds: list[float] = []

    @property
    def is_complete(self) -> bool:
        """Whether none was lost."""
        return len(self.seconds) == self.sent

    def say(self, output: Output) -> None:
        """The summary."""
        sent, times = self.sent, self.seconds
        text = f"{sent} sent, {len(times)} answered"
        if not times:
            output.say(text, "summary", sent=sent, answered=0, min=None, mean=None, max=None, deviation=None)
            return
        least, mean, most, deviation = min(times), statistics.fmean(times), max(times), statistics.pstdev(times)
        text += (
            f"; round trip min {duration(least)}, mean {duration(mean)}, max {duration(most)}, deviation {duration(deviation)}"
        )
        output.say(text, "summary", sent=sent, answered=len(times), min=least, mean=mean, max=most, deviation=deviation)


async def _ping(
    output: Output, tally: Tally, address: Multiaddr, count: int, interval: float, identity_file: str | None, timeout: float
) -> None:
    loop = asyncio.get_running_loop()
    async with dialed(output, address, identity_file, timeout) as there:
        say_connected(output, there)
        while True:
            began = loop.time()
            await _ping_once(output, tally, there, timeout)
            if tally.sent == count:
                return
            await asyncio.sleep(began + interval - loop.time())


async def _ping_once(output: Output, tally: Tally, there: Dialed, timeout: float) -> None:
    number = tally.sent + 1
    try:
        async with output.waiting(f"waiting for the answer to ping {number}"):
            seconds = await there.node.ping(there.peer, timeout=timeout)
    except CortexError as error:
        tally.sent = number
        reason = "\n".join(lines_of(error))
        output.say(f"ping {number}: no answer: {reason}", "lost", number=number, **as_members(error))
    else:
        tally.sent = number
        tally.seconds.append(seconds)
        output.say(f"reply {number}: {duration(seconds)}", "reply", number=number, seconds=seconds)
