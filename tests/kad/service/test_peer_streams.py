"""The streams on which a node asks peers: used again, one request at a time, and given up when they are of no use."""

import asyncio

import pytest

from cortexnet import (
    Config,
    DialFailed,
    EndOfStream,
    Identity,
    MessageTooLarge,
    NegotiationFailed,
    Node,
    PeerId,
    Stream,
    StreamReset,
)
from cortexnet.kad.config import KadConfig
from cortexnet.kad.service.peer_streams import FRAIL, STREAM_AGE, PeerStreams
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions
from cortexnet.transport.scope import Scope
from tests.support.cancel import How, points, run_until
from tests.support.kad_pair import PROTOCOL, pair

NOBODY = PeerId.parse("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")


class Server:
    """Repeats each request; what it does besides is set from outside."""

    def __init__(self) -> None:
        self.streams = 0
        self.requests: list[bytes] = []
        self.per_stream = 1_000
        self.answers = True
        self.silent = False
        self.at_once = self.most_at_once = 0

    async def serve(self, stream: Stream) -> None:
        self.streams += 1
        try:
            for _ in range(self.per_stream):
                request = await stream.read_message()
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                self.requests.append(request)
                if self.silent:
                    await asyncio.sleep(1_000)
                if self.answers:
                    await stream.write_message(request)
                self.at_once -= 1
        except EndOfStream:
            return
        await asyncio.sleep(0.5)
        stream.reset()


async def test_one_stream_serves_all_requests_to_a_peer() -> None:
    server = Server()
    async with pair(server.serve) as there:
        for number in range(5):
            answer, seconds = await there.streams.ask(there.alice.peer_id, b"%d" % number)
            assert answer == b"%d" % number
        assert (server.streams, seconds) == (1, pytest.approx(0.02))


async def test_requests_to_one_peer_wait_for_each_other() -> None:
    server = Server()
    async with pair(server.serve) as there:
        asked = [there.streams.ask(there.alice.peer_id, b"%d" % number) for number in range(8)]
        answers = await asyncio.gather(*asked)
        assert [answer for answer, _ in answers] == [b"%d" % number for number in range(8)]
    assert (server.streams, server.most_at_once) == (1, 1)


async def test_what_gets_no_answer_is_only_written() -> None:
    server = Server()
    server.answers = False
    async with pair(server.serve) as there:
        for number in range(5):
            await there.streams.tell(there.alice.peer_id, b"%d" % number)
        await asyncio.sleep(1)
        assert (server.streams, server.requests) == (1, [b"0", b"1", b"2", b"3", b"4"])


async def test_a_peer_that_does_not_speak_it_is_found_out_also_where_no_answer_is_due() -> None:
    async with pair(None) as there:
        for ask in (there.streams.ask, there.streams.tell):
            with pytest.raises(NegotiationFailed):
                await ask(there.alice.peer_id, b"")


async def test_a_stream_whose_connection_is_to_go_is_not_used_again() -> None:
    """Nodes dial each other nearly at once; the first connection, on which a request was made, is to be closed."""
    server = Server()
    network = SimulatedNetwork(conditions=LinkConditions(latency=0.1))
    small, large = sorted([Identity.generate(), Identity.generate()], key=lambda identity: bytes(identity.peer_id))

    def settings(name: str) -> Config:
        return Config(transports=["memory"], memory_network=network.host(name), kad=None)

    async with (
        Node(large, listen=["/memory/0"], config=settings("one")) as one,
        Node(small, listen=["/memory/0"], config=settings("other")) as other,
    ):
        other.handle(PROTOCOL, server.serve)
        streams = PeerStreams(one._run.host, PROTOCOL, config=KadConfig(), scope=Scope())

        async def dial_and_ask() -> None:
            await one.dial(other.addresses)
            for number in range(60):
                assert (await streams.ask(other.peer_id, b"%d" % number))[0] == b"%d" % number
                await asyncio.sleep(1)

        async def dial_back() -> None:
            await asyncio.sleep(0.3)
            await other.dial(one.addresses)
            await asyncio.sleep(2)
            assert len(one.connections) == 2

        await asyncio.gather(dial_and_ask(), dial_back())
        assert len(one.connections) == len(other.connections) == 1
        assert server.streams == 2
        await streams.close()


async def test_a_stream_that_broke_meanwhile_is_replaced() -> None:
    server = Server()
    server.per_stream = 1
    async with pair(server.serve) as there:
        for number in range(3):
            await there.streams.ask(there.alice.peer_id, b"%d" % number)
            await asyncio.sleep(1)
        assert server.requests == [b"0", b"1", b"2"]


async def test_a_stream_that_breaks_under_a_request_is_replaced_and_the_request_sent_again() -> None:
    server = Server()

    async def reset_second(stream: Stream) -> None:
        server.streams += 1
        await stream.write_message(await stream.read_message())
        await stream.read_message()
        stream.reset()

    async with pair(reset_second) as there:
        for _ in range(FRAIL + 1):
            assert (await there.streams.ask(there.alice.peer_id, b"x"))[0] == b"x"
        assert server.streams == FRAIL + 1
        await asyncio.sleep(1)
        assert [count for count in (len(c.streams) for c in there.bob.connections) if count] == []
        for _ in range(3):  # by now each request has a stream of its own
            await there.streams.ask(there.alice.peer_id, b"x")
        assert server.streams == FRAIL + 4


async def test_a_fresh_stream_that_breaks_is_the_peers_failure() -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read_message()
        stream.reset()

    async with pair(refuse) as there:
        with pytest.raises(StreamReset):
            await there.streams.ask(there.alice.peer_id, b"x")


async def test_an_answer_that_is_too_long_is_not_read() -> None:
    server = Server()
    async with pair(server.serve, KadConfig(answer_size=10)) as there:
        await there.streams.ask(there.alice.peer_id, b"x" * 10)
        with pytest.raises(MessageTooLarge):
            await there.streams.ask(there.alice.peer_id, b"x" * 11)
        await there.streams.ask(there.alice.peer_id, b"x" * 10)
        assert server.streams == 2


async def test_a_peer_without_address_is_a_failed_dial() -> None:
    async with pair(None) as there:
        with pytest.raises(DialFailed):
            await there.streams.ask(NOBODY, b"x")
        assert not there.streams._lines


async def test_a_stream_that_is_not_used_is_closed() -> None:
    server = Server()
    async with pair(server.serve) as there:
        await there.streams.ask(there.alice.peer_id, b"x")
        (connection,) = there.bob.connections
        await asyncio.sleep(STREAM_AGE - 1)
        assert len(connection.streams) == 1
        await there.streams.ask(there.alice.peer_id, b"x")
        await asyncio.sleep(STREAM_AGE - 1)
        assert len(connection.streams) == 1
        await asyncio.sleep(STREAM_AGE)
        assert connection.streams == []
        assert not there.streams._lines


async def test_a_lost_connection_is_dialed_again() -> None:
    server = Server()
    async with pair(server.serve) as there:
        await there.streams.ask(there.alice.peer_id, b"x")
        await there.bob.disconnect(there.alice.peer_id)
        assert not there.streams._lines
        assert (await there.streams.ask(there.alice.peer_id, b"y"))[0] == b"y"


async def test_no_more_requests_are_under_way_than_allowed() -> None:
    server = Server()
    server.silent = True
    async with pair(server.serve, KadConfig(requests=1)) as there:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await there.streams.ask(there.alice.peer_id, b"x")
        slow = asyncio.ensure_future(there.streams.ask(there.alice.peer_id, b"x"))
        await asyncio.sleep(1)
        other = asyncio.ensure_future(there.streams.ask(NOBODY, b"x"))
        await asyncio.sleep(1)
        assert not other.done()
        slow.cancel()
        with pytest.raises(DialFailed):
            await other


async def test_a_request_has_its_time_from_when_it_may_go_out() -> None:
    """Else all others would be blamed for a crowd that answers nothing, and leave the routing table."""
    server = Server()
    server.silent = True
    loop = asyncio.get_running_loop()
    async with pair(server.serve, KadConfig(requests=1)) as there:
        slow = asyncio.ensure_future(there.streams.ask(there.alice.peer_id, b"x", timeout=10))
        await asyncio.sleep(1)
        begin = loop.time()
        with pytest.raises(DialFailed):
            await there.streams.ask(NOBODY, b"x", timeout=5)
        assert loop.time() - begin == pytest.approx(9, abs=0.1)
        with pytest.raises(TimeoutError):
            await slow


async def test_time_in_which_a_peer_is_busy_with_another_request_counts() -> None:
    server = Server()
    server.silent = True
    loop = asyncio.get_running_loop()
    async with pair(server.serve) as there:
        begin = loop.time()
        asked = [there.streams.ask(there.alice.peer_id, b"%d" % number, timeout=5) for number in range(3)]
        assert [type(end) for end in await asyncio.gather(*asked, return_exceptions=True)] == [TimeoutError] * 3
        assert loop.time() - begin == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("how", ["early", "late", "moment"])
async def test_a_request_may_be_cancelled_anywhere(how: How) -> None:
    server = Server()
    async with pair(server.serve) as there:
        await there.streams.ask(there.alice.peer_id, b"x")
        for point in points(how):
            if point.number % 2:
                await there.bob.disconnect(there.alice.peer_id)
            is_reached = await run_until(point, there.streams.ask(there.alice.peer_id, b"x" * point.number))
            answer, _ = await there.streams.ask(there.alice.peer_id, b"y%d" % point.number)
            assert answer == b"y%d" % point.number
            if not is_reached:
                break


async def test_streams_of_a_node_that_is_closing_are_not_kept() -> None:
    server = Server()
    async with pair(server.serve) as there:
        asking = asyncio.ensure_future(there.streams.ask(there.alice.peer_id, b"x"))
        await asyncio.sleep(0.01)
        await there.streams.close()
        await asking
        assert [len(connection.streams) for connection in there.bob.connections] == [0]
        assert PROTOCOL in there.alice.protocols
