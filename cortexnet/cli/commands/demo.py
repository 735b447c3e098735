"""`cortexnet demo`: a small network at work on this machine."""

import time

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.demo.director import demonstrate
from cortexnet.cli.exits import ExitCode
from cortexnet.cli.options import with_output
from cortexnet.cli.output import Output
from cortexnet.cli.text import duration


@click.command()
@with_output
def command(output: Output) -> None:
    """Show a small network at work on this machine.

    Six nodes in three processes dial each other over TCP on 127.0.0.1, ping, ask, stream and send files; one process is killed,
    and the others carry on. Six newcomers, who know one address, find each other over the DHT; values and contents are found,
    messages reach everybody once, and one who sends nonsense is refused and denied. It ends by itself, after 20 s or so, with
    exit code 0 only if all that it says was verified.

    \b
    --json prints events "node" (name, pid, peer_id, address), "dialed",
    "pinged", "asked", "streamed", "sent", "killed" (pid, nodes), "noticed"
    (name, seconds, reason), "asked_meanwhile" (answered, unanswered),
    "dial_of_the_dead" (name, error), "discovered" (nodes, seconds, sources),
    "stored" (name, key, peers, found_by), "provided" (name, cid, asked_by,
    providers), "published" (author, messages, readers, seconds), "misbehaved"
    (name, victim, scores, messages, standing, error, why), "pair" (dialer,
    listener, made_of, dial_seconds, round_trip_seconds, stream_speed and
    file_speed in bytes a second, lost), at the end "summary" (ok, seconds,
    faults).
    """
    began = time.monotonic()
    faults = lifecycle.run(lambda: demonstrate(output))
    seconds = time.monotonic() - began
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        output.say(
            f"\nNot as it should be, after {duration(seconds)}:\n{lines}", "summary", ok=False, seconds=seconds, faults=faults
        )
        click.get_current_context().exit(ExitCode.FAILED)
    output.say(f"\nAll of it was verified, in {duration(seconds)}.", "summary", ok=True, seconds=seconds, faults=[])
