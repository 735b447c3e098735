"""What every peerstore keeps, in memory or on disk, across the end of a process; and a model of it all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet.admission.limits import Limits
from cortexnet.identity.envelope import PeerRecord, SignedRecord
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.peer_entry import KnownPeer, MetadataValue
from cortexnet.swarm.peerstore import ADDRESS_TTL, CONNECTED_TTL, RECENTLY_CONNECTED_TTL, TEMPORARY_TTL, Peerstore
from cortexnet.testing.loop import VirtualTimeLoop
from tests.conformance.address_books import BOOKS, Book, StoredBook

KEY, RSA_KEY = PrivateKey.generate(), PrivateKey.generate("ecdsa")
PEER, HASHED = PeerId.from_public_key(KEY.public_key), PeerId.from_public_key(RSA_KEY.public_key)
OTHERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(6)]
SLACK = 0.01  # times on disk are whole milliseconds

Opener = Callable[[Limits], AbstractAsyncContextManager[Book]]


@pytest.fixture(params=list(BOOKS))
def open_book(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    opener = BOOKS[request.param]

    @asynccontextmanager
    async def opened(limits: Limits) -> AsyncIterator[Book]:
        async with opener(limits, tmp_path) as book:
            yield book

    return opened


def at(*numbers: int) -> list[Multiaddr]:
    return [Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{number + 1}") for number in numbers]


def clock() -> float:
    return asyncio.get_running_loop().time()


def record(sequence: int, *numbers: int) -> SignedRecord:
    return SignedRecord.open(PeerRecord(PEER, sequence, tuple(at(*numbers))).seal(KEY), PEER)


async def test_addresses_live_for_their_time(open_book: Opener) -> None:
    async with open_book(Limits()) as book:
        book.peerstore.add_addresses(PEER, at(0), TEMPORARY_TTL, clock())
        book.peerstore.add_addresses(PEER, at(1), ADDRESS_TTL, clock())
        await asyncio.sleep(TEMPORARY_TTL / 2)
        await book.restart()
        assert book.peerstore.addresses(PEER, clock()) == at(0, 1)
        await asyncio.sleep(TEMPORARY_TTL / 2 + SLACK)
        assert book.peerstore.addresses(PEER, clock()) == at(1)
        await book.restart()
        assert book.peerstore.addresses(PEER, clock()) == at(1)
        await asyncio.sleep(ADDRESS_TTL)
        await book.restart()
        assert book.peerstore.addresses(PEER, clock()) == []


async def test_addresses_of_a_connected_peer_begin_to_fade_at_its_end(open_book: Opener) -> None:
    async with open_book(Limits()) as book:
        book.peerstore.mark_connected(PEER)
        book.peerstore.add_addresses(PEER, at(0), CONNECTED_TTL, clock())
        await asyncio.sleep(10 * RECENTLY_CONNECTED_TTL)
        await book.restart()
        await asyncio.sleep(RECENTLY_CONNECTED_TTL - 1)
        assert book.peerstore.addresses(PEER, clock()) == at(0)
        await book.restart()
        await asyncio.sleep(1 + SLACK)
        assert book.peerstore.addresses(PEER, clock()) == []


async def test_what_was_removed_or_forgotten_stays_so(open_book: Opener) -> None:
    async with open_book(Limits()) as book:
        for peer in OTHERS[:3]:
            book.peerstore.add_addresses(peer, at(0, 1), ADDRESS_TTL, clock())
        await book.restart()
        book.peerstore.remove_address(OTHERS[0], at(0)[0])
        book.peerstore.forget(OTHERS[1])
        await book.restart()
        assert set(book.peerstore.peers()) == {OTHERS[0], OTHERS[2]}
        assert book.peerstore.addresses(OTHERS[0], clock()) == at(1)


async def test_signed_records_stay_as_they_came_and_older_ones_are_refused(open_book: Opener) -> None:
    async with open_book(Limits()) as book:
        assert book.peerstore.accept_record(record(5, 0, 1), clock())
        await book.restart()
        known = book.peerstore.known(PEER, clock())
        assert known is not None
        assert (known.record, known.record_sequence) == (record(5, 0, 1).envelope, 5)
        assert known.certified == frozenset(at(0, 1))
        assert not book.peerstore.accept_record(record(4, 2), clock())
        assert book.peerstore.accept_record(record(6, 1), clock())
        await book.restart()
        assert book.peerstore.addresses(PEER, clock()) == at(1), "the newer one takes the place of the older one"


async def test_what_a_peer_told_about_itself_is_kept_with_its_addresses(open_book: Opener) -> None:
    async with open_book(Limits()) as book:
        book.peerstore.mark_connected(HASHED)
        book.peerstore.add_addresses(HASHED, at(0), CONNECTED_TTL, clock())
        book.peerstore.set_protocols(HASHED, ["/a", "/b"])
        book.peerstore.set_versions(HASHED, agent_version="agent", protocol_version=None)
        book.peerstore.set_public_key(HASHED, RSA_KEY.public_key)
        await book.restart()
        assert book.peerstore.protocols(HASHED) == {"/a", "/b"}
        assert book.peerstore.supports(HASHED, "/a") is None, "it is not connected"
        assert (book.peerstore.agent_version(HASHED), book.peerstore.protocol_version(HASHED)) == ("agent", None)
        assert book.peerstore.public_key(HASHED) == RSA_KEY.public_key
        known = book.peerstore.known(HASHED, clock())
        assert known is not None
        assert known.last_seen == pytest.approx(clock(), abs=SLACK)


async def test_names_that_may_lead_into_private_networks_are_told_apart(open_book: Opener) -> None:
    name = Multiaddr.parse("/dns4/example.org/tcp/1")
    async with open_book(Limits()) as book:
        book.peerstore.add_addresses(OTHERS[0], [name], ADDRESS_TTL, clock(), is_near=True)
        book.peerstore.add_addresses(OTHERS[1], [name], ADDRESS_TTL, clock())
        await book.restart()
        assert [bool(book.peerstore.private_names(peer)) for peer in OTHERS[:2]] == [True, False]


@pytest.mark.parametrize("value", ["text", "", b"bytes", 5, -5, 2.5, True, False])
async def test_metadata_stays_of_its_kind_also_for_somebody_of_whom_nothing_else_is_known(
    value: MetadataValue, open_book: Opener
) -> None:
    async with open_book(Limits()) as book:
        book.peerstore.set_metadata(PEER, "note", value)
        book.peerstore.set_metadata(PEER, "gone", 1)
        await book.restart()
        assert book.peerstore.metadata(PEER) == {"note": value, "gone": 1}
        assert type(book.peerstore.metadata(PEER)["note"]) is type(value)
        book.peerstore.set_metadata(PEER, "gone", None)
        await book.restart()
        assert book.peerstore.metadata(PEER) == {"note": value}
        book.peerstore.set_metadata(PEER, "note", None)
        await book.restart()
        assert book.peerstore.known(PEER, clock()) is None


async def test_limits_hold_and_who_was_heard_of_longest_ago_goes_first(open_book: Opener) -> None:
    async with open_book(Limits(peerstore_peers=3, peerstore_addresses=2)) as book:
        for peer in OTHERS[:3]:
            book.peerstore.add_addresses(peer, at(0, 1, 2), ADDRESS_TTL, clock())
        await book.restart()
        assert book.peerstore.peers() == OTHERS[:3]
        book.peerstore.add_addresses(OTHERS[3], at(0), ADDRESS_TTL, clock())
        await book.restart()
        assert set(book.peerstore.peers()) == set(OTHERS[1:4])
        assert book.peerstore.addresses(OTHERS[1], clock()) == at(0, 1)


class Restarts(RuleBasedStateMachine):
    """A book on disk is, after any restart, what one in memory is whose connections have ended."""

    peers = st.sampled_from([*OTHERS[:3], PEER])

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        limits = Limits(peerstore_addresses=3, peerstore_descriptions=1_000)
        self.model = Peerstore(limits)
        self.book = StoredBook(limits, Path(self.folder.name))
        self.runner.run(self.book.open())

    @property
    def now(self) -> float:
        return self.runner.get_loop().time()

    @property
    def books(self) -> tuple[Peerstore, Peerstore]:
        return self.model, self.book.peerstore

    @rule(peer=peers, numbers=st.lists(st.integers(0, 9), max_size=4), ttl=st.sampled_from([1.0, 30.0, 900.0, CONNECTED_TTL]))
    def learn(self, peer: PeerId, numbers: list[int], ttl: float) -> None:
        for book in self.books:
            book.add_addresses(peer, at(*numbers), ttl, self.now)

    @rule(sequence=st.integers(1, 5), numbers=st.lists(st.integers(0, 9), max_size=4))
    def learn_signed(self, sequence: int, numbers: list[int]) -> None:
        first, second = (book.accept_record(record(sequence, *numbers), self.now) for book in self.books)
        assert first == second

    @rule(peer=peers)
    def connect(self, peer: PeerId) -> None:
        for book in self.books:
            book.mark_connected(peer)

    @rule(peer=peers, count=st.integers(0, 3))
    def describe(self, peer: PeerId, count: int) -> None:
        for book in self.books:
            book.set_protocols(peer, [f"/{number}" for number in range(count)])
            book.set_versions(peer, agent_version=f"agent/{count}", protocol_version=None)

    @rule(peer=peers)
    def disconnect(self, peer: PeerId) -> None:
        for book in self.books:
            book.mark_disconnected(peer, self.now)

    @rule(peer=peers, number=st.integers(0, 9))
    def unlearn(self, peer: PeerId, number: int) -> None:
        for book in self.books:
            book.remove_address(peer, at(number)[0])

    @rule(peer=peers)
    def forget(self, peer: PeerId) -> None:
        for book in self.books:
            book.forget(peer)

    @rule(peer=peers, name=st.sampled_from("ab"), value=st.none() | st.integers(0, 3))
    def note(self, peer: PeerId, name: str, value: int | None) -> None:
        for book in self.books:
            book.set_metadata(peer, name, value)

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.5, 40.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @rule()
    def restart(self) -> None:
        for peer in self.model.peers():
            self.model.mark_disconnected(peer, self.now)
            if not self.model.addresses(peer, self.now):
                self.model.forget(peer)  # of whom nothing is left that would be worth a row
        self.runner.run(self.book.restart())

    @invariant()
    def both_know_the_same(self) -> None:
        for peer in [*OTHERS[:3], PEER]:
            expected, found = (book.known(peer, self.now) for book in self.books)
            if expected is None or found is None:
                assert expected == found
                continue
            for address in expected.addresses.keys() | found.addresses.keys():
                # An address that is over may be dropped by one earlier than by the other.
                times = [known.addresses.get(address, self.now) for known in (expected, found)]
                assert max(times) <= self.now + SLACK or times[0] == pytest.approx(times[1], abs=SLACK)
            assert told(expected) == told(found)

    def teardown(self) -> None:
        self.runner.run(self.book.close())
        self.runner.close()
        self.folder.cleanup()


def told(known: KnownPeer) -> tuple[object, ...]:
    return known.protocols, known.agent_version, known.record, known.record_sequence, known.metadata


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
