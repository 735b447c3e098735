"""UDP sockets in batches: what goes in comes out, in whichever way the system is asked."""

import asyncio
import errno
import socket
import sys
from collections.abc import Sequence

import pytest

from cortexnet.transport import udp
from cortexnet.transport.udp import Address, Datagram, LoopSocket, UdpSocket, WatchedSocket, open_udp

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


class Log:
    def __init__(self) -> None:
        self.got: list[Datagram] = []
        self.batches = 0
        self.rooms = 0
        self.lost: list[tuple[Address, int | None]] = []

    def received(self, datagrams: Sequence[Datagram]) -> None:
        self.batches += 1
        self.got += datagrams

    def has_room(self) -> None:
        self.rooms += 1

    def unreachable(self, address: Address, error: OSError) -> None:
        self.lost.append((address, error.errno))


def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


async def two() -> tuple[UdpSocket, Address, UdpSocket, Address, Log]:
    first, second, log = bound(), bound(), Log()
    names: tuple[Address, Address] = first.getsockname(), second.getsockname()
    return await open_udp(first, Log()), names[0], await open_udp(second, log), names[1], log


async def until(condition) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


@pytest.mark.parametrize("can_segment", [True, False])
@pytest.mark.parametrize("gets_segments", [True, False])
async def test_datagrams_of_any_sizes_arrive_as_they_were(can_segment: bool, gets_segments: bool) -> None:
    sender, source, receiver, target, log = await two()
    assert isinstance(sender, WatchedSocket)
    assert isinstance(receiver, WatchedSocket)
    sender._can_segment &= can_segment
    receiver._gets_segments &= gets_segments
    if not gets_segments and sys.platform == "linux":
        receiver._socket.setsockopt(socket.IPPROTO_UDP, 104, 0)
    sizes = [1_232] * 30 + [100] + [1_232, 1_300, 1_300, 5, 5, 9_000, 1]
    sent: list[Datagram] = [(bytes([number]) * size, target) for number, size in enumerate(sizes)]
    assert sender.send(sent) is None
    await until(lambda: len(log.got) == len(sent))
    assert [data for data, _ in log.got] == [data for data, _ in sent]
    assert {address for _, address in log.got} == {source}
    sender.close()
    receiver.close()
    receiver.close()
    assert sender.send(sent) is None


async def test_datagrams_for_several_are_told_apart() -> None:
    sender, _, one, at_one, log_one = await two()
    log_two, other = Log(), bound()
    at_two: Address = other.getsockname()
    two_socket = await open_udp(other, log_two)
    sender.send([(b"one", at_one), (b"two", at_two), (b"one", at_one)])
    await until(lambda: len(log_one.got) == 2 and len(log_two.got) == 1)
    for each in (sender, one, two_socket):
        each.close()


async def test_more_than_a_turn_takes_comes_in_later_turns() -> None:
    sender, _, receiver, target, log = await two()
    for _ in range(4):
        sender.send([(bytes(100), target)] * 100)
    await until(lambda: len(log.got) == 400)
    assert log.batches >= 3
    sender.close()
    receiver.close()


async def test_reading_waits_where_the_turn_is_over() -> None:
    sender, _, receiver, target, log = await two()
    assert isinstance(receiver, WatchedSocket)
    receiver._turns.spend(1.0)
    sender.send([(b"later", target)])
    await until(lambda: log.got)
    sender.close()
    receiver.close()


async def test_a_closed_socket_is_not_read_when_its_turn_comes() -> None:
    sender, _, receiver, target, log = await two()
    assert isinstance(receiver, WatchedSocket)
    sender.send([(b"never", target)])
    receiver._turns.spend(1.0)
    receiver.readable()
    receiver.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert log.got == []
    sender.close()


async def test_what_the_system_does_not_take_waits_and_its_owner_is_told_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    log, mine = Log(), bound()
    sender = await open_udp(mine, log)
    assert isinstance(sender, WatchedSocket)
    other, theirs = Log(), bound()
    target: Address = theirs.getsockname()
    receiver = await open_udp(theirs, other)
    real, refusals = WatchedSocket._send_run, [2]

    def refuse(self, datagrams, start, stop):
        if refusals[0]:
            refusals[0] -= 1
            raise BlockingIOError
        real(self, datagrams, start, stop)

    monkeypatch.setattr(WatchedSocket, "_send_run", refuse)
    sender.send([(b"a", target), (b"b", target)])
    assert sender.is_full
    sender.send([(b"more", target) for _ in range(udp._QUEUE_LIMIT + 50)])
    await until(lambda: log.rooms)
    assert not sender.is_full
    await until(lambda: len(other.got) >= 60)
    assert other.got[0][0] == b"a"
    sender.close()
    receiver.close()


async def test_an_interface_without_segmentation_gets_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, _, receiver, target, log = await two()
    assert isinstance(sender, WatchedSocket)
    real = WatchedSocket._send_run

    def refuse(self, datagrams, start, stop):
        if stop - start > 1:
            raise OSError(errno.EIO, "no checksum offload")
        real(self, datagrams, start, stop)

    sender._can_segment = True
    monkeypatch.setattr(WatchedSocket, "_send_run", refuse)
    assert sender.send([(bytes(100), target)] * 5) is None
    assert not sender._can_segment
    await until(lambda: len(log.got) == 5)
    sender.close()
    receiver.close()


async def test_a_datagram_that_can_never_go_is_told_and_the_others_go() -> None:
    sender, _, receiver, target, log = await two()
    error = sender.send([(bytes(70_000), target), (b"x", target)])
    assert error is not None
    assert error.errno == errno.EMSGSIZE
    await until(lambda: log.got)
    sender.close()
    receiver.close()


@LINUX
async def test_nobody_there_is_told_with_the_address() -> None:
    log, gone = Log(), bound()
    target: Address = gone.getsockname()
    gone.close()
    sender = await open_udp(bound(), log)
    sender.send([(b"hello", target)])
    await until(lambda: log.lost)
    assert log.lost == [(target, errno.ECONNREFUSED)]
    sender.close()


@LINUX
async def test_what_is_told_of_one_datagram_does_not_keep_the_next_back() -> None:
    log, gone = Log(), bound()
    target: Address = gone.getsockname()
    gone.close()
    theirs, other = bound(), Log()
    receiver = await open_udp(theirs, other)
    sender = await open_udp(bound(), log)
    sender.send([(b"hello", target)])
    assert sender.send([(b"x", theirs.getsockname())]) is None
    await until(lambda: other.got and log.lost)
    sender.close()
    receiver.close()


async def test_a_loop_that_cannot_watch_sockets_gets_datagrams_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    real, calls = loop.add_reader, []

    def refuse(*args):
        if not calls:
            calls.append(args)
            raise NotImplementedError
        return real(*args)

    monkeypatch.setattr(loop, "add_reader", refuse)
    log, mine = Log(), bound()
    name: Address = mine.getsockname()
    receiver = await open_udp(mine, log)
    assert isinstance(receiver, LoopSocket)
    sender = await open_udp(bound(), Log())
    sender.send([(b"one", name), (b"two", name)])
    await until(lambda: len(log.got) == 2)
    receiver.send([(b"back", log.got[0][1])])
    receiver.pause_writing()
    assert receiver.is_full
    receiver.resume_writing()
    assert (receiver.is_full, log.rooms) == (False, 1)
    receiver.error_received(OSError("lost"))
    receiver.close()
    sender.close()
    await asyncio.sleep(0)
    assert receiver.send([(b"x", name)]) is None


async def test_a_loop_that_fails_closes_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args):
        raise RuntimeError("no")

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    mine = bound()
    with pytest.raises(RuntimeError):
        await open_udp(mine, Log())
    assert mine.fileno() == -1
