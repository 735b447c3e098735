"""The conditions and faults of memory links: time, bandwidth, pieces, capacity, silence, cuts; all in virtual time."""

import asyncio
import contextvars
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError
from cortexnet.testing.loop import run
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_link import LinkTransport, MemoryLink
from cortexnet.transport.memory_wire import LinkConditions
from tests.transport.recorder import Recorder


class Setup:
    """A dialer and a listener on a link of the given conditions; the clock is at what the dial took."""

    def __init__(self, conditions: LinkConditions | None = None, *, seed: int = 0, buffer_size: int = 65_536) -> None:
        self.network = MemoryNetwork(conditions=conditions, random=Random(seed))
        self.a, self.b = Recorder(), Recorder(buffer_size=buffer_size)

    async def connect(self) -> MemoryLink:
        server = await self.network.listen(7, lambda: self.b)
        await self.network.connect(7, lambda: self.a)
        server.close()
        (link,) = self.network.links
        return link


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let everything happen that takes no time."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "bad",
    [
        {"latency": -0.1},
        {"latency": math.nan},
        {"latency": math.inf},
        {"bandwidth": 0},
        {"bandwidth": math.nan},
        {"capacity": 0},
    ],
    ids=str,
)
def test_conditions_that_no_link_can_have_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(LocalError):
        LinkConditions(**bad)  # type: ignore[arg-type]


def test_latency_is_the_time_from_write_to_arrival_and_a_dial_takes_two() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=0.05))
        await setup.connect()
        assert now() == 0.1
        setup.a.transport.write(b"x")
        await setup.b.until_bytes(1)
        assert now() == pytest.approx(0.15)
        setup.b.transport.write(b"y")
        setup.b.transport.close()
        await setup.a.until("eof")
        assert setup.a.data == b"y"
        assert now() == pytest.approx(0.2)

    run(main())


def test_drawn_latency_never_reorders_and_is_never_negative() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=lambda random: random.uniform(-0.5, 1)))
        await setup.connect()
        start = now()
        for value in range(100):
            setup.a.transport.write(bytes([value]))
        await setup.b.until_bytes(100)
        assert setup.b.data == bytes(range(100))
        assert start < now() <= start + 1

    run(main())


def test_bandwidth_spreads_bytes_over_time() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(bandwidth=100_000, latency=1, capacity=10**6))
        await setup.connect()
        start = now()
        setup.a.transport.write(bytes(100_000))
        await setup.b.until_bytes(1)
        assert now() - start == pytest.approx(1 + 1_460 / 100_000)
        await setup.b.until_bytes(50_000)
        assert now() - start == pytest.approx(1.5, abs=0.02)
        await setup.b.until_bytes(100_000)
        assert now() - start == pytest.approx(2)

    run(main())


def test_a_large_bandwidth_moves_larger_slices() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(bandwidth=10**8))
        await setup.connect()
        setup.a.transport.write(bytes(40_000))
        await setup.b.until_bytes(40_000)
        assert setup.b.reads == [16_384, 16_384, 7_232]

    run(main())


def test_pieces_are_read_one_by_one_in_the_drawn_sizes() -> None:
    async def main() -> None:
        sizes = iter([3, 0, 5, 100])  # 0 counts as 1
        setup = Setup(LinkConditions(piece_size=lambda random: next(sizes)))
        await setup.connect()
        setup.a.transport.write(bytes(20))
        await setup.b.until_bytes(20)
        assert setup.b.reads == [3, 1, 5, 11]

    run(main())


def test_without_pieces_what_has_arrived_is_joined() -> None:
    async def main() -> None:
        setup = Setup(buffer_size=10)
        await setup.connect()
        for _ in range(6):
            setup.a.transport.write(bytes(4))
        await setup.b.until_bytes(24)
        assert setup.b.reads == [10, 10, 4]

    run(main())


@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=2_000), st.integers(1, 300), st.integers(1, 300))
def test_any_conditions_deliver_the_same_bytes_in_order(seed: int, data: bytes, capacity: int, buffer_size: int) -> None:
    async def main() -> list[int]:
        conditions = LinkConditions(
            latency=lambda random: random.expovariate(10),
            bandwidth=Random(seed).choice([None, 1_000, 1e6]),
            piece_size=lambda random: random.randint(1, 50),
            capacity=capacity,
        )
        setup = Setup(conditions, seed=seed, buffer_size=buffer_size)
        await setup.connect()
        position, random = 0, Random(seed)
        while position < len(data):
            size = random.randint(1, 500)
            setup.a.transport.write(data[position : position + size])
            position += size
        setup.a.transport.close()
        await setup.b.until("eof")
        assert setup.b.data == data
        setup.b.transport.close()
        await setup.b.until("lost")
        assert setup.network.links == ()
        return setup.b.reads

    assert run(main()) == run(main())


def test_bytes_under_way_never_exceed_the_capacity() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=1, capacity=1_000))
        await setup.connect()
        setup.a.transport.write(bytes(2_500))
        assert setup.a.transport.get_write_buffer_size() == 1_500
        arrivals = []
        setup.b.on_read = lambda: arrivals.append((now(), len(setup.b.data)))
        await setup.b.until_bytes(2_500)
        assert arrivals == [(3, 1_000), (4, 2_000), (5, 2_500)]

    run(main())


def test_conditions_can_change_for_what_is_written_later() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=1))
        link = await setup.connect()
        setup.a.transport.write(b"slow")
        link.forward.conditions = LinkConditions()
        setup.a.transport.write(b"fast, but behind it")
        setup.b.transport.write(b"the other way")
        await setup.b.until_bytes(23)
        assert (now(), link.forward.bytes_read) == (3, 23)
        await setup.a.until_bytes(13)
        assert now() == 3
        setup.a.transport.write(b"fast")
        await setup.b.until_bytes(27)
        assert now() == 3

    run(main())


def test_less_capacity_than_is_under_way_stops_the_writer() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=1))
        link = await setup.connect()
        setup.a.transport.write(bytes(1_000))
        link.forward.conditions = LinkConditions(capacity=10)
        setup.a.transport.write(bytes(5))
        assert setup.a.transport.get_write_buffer_size() == 5
        await setup.b.until_bytes(1_005)

    run(main())


def test_the_network_may_half_close_and_what_is_written_later_vanishes() -> None:
    async def main() -> None:
        setup = Setup()
        link = await setup.connect()
        setup.a.transport.write(b"before")
        link.forward.end()
        link.forward.end()
        setup.a.transport.write(b"after")
        await setup.b.until("eof")
        setup.b.transport.write(b"the other direction lives")
        await setup.a.until_bytes(25)
        assert setup.b.data == b"before"
        assert setup.a.transport.get_write_buffer_size() == 0

    run(main())


def test_a_cut_resets_both_ends_at_once_and_loses_what_is_under_way() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=1))
        link = await setup.connect()
        setup.a.transport.write(b"lost")
        setup.b.transport.pause_reading()
        link.cut()
        link.cut()
        assert setup.network.links == ()
        await setup.a.until("lost")
        await setup.b.until("lost")
        assert setup.a.events == setup.b.events == ["made", "lost ConnectionResetError"]
        setup.a.transport.write(b"ignored")
        await asyncio.sleep(10)
        assert setup.b.data == b""

    run(main())


def test_a_cut_can_bring_an_error_of_choice() -> None:
    async def main() -> None:
        setup = Setup()
        link = await setup.connect()
        link.cut(TimeoutError("no route"))
        await setup.a.until("lost TimeoutError")

    run(main())


def test_silence_tells_nobody_and_stops_the_writer_when_the_link_is_full() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(capacity=1_000))
        link = await setup.connect()
        setup.a.transport.write(b"under way")
        link.silence()
        setup.a.transport.write(bytes(100_000))
        setup.b.transport.write(b"nor this way")
        await asyncio.sleep(3600)
        assert setup.a.events == ["made", "pause"]
        assert setup.b.events == ["made"]
        assert setup.a.transport.get_write_buffer_size() == 99_009
        assert setup.a.data == setup.b.data == b""

    run(main())


def test_after_healing_everything_arrives_in_order() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=0.1))
        link = await setup.connect()
        setup.a.transport.write(b"one ")
        link.silence()
        setup.a.transport.write(b"two")
        setup.a.transport.close()
        await asyncio.sleep(60)
        link.heal()
        await setup.b.until("eof")
        assert setup.b.data == b"one two"
        assert now() == pytest.approx(60.2)

    run(main())


def test_one_direction_can_be_silent_alone() -> None:
    async def main() -> None:
        setup = Setup()
        link = await setup.connect()
        link.backward.silence()
        setup.a.transport.write(b"heard")
        setup.b.transport.write(b"not heard")
        await setup.b.until_bytes(5)
        await settle()
        assert setup.a.data == b""

    run(main())


def test_a_reset_is_held_back_by_silence_and_comes_with_the_healing() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=0.1))
        link = await setup.connect()
        setup.b.transport.pause_reading()
        setup.a.transport.write(b"unread")
        await asyncio.sleep(1)
        setup.b.transport.close()
        await settle()
        link.backward.silence()
        await asyncio.sleep(60)
        assert setup.a.events == ["made"]
        link.backward.heal()
        await setup.a.until("lost ConnectionResetError")

    run(main())


def test_a_reset_that_was_sent_into_the_silence_is_held_back_too() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=0.1))
        link = await setup.connect()
        setup.b.transport.pause_reading()
        setup.a.transport.write(b"unread")
        await asyncio.sleep(1)
        link.backward.silence()
        setup.b.transport.close()
        await asyncio.sleep(60)
        assert setup.a.events == ["made"]
        link.backward.heal()
        await setup.a.until("lost ConnectionResetError")

    run(main())


def test_bytes_in_the_silence_are_not_unread_so_closing_does_not_reset() -> None:
    async def main() -> None:
        setup = Setup()
        link = await setup.connect()
        link.forward.silence()
        setup.a.transport.write(b"held up")
        await settle()
        setup.b.transport.close()
        await setup.a.until("eof")
        assert setup.a.events == ["made", "eof"]
        link.forward.heal()
        await settle()
        setup.a.transport.write(b"refused")
        await setup.a.until("lost BrokenPipeError")

    run(main())


def test_a_reset_waits_behind_the_bytes_before_it() -> None:
    async def main() -> None:
        setup = Setup(LinkConditions(latency=0.1))
        await setup.connect()
        setup.a.transport.pause_reading()
        setup.b.transport.pause_reading()
        setup.a.transport.write(b"unread")
        await asyncio.sleep(1)
        setup.b.transport.write(b"last words")
        setup.b.transport.close()
        await asyncio.sleep(1)
        setup.a.transport.resume_reading()
        await setup.a.until("lost ConnectionResetError")
        assert setup.a.data == b"last words"

    run(main())


def test_an_error_in_connection_lost_does_not_keep_the_link_open() -> None:
    class Failing(Recorder):
        def connection_lost(self, exc: Exception | None) -> None:
            raise ZeroDivisionError

    async def main() -> None:
        contexts: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
        setup = Setup()
        setup.a = Failing()
        await setup.connect()
        setup.a.transport.close()
        await setup.b.until("eof")
        assert len(contexts) == 1

    run(main())


def test_an_end_that_closes_as_soon_as_it_is_made_ends_in_order() -> None:
    class Hasty(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.close()

    async def main() -> None:
        setup = Setup(LinkConditions(latency=0.1))
        setup.b = Hasty()
        await setup.connect()
        await setup.a.until("eof")
        setup.a.transport.write(b"too late, which the next write shows")
        await asyncio.sleep(1)
        setup.a.transport.write(b"x")
        await setup.a.until("lost")
        assert setup.a.events == ["made", "eof", "lost BrokenPipeError"]
        assert setup.network.links == ()

    run(main())


def test_a_reset_may_have_arrived_before_the_dialer_has_its_transport() -> None:
    async def main() -> None:
        setup = Setup()
        server = await setup.network.listen(7, lambda: setup.b)
        dial = asyncio.create_task(setup.network.connect(7, lambda: setup.a))
        await asyncio.sleep(0)
        (link,) = setup.network.links
        link.backward.send_reset()
        await dial
        await setup.a.until("lost ConnectionResetError")
        server.close()

    run(main())


def test_callbacks_run_in_the_context_of_their_own_end() -> None:
    who = contextvars.ContextVar("who", default="nobody")

    class Asking(Recorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.events.append(who.get())

    async def main() -> None:
        setup = Setup()
        setup.a, setup.b = Asking(), Asking()
        who.set("listener")
        server = await setup.network.listen(7, lambda: setup.b)
        who.set("dialer")
        await setup.network.connect(7, lambda: setup.a)
        setup.a.transport.write(b"x")
        await setup.b.until("listener")
        setup.b.transport.write(b"x")
        await setup.a.until("dialer")
        server.close()

    run(main())


def test_a_plain_datagram_protocol_is_no_reader() -> None:
    async def main() -> None:
        setup = Setup()
        await setup.connect()
        transport = setup.b.transport
        assert isinstance(transport, LinkTransport)
        transport.set_protocol(asyncio.BaseProtocol())
        setup.a.transport.write_eof()
        await setup.a.until("eof")

    run(main())


def test_a_reader_that_pauses_after_the_arrival_but_before_the_delivery_gets_nothing() -> None:
    async def main() -> None:
        setup = Setup()
        await setup.connect()
        setup.a.transport.write(b"x")
        setup.b.transport.pause_reading()
        await settle()
        assert setup.b.data == b""
        setup.b.transport.resume_reading()
        await setup.b.until_bytes(1)

    run(main())


def test_a_packet_on_a_closed_link_fails() -> None:
    async def main() -> None:
        setup = Setup()
        link = await setup.connect()
        link.cut()
        with pytest.raises(ConnectionResetError):
            await link.forward.travel()
        link.forward.send_reset()
        link.heal()

    run(main())
