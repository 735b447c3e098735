from itertools import pairwise
from random import Random

from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.actions import ContactsWanted
from cortexnet.kad.engine.engine import Filters
from cortexnet.kad.lookup.density import size_by
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.records.value_store import EXPIRED_AT_ONCE
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import position
from tests.support.dht_network import UNIX_START, DhtNetwork, SimNode, random_peer_id, validators

MULTIHASH = b"\x12\x20" + bytes(range(32))


def wanted(dht: Dht, until: float) -> list[tuple[float, bool]]:
    """When a node that nobody answers asks for contacts, and whether it says that it knows nobody."""
    times = []
    while (due := dht.next_timeout()) is not None and due <= until:
        dht.handle_timeout(due)
        times += [(due, action.is_empty) for action in dht.take_actions() if isinstance(action, ContactsWanted)]
    return times


def lonely(config: DhtConfig | None = None) -> Dht:
    contact = Contact(random_peer_id(Random(1)))
    return Dht(lambda: contact, config=config or DhtConfig(), random=Random(1), validators=validators())


def test_nothing_happens_before_the_start() -> None:
    dht = lonely()
    assert dht.next_timeout() is None
    assert dht.take_actions() == []


def test_a_node_that_knows_nobody_asks_for_contacts_again_and_again_with_growing_pauses() -> None:
    dht = lonely()
    dht.start(0.0, UNIX_START)
    times = wanted(dht, 1000.0)
    assert all(is_empty for _, is_empty in times)
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(times)]
    assert times[0][0] == 0.0
    assert 1.0 <= pauses[0] <= 2.0
    assert all(60.0 <= pause <= 120.0 for pause in pauses[7:])


def test_a_sparse_table_is_filled_up_and_a_full_one_left_alone() -> None:
    network = DhtNetwork(1)
    a, b = network.add(), network.add()
    network.introduce(a, b)
    network.run_for(2.0)
    assert b.peer_id in a.dht.table
    others = [network.add() for _ in range(30)]
    for one, other in pairwise(others):
        network.introduce(one, other)
        network.introduce(one, b)
    network.run_for(250.0)
    assert len(a.dht.table) > 10
    assert wanted(a.dht, network.now + 1000.0) == []


def test_a_table_that_becomes_sparse_is_filled_up_soon() -> None:
    network = DhtNetwork(2)
    nodes = network.build(40)
    node = nodes[20]
    for contact in list(node.dht.table)[5:]:
        node.dht.gone(contact.peer_id, network.now)
    network.drain(node)
    network.run_for(10.0)
    assert len(node.dht.table) >= 20
    node.dht.dial_failed(next(iter(node.dht.table)).peer_id, network.now)
    network.drain(node)


def test_every_bucket_in_use_has_a_lookup_each_interval() -> None:
    network = DhtNetwork(3)
    nodes = network.build(60)
    network.run_for(1300.0)
    node = nodes[50]
    counts = node.dht.table.counts()
    refreshed = node.dht._engine.refreshed
    for depth, _ in enumerate(counts):
        if sum(counts[depth:]) >= 20:
            assert network.now - refreshed[depth] <= 900.0


def test_silent_contacts_are_checked_and_leave() -> None:
    network = DhtNetwork(4, config=DhtConfig(silence=300.0, refresh_interval=600.0))
    nodes = network.build(40)
    lost = nodes[10]
    lost.state = "silent"
    network.run_for(2000.0)
    assert all(lost.peer_id not in node.dht.table for node in nodes if node is not lost)


def test_tables_stay_whole_under_churn() -> None:
    network = DhtNetwork(5, config=DhtConfig(value_interval=600.0))
    nodes = network.build(60)
    publisher = nodes[0]
    for number in range(10):
        network.finish(publisher, publisher.dht.put_value(b"/n/%d" % number, b"1", network.now))
    living = list(nodes)
    for _ in range(60):
        network.run_for(25.0)
        victim = network.random.choice(living[1:])
        victim.state = "gone"
        victim.dht.close()
        living.remove(victim)
        newcomer = network.add()
        for other in network.random.sample(living, 3):
            network.introduce(newcomer, other)
        living.append(newcomer)
    found = 0
    for number in range(10):
        getter = network.random.choice(living)
        found += network.finish(getter, getter.dht.get_value(b"/n/%d" % number, network.now)) == b"1"
    assert found == 10


def test_newcomers_stay_replaceable_until_two_refreshes_are_over() -> None:
    network = DhtNetwork(6)
    nodes = network.build(30, seconds=1.0)
    newest = nodes[-1].dht._admission
    assert not newest.is_settled
    network.run_for(1500.0)
    assert newest.is_settled


def test_expired_records_are_dropped() -> None:
    network = DhtNetwork(7)
    node = network.add()
    node.dht.values.put(b"/n/a", b"1", UNIX_START)
    node.dht.providers.add(MULTIHASH, Contact(random_peer_id(network.random), node.contact.addresses), UNIX_START)
    network.run_for(49 * 3600.0 + 3600.0)
    assert len(node.dht.values) == 0
    assert len(node.dht.providers) == 0


def test_many_expired_records_are_dropped_a_part_at_a_time() -> None:
    network = DhtNetwork(7)
    node = network.add()
    provider = Contact(random_peer_id(network.random), node.contact.addresses)
    for number in range(EXPIRED_AT_ONCE + 1):
        node.dht.providers.add(number.to_bytes(4, "big"), provider, UNIX_START)
    sizes = []
    node.dht.providers.on_change = lambda key, peer_id: sizes.append(network.now)
    network.run_for(49 * 3600.0)
    assert len(sizes) == EXPIRED_AT_ONCE + 1
    assert sizes[-2] < sizes[-1] <= sizes[-2] + 2.0


def test_the_wall_clock_may_be_set() -> None:
    network = DhtNetwork(8)
    nodes = network.build(30)
    network.finish(nodes[0], nodes[0].dht.put_value(b"/n/a", b"1", network.now))
    for node in nodes:
        node.dht.set_clock(network.now, UNIX_START + network.now + 50 * 3600.0)
    assert nodes[0].dht.values.get(b"/n/a", UNIX_START + network.now + 50 * 3600.0) is None


def test_a_probe_with_an_empty_answer_brings_nobody_into_a_table_that_is_full_enough() -> None:
    network = DhtNetwork(9)
    nodes = network.build(60)
    stranger = network.add(start=False)
    stranger.liar = lambda sender, message: Message(message.type)
    network.introduce(stranger, nodes[5])
    network.run_for(5.0)
    assert len(nodes[5].dht.table) >= 20
    assert stranger.peer_id not in nodes[5].dht.table


def test_no_more_candidates_are_probed_at_once_than_the_limit() -> None:
    network = DhtNetwork(10, config=DhtConfig(probe_limit=5))
    dht = network.add().dht
    for _ in range(9):
        dht.candidate(Contact(random_peer_id(network.random)), True, 0.0)
    assert len(dht._requests) == 5
    dht.candidate(Contact(random_peer_id(network.random)), False, 0.0)
    dht.close()
    assert len(dht._requests) == 0


def test_a_candidate_that_serves_no_more_is_probed_no_more() -> None:
    network = DhtNetwork(11)
    node = network.add()
    contact = Contact(random_peer_id(network.random), node.contact.addresses)
    node.dht.candidate(contact, True, 0.0)
    assert len(node.dht._requests) == 1
    node.dht.candidate(contact, False, 0.0)
    assert len(node.dht._requests) == 0
    node.dht.candidate(node.contact, True, 0.0)
    assert len(node.dht._requests) == 0


def test_a_contact_of_the_table_that_is_identified_anew_has_its_new_addresses() -> None:
    network = DhtNetwork(12)
    a, b = network.add(), network.add()
    network.introduce(a, b)
    network.run_for(2.0)
    moved = Contact(b.peer_id, a.contact.addresses)
    a.dht.candidate(moved, True, network.now)
    a.dht.candidate(Contact(b.peer_id), True, network.now)
    entry = a.dht.table.get(b.peer_id)
    assert entry is not None
    assert entry.contact is moved


def filtered(filters: Filters, seed: int = 13) -> tuple[DhtNetwork, SimNode]:
    network = DhtNetwork(seed)
    nodes = network.build(60)
    node = network.add(filters=filters)
    for other in nodes[:5]:
        network.introduce(node, other)
    network.run_for(150.0)
    return network, node


def test_who_is_not_admitted_or_not_accepted_stays_out() -> None:
    network, node = filtered(Filters(admit=lambda contact: None if contact.position & 1 else ()))
    assert len(node.dht.table) >= 10
    assert not any(contact.position & 1 for contact in node.dht.table)
    network, node = filtered(Filters(accept=lambda contact: contact.position & 1 == 0))
    odd = [contact for contact in node.dht.table if contact.position & 1]
    assert len(odd) <= 25
    found = network.finish(node, node.dht.closest(b"key", network.now))
    assert found


def test_addresses_of_no_use_are_taken_off_what_providers_announce() -> None:
    network, node = filtered(Filters(keep_addresses=lambda contact: contact.with_addresses(())))
    sender = network.nodes[next(iter(network.nodes))]
    request = Message(Type.ADD_PROVIDER, MULTIHASH, providers=(sender.contact,))
    assert node.dht.answer(sender.peer_id, request, network.now, UNIX_START) is None
    assert node.dht.providers.get(MULTIHASH, UNIX_START)[0].addresses == ()


def test_the_size_of_the_network_is_known_from_the_table_and_from_lookups() -> None:
    network = DhtNetwork(14)
    nodes = network.build(100)
    node = nodes[70]
    engine = node.dht._engine
    assert 50 <= (engine.network_size_at_most(network.now) or 0) <= 200
    for _ in range(10):
        network.finish(node, node.dht.closest(network.random.randbytes(20), network.now))
    assert engine.network_size(network.now) == node.dht.size.estimate(network.now)
    assert 50 <= (engine.network_size(network.now) or 0) <= 200
    assert lonely()._engine.network_size(0.0) is None
    assert lonely()._engine.network_size_at_most(0.0) is None


def test_a_crowd_of_made_up_ids_does_not_hide_a_provider() -> None:
    network = DhtNetwork(15)
    nodes = network.build(150)
    for _ in range(3):
        key = b"\x12\x20" + network.random.randbytes(32)
        target = position(key)
        crowd = []
        while len(crowd) < 20:
            peer_id = random_peer_id(network.random)
            if (position(bytes(peer_id)) ^ target) >> 245 == 0:
                crowd.append(network.add(peer_id=peer_id, start=False))
        contacts = tuple(node.contact for node in crowd)
        for node in crowd:
            node.liar = lambda sender, message, contacts=contacts: (
                None if message.type is Type.ADD_PROVIDER else Message(message.type, closer=contacts)
            )
            for other in network.random.sample(nodes, 40):
                network.introduce(node, other)
        network.run_for(5.0)
        bad = network.nodes[network.true_closest(target, 25)[-1]]
        bad.liar = lambda sender, message: None
        provider, seeker = network.random.sample([node for node in nodes if node is not bad], 2)
        assert network.finish(provider, provider.dht.provide(key, network.now, reprovide=False)) > 20
        finding = seeker.dht.find_providers(key, network.now)
        assert provider.peer_id in [contact.peer_id for contact in network.finish(seeker, finding)]
        cancelled = seeker.dht.find_providers(key, network.now)
        network.drain(seeker)
        while seeker.dht.cache.hits and not cancelled.is_done and cancelled.progress.answered < 20:
            network.run_for(0.01)
        cancelled.cancel()
        network.drain(seeker)
        bad.liar = None
        for node in crowd:
            node.state = "gone"
    assert size_by(0, []) is None


def test_an_optimistic_provide_returns_early_and_still_tells_enough() -> None:
    network = DhtNetwork(16, config=DhtConfig(optimistic_provide=True))
    nodes = network.build(150)
    provider = nodes[30]
    for number, size in enumerate((150.0, 600.0)):
        key = MULTIHASH + bytes([number])
        provider.dht.size.estimate = lambda now, size=size: size
        operation = provider.dht.provide(key, network.now)
        assert network.finish(provider, operation) >= 15
        network.run_for(5.0)
        holders = sum(bool(node.dht.providers.get(key, UNIX_START + network.now)) for node in nodes)
        assert holders >= 20
        seeker = nodes[90]
        assert network.finish(seeker, seeker.dht.find_providers(key, network.now)) == [provider.contact]
