"""`cortexnet dht`: peers, providers and values of a DHT."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.exits import Interrupted
from cortexnet.cli.failures import NotTaken
from cortexnet.cli.lookup import Network, Watcher, joined, network_config, with_network
from cortexnet.cli.output import Json, Output
from cortexnet.cli.text import escaped, table
from cortexnet.errors import CortexError, InvalidRecord, LocalError, NoPeers, NotFound
from cortexnet.identity.peer_id import peer_of
from cortexnet.kad.records.ipns import PREFIX as IPNS
from cortexnet.kad.records.ipns import IpnsRecord
from cortexnet.kad.records.records import namespace_of
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.service.arguments import content_key, place_of, record_key


def _checked(parse: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, str], str]:
    """A callback of click: the text, if it can be parsed."""

    def callback(ctx: click.Context, param: click.Parameter, value: str) -> str:
        try:
            parse(value)
        except LocalError as error:
            raise click.BadParameter(escaped(str(error)), ctx, param) from None
        return value

    return callback


@click.group()
def command() -> None:
    """Find peers, providers and values in a DHT, and store them.

    The node of these commands is a client: it asks, and is gone at the end. It meets the DHT through --peer, which may be any
    node that serves it, or through --amino. On the prefix /ipfs values are public keys (/pk/PEER) and IPNS records (/ipns/PEER);
    in a network of its own prefix they are what its nodes take.

    \b
    With --json each command prints events "progress" while it looks (hops, asked,
    answered, failed, distance_bits: the bits of the least distance), then its
    results, then "done" (the same, seconds); or "error".
    """


@command.command()
@click.argument("key", callback=_checked(record_key))
@with_network
def get(output: Output, network: Network, key: str) -> None:
    """Print the value of a key, such as /ipns/12D3KooW... or /pk/12D3KooW...

    A text is printed as it is, of an IPNS record what it says, all else in base 64.

    \b
    --json: event "value" (key, value in base 64, as_text or null).
    """
    lifecycle.run(lambda: _get(output, network, key, record_key(key)))


async def _get(output: Output, network: Network, key: str, name: bytes) -> None:
    async with joined(output, network, network_config(network, key)) as node:
        watcher = Watcher(output, f"looking for {key}")
        value = await node.kad.get_value(name, on_progress=watcher)
    encoded = base64.b64encode(value).decode()
    text = _as_text(value)
    members: dict[str, Json] = {"key": key, "value": encoded, "as_text": text}
    output.say(_described(name, value) or text or encoded, "value", **members)
    watcher.done()


def _as_text(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\n\t" for char in text) else None


def _described(name: bytes, value: bytes) -> str | None:
    if not name.startswith(IPNS):
        return None
    try:
        record = IpnsRecord.decode(value)
    except CortexError:
        return None
    return "\n".join(table([("value", record.value.decode(errors="replace")), ("sequence", str(record.sequence))]))


@command.command()
@click.argument("key", callback=_checked(record_key))
@click.argument("value", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Take the value from there.")
@with_network
def put(output: Output, network: Network, key: str, value: str | None, file: str | None) -> None:
    """Store a value under a key with the peers nearest to it. They keep it for two days.

    \b
    --json: event "stored" (key, peers: how many took it).
    """
    if (value is None) == (file is None):
        raise click.UsageError("give the value as the second argument, or name the file that has it with --file")
    data = Path(file).read_bytes() if file is not None else (value or "").encode(errors="surrogateescape")
    lifecycle.run(lambda: _put(output, network, key, record_key(key), data))


async def _put(output: Output, network: Network, key: str, name: bytes, data: bytes) -> None:
    async with joined(output, network, network_config(network, key)) as node:
        watcher = Watcher(output, f"storing {key}")
        try:
            peers = await node.kad.put_value(name, data, on_progress=watcher)
        except InvalidRecord as error:  # of our own validator: what peers have against it is no error of this kind
            raise LocalError(f"this is no value of {key}: {error}") from None
        except NoPeers as error:
            if not watcher.asked:
                raise
            raise NotTaken(str(error), namespace_of(name)) from None
    output.say(f"stored with {peers} peers", "stored", key=key, peers=peers)
    watcher.done()


@command.command()
@click.argument("cid", callback=_checked(content_key))
@click.option("--listen", multiple=True, default=("/ip4/0.0.0.0/tcp/0",), show_default=True, metavar="ADDRESS", help="Where.")
@click.option("--once", is_flag=True, help="End when it is told, though nobody can be reached here then.")
@with_network
def provide(output: Output, network: Network, cid: str, listen: tuple[str, ...], once: bool) -> None:
    """Tell the peers nearest to some content that this node has it, and stay, to be found.

    They keep it for two days, and are told again each 22 hours until SIGINT (Ctrl-C) or SIGTERM.

    \b
    --json: event "provided" (cid, peers, peer_id, addresses); at the end
    "stopped" (signal).
    """
    try:
        lifecycle.run(lambda: _provide(output, network, cid, listen, once))
    except Interrupted as interruption:
        output.say(f"stopped by {interruption.name}", "stopped", signal=interruption.name)


async def _provide(output: Output, network: Network, cid: str, listen: tuple[str, ...], once: bool) -> None:
    async with joined(output, network, network_config(network, mode="auto"), listen) as node:
        watcher = Watcher(output, f"providing {cid}")
        peers = await node.kad.provide(cid, on_progress=watcher)
        addresses = [str(address) for address in node.addresses]
        lines = [f"{peers} peers know that {node.peer_id} has it", *(f"  {address}" for address in addresses)]
        output.say("\n".join(lines), "provided", cid=cid, peers=peers, peer_id=str(node.peer_id), addresses=addresses)
        watcher.done()
        if not once:
            output.note("Ctrl-C or SIGTERM ends it")
            await asyncio.Event().wait()


@command.command()
@click.argument("peer", callback=_checked(peer_of))
@with_network
def find_peer(output: Output, network: Network, peer: str) -> None:
    """Print where a peer is, as others say.

    \b
    --json: event "peer" (peer_id, addresses).
    """
    lifecycle.run(lambda: _find_peer(output, network, peer))


async def _find_peer(output: Output, network: Network, peer: str) -> None:
    async with joined(output, network, network_config(network)) as node:
        watcher = Watcher(output, f"looking for {peer}")
        found = await node.kad.find_peer(peer, on_progress=watcher)
    _say_contact(output, "peer", found)
    watcher.done()


@command.command()
@click.argument("cid", callback=_checked(content_key))
@click.option("-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many; 0: all.")
@with_network
def find_providers(output: Output, network: Network, cid: str, limit: int) -> None:
    """Print who has some content, as they are found.

    \b
    --json: an event "provider" (peer_id, addresses) each.
    """
    lifecycle.run(lambda: _find_providers(output, network, cid, limit))


async def _find_providers(output: Output, network: Network, cid: str, limit: int) -> None:
    async with joined(output, network, network_config(network)) as node:
        watcher = Watcher(output, f"looking for providers of {cid}")
        count = 0
        async with node.kad.find_providers(cid, limit or None, on_progress=watcher) as search:
            async for contact in search:
                count += 1
                _say_contact(output, "provider", contact)
    watcher.done()
    if not count:
        message = "nobody who was asked knows a provider: it was announced in another DHT, or not in the last 48 h"
        raise NotFound(message, asked=watcher.asked)


@command.command()
@click.argument("key", callback=_checked(place_of))
@with_network
def closest(output: Output, network: Network, key: str) -> None:
    """Print the peers nearest to a peer id, a CID or the key of a value, the nearest first.

    \b
    --json: an event "peer" (peer_id, addresses) each.
    """
    lifecycle.run(lambda: _closest(output, network, key, place_of(key)))


async def _closest(output: Output, network: Network, key: str, place: bytes) -> None:
    async with joined(output, network, network_config(network)) as node:
        watcher = Watcher(output, f"looking for peers near {key}")
        contacts = await node.kad.closest_peers(place, on_progress=watcher)
    for contact in contacts:
        _say_contact(output, "peer", contact)
    watcher.done()


def _say_contact(output: Output, event: str, contact: Contact) -> None:
    addresses: list[Json] = [str(address) for address in contact.addresses]
    text = "\n".join([str(contact.peer_id), *(f"  {escaped(str(address))}" for address in contact.addresses)])
    output.say(text, event, peer_id=str(contact.peer_id), addresses=addresses)
