"""What the DHT keeps, in memory or on disk, across the end of a process; and a model of it all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.cache import Hint
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.store_config import HOUR, StoreConfig
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.testing.loop import VirtualTimeLoop
from tests.conformance.kad_stores import KEEPERS, Keeper, StoredKeeper

PEERS = [PeerId(b"\x12\x20" + bytes([number]) * 32) for number in range(6)]
SLACK = 0.01  # times on disk are whole milliseconds

Opener = Callable[..., AbstractAsyncContextManager[Keeper]]


@pytest.fixture(params=list(KEEPERS))
def open_keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    opener = KEEPERS[request.param]

    @asynccontextmanager
    async def opened(config: StoreConfig | None = None) -> AsyncIterator[Keeper]:
        async with opener(config or StoreConfig(), tmp_path) as keeper:
            yield keeper

    return opened


def key(number: int) -> bytes:
    return b"/x/%d" % number


def contact(number: int, port: int = 4001) -> Contact:
    return Contact(PEERS[number], [Multiaddr.parse(f"/ip4/192.0.2.{number}/tcp/{port}")])


def clock() -> float:
    return asyncio.get_running_loop().time()


async def test_values_live_for_their_time(open_keeper: Opener) -> None:
    async with open_keeper() as keeper:
        keeper.values.put(key(1), b"one", clock(), sender=PEERS[1], group="a network")
        keeper.values.put(key(2), b"own", clock())
        await keeper.restart()
        await asyncio.sleep(47 * HOUR)
        stored, own = keeper.values.get(key(1), clock()), keeper.values.get(key(2), clock())
        assert stored is not None
        assert own is not None
        assert (stored.value, stored.sender, stored.group) == (b"one", PEERS[1], "a network")
        assert (own.value, own.sender, own.group) == (b"own", None, None)
        await keeper.restart()
        await asyncio.sleep(HOUR + SLACK)
        assert keeper.values.get(key(1), clock()) is None
        await keeper.restart()
        assert keeper.values.names(b"", clock()) == []


async def test_providers_and_their_addresses_live_for_their_time(open_keeper: Opener) -> None:
    async with open_keeper() as keeper:
        keeper.providers.add(key(1), contact(1), clock(), group="a network")
        keeper.providers.add(key(1), contact(2), clock())
        await asyncio.sleep(20 * HOUR)
        keeper.providers.add(key(2), contact(2, 4002), clock())
        await keeper.restart()
        await asyncio.sleep(5 * HOUR)
        assert keeper.providers.get(key(1), clock()) == [Contact(PEERS[1]), contact(2, 4002)]
        await keeper.restart()
        await asyncio.sleep(24 * HOUR)
        assert keeper.providers.get(key(1), clock()) == []
        assert keeper.providers.get(key(2), clock()) == [Contact(PEERS[2])]


async def test_what_was_pushed_out_stays_so(open_keeper: Opener) -> None:
    async with open_keeper(StoreConfig(values=2, providers=2)) as keeper:
        for number in range(4):
            keeper.values.put(key(number), b"", clock(), sender=PEERS[1])
            keeper.providers.add(key(number), contact(1), clock())
            await keeper.restart()
        assert keeper.values.names(b"", clock()) == [key(2), key(3)]
        assert [number for number in range(4) if keeper.providers.get(key(number), clock())] == [2, 3]


async def test_shares_are_counted_as_before(open_keeper: Opener) -> None:
    async with open_keeper(StoreConfig(values=4, providers=4)) as keeper:
        for number in range(4):
            keeper.values.put(key(number), b"", clock(), sender=PEERS[number], group="a network" if number else None)
            keeper.providers.add(key(number), contact(number), clock(), group="a network" if number else None)
        await keeper.restart()
        keeper.values.put(key(4), b"", clock(), sender=PEERS[4])
        keeper.providers.add(key(4), contact(4), clock())
        assert keeper.values.names(b"", clock()) == [key(0), key(2), key(3), key(4)]
        assert keeper.providers.get(key(0), clock()) == [contact(0)]


async def test_hints_come_back_in_their_order(open_keeper: Opener) -> None:
    async with open_keeper() as keeper:
        hints = [Hint(key(number), (contact(number), contact(5))) for number in range(5)]
        keeper.keep_hints(hints)
        await keeper.restart()
        assert keeper.hints() == hints
        keeper.keep_hints(hints[3:])
        await keeper.restart()
        assert keeper.hints() == hints[3:]


class Restarts(RuleBasedStateMachine):
    """Stores that are written down and taken back at any moment, against ones that just go on."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.keeper = StoredKeeper(StoreConfig(), Path(self.folder.name))
        self.runner.run(self.keeper.open())
        self.model = ValueStore(), ProviderStore()

    @property
    def now(self) -> float:
        return self.runner.get_loop().time()

    @property
    def pairs(self) -> list[tuple[ValueStore, ProviderStore]]:
        return [self.model, (self.keeper.values, self.keeper.providers)]

    @rule(
        number=st.integers(0, 3),
        value=st.binary(max_size=3),
        sender=st.none() | st.sampled_from(PEERS[:3]),
        group=st.sampled_from([None, "a", "b"]),
    )
    def put(self, number: int, value: bytes, sender: PeerId | None, group: str | None) -> None:
        for values, _ in self.pairs:
            values.put(key(number), value, self.now, sender=sender, group=group)

    @rule(number=st.integers(0, 3))
    def remove(self, number: int) -> None:
        first, second = (values.remove(key(number)) for values, _ in self.pairs)
        assert first == second or self.model[0].get(key(number), self.now) is None

    @rule(number=st.integers(0, 3), provider=st.integers(0, 3), port=st.integers(1, 3))
    def announce(self, number: int, provider: int, port: int) -> None:
        for _, providers in self.pairs:
            providers.add(key(number), contact(provider, port), self.now)

    @rule(seconds=st.sampled_from([0.5, 6.0, 10 * HOUR, 30 * HOUR]))
    def wait(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @rule()
    def expire(self) -> None:
        for values, providers in self.pairs:
            values.expire(self.now)
            providers.expire(self.now)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.keeper.restart())

    @invariant()
    def both_know_the_same(self) -> None:
        for number in range(4):
            expected, found = (values.get(key(number), self.now - SLACK) for values, _ in self.pairs)
            assert (expected and expected.value) == (found and found.value)
            first, second = (providers.get(key(number), self.now - SLACK) for _, providers in self.pairs)
            assert sorted(map(repr, first)) == sorted(map(repr, second))

    def teardown(self) -> None:
        self.runner.run(self.keeper.close())
        self.runner.close()
        self.folder.cleanup()


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
