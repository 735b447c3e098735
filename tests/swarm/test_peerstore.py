import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet.admission.limits import Limits
from cortexnet.errors import ProtocolViolation
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.peerstore import ADDRESS_TTL, CONNECTED_TTL, RECENTLY_CONNECTED_TTL, TEMPORARY_TTL, Peerstore

PEERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(40)]
A, B = PEERS[:2]


def at(*numbers: int) -> list[Multiaddr]:
    return [Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{number + 1}") for number in numbers]


def store(**limits: int) -> Peerstore:
    return Peerstore(Limits(**limits))


def test_an_address_lives_for_its_time() -> None:
    peerstore = store()
    peerstore.add_addresses(A, at(0), TEMPORARY_TTL, 100.0)
    peerstore.add_addresses(A, at(1), ADDRESS_TTL, 100.0)
    assert peerstore.addresses(A, 219.9) == at(0, 1)
    assert peerstore.addresses(A, 220.0) == at(1)
    assert peerstore.addresses(A, 3700.0) == []
    assert peerstore.addresses(B, 100.0) == []


def test_what_is_known_for_longer_stays_so() -> None:
    peerstore = store()
    peerstore.add_addresses(A, at(0), 100.0, 0.0)
    peerstore.add_addresses(A, at(0), 10.0, 0.0)
    assert peerstore.addresses(A, 99.0) == at(0)
    peerstore.add_addresses(A, at(0), 50.0, 99.0)
    assert peerstore.addresses(A, 148.0) == at(0)


@pytest.mark.parametrize("ttl", [0.0, -1.0])
def test_an_address_without_any_time_left_is_not_learned(ttl: float) -> None:
    peerstore = store()
    peerstore.add_addresses(A, at(0), ttl, 0.0)
    assert A not in peerstore


def test_the_peers_own_id_is_cut_off_and_somebody_elses_address_is_ignored() -> None:
    peerstore = store()
    texts = [f"/ip4/1.2.3.4/tcp/1/p2p/{A}", f"/ip4/1.2.3.4/tcp/2/p2p/{B}", f"/p2p/{A}"]
    peerstore.add_addresses(A, [Multiaddr.parse(text) for text in texts], 10.0, 0.0)
    assert peerstore.addresses(A, 0.0) == at(0)
    peerstore.add_addresses(B, [Multiaddr.parse(texts[0])], 10.0, 0.0)
    assert B not in peerstore


def test_a_wrong_address_can_be_removed() -> None:
    peerstore = store()
    peerstore.add_addresses(A, at(0, 1), 10.0, 0.0)
    peerstore.remove_address(A, at(0)[0].with_peer(bytes(A)))
    peerstore.remove_address(A, Multiaddr.parse(f"/p2p/{A}"))
    peerstore.remove_address(B, at(1)[0])
    assert peerstore.addresses(A, 0.0) == at(1)


def test_addresses_of_a_connected_peer_last_until_15_minutes_after_its_end() -> None:
    peerstore = store()
    peerstore.mark_connected(A)
    peerstore.add_addresses(A, at(0), CONNECTED_TTL, 0.0)
    peerstore.add_addresses(A, at(1), TEMPORARY_TTL, 0.0)
    assert peerstore.addresses(A, 1e9) == at(0)
    peerstore.mark_disconnected(A, 1000.0)
    assert not peerstore.is_connected(A)
    assert peerstore.addresses(A, 1000.0 + RECENTLY_CONNECTED_TTL - 1) == at(0)
    assert peerstore.addresses(A, 1000.0 + RECENTLY_CONNECTED_TTL) == []


def test_a_connected_address_of_a_peer_that_has_just_left_gets_15_minutes() -> None:
    peerstore = store()
    peerstore.add_addresses(A, at(0), CONNECTED_TTL, 0.0)
    assert peerstore.addresses(A, RECENTLY_CONNECTED_TTL - 1) == at(0)
    assert peerstore.addresses(A, RECENTLY_CONNECTED_TTL) == []


def test_a_new_list_lets_the_old_one_fade() -> None:
    peerstore = store()
    peerstore.mark_connected(A)
    peerstore.add_addresses(A, at(0, 1), CONNECTED_TTL, 0.0)
    peerstore.retire_addresses(A, 10.0)
    peerstore.retire_addresses(B, 10.0)
    peerstore.add_addresses(A, at(1), CONNECTED_TTL, 10.0)
    assert peerstore.addresses(A, 10.0 + TEMPORARY_TTL - 1) == at(0, 1)
    assert peerstore.addresses(A, 10.0 + TEMPORARY_TTL) == at(1)


def test_connecting_keeps_what_was_known_and_happens_once() -> None:
    peerstore = store()
    peerstore.add_addresses(A, at(0), 100.0, 0.0)
    peerstore.mark_connected(A)
    peerstore.set_protocols(A, ["/a"])
    peerstore.mark_connected(A)
    assert (peerstore.addresses(A, 0.0), peerstore.supports(A, "/a"), len(peerstore)) == (at(0), True, 1)
    peerstore.mark_disconnected(A, 1.0)
    peerstore.mark_disconnected(A, 1.0)
    peerstore.mark_connected(A)
    assert peerstore.addresses(A, 2.0) == at(0)


def test_a_peer_without_addresses_is_forgotten_with_its_connection() -> None:
    peerstore = store()
    peerstore.mark_connected(A)
    peerstore.mark_disconnected(A, 0.0)
    assert len(peerstore) == 0


def test_peers_are_listed_connected_ones_first() -> None:
    peerstore = store()
    for peer in PEERS[:3]:
        peerstore.add_addresses(peer, at(0), 10.0, 0.0)
    peerstore.mark_connected(PEERS[2])
    peerstore.mark_connected(PEERS[1])
    peerstore.mark_disconnected(PEERS[1], 0.0)
    assert peerstore.peers() == [PEERS[2], PEERS[1], PEERS[0]]


def test_a_peer_can_be_forgotten_unless_it_is_connected() -> None:
    peerstore = store()
    for peer in (A, B):
        peerstore.add_addresses(peer, at(0), 10.0, 0.0)
    peerstore.mark_connected(B)
    peerstore.forget(A)
    peerstore.forget(B)
    assert peerstore.peers() == [B]


@pytest.mark.parametrize(("count", "kept"), [(31, 31), (32, 32), (33, 32)])
def test_an_unconnected_peer_has_32_addresses(count: int, kept: int) -> None:
    at_once, one_by_one = store(), store()
    at_once.add_addresses(A, at(*range(count)), 10.0, 0.0)
    for number in range(count):
        one_by_one.add_addresses(A, at(number), 10.0, 0.0)
    assert at_once.addresses(A, 0.0) == one_by_one.addresses(A, 0.0) == at(*range(kept))


@pytest.mark.parametrize(("count", "kept"), [(127, 127), (128, 128), (129, 128)])
def test_a_connected_peer_has_128_addresses_and_32_after_its_end(count: int, kept: int) -> None:
    peerstore = store()
    peerstore.mark_connected(A)
    peerstore.add_addresses(A, at(*range(count)), CONNECTED_TTL, 0.0)
    assert peerstore.addresses(A, 0.0) == at(*range(kept))
    peerstore.mark_disconnected(A, 0.0)
    assert peerstore.addresses(A, 0.0) == at(*range(32))


def test_full_is_full_for_addresses_that_expire_sooner_and_not_for_those_that_expire_later() -> None:
    peerstore = store(peerstore_addresses=2)
    peerstore.add_addresses(A, at(0), 10.0, 0.0)
    peerstore.add_addresses(A, at(1), 20.0, 0.0)
    peerstore.add_addresses(A, at(2), 9.0, 0.0)
    assert peerstore.addresses(A, 0.0) == at(0, 1)
    peerstore.add_addresses(A, at(3), 11.0, 0.0)
    assert peerstore.addresses(A, 0.0) == at(1, 3)


def test_expired_addresses_make_place() -> None:
    peerstore = store(peerstore_addresses=2)
    peerstore.add_addresses(A, at(0, 1), 10.0, 0.0)
    peerstore.add_addresses(A, at(2), 1.0, 10.0)
    assert peerstore.addresses(A, 10.0) == at(2)


@pytest.mark.parametrize(("count", "kept"), [(4, 4), (5, 5), (6, 5)])
def test_the_unconnected_peer_heard_of_longest_ago_goes_first(count: int, kept: int) -> None:
    peerstore = store(peerstore_peers=5)
    for peer in PEERS[:count]:
        peerstore.add_addresses(peer, at(0), 100.0, 0.0)
    assert peerstore.peers() == PEERS[count - kept : count]


def test_a_peer_heard_of_again_goes_later() -> None:
    peerstore = store(peerstore_peers=2)
    for number in (0, 1, 0, 2):
        peerstore.add_addresses(PEERS[number], at(number), 100.0, 0.0)
    assert peerstore.peers() == [PEERS[0], PEERS[2]]


def test_peers_that_were_connected_are_not_displaced_by_those_one_only_hears_of() -> None:
    peerstore = store(peerstore_peers=2)
    for peer in PEERS[:2]:
        peerstore.mark_connected(peer)
        peerstore.add_addresses(peer, at(0), CONNECTED_TTL, 0.0)
        peerstore.mark_disconnected(peer, 0.0)
    peerstore.add_addresses(PEERS[2], at(0), ADDRESS_TTL, 0.0)
    assert peerstore.peers() == PEERS[:2]
    peerstore.mark_connected(PEERS[3])
    peerstore.add_addresses(PEERS[3], at(0), CONNECTED_TTL, 0.0)
    peerstore.mark_disconnected(PEERS[3], 0.0)
    assert peerstore.peers() == [PEERS[1], PEERS[3]]


def test_connected_peers_do_not_count_as_unconnected_ones() -> None:
    peerstore = store(peerstore_peers=1)
    for peer in PEERS[:3]:
        peerstore.mark_connected(peer)
        peerstore.add_addresses(peer, at(0), CONNECTED_TTL, 0.0)
    peerstore.add_addresses(PEERS[3], at(0), 10.0, 0.0)
    assert len(peerstore) == 4


def test_peers_whose_addresses_have_all_expired_are_forgotten_on_the_way() -> None:
    peerstore = store()
    for peer in PEERS[:10]:
        peerstore.add_addresses(peer, at(0), 10.0, 0.0)
    for peer in PEERS[10:20]:
        peerstore.add_addresses(peer, at(0), 10.0, 20.0)
    assert peerstore.peers() == PEERS[10:20]


def test_what_a_peer_speaks_is_unknown_until_it_says_so() -> None:
    peerstore = store()
    assert peerstore.supports(A, "/a") is None
    peerstore.set_protocols(A, ["/a"])
    assert (peerstore.supports(A, "/a"), peerstore.protocols(A)) == (None, frozenset())
    peerstore.mark_connected(A)
    assert (peerstore.supports(A, "/a"), peerstore.protocols(A)) == (None, frozenset())
    peerstore.set_protocols(A, ["/a", "/a"])
    assert (peerstore.supports(A, "/a"), peerstore.supports(A, "/b")) == (True, False)
    peerstore.set_protocols(A, ["/b"])
    assert peerstore.protocols(A) == {"/b"}
    peerstore.set_protocols(A, [])
    assert (peerstore.supports(A, "/a"), peerstore.protocols(A)) == (False, frozenset())


@pytest.mark.parametrize(("count", "kept", "of_another"), [(255, 255, False), (256, 256, False), (257, 256, None)])
def test_a_peer_has_256_protocols_and_of_more_one_does_not_know(count: int, kept: int, of_another: bool | None) -> None:
    peerstore = store()
    peerstore.mark_connected(A)
    peerstore.set_protocols(A, [f"/{number}" for number in range(count)])
    assert peerstore.protocols(A) == {f"/{number}" for number in range(kept)}
    assert peerstore.supports(A, "/other") is of_another


def test_what_a_peer_said_about_itself_stays_known_but_is_relied_on_while_it_is_connected_only() -> None:
    key = PrivateKey.generate("ed25519").public_key
    peer = PeerId.from_public_key(key)
    peerstore = store()
    peerstore.set_versions(peer, agent_version="x", protocol_version="y")
    peerstore.set_public_key(peer, key)
    assert (peerstore.agent_version(peer), peerstore.protocol_version(peer)) == (None, None)
    peerstore.mark_connected(peer)
    peerstore.add_addresses(peer, at(0), CONNECTED_TTL, 0.0)
    peerstore.set_versions(peer, agent_version="cortexnet/1", protocol_version="ipfs/0.1.0")
    peerstore.set_protocols(peer, ["/a"])
    assert (peerstore.agent_version(peer), peerstore.protocol_version(peer)) == ("cortexnet/1", "ipfs/0.1.0")
    peerstore.mark_disconnected(peer, 0.0)
    assert (peerstore.agent_version(peer), peerstore.protocol_version(peer)) == ("cortexnet/1", "ipfs/0.1.0")
    assert (peerstore.protocols(peer), peerstore.supports(peer, "/a")) == ({"/a"}, None)
    peerstore.mark_connected(peer)
    assert peerstore.supports(peer, "/a") is None, "it may run another version by now"
    peerstore.set_protocols(peer, ["/b"])
    assert (peerstore.supports(peer, "/a"), peerstore.supports(peer, "/b")) == (False, True)


def test_versions_are_cut_at_128_characters() -> None:
    peerstore = store()
    peerstore.mark_connected(A)
    peerstore.set_versions(A, agent_version="x" * 129, protocol_version="y" * 128)
    assert (peerstore.agent_version(A), peerstore.protocol_version(A)) == ("x" * 128, "y" * 128)
    peerstore.set_versions(A, agent_version=None, protocol_version=None)
    assert (peerstore.agent_version(A), peerstore.protocol_version(A)) == (None, None)


def test_a_key_that_the_id_holds_is_always_known_and_a_hashed_one_as_long_as_its_peer() -> None:
    inlined, hashed = PrivateKey.generate("ed25519").public_key, PrivateKey.generate("ecdsa").public_key
    peerstore = store()
    assert peerstore.public_key(PeerId.from_public_key(inlined)) == inlined
    peer = PeerId.from_public_key(hashed)
    assert peerstore.public_key(peer) is None
    peerstore.mark_connected(peer)
    peerstore.set_public_key(peer, hashed)
    assert peerstore.public_key(peer) == hashed
    with pytest.raises(ProtocolViolation, match="not that of"):
        peerstore.set_public_key(peer, inlined)
    peerstore.add_addresses(peer, at(0), 10.0, 0.0)
    peerstore.mark_disconnected(peer, 0.0)
    assert peerstore.public_key(peer) == hashed
    peerstore.forget(peer)
    assert peerstore.public_key(peer) is None
    of_inlined = PeerId.from_public_key(inlined)
    peerstore.mark_connected(of_inlined)
    peerstore.set_public_key(of_inlined, inlined)
    known = peerstore.known(of_inlined, 0.0)
    assert known is not None
    assert known.public_key is None, "the id has it"


@pytest.mark.parametrize(("limit", "kept"), [(6, 3), (5, 2), (4, 2), (1, 0)])
def test_above_the_limit_of_all_addresses_who_was_heard_of_longest_ago_goes(limit: int, kept: int) -> None:
    peerstore = store(peerstore_all_addresses=limit)
    for peer in PEERS[:3]:
        peerstore.add_addresses(peer, at(0, 1), 60, 0)
    assert peerstore.peers() == PEERS[3 - kept : 3]


def test_connected_peers_have_addresses_of_their_own() -> None:
    peerstore = store(peerstore_all_addresses=2)
    peerstore.mark_connected(A)
    peerstore.add_addresses(A, at(0, 1, 2, 3), 60, 0)
    peerstore.add_addresses(B, at(0, 1), 60, 0)
    assert len(peerstore) == 2
    peerstore.mark_disconnected(A, 0)
    assert peerstore.peers() == [], "both are over the limit now, one after the other"


@pytest.mark.parametrize(("size", "is_kept"), [(512, True), (513, False)])
def test_an_address_that_is_too_long_to_be_one_is_not_kept(size: int, is_kept: bool) -> None:
    peerstore = store()
    address = Multiaddr.parse(f"/dns4/{'x' * (size - 6)}/tcp/1")
    assert len(bytes(address)) == size
    peerstore.add_addresses(A, [address.with_peer(bytes(A))], 60, 0)
    assert (A in peerstore) is is_kept


class AddressBook(RuleBasedStateMachine):
    """Whatever is learned and in whatever order, the limits hold and nothing outlives its time."""

    peers = st.sampled_from(PEERS[:8])

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(
            peerstore_peers=4,
            peerstore_addresses=3,
            peerstore_all_addresses=7,
            peerstore_connected_addresses=5,
            peerstore_protocols=2,
            peerstore_descriptions=200,
        )
        self.peerstore = Peerstore(limits)
        self.now = 0.0
        self.connected: set[PeerId] = set()
        self.latest: dict[tuple[PeerId, Multiaddr], float] = {}

    @rule(peer=peers, numbers=st.lists(st.integers(0, 9), max_size=8), ttl=st.sampled_from([1.0, 30.0, 900.0, CONNECTED_TTL]))
    def learn(self, peer: PeerId, numbers: list[int], ttl: float) -> None:
        self.peerstore.add_addresses(peer, at(*numbers), ttl, self.now)
        if ttl == CONNECTED_TTL and peer not in self.connected:
            ttl = RECENTLY_CONNECTED_TTL
        for address in at(*numbers):
            self.latest[peer, address] = max(self.latest.get((peer, address), 0.0), self.now + ttl)

    @rule(peer=peers)
    def connect(self, peer: PeerId) -> None:
        self.peerstore.mark_connected(peer)
        self.connected.add(peer)

    @rule(peer=peers)
    def disconnect(self, peer: PeerId) -> None:
        self.peerstore.mark_disconnected(peer, self.now)
        if peer in self.connected:
            self.connected.remove(peer)
            self.cap(peer, self.now + RECENTLY_CONNECTED_TTL)

    @rule(peer=peers)
    def retire(self, peer: PeerId) -> None:
        self.peerstore.retire_addresses(peer, self.now)
        self.cap(peer, self.now + TEMPORARY_TTL)

    def cap(self, peer: PeerId, expires: float) -> None:
        for key, was in self.latest.items():
            if key[0] == peer and was == CONNECTED_TTL:
                self.latest[key] = expires

    @rule(peer=peers, count=st.integers(0, 4))
    def speak(self, peer: PeerId, count: int) -> None:
        self.peerstore.set_protocols(peer, [f"/{number}" for number in range(count)])

    @rule(peer=peers, number=st.integers(0, 9))
    def unlearn(self, peer: PeerId, number: int) -> None:
        self.peerstore.remove_address(peer, at(number)[0])
        assert at(number)[0] not in self.peerstore.addresses(peer, self.now)

    @rule(peer=peers)
    def forget(self, peer: PeerId) -> None:
        self.peerstore.forget(peer)
        assert peer in self.connected or peer not in self.peerstore

    @rule(seconds=st.sampled_from([0.5, 10.0, 200.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def limits_and_times_hold(self) -> None:
        peerstore = self.peerstore
        known = peerstore.peers()
        assert len(known) == len(set(known)) == len(peerstore)
        assert {peer for peer in known if peerstore.is_connected(peer)} == self.connected
        assert len(known) - len(self.connected) <= 4
        held = sum(len(peerstore._find(peer).addresses) for peer in known if peer not in self.connected)
        assert held == peerstore._unconnected_addresses <= 7
        for peer in known:
            addresses = peerstore.addresses(peer, self.now)
            assert len(addresses) <= (5 if peer in self.connected else 3)
            assert all(self.latest[peer, address] > self.now for address in addresses)
            assert len(peerstore.protocols(peer)) <= 2
            assert peer in self.connected or peerstore.supports(peer, "/0") is None
        told = {peer: peerstore._find(peer).description_size() for peer in known if peer not in self.connected}
        assert peerstore._descriptions == {peer: size for peer, size in told.items() if size}
        assert sum(told.values()) == peerstore._descriptions_size <= 200


TestAddressBook = AddressBook.TestCase
TestAddressBook.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_names_that_came_from_near_are_told_apart_as_long_as_they_are_known() -> None:
    peerstore = Peerstore(Limits(peerstore_addresses=3))
    name, other = Multiaddr.parse("/dns4/example.org/tcp/1"), Multiaddr.parse("/dnsaddr/example.org")
    peerstore.add_addresses(A, [name, *at(0)], 60, 0)
    assert peerstore.private_names(A) == frozenset()
    peerstore.add_addresses(A, [name, *at(0)], 60, 0, is_near=True)
    assert peerstore.private_names(A) == {name}
    peerstore.add_addresses(A, [name, other], 60, 0)  # what one who is near has told stays so
    assert peerstore.private_names(A) == {name}
    peerstore.add_addresses(A, at(1), 60, 61)
    assert peerstore.private_names(A) == frozenset()
    assert peerstore.private_names(B) == frozenset()
