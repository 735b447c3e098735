"""The table of handlers, and streams by protocol over whatever connection there is."""

import pytest

from cortexnet.errors import LocalError, NegotiationFailed
from cortexnet.host.host import Host, Protocols
from cortexnet.identity.peer_id import PeerId
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from tests.support.pairs import Net, network, settle

WRONG_NAMES = ["", "echo", "/a\nb", "/half\ud800", "/" + "x" * 1023]


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


class Dialing:
    """A swarm that is connected already, and counts who asks."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dials = 0

    async def dial(self, peer: PeerId) -> Connection:
        assert peer == self.connection.peer_id
        self.dials += 1
        return self.connection


async def connected(net: Net, *protocols: str) -> tuple[Host, Dialing, PeerId]:
    """A host connected to a peer that speaks these protocols, and knows of none yet."""
    alice, bob = net.station(), net.station()
    for protocol in protocols:
        bob.handle(protocol, echo)
    connection, _ = await net.connect(alice, bob)
    swarm = Dialing(connection)
    host = Host(swarm, alice.peerstore)  # type: ignore[arg-type]
    return host, swarm, bob.peer_id


# --- the table


def test_protocols_are_listed_in_the_order_they_were_added() -> None:
    protocols, changes = Protocols(), []
    protocols.handle("/b", echo)
    protocols.on_change = lambda: changes.append(protocols.names())
    protocols.handle("/a", echo, extended=True)
    protocols.unhandle("/b")
    assert changes == [["/b", "/a"], ["/a"]]
    assert (protocols.supports("/a"), protocols.supports("/b")) == (True, False)
    assert protocols.handler("/a") == (echo, True)


@pytest.mark.parametrize("name", WRONG_NAMES, ids=len)
def test_a_name_that_no_peer_could_ask_for_is_refused(name: str) -> None:
    protocols = Protocols()
    with pytest.raises(LocalError, match="a protocol is named"):
        protocols.handle(name, echo)
    assert protocols.names() == []


def test_what_is_no_text_names_no_protocol() -> None:
    for name in (b"/a", echo, None):
        with pytest.raises(LocalError, match="a protocol is named by a text"):
            Protocols().handle(name, echo)  # type: ignore[arg-type]


def test_a_protocol_has_one_handler() -> None:
    protocols = Protocols()
    protocols.handle("/a", echo)
    with pytest.raises(LocalError, match="/a has a handler already"):
        protocols.handle("/a", echo)


def test_what_has_no_handler_can_not_be_unhandled() -> None:
    with pytest.raises(LocalError, match="/a has no handler"):
        Protocols().unhandle("/a")


# --- streams


async def test_a_stream_is_for_the_first_protocol_the_peer_speaks() -> None:
    async with network() as net:
        host, _, peer = await connected(net, "/2", "/3")
        async with await host.open_stream(peer, ["/1", "/2", "/3"]) as stream:
            assert stream.protocol == "/2"


async def test_what_identify_has_told_spares_the_question() -> None:
    async with network() as net:
        host, swarm, peer = await connected(net, "/2", "/3")
        net.stations[0].peerstore.set_protocols(peer, ["/3"])
        async with await host.open_stream(peer, ["/1", "/2", "/3"]) as stream:
            assert stream.protocol == "/3"
            assert stream.is_negotiating  # optimistic: nothing was waited for
        assert swarm.connection.stream_count == 0
        await settle()


async def test_a_protocol_that_the_peer_does_not_speak_fails() -> None:
    async with network() as net:
        host, _, peer = await connected(net)
        with pytest.raises(NegotiationFailed, match="/1"):
            await host.open_stream(peer, ["/1"], confirm=True)


@pytest.mark.parametrize("protocols", [[], ["/a"] * 65, *[["/a", name] for name in WRONG_NAMES]], ids=len)
async def test_nobody_is_dialed_for_names_that_are_none(protocols: list[str]) -> None:
    async with network() as net:
        host, swarm, peer = await connected(net)
        with pytest.raises(LocalError):
            await host.open_stream(peer, protocols)
        assert swarm.dials == 0
