import asyncio
import errno
import os
import socket

import pytest

from cortexnet import ListenFailed, Node
from cortexnet.transport.sockets import bind


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_what_the_system_refuses_has_its_number(kind: socket.SocketKind) -> None:
    with bind(kind, "127.0.0.1", 0) as bound:
        assert not bound.getblocking()
        number = bound.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            bound.listen()
        with pytest.raises(OSError, match="in use") as taken:
            bind(kind, "127.0.0.1", number)
    assert taken.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match="assign") as missing:
        bind(kind, "192.0.2.1", 0)
    assert missing.value.errno == errno.EADDRNOTAVAIL


async def test_what_is_accepted_does_not_hold_small_writes_back() -> None:
    """Without TCP_NODELAY a thousand requests at once took five times as long."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer)

    bound = bind(socket.SOCK_STREAM, "127.0.0.1", 0)
    async with await asyncio.start_server(serve, sock=bound):
        _, ours = await asyncio.open_connection(*bound.getsockname())
        theirs = await accepted
        assert theirs.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        ours.close()
        theirs.close()


@pytest.mark.parametrize(("number", "advice"), [(errno.EAFNOSUPPORT, "is IPv6 off"), (errno.EMFILE, "ulimit")])
@pytest.mark.parametrize("address", ["/ip6/::1/tcp/0", "/ip6/::1/tcp/0/ws", "/ip6/::1/udp/0/quic-v1"])
async def test_why_there_is_no_socket_is_said_and_nothing_is_kept(
    address: str, number: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = socket.socket

    def refuse(family: int = -1, *arguments: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        return make(family, *arguments)

    monkeypatch.setattr("cortexnet.transport.sockets.socket.socket", refuse)
    node = Node(listen=[address])
    with pytest.raises(ListenFailed, match=advice) as caught:
        await node.__aenter__()
    assert caught.value.errno == number
    assert not any(node.counters.values())
