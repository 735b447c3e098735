"""The node of a command that takes part in a topic: it listens where that is wanted, and dials peers."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import final

from cortexnet.cli.failures import as_members, lines_of
from cortexnet.cli.output import Output
from cortexnet.config import Config
from cortexnet.errors import CortexError
from cortexnet.identity.identity import Identity
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.node import Node


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Where to meet others, as whom, and how long to wait."""

    peers: tuple[Multiaddr, ...] = ()
    listen: tuple[Multiaddr, ...] = ()
    identity_file: str | None = None
    timeout: float = 10.0


@contextlib.asynccontextmanager
async def meet(output: Output, meeting: Meeting) -> AsyncIterator[Node]:
    """A node for the block, connected to the peers; those that are not there yet are tried again.

    Raises DialFailed where nobody can be reached and it listens nowhere, ListenFailed, StorageFailed.
    """
    identity = None if meeting.identity_file is None else Identity.load_or_create(meeting.identity_file)
    async with Node(identity, listen=meeting.listen, config=Config(kad=None)) as node:
        if meeting.listen:
            addresses = [str(address) for address in node.addresses]
            output.note("\n".join(f"listening at {address}" for address in addresses))
            output.say_event("listening", peer_id=str(node.peer_id), addresses=addresses)
        failures: dict[Multiaddr, CortexError] = {}
        for address in meeting.peers:
            await _dial(output, node, address, failures)
        if len(failures) == len(meeting.peers) and not meeting.listen:
            raise next(iter(failures.values()))
        for address, failure in failures.items():
            output.note("\n".join(lines_of(failure)))
            output.say_event("failed", address=str(address), **as_members(failure))
        yield node


async def _dial(output: Output, node: Node, address: Multiaddr, failures: dict[Multiaddr, CortexError]) -> None:
    try:
        async with output.waiting(f"connecting to {address}"):
            peer = await node.dial(address)
    except CortexError as error:
        failures[address] = error
        return
    node.manager.keep(peer, [address])
    output.say_event("connected", peer_id=str(peer), address=str(address))
