"""Upgrades with something wrong in them, over whole stacks: socket, TLS, HTTP, WebSocket, secure channel, muxer. In virtual time.

In both roles: nobody is accepted for what was changed, no error reaches the loop, and nothing is left of any of them.
"""

import asyncio
import functools
import os
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Resources
from cortexnet.errors import CortexError
from cortexnet.identity.identity import Identity
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.security.channels import secure_channels
from cortexnet.testing.adversary import mutations
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_wire import LinkConditions
from cortexnet.transport.outer_tls import OuterTls, client_context, server_context
from cortexnet.transport.upgrade import Outcome, Upgrade, UpgradeConfig, Upgrader, dial_over
from cortexnet.transport.websocket_http import ClientHandshake, ServerHandshake
from cortexnet.transport.websocket_io import WebSocketIo
from cortexnet.transport.websocket_wire import WebSocketWire
from tests.support.pairs import settle
from tests.support.tls import what_counts
from tests.support.tls_hosts import NAME, websocket_config

COUNT = 240
"""Of each stack: more than 2,000 in all."""
YAMUX = "/yamux/1.0.0"
IDENTITIES = [Identity.generate() for _ in range(2)]
Change = Callable[[bytes], bytes]


def all_of_it(data: bytes) -> bytes:
    return data


def behind_lines(data: bytes) -> bytes:
    """The lines of multistream-select in front of TLS as they are, of its records what counts."""
    lines, begin, records = data.partition(b"\x16\3")
    return lines + what_counts(begin + records)


class Tampering:
    """Changes one of the writes of one side, and knows whether it still begins with all that `meaning` finds in it."""

    def __init__(self, number: int, random: Random, meaning: Change) -> None:
        self.is_changed = False
        self._meaning = meaning
        self._number = number
        self._random = random

    def __call__(self, data: bytes) -> bytes:
        self._number -= 1
        if self._number != -1:
            return data
        changed = next(mutations(data, self._random, 1))
        self.is_changed = not self._meaning(changed).startswith(self._meaning(data))
        return changed


def tampered(protocol: asyncio.BufferedProtocol, change: Change | None) -> asyncio.BufferedProtocol:
    """The same protocol, whose transport sends something else than it is given."""
    if change is not None:
        made = protocol.connection_made

        def connection_made(transport: asyncio.BaseTransport) -> None:
            write = transport.write
            transport.write = lambda data: write(change(bytes(data)))
            made(transport)

        protocol.connection_made = connection_made
    return protocol


def stacked(upgrade: Upgrade, over: str, *, is_dialer: bool, change: dict[str, Change]) -> asyncio.BufferedProtocol:
    """What stands on the link; `change` by layer: "link", and "payload" that goes into the WebSocket."""
    upper = tampered(upgrade, change.get("payload"))
    if over == "tcp":
        return upper
    context = client_context(websocket_config()) if is_dialer else server_context(websocket_config())
    tls = OuterTls(context, server_side=not is_dialer, server_name=NAME if is_dialer else None) if over == "wss" else None
    handshake = ClientHandshake(NAME, 443, is_secure=over == "wss", random=os.urandom) if is_dialer else ServerHandshake()
    wire = WebSocketWire(handshake, useless_frames=100, mask_key=functools.partial(os.urandom, 4) if is_dialer else None)
    return tampered(WebSocketIo(upper, wire, tls), change.get("link"))


class Meeting:
    """Two nodes' upgraders, and what becomes of one dial after the other."""

    def __init__(self, over: str, security: str) -> None:
        self.over = over
        conditions = LinkConditions(piece_size=lambda random: random.choice([1, 3, 40, 3_000]))
        self.network = MemoryNetwork(conditions=conditions)
        self.resources = [Resources(Limits()) for _ in IDENTITIES]
        self.upgraders = [
            Upgrader(
                secure_channels([security], identity.private_key, [YAMUX], now=lambda: datetime.now(UTC)),
                resources,
                UpgradeConfig(),
            )
            for identity, resources in zip(IDENTITIES, self.resources, strict=True)
        ]

    async def run(self, layer: str, change: Change, *, is_dialers: bool) -> list[Outcome]:
        """How both sides fared: who is changed goes first."""
        accepted: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        changes: list[dict[str, Change]] = [{}, {}]
        changes[not is_dialers][layer] = change
        server = await self.network.listen(
            0,
            lambda: stacked(
                Upgrade(self.upgraders[1], endpoints("inbound"), accepted.set_result),
                self.over,
                is_dialer=False,
                change=changes[1],
            ),
        )

        async def create(factory: Callable[[], Upgrade]) -> None:
            await self.network.connect(server.number, lambda: stacked(factory(), self.over, is_dialer=True, change=changes[0]))

        reservation = self.resources[0].admit_dial(None, None, has_socket=False)
        try:
            async with asyncio.timeout(15):
                dialed: Outcome = await dial_over(create, self.upgraders[0], endpoints("outbound"), reservation, None)
        except (CortexError, TimeoutError) as error:
            dialed = error
        server.close()
        outcomes = [dialed, await accepted]
        for outcome in outcomes:
            if isinstance(outcome, Connection):
                outcome.abort()
                await outcome.closed
        await settle()
        assert self.network.links == ()
        return outcomes if is_dialers else outcomes[::-1]


def endpoints(direction: str) -> Callable[[asyncio.Transport], Endpoints]:
    address = Multiaddr.parse("/memory/1")
    return lambda _: Endpoints(local=address, remote=address, direction=direction, transport="memory")


@pytest.mark.parametrize("security", ["noise", "tls"])
@pytest.mark.parametrize(
    ("over", "layer"), [("tcp", "payload"), ("ws", "payload"), ("ws", "link"), ("wss", "payload"), ("wss", "link")]
)
async def test_none_of_thousands_of_mutated_upgrades_is_accepted(over: str, layer: str, security: str) -> None:
    random = Random(f"{over} {layer} {security}")
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    tasks, meeting, changed = asyncio.all_tasks(), Meeting(over, security), 0
    writes = 2 if layer == "payload" else 4
    for number in range(COUNT):
        tampering = Tampering(random.randrange(writes), random, behind_lines if security == "tls" else all_of_it)
        is_dialers = number % 2 == 0
        liar, victim = await meeting.run(layer, tampering, is_dialers=is_dialers)
        changed += tampering.is_changed
        for outcome, identity in ((liar, IDENTITIES[is_dialers]), (victim, IDENTITIES[not is_dialers])):
            assert isinstance(outcome, Connection | CortexError | TimeoutError), outcome
            assert not isinstance(outcome, Connection) or outcome.peer_id == identity.peer_id
        if tampering.is_changed and layer == "payload":
            assert not isinstance(victim, Connection)
        assert [resources.snapshot() for resources in meeting.resources] == [Resources(Limits()).snapshot()] * 2
    assert changed > COUNT // 3
    assert problems == []
    assert asyncio.all_tasks() == tasks
