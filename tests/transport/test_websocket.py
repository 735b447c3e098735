"""WebSockets over real sockets: addresses, names, one port for several things, and what hostile peers get."""

import asyncio
import gc
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from OpenSSL import SSL

from cortexnet import Config, Identity, Node
from cortexnet.admission.limits import Limits
from cortexnet.errors import ConfigInvalid, CortexError, DialFailed, HandshakeFailed, LocalError
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multistream import propose
from cortexnet.testing.handshakes import run_over
from cortexnet.testing.host_certificates import make_host_certificate
from cortexnet.transport.byte_link import ByteLink
from cortexnet.transport.tcp import TcpTransport, host_and_port
from cortexnet.transport.tcp_port import TcpPort, TcpPorts
from cortexnet.transport.upgrade import Upgrader
from cortexnet.transport.websocket import WebSocketTransport
from cortexnet.transport.websocket_config import WebSocketConfig
from cortexnet.transport.websocket_io import WebSocketIo
from tests.support.hosted import counts
from tests.support.pairs import Net, Station, network, settle
from tests.support.tls import ANNA, CHANNELS
from tests.support.tls_hosts import NAME, websocket_config

TCP, WS, WSS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0/tls/ws"
CLIENT_HELLO = run_over(CHANNELS[ANNA].initiate(None), []).sent
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def node(*listen: str, config: Config | None = None) -> Node:
    return Node(
        Identity.generate(), listen=listen, config=config or Config(transports=["tcp", "ws"], websocket=websocket_config())
    )


def port_of(address: Multiaddr | str) -> int:
    return int(Multiaddr.parse(str(address)).value_of("tcp") or 0)


async def dial(station: Station, address: str | Multiaddr):
    address = Multiaddr.parse(str(address))
    return await station.transport.dial(address, None, station.resources.admit_dial(None, "127.0.0.1"))


# --- addresses and names


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("/ip4/1.2.3.4/tcp/80/ws", True),
        ("/ip6/::1/tcp/443/wss", True),
        ("/ip4/1.2.3.4/tcp/443/tls/sni/node.example/ws", True),
        ("/ip4/1.2.3.4/tcp/80", False),
        ("/dns4/node.example/tcp/443/wss", False),
        ("/ip4/1.2.3.4/tcp/443/tls", False),
    ],
)
async def test_it_knows_its_addresses(address: str, is_one: bool) -> None:
    async with network(over="ws") as net:
        transport = net.station().transport
        assert transport.can_dial(Multiaddr.parse(address)) is is_one
        assert transport.can_listen(Multiaddr.parse(address)) is is_one
        if not is_one:
            with pytest.raises(LocalError, match="no address of a WebSocket"):
                await transport.listen(Multiaddr.parse(address), lambda connection: None)


async def test_addresses_with_tls_are_the_same_however_they_are_written() -> None:
    async with network(over="wss") as net:
        alice, bob = net.station(), net.station()
        listener = await bob.transport.listen(Multiaddr.parse("/ip4/127.0.0.1/tcp/0/wss"), bob.accepted.put_nowait)
        tcp = f"/ip4/127.0.0.1/tcp/{port_of(listener.address)}"
        assert str(listener.address) == f"{tcp}/tls/ws"
        for ending, shown in (("wss", "tls/ws"), ("tls/ws", "tls/ws"), (f"tls/sni/{NAME}/ws", f"tls/sni/{NAME}/ws")):
            ours = await dial(alice, f"{tcp}/{ending}")
            theirs = await bob.accepted.get()
            assert str(ours.remote_address) == f"{tcp}/{shown}"
            assert theirs.remote_address == ours.local_address
            assert (ours.transport, theirs.transport) == ("wss", "wss")
            alice.started(ours)
            bob.started(theirs)
        listener.close()


async def test_a_host_with_a_certificate_for_another_name_is_refused() -> None:
    async with network(over="wss") as net:
        alice, bob = net.station(), net.station()
        listener = await bob.transport.listen(net.place, bob.accepted.put_nowait)
        with pytest.raises(HandshakeFailed, match="elsewhere"):
            await dial(alice, f"/ip4/127.0.0.1/tcp/{port_of(listener.address)}/tls/sni/elsewhere.example/ws")
        listener.close()
        await settle(300)
        assert counts(alice) == counts(bob) == {}


async def test_a_plain_websocket_and_one_with_tls_do_not_take_each_other_for_one() -> None:
    for over, ending in (("ws", "tls/ws"), ("wss", "ws")):
        async with network(over=over) as net:
            alice, bob = net.station(), net.station()
            listener = await bob.transport.listen(net.place, bob.accepted.put_nowait)
            with pytest.raises(CortexError):
                await dial(alice, f"/ip4/127.0.0.1/tcp/{port_of(listener.address)}/{ending}")
            listener.close()
            await settle(300)
            assert counts(alice) == counts(bob) == {}


async def test_the_name_of_a_host_is_what_it_is_asked_by() -> None:
    """/dns…/tls/ws becomes an address with /sni, and so the certificate, SNI and the header Host are for the name."""
    async with node(WSS) as bob, node() as alice:
        port = port_of(bob.addresses[0])
        for ending in ("wss", "tls/ws"):
            peer = await alice.dial(f"/dns4/localhost/tcp/{port}/{ending}/p2p/{bob.peer_id}")
            assert peer == bob.peer_id
            assert str(alice.connections[0].remote_address) == f"/ip4/127.0.0.1/tcp/{port}/tls/sni/localhost/ws"
            await alice.connections[0].close()


async def test_who_needs_a_certificate_is_told_so_and_nothing_is_left() -> None:
    with pytest.raises(ConfigInvalid, match=r"websocket\.certificate"):
        async with node(WSS, config=Config(transports=["ws"])):
            pass
    async with node(WSS) as bob, node(config=Config(transports=["ws"], websocket=WebSocketConfig(trusted="/nowhere"))) as alice:
        before = alice.counters
        with pytest.raises(DialFailed, match="/nowhere can't be read"):
            await alice.dial(bob.addresses[0])
        assert alice.counters == before


async def test_a_node_with_files_for_its_certificate_is_reached(tmp_path: Path) -> None:
    config = Config(transports=["ws"], websocket=make_host_certificate(tmp_path))
    async with node(WSS, config=config) as bob, node(config=config) as alice:
        await alice.dial(bob.addresses[0])
        await alice.ping(bob.peer_id)
        assert [address for address in bob.addresses if "/tls/ws/p2p/" in str(address)]


# --- one port


@asynccontextmanager
async def shared(net: Net) -> AsyncIterator[tuple[Station, int]]:
    """Bob, who serves TCP, /ws and /wss on one port."""
    bob = net.station()
    upgrader = bob.transport._upgrader
    ports = TcpPorts(upgrader)
    tcp, ws = TcpTransport(upgrader, ports), WebSocketTransport(upgrader, websocket_config(), ports)
    first = await tcp.listen(Multiaddr.parse(TCP), bob.accepted.put_nowait)
    port = port_of(first.address)
    others = [
        await ws.listen(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/{ending}"), bob.accepted.put_nowait)
        for ending in ("ws", "wss")
    ]
    yield bob, port
    for listener in (first, *others):
        listener.close()
        listener.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@asynccontextmanager
async def shared_by(station: Station, upgrader: Upgrader) -> AsyncIterator[TcpPort]:
    """A port that serves TCP and /ws."""
    ports = TcpPorts(upgrader)
    tcp, ws = TcpTransport(upgrader, ports), WebSocketTransport(upgrader, websocket_config(), ports)
    first = await tcp.listen(Multiaddr.parse(TCP), station.accepted.put_nowait)
    second = await ws.listen(Multiaddr.parse(f"{first.address}/ws"), station.accepted.put_nowait)
    yield ports._ports[0]
    first.close()
    second.close()


async def test_one_port_serves_raw_tcp_and_websockets_with_tls_and_without() -> None:
    async with network(over="ws") as net, shared(net) as (bob, port):
        alice = net.station()
        raw = TcpTransport(alice.transport._upgrader)
        for transport, ending, name in ((raw, "", "tcp"), (alice.transport, "/ws", "ws"), (alice.transport, "/wss", "wss")):
            address = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}{ending}")
            ours = await transport.dial(address, bob.peer_id, alice.resources.admit_dial(None, "127.0.0.1"))
            theirs = await bob.accepted.get()
            assert (ours.transport, theirs.transport) == (name, name)
            assert theirs.remote_address == ours.local_address
            alice.started(ours)
            bob.started(theirs)


async def test_a_port_is_given_up_when_the_last_thing_on_it_is() -> None:
    async with network(over="ws") as net:
        bob = net.station()
        upgrader = bob.transport._upgrader
        ports = TcpPorts(upgrader)
        tcp, ws = TcpTransport(upgrader, ports), WebSocketTransport(upgrader, websocket_config(), ports)
        first = await tcp.listen(Multiaddr.parse(TCP), bob.accepted.put_nowait)
        port = port_of(first.address)
        second = await ws.listen(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/ws"), bob.accepted.put_nowait)
        with pytest.raises(OSError, match="address already in use"):
            await ws.listen(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/ws"), bob.accepted.put_nowait)
        assert counts(bob)["file_descriptors"] == 1
        first.close()
        ours = await dial(net.station(), f"/ip4/127.0.0.1/tcp/{port}/ws")
        net.stations[-1].started(ours)
        bob.started(await bob.accepted.get())
        second.close()
        again = await tcp.listen(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}"), bob.accepted.put_nowait)
        again.close()


@pytest.mark.parametrize("begin", [b"SSH", b"\x00\x00\x00", b"\x16\x03\x09"])
async def test_what_nobody_here_speaks_is_closed_at_once(begin: bytes) -> None:
    async with network(over="ws") as net, shared(net) as (bob, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in begin:
            writer.write(bytes([byte]))
            await settle()
        assert await reader.read() == b""
        writer.close()
        await settle(100)
        assert "unauthenticated" not in counts(bob)


async def test_a_socket_that_was_accepted_in_the_turn_in_which_its_port_was_closed_is_closed_too() -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    async with network(over="ws") as net:
        bob = net.station()
        upgrader = bob.transport._upgrader
        upgrader.gater.deny("192.0.2.0/24", "asked about each socket then")
        async with shared_by(bob, upgrader) as port:
            protocol = port._protocol()
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, theirs)
            await settle()
            assert ours.recv(1_000) == b""
        assert counts(bob) == {}
    assert problems == []


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_who_leaves_a_shared_port_in_the_middle_of_a_handshake_leaves_nothing_for_the_collector() -> None:
    """An engine of TLS has 40 KiB that Python knows nothing of."""
    engines = SSL.Connection._reverse_mapping
    async with network(over="ws", security="tls") as net, shared(net) as (bob, port):
        with no_collector():
            before = len(engines)
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(propose("/tls/1.0.0") + CLIENT_HELLO)
                while len(engines) == before:
                    await settle(1)
                writer.transport.abort()
                await settle()
                assert "unauthenticated" not in counts(bob)
                assert len(engines) == before


@pytest.mark.parametrize("over", ["tcp", "ws", "wss"])
async def test_a_connection_that_is_over_holds_no_keys_until_the_collector_comes(over: str) -> None:
    async with network(over=over, security="tls") as net:
        ends = await net.connect(net.station(), net.station())
        held = []
        for end in ends:
            assert isinstance(end.link, ByteLink)
            held.append(weakref.ref(end.link._session))
            if isinstance(end.link._io, WebSocketIo) and end.link._io._tls is not None:
                held.append(weakref.ref(end.link._io._tls))
        assert len(held) == (4 if over == "wss" else 2)
        with no_collector():
            ends[0].abort()
            await asyncio.gather(*(end.closed for end in ends))
            await settle()
            assert [ref() for ref in held] == [None] * len(held)


async def test_first_bytes_may_come_one_by_one() -> None:
    async with network(over="ws") as net, shared(net) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in REQUEST:
            writer.write(bytes([byte]))
            await settle(3)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()
        await settle(100)


async def test_a_node_listens_for_all_on_one_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tcp = f"/ip4/127.0.0.1/tcp/{port}"
    async with node(tcp, f"{tcp}/ws", f"{tcp}/wss") as bob:
        assert [str(address).partition("/p2p")[0] for address in bob.addresses] == [tcp, f"{tcp}/ws", f"{tcp}/tls/ws"]
        for address in bob.addresses:
            async with node() as alice:  # who knows a better way already would take that
                await alice.dial(address)
                assert str(alice.connections[0].remote_address) == str(address).partition("/p2p")[0]


async def test_the_gate_of_a_node_also_holds_on_a_shared_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tcp = f"/ip4/127.0.0.1/tcp/{port}"
    async with node(f"{tcp}/ws", tcp) as bob:
        bob.gater.deny("192.0.2.0/24", "a rule, so that the gate is asked")
        async with node() as alice:
            await alice.dial(bob.addresses[0])
        bob.gater.deny("127.0.0.0/8", "nobody from here")
        for address in bob.addresses:
            async with node() as alice:
                with pytest.raises(DialFailed):
                    await alice.dial(address)


# --- hostile peers


@asynccontextmanager
async def listening(over: str, limits: Limits | None = None) -> AsyncIterator[tuple[Station, int]]:
    async with network(over=over) as net:
        bob = net.station(limits)
        listener = await bob.transport.listen(net.place, bob.accepted.put_nowait)
        yield bob, host_and_port(Multiaddr.parse(str(listener.address).removesuffix("/ws").removesuffix("/tls")))[1]
        listener.close()
        await settle(300)
        assert counts(bob) == {}
        assert bob.accepted.empty()


async def answer_to(port: int, data: bytes) -> bytes:
    """All that a listener says to somebody who sends this and waits for its goodbye."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = b""
    try:
        while chunk := await reader.read(65_536):
            answer += chunk
    except ConnectionResetError:
        pass
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 426 "),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 17_000, b"HTTP/1.1 431 "),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 65 + b"\r\n", b"HTTP/1.1 431 "),
        (b"\x13/multistream/1.0.0\n", b""),
        (b"\xff" * 40_000, b""),
    ],
)
async def test_requests_that_are_none_are_answered_shortly_and_closed(request_: bytes, answer: bytes) -> None:
    async with listening("ws") as (_, port):
        assert (await answer_to(port, request_))[: len(answer)] == answer


BROKEN = {
    "an unmasked frame": (b"\x82\x03abc", 1002),
    "a reserved bit": (b"\xc2\x83maskabc", 1002),
    "a fragment of nothing": (b"\x80\x83maskabc", 1002),
    "half a close code": (b"\x88\x81maska", 1002),
    "a goodbye with an error": (b"\x88\x82mask" + bytes(a ^ b for a, b in zip(b"\x03\xf3", b"ma", strict=True)), 1000),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_frame_ends_the_connection_with_a_reason(name: str) -> None:
    data, code = BROKEN[name]
    async with listening("ws") as (_, port):
        assert (await answer_to(port, REQUEST + data)).endswith(b"\x88\x02" + code.to_bytes(2, "big"))


async def test_a_goodbye_in_the_middle_of_the_handshake_is_answered() -> None:
    async with listening("ws") as (_, port):
        assert (
            await answer_to(port, REQUEST + b"\x88\x82mask" + bytes(a ^ b for a, b in zip(b"\x03\xe8", b"ma", strict=True)))
        ).endswith(b"\x88\x02\x03\xe8")


async def test_garbage_in_frames_is_a_failed_handshake() -> None:
    async with listening("ws") as (_, port):
        assert (await answer_to(port, REQUEST + b"\x82\xff" + bytes(4) + b"mask" + b"\x00" * 100)).startswith(b"HTTP/1.1 101 ")


async def test_a_frame_of_any_length_takes_no_memory_and_no_more_than_its_time() -> None:
    async with listening("ws", Limits(upgrade_timeout=0.2)) as (_, port):
        huge = b"\x82\xff" + (1 << 62).to_bytes(8, "big") + b"mask"
        assert (await answer_to(port, REQUEST + huge)).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("over", ["ws", "wss"])
async def test_a_slow_head_is_cut_off_after_the_time_for_everything(over: str) -> None:
    """One byte after the other never extends a deadline."""
    async with listening(over, Limits(upgrade_timeout=0.3)) as (bob, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        end = asyncio.ensure_future(reader.read())
        writer.write(b"GET / HTTP/1.1\r\n" if over == "ws" else b"\x16\x03\x01\x3f\x00\x01")
        while not end.done():
            writer.write(b"a")
            await asyncio.wait([end], timeout=0.01)
        end.exception()
        writer.close()
        assert "unauthenticated" not in counts(bob)


@pytest.mark.parametrize("over", ["ws", "wss"])
async def test_three_hundred_silent_sockets_leave_room_for_honest_peers(over: str) -> None:
    limits = Limits(limit_loopback=True, connect_burst_per_address=400, unauthenticated_per_address=8)
    async with listening(over, limits) as (bob, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        await settle(300)
        assert counts(bob)["unauthenticated"] <= 8
        async with network(over=over) as net:
            alice = net.station()
            ours = await dial(alice, f"/ip4/127.0.0.1/tcp/{port}/{'ws' if over == 'ws' else 'tls/ws'}")
            alice.started(ours)
            bob.started(await bob.accepted.get())
        for _, writer in silent:
            writer.close()
        await settle(300)


async def test_a_flood_of_pings_ends_the_connection_and_its_answers_do_not_pile_up() -> None:
    async with listening("ws", Limits(useless_frames=100)) as (_, port):
        answer = await answer_to(port, REQUEST + b"\x89\x80mask" * 101)
        assert answer.count(b"\x8a\x00") <= 1
        assert b"\x88\x02\x03\xea" in answer


async def test_a_server_that_masks_is_refused() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer_of_a_server(request) + b"\x82\x83maskabc")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with network(over="ws") as net:
        alice = net.station()
        with pytest.raises(CortexError, match="masked, as a server's must not be"):
            await dial(alice, f"/ip4/127.0.0.1/tcp/{server.sockets[0].getsockname()[1]}/ws")
        await settle()
        assert counts(alice) == {}
    server.close()
    await settle()


def answer_of_a_server(request: bytes) -> bytes:
    from websockets.server import ServerProtocol

    server = ServerProtocol()
    server.receive_data(request)
    return server.accept(server.events_received()[0]).serialize()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"", b"\x13/multistream/1.0.0\n", b"H" * 20_000]
)
async def test_a_host_that_serves_no_websocket_is_a_typed_error(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with network(over="ws") as net:
        alice = net.station()
        with pytest.raises(CortexError):
            await dial(alice, f"/ip4/127.0.0.1/tcp/{server.sockets[0].getsockname()[1]}/ws")
        await settle()
        assert counts(alice) == {}
    server.close()
    await settle()


async def test_a_context_without_alpn_is_no_obstacle() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    config = Config(transports=["ws"], websocket=WebSocketConfig(client_context=context))
    async with node(WSS) as bob, node(config=config) as alice:
        await alice.dial(bob.addresses[0])
