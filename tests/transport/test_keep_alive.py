"""TCP's own keep-alive: both ends of a connection have it, whichever muxer they will speak."""

import socket
import sys

import pytest

from cortexnet.transport.connection import Connection
from cortexnet.transport.keep_alive import IDLE, INTERVAL, QUESTIONS, keep_alive
from tests.support.pairs import network


def is_kept_alive(connection: Connection) -> bool:
    return bool(connection.link._io.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))


async def test_both_ends_of_a_connection_notice_when_the_other_is_gone() -> None:
    async with network(tcp=True) as net:
        ours, theirs = await net.connect(net.station(), net.station())
        assert is_kept_alive(ours)
        assert is_kept_alive(theirs)


@pytest.mark.skipif(sys.platform != "linux", reason="these options have other names elsewhere")
def test_a_dead_peer_is_noticed_within_a_minute() -> None:
    with socket.socket() as bound:
        keep_alive(bound)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [bound.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [IDLE, INTERVAL, QUESTIONS]
    assert IDLE + INTERVAL * QUESTIONS == 60


def test_a_socket_that_was_closed_meanwhile_is_left_alone() -> None:
    bound = socket.socket()
    bound.close()
    keep_alive(bound)
