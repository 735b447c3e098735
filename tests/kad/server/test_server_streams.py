"""The streams on which peers ask: any number of requests on each, within limits, and no answer to what gets none."""

import asyncio

import pytest

from cortexnet import Config, EndOfStream, Limits, Node, PeerId, ProtocolViolation, Stream, StreamCode, StreamReset
from cortexnet.errors import InvalidRecord
from cortexnet.kad.config import KadConfig
from cortexnet.kad.server.server_streams import ServerStreams
from cortexnet.testing.loop import VirtualTimeLoop
from tests.support.kad_pair import PROTOCOL, Pair, pair


class Answers:
    """Repeats what it is asked; `-` gets no answer, `!` is no request."""

    def __init__(self, config: KadConfig | None = None, limits: Limits | None = None) -> None:
        self.asked: list[bytes] = []
        self.streams = ServerStreams(self.answer, config=config or KadConfig(), limits=limits or Limits())

    def answer(self, peer: PeerId, request: bytes) -> bytes | None:
        self.asked.append(request)
        if request == b"!":
            raise ProtocolViolation("no request")
        return None if request == b"-" else request

    async def serve(self, stream: Stream) -> None:
        await self.streams.serve(stream)


async def opened(there: Pair) -> Stream:
    (connection,) = there.bob.connections
    return await connection.open_stream([PROTOCOL])


async def flood(stream: Stream) -> None:
    """Ask, and take no answer, for ever."""
    while True:
        await stream.write_message(b"x" * 100_000)


async def test_many_requests_on_one_stream_are_answered_in_their_order() -> None:
    answers = Answers()
    async with pair(answers.serve) as there, await opened(there) as stream:
        for number in range(1_000):
            await stream.write_message(b"-" if number % 3 == 0 else b"%d" % number)
        got = [await stream.read_message() for _ in range(666)]
        assert got == [b"%d" % number for number in range(1_000) if number % 3]
        assert len(answers.asked) == 1_000


async def test_the_peers_end_is_an_end() -> None:
    answers = Answers()
    async with pair(answers.serve) as there, await opened(there) as stream:
        await stream.write_message(b"x")
        await stream.close_write()
        assert await stream.read_message() == b"x"
        with pytest.raises(EndOfStream):
            await stream.read_message()
        assert not answers.streams._streams


@pytest.mark.parametrize("data", [b"\x05ab", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80\x80\x40", b"\x01!"])
async def test_what_is_no_request_resets_the_stream_alone(data: bytes) -> None:
    answers = Answers()
    async with pair(answers.serve) as there:
        stream = await opened(there)
        await stream.write(data)
        await stream.close_write()
        with pytest.raises(StreamReset) as caught:
            await stream.read_message()
        assert caught.value.code == StreamCode.PROTOCOL_VIOLATION
        async with await opened(there) as other:
            await other.write_message(b"x")
            assert await other.read_message() == b"x"


async def test_a_request_of_the_limit_is_taken_and_a_longer_one_not_read() -> None:
    answers = Answers(KadConfig(request_size=10))
    async with pair(answers.serve) as there:
        stream = await opened(there)
        await stream.write_message(b"x" * 10)
        assert await stream.read_message() == b"x" * 10
        await stream.write_message(b"x" * 11)
        with pytest.raises(StreamReset):
            await stream.read_message()


async def test_a_silent_stream_is_ended_and_one_that_asks_lives_on() -> None:
    answers = Answers(KadConfig(stream_idle=60))
    async with pair(answers.serve) as there:
        stream = await opened(there)
        for _ in range(5):
            await stream.write_message(b"x")
            await stream.read_message()
            await asyncio.sleep(50)
        await asyncio.sleep(20)
        with pytest.raises(EndOfStream):
            await stream.read_message()
        await stream.close()
        assert not answers.streams._streams


async def test_a_peer_that_never_finishes_its_request_is_ended_too() -> None:
    answers = Answers()
    async with pair(answers.serve) as there:
        stream = await opened(there)
        await stream.write(b"\x64")
        for _ in range(59):
            await stream.write(b"x")
            await asyncio.sleep(1)
        await asyncio.sleep(5)
        assert not answers.streams._streams
        stream.reset()


async def test_a_peer_that_does_not_take_its_answers_is_ended() -> None:
    answers = Answers()
    async with pair(answers.serve) as there:
        stream = await opened(there)
        with pytest.raises(StreamReset):
            await flood(stream)
        stream.reset()
        assert len(answers.asked) < 20
        assert not answers.streams._streams


async def test_one_stream_too_many_supplants_the_one_that_is_silent_longest() -> None:
    answers = Answers(KadConfig(streams_per_connection=3))
    async with pair(answers.serve) as there:
        streams = [await opened(there) for _ in range(3)]
        for stream in (streams[1], streams[0], streams[2], streams[1]):
            await stream.write_message(b"x")
            await stream.read_message()
        streams.append(await opened(there))
        await streams[3].write_message(b"y")
        assert await streams[3].read_message() == b"y"
        with pytest.raises(StreamReset) as caught:
            await streams[0].read_message()
        assert caught.value.code == StreamCode.SUPPLANTED
        for stream in streams[1:]:
            await stream.write_message(b"z")
            assert await stream.read_message() == b"z"
            await stream.close()


async def test_where_all_are_busy_the_new_one_is_refused() -> None:
    answers = Answers(KadConfig(streams_per_connection=1))
    async with pair(answers.serve) as there:
        busy = await opened(there)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(busy), 5)  # by then the node can't get rid of its answers
        other = await opened(there)
        with pytest.raises(StreamReset) as caught:
            await other.read_message()
        assert caught.value.code == StreamCode.LIMIT_EXCEEDED
        busy.reset()


async def test_a_stranger_may_open_sixteen_streams_at_once() -> None:
    answers = Answers()
    async with pair(answers.serve) as there:
        streams = [await opened(there) for _ in range(16)]
        for stream in streams:
            await stream.write_message(b"x")
        assert [await stream.read_message() for stream in streams] == [b"x"] * 16
        for stream in streams:
            await stream.close()


async def test_who_asks_once_waits_for_no_more_than_one_dear_answer_of_who_asks_on_sixteen_streams() -> None:
    asked: list[bytes] = []
    is_busy = asyncio.Event()

    def answer(peer: PeerId, request: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop._now += 0.02  # as to check dear signatures
        asked.append(request)
        if len(asked) == 32:
            is_busy.set()
        return request

    served = ServerStreams(answer, config=KadConfig(request_rate=1_000_000), limits=Limits())
    async with pair(served.serve) as there:
        settings = Config(transports=["memory"], memory_network=there.network.host("carol"), kad=None)
        async with Node(config=settings) as carol:
            await carol.dial(there.alice.addresses)
            greedy = [await opened(there) for _ in range(16)]
            async with carol.stream(there.alice.peer_id, PROTOCOL) as single:
                for stream in greedy * 20:
                    await stream.write_message(b"again")
                await is_busy.wait()
                before = len(asked)
                await single.write_message(b"once")
                await single.read_message()
                assert asked.index(b"once") - before <= 4, "those that were answered while it was on its way, and one"
            for stream in greedy:
                stream.reset()


async def test_a_peer_that_asks_too_often_is_read_more_slowly() -> None:
    answers = Answers(KadConfig(request_rate=100))
    async with pair(answers.serve) as there, await opened(there) as stream:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for _ in range(300):
            await stream.write_message(b"x")
        for _ in range(300):
            await stream.read_message()
        assert 1.9 < loop.time() - begin < 2.5  # a hundred at once, then a hundred a second


async def test_who_stops_to_be_a_server_ends_all_streams() -> None:
    answers = Answers()
    async with pair(answers.serve) as there:
        stream = await opened(there)
        await stream.write_message(b"x")
        await stream.read_message()
        answers.streams.reset()
        with pytest.raises(StreamReset):
            await stream.read_message()
        await asyncio.sleep(1)
        assert not answers.streams._streams


async def test_a_record_that_is_refused_resets_the_stream() -> None:
    def refuse(peer: PeerId, request: bytes) -> bytes | None:
        raise InvalidRecord("expired")

    async with pair(ServerStreams(refuse, config=KadConfig(), limits=Limits()).serve) as there:
        stream = await opened(there)
        await stream.write_message(b"x")
        with pytest.raises(StreamReset):
            await stream.read_message()


async def test_a_bug_in_what_answers_is_told_as_it_is() -> None:
    """A TimeoutError that is not ours is no end of a silent stream."""

    def fail(peer: PeerId, request: bytes) -> bytes | None:
        raise TimeoutError

    streams = ServerStreams(fail, config=KadConfig(), limits=Limits())
    raised: list[BaseException] = []

    async def serve(stream: Stream) -> None:
        try:
            await streams.serve(stream)
        except TimeoutError as error:
            raised.append(error)

    async with pair(serve) as there, await opened(there) as stream:
        await stream.write_message(b"x")
        with pytest.raises(EndOfStream):
            await stream.read_message()
        assert len(raised) == 1
