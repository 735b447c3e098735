"""`cortexnet card`: what a node says about itself, and has signed."""

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.cards import lines_of, members_of
from cortexnet.cli.client import dialed
from cortexnet.cli.lookup import Network, Watcher, joined, network_config, with_any_network
from cortexnet.cli.options import parse_address
from cortexnet.cli.output import Output
from cortexnet.cli.text import escaped
from cortexnet.errors import LocalError
from cortexnet.identity.card import Card
from cortexnet.identity.peer_id import PeerId, peer_of
from cortexnet.multiformats.multiaddr import Multiaddr


def _to_target(ctx: click.Context, param: click.Parameter, value: str) -> "Multiaddr | PeerId":
    try:
        return parse_address(value) if value.startswith("/") else peer_of(value)
    except LocalError as error:
        raise click.BadParameter(escaped(str(error)), ctx, param) from None


@click.command()
@click.argument("target", metavar="ADDRESS|PEER", callback=_to_target)
@with_any_network
def command(output: Output, network: Network, target: "Multiaddr | PeerId") -> None:
    """Show what a node says about itself.

    That is its card: what it can do, its region, and whatever else its owner wants to tell. The signature proves that the node
    says it, not that it is true. By its peer id alone a node is looked for in the DHT, which needs --peer or --amino.

    \b
    --json prints an event "card": peer_id, sequence, issued, expires (seconds
    since 1970), capabilities, region, metadata, limits, envelope (base64: the
    signed card, for others to check); or "error".
    """
    if isinstance(target, PeerId) and not network.is_known:
        raise click.UsageError("a peer id is looked for in the DHT: name somebody to ask with --peer, or give the node's address")
    card = lifecycle.run(
        lambda: _by_address(output, network, target) if isinstance(target, Multiaddr) else _by_id(output, network, target)
    )
    output.say("\n".join(lines_of(card)), "card", **members_of(card))


async def _by_address(output: Output, network: Network, address: Multiaddr) -> Card:
    async with (
        dialed(output, address, network.identity_file, network.timeout) as there,
        output.waiting(f"asking {there.peer} for its card"),
    ):
        return await there.node.card(there.peer)


async def _by_id(output: Output, network: Network, peer: PeerId) -> Card:
    async with joined(output, network, network_config(network)) as node:
        watcher = Watcher(output, f"looking for {peer}")
        await node.kad.find_peer(peer, on_progress=watcher)
        watcher.done()
        async with output.waiting(f"asking {peer} for its card"):
            return await node.card(peer)
