"""What whoever judges peers hears of an exchange, however it ends, and that its place is free again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import ConnectionClosed, CortexError, DialFailed, LimitExceeded, PeerTimeout
from cortexnet.identity.peer_id import PeerId
from cortexnet.messaging.caller import Caller
from cortexnet.transport.stream import Stream
from tests.support.cancel import How, points, run_until
from tests.support.pairs import Net, Station, network, settle

ECHO = "/test/echo/1.0.0"


class Ear:
    """A judge that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, PeerId, str, object]] = []

    def answered(self, peer: PeerId, protocol: str, seconds: float) -> None:
        self.heard.append(("answered", peer, protocol, seconds))

    def failed(self, peer: PeerId, protocol: str, error: CortexError, seconds: float | None) -> None:
        self.heard.append(("failed", peer, protocol, (type(error), seconds)))

    def abandoned(self, peer: PeerId, protocol: str, seconds: float) -> None:
        self.heard.append(("abandoned", peer, protocol, seconds))


async def pair(net: Net, limits: Limits | None = None) -> tuple[Caller, Ear, Station]:
    """Who asks, who hears of it, and who is asked; one way takes a tenth of a second."""
    alice, bob, ear = net.station(), net.station(), Ear()

    async def echo(stream: Stream) -> None:
        async for chunk in stream:
            await stream.write(chunk)

    bob.handle(ECHO, echo)
    await net.connect(alice, bob)
    caller = Caller(alice.open_stream, limits or Limits(), ear)
    await caller.call(bob.peer_id, ECHO, ask, timeout=None, what="it")  # from now on that he speaks it is known
    ear.heard.clear()
    return caller, ear, bob


async def ask(stream: Stream) -> bytes:
    await stream.write(b"x")
    await stream.close_write()
    return await stream.read_all(limit=1)


def after(seconds: float) -> Callable[[Stream], Awaitable[bytes]]:
    async def exchange(stream: Stream) -> bytes:
        await asyncio.sleep(seconds)
        return b""

    return exchange


async def test_an_answer_and_what_it_took() -> None:
    async with network(latency=0.1) as net:
        caller, ear, bob = await pair(net)
        assert await caller.call(bob.peer_id, ECHO, ask, timeout=None, what="it") == b"x"
        ((kind, peer, protocol, seconds),) = ear.heard
        assert (kind, peer, protocol, seconds) == ("answered", bob.peer_id, ECHO, pytest.approx(0.2))
        assert caller.in_flight.count(bob.peer_id) == 0


async def test_an_answer_that_is_late_is_a_failure_and_no_more() -> None:
    async with network(latency=0.1) as net:
        caller, ear, bob = await pair(net)
        with pytest.raises(PeerTimeout, match="it took longer than"):
            await caller.call(bob.peer_id, ECHO, ask, timeout=0.15, what="it")
        assert ear.heard == [("failed", bob.peer_id, ECHO, (PeerTimeout, pytest.approx(0.15)))]
        await settle()
        assert (caller.in_flight.count(bob.peer_id), bob.open[0].stream_count) == (0, 0), "the other side knows"


async def test_a_lost_connection() -> None:
    async with network(latency=0.1) as net:
        caller, ear, bob = await pair(net)
        asking = asyncio.ensure_future(caller.call(bob.peer_id, ECHO, after(9), timeout=None, what="it"))
        await asyncio.sleep(0.5)
        asking.cancel()
        await asyncio.wait([asking])
        assert ear.heard == [("abandoned", bob.peer_id, ECHO, pytest.approx(0.5))], "nobody knows what would have come"

        async def closed(stream: Stream) -> bytes:
            raise ConnectionClosed

        ear.heard.clear()
        with pytest.raises(ConnectionClosed):
            await caller.call(bob.peer_id, ECHO, closed, timeout=None, what="it")
        assert ear.heard == [("failed", bob.peer_id, ECHO, (ConnectionClosed, 0.0))]


async def test_without_a_stream_there_is_no_time() -> None:
    ear = Ear()
    peer = PeerId.from_bytes(b"\x00\x01a")

    async def nobody(peer: PeerId, protocols: Sequence[str]) -> Stream:
        await asyncio.sleep(1)
        raise DialFailed("gone")

    caller = Caller(nobody, Limits(requests_per_peer=1, requests_waiting_per_peer=1), ear)
    calls = [asyncio.ensure_future(caller.call(peer, ECHO, ask, timeout=1.5, what="it")) for _ in range(3)]
    await asyncio.wait(calls)
    assert [type(call.exception()) for call in calls] == [DialFailed, PeerTimeout, LimitExceeded]
    assert [told for _, _, _, told in ear.heard] == [(LimitExceeded, None), (DialFailed, None), (PeerTimeout, None)]
    asking = asyncio.ensure_future(caller.call(peer, ECHO, ask, timeout=None, what="it"))
    await asyncio.sleep(0.5)
    asking.cancel()
    await asyncio.wait([asking])
    assert (len(ear.heard), caller.in_flight.count(peer)) == (3, 0)


async def test_nobody_need_judge() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        await net.connect(alice, bob)
        caller = Caller(alice.open_stream, alice.limits)
        assert await caller.call(bob.peer_id, ECHO, after(0), timeout=None, what="it") == b""
        with pytest.raises(PeerTimeout):
            await caller.call(bob.peer_id, ECHO, after(1), timeout=0.5, what="it")
        asking = asyncio.ensure_future(caller.call(bob.peer_id, ECHO, after(1), timeout=None, what="it"))
        await settle()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()


@pytest.mark.parametrize("how", ["early", "late", "moment"])
async def test_cancelled_anywhere_nothing_is_left(how: How) -> None:
    async with network(latency=0.1) as net:
        caller, _, bob = await pair(net, Limits(requests_per_peer=1))
        for point in points(how):
            reached = await run_until(point, caller.call(bob.peer_id, ECHO, ask, timeout=None, what="it"))
            await asyncio.sleep(1)
            assert (caller.in_flight.count(bob.peer_id), bob.open[0].stream_count) == (0, 0)
            if not reached:
                break
