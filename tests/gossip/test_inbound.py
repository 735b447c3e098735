"""What peers say is taken in by small steps: how much is looked at in one turn of the loop, not how long that takes."""

import asyncio
from collections import Counter
from types import SimpleNamespace

import pytest

from cortexnet import GossipConfig, Identity, StreamReset
from cortexnet.gossip import inbound, messages
from cortexnet.gossip.inbound import ELEMENTS, Inbound
from cortexnet.gossip.messages import PORTION, ControlMessages, Message, Prune, Rpc, Subscription, frame
from cortexnet.identity.peer_id import PeerId

PEERS = [Identity.generate().peer_id for _ in range(3)]


def a_connection() -> SimpleNamespace:
    return SimpleNamespace(is_open=True, loop=asyncio.get_running_loop())


class Stream:
    """What a peer has said, all of it at once."""

    def __init__(self, peer: PeerId, data: bytes, connection: SimpleNamespace | None = None) -> None:
        self.peer_id = peer
        self.connection = connection or a_connection()
        self.data = data
        self.code: int | None = None

    async def read(self, size: int) -> bytes:
        if self.code is not None:
            raise StreamReset("it was reset", code=self.code)
        data, self.data = self.data[:size], self.data[size:]
        return data

    async def read_exactly(self, size: int) -> bytes:
        return await self.read(size)

    def reset(self, code: int = 0) -> None:
        self.code = code


class Hearer:
    """Counts by the turn of the loop what it is told."""

    def __init__(self) -> None:
        self.turn = 0
        self.messages: Counter[int] = Counter()
        self.settled: Counter[int] = Counter()
        self.heard_of: list[tuple[PeerId, Rpc, int]] = []
        self.silent: list[PeerId] = []
        self.greetings: list[PeerId] = []
        self.room = 1 << 30
        self.full: set[str] = set()

    def begun(self, stream: object) -> None:
        asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self.turn += 1
        if len(self.silent) < 100:
            asyncio.get_running_loop().call_soon(self._tick)

    def greeted(self, peer: PeerId) -> None:
        self.greetings.append(peer)

    def heard(self, peer: PeerId, rpc: Rpc, size: int) -> None:
        self.messages[self.turn] += len(rpc.messages)
        self.heard_of.append((peer, rpc, size))
        self.room -= len(rpc.messages)

    def settle(self) -> None:
        self.settled[self.turn] += 1

    def fell_silent(self, peer: PeerId) -> None:
        self.silent.append(peer)

    def may_read(self) -> bool:
        return self.room > 0

    def may_hear(self, rpc: Rpc) -> bool:
        return not any(message.topic in self.full for message in rpc.messages)


@pytest.fixture
def hearer() -> Hearer:
    return Hearer()


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, hearer: Hearer) -> Counter[int]:
    """Messages that were made of bytes, by the turn of the loop."""
    counts: Counter[int] = Counter()

    def build(*arguments: object) -> Message:
        counts[hearer.turn] += 1
        return Message(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(messages, "Message", build)
    return counts


async def listen(hearer: Hearer, *streams: Stream) -> Inbound:
    """Take in all of it."""
    served = Inbound(hearer, GossipConfig())
    await asyncio.gather(*[served.serve(stream) for stream in streams])  # type: ignore[arg-type]
    hearer.silent += PEERS * 100  # nobody counts turns any more
    return served


def many(count: int) -> list[Message]:
    return [Message.build("t", b"%d" % number) for number in range(count)]


@pytest.mark.parametrize("peers", [1, 3])
async def test_an_rpc_of_thousands_of_messages_is_taken_in_over_many_turns(
    peers: int, hearer: Hearer, built: Counter[int]
) -> None:
    said = many(2_500)
    data = frame(Rpc([Subscription("t")], said, ControlMessages(prune=[Prune("t")])))
    await listen(hearer, *[Stream(peer, data) for peer in PEERS[:peers]])
    most = ELEMENTS + PORTION
    assert max(built.values()) <= most
    assert max(hearer.messages.values()) <= most
    assert max((built + hearer.messages).values()) <= most
    assert set(hearer.messages) <= set(hearer.settled)
    for peer in PEERS[:peers]:
        heard = [(rpc, size) for other, rpc, size in hearer.heard_of if other == peer]
        assert [message.data for rpc, _ in heard for message in rpc.messages] == [message.data for message in said]
        assert [bool(rpc.subscriptions) for rpc, _ in heard] == [True] + [False] * 9
        assert [rpc.control is not None for rpc, _ in heard] == [False] * 9 + [True]
        assert sum(size for _, size in heard) == len(data) - 3


async def test_many_short_rpcs_are_taken_in_over_many_turns(hearer: Hearer) -> None:
    await listen(hearer, Stream(PEERS[0], b"".join([frame(Rpc(messages=[message])) for message in many(3_000)])))
    assert sum(hearer.messages.values()) == 3_000
    assert max(hearer.messages.values()) <= ELEMENTS


async def test_reading_ends_within_an_rpc_where_there_is_no_more_room(hearer: Hearer) -> None:
    hearer.room = 300
    served = Inbound(hearer, GossipConfig())
    task = asyncio.ensure_future(served.serve(Stream(PEERS[0], frame(Rpc(messages=many(2_500))))))  # type: ignore[arg-type]
    for _ in range(100):
        await asyncio.sleep(0)
    assert 300 <= sum(hearer.messages.values()) <= ELEMENTS + PORTION
    hearer.room = 1 << 30
    served.resume()
    await task
    hearer.silent += PEERS * 100
    assert sum(hearer.messages.values()) == 2_500


async def test_a_stream_waits_where_a_message_comes_whose_queue_is_full_and_others_go_on(hearer: Hearer) -> None:
    hearer.full = {"full"}
    rpcs = [
        Rpc([Subscription("full")], many(3)),
        Rpc(messages=[Message.build("t", b""), Message.build("full", b"1")]),
        Rpc(messages=many(1)),
    ]
    said = b"".join(frame(rpc) for rpc in rpcs)
    served = Inbound(hearer, GossipConfig())
    held = asyncio.ensure_future(served.serve(Stream(PEERS[0], said)))  # type: ignore[arg-type]
    await served.serve(Stream(PEERS[1], frame(rpcs[0]) * 2_000))  # type: ignore[arg-type]
    of_peers = Counter(peer for peer, _, _ in hearer.heard_of)
    assert (of_peers[PEERS[0]], of_peers[PEERS[1]], held.done()) == (1, 2_000, False)
    served.resume()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not held.done()
    hearer.full = set()
    served.resume()
    await held
    hearer.silent += PEERS * 100
    heard = [rpc for peer, rpc, _ in hearer.heard_of if peer == PEERS[0]]
    assert [message.data for rpc in heard for message in rpc.messages] == [b"0", b"1", b"2", b"", b"1", b"0"]


def full(count: int) -> bytes:
    return frame(Rpc(messages=[Message.build("full", b"%d" % number + bytes(30_000)) for number in range(count)]))


async def begun(served: Inbound, peer: PeerId, data: bytes, connection: SimpleNamespace | None = None) -> "asyncio.Task[None]":
    task = asyncio.ensure_future(served.serve(Stream(peer, data, connection)))  # type: ignore[arg-type]
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_a_stream_that_is_held_gives_way_to_another_of_its_connection(hearer: Hearer) -> None:
    hearer.full = {"full"}
    served = Inbound(hearer, GossipConfig())
    connection = a_connection()
    held = [await begun(served, PEERS[0], full(2), connection) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert [task.done() for task in held] == [True, True, False]
    served.reset(PEERS[0])
    await asyncio.wait(held)
    assert served._held == 0
    hearer.silent += PEERS * 100


@pytest.mark.parametrize("is_held", [True, False])
async def test_a_stream_that_ends_while_nothing_is_read_waits_for_nothing(is_held: bool, hearer: Hearer) -> None:
    hearer.full = {"full"} if is_held else set()
    hearer.room = 2
    served = Inbound(hearer, GossipConfig())
    task = await begun(served, PEERS[0], frame(Rpc(messages=many(2))) * (not is_held) + full(3))
    assert not task.done()
    hearer.room = 0
    if is_held:
        served.resume()
        await asyncio.sleep(0)
    served.reset(PEERS[0])
    await asyncio.wait([task])
    hearer.silent += PEERS * 100


async def test_where_much_is_held_nothing_else_is_read_until_there_is_room(
    hearer: Hearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "HELD_LIMIT", 100_000)
    hearer.full = {"full"}
    served = Inbound(hearer, GossipConfig())
    tasks = [await begun(served, PEERS[0], full(2)), await begun(served, PEERS[1], full(2))]
    tasks.append(await begun(served, PEERS[2], frame(Rpc(messages=many(3)))))
    assert hearer.heard_of == []
    for peer in PEERS[:2]:  # so that the third is woken before them
        served._wake(served._streams[peer][0])
        await asyncio.sleep(0)
    hearer.full = set()
    served.resume()
    await asyncio.gather(*tasks)
    hearer.silent += PEERS * 100
    assert Counter(peer for peer, _, _ in hearer.heard_of) == dict.fromkeys(PEERS, 1)
    assert served._held == 0


@pytest.mark.parametrize(("excess", "heard"), [(0, 3), (1, 0)])
async def test_as_much_may_be_held_as_the_limit_says(
    excess: int, heard: int, hearer: Hearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "HELD_LIMIT", len(full(2)) - excess)
    hearer.full = {"full"}
    served = Inbound(hearer, GossipConfig())
    tasks = [await begun(served, PEERS[0], full(2)), await begun(served, PEERS[1], frame(Rpc(messages=many(3))))]
    assert hearer.messages.total() == heard
    served.close()
    await asyncio.wait(tasks)
    hearer.silent += PEERS * 100


async def test_who_is_cancelled_in_the_line_holds_up_nobody(hearer: Hearer) -> None:
    hearer.room = 0
    served = Inbound(hearer, GossipConfig())
    said = frame(Rpc(messages=many(1)))
    first, second = await begun(served, PEERS[0], said), await begun(served, PEERS[1], said)
    first.cancel()
    await asyncio.wait([first])
    hearer.room = 10
    served.resume()
    await second
    hearer.silent += PEERS * 100
    assert [peer for peer, _, _ in hearer.heard_of] == PEERS[1:2]


@pytest.mark.parametrize("room", [1 << 30, 400])
async def test_who_says_much_does_not_keep_others_from_being_heard(room: int, hearer: Hearer) -> None:
    def make_room() -> None:
        hearer.room = room
        served.resume()
        if not quiet.done():
            asyncio.get_running_loop().call_soon(make_room)

    hearer.room = room
    served = Inbound(hearer, GossipConfig())
    flood = frame(Rpc(messages=many(2_500))) * 4
    loud = [asyncio.ensure_future(served.serve(Stream(peer, flood))) for peer in PEERS[:2]]  # type: ignore[arg-type]
    for _ in range(3):
        await asyncio.sleep(0)
    rpcs = [frame(Rpc([Subscription("t")], many(1)))] * 3
    quiet = asyncio.ensure_future(served.serve(Stream(PEERS[2], b"".join(rpcs))))  # type: ignore[arg-type]
    make_room()
    await quiet
    by_peer = Counter({peer: sum(len(rpc.messages) for other, rpc, _ in hearer.heard_of if other == peer) for peer in PEERS})
    assert by_peer[PEERS[2]] == 3
    assert max(by_peer.values()) < 3_000
    assert min(by_peer[PEERS[0]], by_peer[PEERS[1]]) > max(by_peer.values()) - 2 * ELEMENTS
    hearer.room = 1 << 30
    served.resume()
    await asyncio.gather(*loud)
    hearer.silent += PEERS * 100
    assert sum(hearer.messages.values()) == 20_003


async def test_who_has_many_connections_is_heard_no_more_than_who_has_one(hearer: Hearer) -> None:
    served = Inbound(hearer, GossipConfig())
    flood = frame(Rpc(messages=many(2_500))) * 2
    loud, quiet = PEERS[:2]
    streams = [Stream(peer, flood) for peer in [loud] * 4 + [quiet]]
    tasks = [asyncio.ensure_future(served.serve(stream)) for stream in streams]  # type: ignore[arg-type]
    await tasks[-1]
    heard: Counter[PeerId] = Counter()
    for peer, rpc, _ in hearer.heard_of:
        heard[peer] += len(rpc.messages)
    assert heard[quiet] == 5_000
    assert heard[loud] <= 5_000 + 2 * ELEMENTS
    await asyncio.gather(*tasks)
    hearer.silent += PEERS * 100


async def test_a_second_stream_ends_the_first_within_an_rpc(hearer: Hearer) -> None:
    served = Inbound(hearer, GossipConfig())
    connection = a_connection()
    first = Stream(PEERS[0], frame(Rpc(messages=many(2_500))), connection)
    second = Stream(PEERS[0], frame(Rpc([Subscription("t")])), connection)
    task = asyncio.ensure_future(served.serve(first))  # type: ignore[arg-type]
    for _ in range(8):
        await asyncio.sleep(0)
    await served.serve(second)  # type: ignore[arg-type]
    with pytest.raises(StreamReset):
        await task
    hearer.silent += PEERS * 100
    assert 0 < sum(hearer.messages.values()) < 2_500
    assert hearer.heard_of[-1][1].subscriptions


async def test_streams_on_two_connections_to_a_peer_are_both_heard(hearer: Hearer) -> None:
    """rust says one thing here and the next there."""
    hearer.full = {"full"}
    served = Inbound(hearer, GossipConfig())
    greeting = frame(Rpc([Subscription("t")]))
    tasks = [await begun(served, PEERS[0], greeting * 2 + full(2)) for _ in range(2)]
    assert hearer.greetings == [PEERS[0]] * 2
    assert [rpc.subscriptions for _, rpc, _ in hearer.heard_of] == [[Subscription("t")]] * 4
    assert hearer.silent == []
    hearer.full = set()
    served.resume()
    await asyncio.gather(*tasks)
    assert hearer.silent == [PEERS[0]]
    assert len(served) == 0
    hearer.silent += PEERS * 100


async def test_what_is_read_at_once_has_no_more_elements_than_a_turn_may_bring() -> None:
    assert inbound._SHORT // 2 - 12 <= ELEMENTS  # each has two bytes at least
