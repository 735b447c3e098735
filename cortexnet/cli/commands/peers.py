"""`cortexnet peers`: whom a running node is connected to."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.options import with_output
from cortexnet.cli.output import Output
from cortexnet.cli.text import duration
from cortexnet.observe.status import ask


@click.command()
@click.option(
    "--state-dir", required=True, type=click.Path(file_okay=False), metavar="DIR", help="The state directory of the running node."
)
@click.option("--offenders", is_flag=True, help="Show peers with a bad score instead, connected or not, the worst 100 at most.")
@with_output
def command(output: Output, state_dir: str, offenders: bool) -> None:
    """Show whom a running node is connected to.

    And whether the node is well. It is asked by a socket in its state directory, which nobody but its owner can use.

    \b
    --json prints an event "peer" for each (peer_id, agent_version, score,
    connections: address, direction, transport, security, muxer, seconds, rtt,
    streams), and at the end "health" (status, problems: what, advice; uptime,
    peers, connections, addresses, loop_lag); with --offenders an event
    "offender" for each (peer_id, score, standing, the score's terms, counts).
    """
    folder = os.path.expanduser(state_dir)  # as `run` does
    lifecycle.run(lambda: _show_offenders(output, folder) if offenders else _show(output, folder))


async def _show(output: Output, state_dir: str) -> None:
    peers: Sequence[Mapping[str, Any]] = await ask(state_dir, "peers")
    for peer in peers:
        output.say("\n".join(_lines(peer)), "peer", **peer)
    health: Mapping[str, Any] = await ask(state_dir, "health")
    lines = [f"{health['peers']} peers, {health['connections']} connections, up {duration(health['uptime'])}: {health['status']}"]
    lines += [f"  {problem['what']}\n    {problem['advice']}" for problem in health["problems"]]
    output.say("\n".join(lines), "health", **health)


async def _show_offenders(output: Output, state_dir: str) -> None:
    found: Sequence[Mapping[str, Any]] = await ask(state_dir, "offenders")
    for offender in found:
        output.say(offender["text"], "offender", **{name: value for name, value in offender.items() if name != "text"})
    if not found:
        output.say("no peer has a bad score", "none")


def _lines(peer: Mapping[str, Any]) -> list[str]:
    score = "" if peer["score"] is None else f"  score {peer['score']:+.0f}"
    lines = [f"{peer['peer_id']}{score}  {peer['agent_version'] or ''}".rstrip()]
    for connection in peer["connections"]:
        made_of = ", ".join(str(connection[name]) for name in ("transport", "security", "muxer") if connection[name])
        rtt = "" if connection["rtt"] is None else f", round trip {duration(connection['rtt'])}"
        count = len(connection["streams"])
        streams = f"{count} stream{'' if count == 1 else 's'}"
        where = f"{connection['direction']} {connection['address']} ({made_of})"
        lines.append(f"  {where}, {duration(connection['seconds'])}, {streams}{rtt}")
    return lines
