"""`cortexnet find`: nodes that say they can do something."""

import asyncio

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.cards import members_of, to_capability, to_region
from cortexnet.cli.lookup import Network, joined, network_config, with_network
from cortexnet.cli.output import Json, Output
from cortexnet.cli.text import duration, escaped
from cortexnet.errors import NotFound
from cortexnet.identity.card import Card
from cortexnet.node import Node


@click.command()
@click.option("--capability", required=True, metavar="NAME", callback=to_capability, help="What it has to be able to do.")
@click.option("--region", default="", metavar="GEOHASH", callback=to_region, help="Where it has to be: how its geohash begins.")
@click.option("-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many; 0: all.")
@with_network
def command(output: Output, network: Network, capability: str, region: str, limit: int) -> None:
    """Find nodes by what they can do.

    They are printed as they are found, with their regions and addresses. The DHT names them, and each is asked for its card.
    Those that say something else there, or don't answer, are left out; -v tells why.

    \b
    --json prints an event "card" for each (peer_id, sequence, issued, expires,
    capabilities, region, metadata, limits, envelope, addresses), "skipped" for
    each that is left out (peer_id, reason), and "done" (found, skipped,
    seconds); or "error".
    """
    lifecycle.run(lambda: _find(output, network, capability, region, limit))


async def _find(output: Output, network: Network, capability: str, region: str, limit: int) -> None:
    loop = asyncio.get_running_loop()
    async with joined(output, network, network_config(network)) as node:
        begun, count = loop.time(), 0
        async with output.waiting(f"looking for nodes with {capability}"), node.find(capability, region, limit or None) as search:
            async for card in search:
                count += 1
                _say(output, node, card)
        seconds = loop.time() - begun
    for peer, reason in search.skipped.items():
        output.say_event("skipped", peer_id=str(peer), reason=reason)
        if output.verbosity:
            output.note(f"{peer} is left out: {reason}")
    output.say_event("done", found=count, skipped=len(search.skipped), seconds=seconds)
    if not count:
        raise NotFound(f"no node was found that says it has {capability}; {len(search.skipped)} were named by others")
    if not output.as_json:
        output.note(f"{count} found, {len(search.skipped)} left out, in {duration(seconds)}")


def _say(output: Output, node: Node, card: Card) -> None:
    now = asyncio.get_running_loop().time()
    addresses: list[Json] = [str(address) for address in node.peerstore.addresses(card.peer_id, now)]
    where = f"  {card.details.region}" if card.details.region else ""
    lines = [f"{card.peer_id}{where}", *(f"  {escaped(str(address))}" for address in addresses)]  # of whoever told the DHT
    output.say("\n".join(lines), "card", **members_of(card), addresses=addresses)
