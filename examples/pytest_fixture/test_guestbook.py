"""A protocol of an application, tested over two whole nodes: handshakes, multiplexing and all."""

import asyncio

import pytest

from cortexnet import Node, PeerTimeout, Request
from cortexnet.testing.network import SimulatedNetwork

SIGN = "/guestbook/sign/1.0.0"


class Guestbook:
    """Remembers who was here."""

    def __init__(self) -> None:
        self.guests: list[tuple[str, str]] = []

    async def sign(self, request: Request) -> bytes:
        self.guests.append((str(request.peer_id), request.data.decode()))
        return str(len(self.guests)).encode()


async def test_a_guest_is_told_their_number(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    book = Guestbook()
    bob.respond(SIGN, book.sign)
    assert await alice.request(bob.peer_id, SIGN, b"Alice was here") == b"1"
    assert book.guests == [(str(alice.peer_id), "Alice was here")]


async def test_a_guest_who_hears_nothing_gives_up(pair: tuple[Node, Node], network: SimulatedNetwork) -> None:
    alice, bob = pair
    bob.respond(SIGN, Guestbook().sign)
    network.silence("bob", "alice")
    before = asyncio.get_running_loop().time()
    with pytest.raises(PeerTimeout):
        await alice.request(bob.peer_id, SIGN, b"anybody there?", timeout=5)
    assert asyncio.get_running_loop().time() - before == pytest.approx(5)  # of the loop's time; ours did not pass


async def test_a_guestbook_is_signed_by_whoever_comes_back(pair: tuple[Node, Node], network: SimulatedNetwork) -> None:
    alice, bob = pair
    book = Guestbook()
    bob.respond(SIGN, book.sign)
    network.cut("alice", "bob")
    await asyncio.sleep(3600)
    assert alice.peers == []
    await alice.dial(bob.addresses)
    assert await alice.request(bob.peer_id, SIGN, b"hello again") == b"1"
