"""The node of a command that talks to one peer: it dials, says how that went, and is gone with the command."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.cli.output import Json, Output
from cortexnet.cli.text import duration
from cortexnet.config import Config
from cortexnet.errors import ConnectionClosed, PeerTimeout
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.node import Node
from cortexnet.transport.connection import Connection

_LOOK_UP_TIME = 10.0  # seconds that names may take, on top of the attempts


@final
@dataclass(frozen=True, slots=True)
class Dialed:
    """A peer that has answered, and in how many seconds."""

    node: Node
    peer: PeerId
    connection: Connection
    seconds: float


def client_node(identity_file: str | None, timeout: float) -> Node:
    """A node that only dials, and waits `timeout` seconds for each attempt and answer. Raises StorageFailed."""
    identity = None if identity_file is None else Identity.load(identity_file)
    limits = Limits(dial_timeout=timeout, dial_timeout_local=timeout, identify_timeout=timeout, ping_timeout=timeout)
    return Node(identity, config=Config(limits=limits))


@contextlib.asynccontextmanager
async def dialed(output: Output, address: Multiaddr, identity_file: str | None, timeout: float) -> AsyncIterator[Dialed]:
    """A connection to whoever is at the address, for the block. Raises DialFailed, PeerTimeout, StorageFailed."""
    async with client_node(identity_file, timeout) as node:
        peer, seconds = await _dial(output, node, address, timeout)
        connection = next((one for one in node.connections if one.peer_id == peer), None)
        if connection is None:
            raise ConnectionClosed(f"{peer} has closed the connection at once", by="remote")
        yield Dialed(node, peer, connection, seconds)


async def _dial(output: Output, node: Node, address: Multiaddr, timeout: float) -> tuple[PeerId, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    longest = timeout + _LOOK_UP_TIME
    try:
        async with output.waiting(f"connecting to {address}"), asyncio.timeout(longest):
            return await node.dial(address), loop.time() - began
    except PeerTimeout:
        raise
    except TimeoutError:
        raise PeerTimeout(f"no connection to {address} within {longest:g} s") from None


def say_connected(output: Output, dialed: Dialed) -> None:
    """The line, or event, that says with whom and with what we are connected."""
    facts = connection_facts(dialed.connection)
    made_of = ", ".join(str(facts[name]) for name in ("transport", "security", "muxer"))
    text = f"connected to {dialed.peer} at {facts['remote_address']} in {duration(dialed.seconds)}: {made_of}"
    output.say(text, "connected", seconds=dialed.seconds, **facts)


def connection_facts(connection: Connection) -> dict[str, Json]:
    """What a connection is made of."""
    return {
        "peer_id": str(connection.peer_id),
        "remote_address": str(connection.remote_address),
        "local_address": str(connection.local_address),
        "direction": connection.direction,
        "transport": connection.transport,
        "security": connection.security,
        "muxer": connection.muxer,
    }
