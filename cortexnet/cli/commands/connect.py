"""`cortexnet connect`: what a peer says about itself."""

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.client import Dialed, connection_facts, dialed
from cortexnet.cli.commands.id import encoded
from cortexnet.cli.options import address_argument, with_dialing, with_output
from cortexnet.cli.output import Json, Output
from cortexnet.cli.text import duration, peer_text, table
from cortexnet.host.peer_info import PeerInfo
from cortexnet.host.ping import PROTOCOL as PING
from cortexnet.multiformats.multiaddr import Multiaddr


@click.command()
@address_argument
@with_dialing
@with_output
def command(output: Output, address: Multiaddr, identity_file: str | None, timeout: float) -> None:
    """Connect to a peer and show what it says about itself.

    All but the peer id, the key and the connection itself is the peer's own word.

    \b
    --json prints one line: event "peer", peer_id, remote_address,
    local_address, direction, transport, security, muxer, connect_seconds,
    rtt_seconds (null if it does not answer pings), key_type, public_key
    (base64), agent_version, protocol_version, observed_address (any of these
    three may be null), addresses, protocols; or event "error".
    """
    lifecycle.run(lambda: _connect(output, address, identity_file, timeout))


async def _connect(output: Output, address: Multiaddr, identity_file: str | None, timeout: float) -> None:
    async with dialed(output, address, identity_file, timeout) as there:
        async with output.waiting(f"asking {there.peer} about itself"):
            info = await there.node.identify(there.peer)
            rtt = await _round_trip(there, info)
        _show(output, there, info, rtt)


async def _round_trip(there: Dialed, info: PeerInfo) -> float | None:
    """The time of a ping; None where the peer does not take pings."""
    if PING not in info.protocols:
        return None
    await there.node.ping(there.peer)  # the first one opens the stream
    return await there.node.ping(there.peer)


def _show(output: Output, there: Dialed, info: PeerInfo, rtt: float | None) -> None:
    facts = connection_facts(there.connection)
    own_words = {
        "agent_version": info.agent_version,
        "protocol_version": info.protocol_version,
        "observed_address": None if info.observed_address is None else str(info.observed_address),
    }
    lists = {"addresses": [str(address) for address in info.addresses], "protocols": list(info.protocols)}
    key_type = info.public_key.key_type
    members: dict[str, Json] = {**facts, "key_type": key_type, "public_key": encoded(info.public_key), **own_words, **lists}
    rows = [(name.replace("_", " "), str(fact)) for name, fact in facts.items()]
    rows.insert(1, ("key type", key_type))
    rows.append(("connected in", duration(there.seconds)))
    rows.append(("round trip", "it does not answer pings" if rtt is None else duration(rtt)))
    rows += [(name.replace("_", " "), peer_text(word)) for name, word in own_words.items()]
    for name, items in lists.items():
        rows += [(name if index == 0 else "", peer_text(item)) for index, item in enumerate(items or [""])]
    output.say("\n".join(table(rows)), "peer", connect_seconds=there.seconds, rtt_seconds=rtt, **members)
