import pytest

from cortexnet.errors import LocalError
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.operation import PeerFound
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.routing.key import position
from tests.support.dht_network import DhtNetwork, random_peer_id


def test_nodes_that_join_through_a_few_fill_their_tables() -> None:
    network = DhtNetwork(1)
    nodes = network.build(60)
    assert min(len(node.dht.table) for node in nodes) >= 20
    for node in nodes:
        near = {contact.peer_id for contact in node.dht.table.nearest(node.contact.position)}
        truth = set(network.true_closest(node.contact.position, without=[node.peer_id]))
        assert len(near & truth) >= 18


def test_a_lookup_finds_the_true_closest_in_few_hops() -> None:
    network = DhtNetwork(2)
    nodes = network.build(150)
    for _ in range(20):
        node, key = network.random.choice(nodes), network.random.randbytes(20)
        operation = node.dht.closest(key, network.now)
        found = [contact.peer_id for contact in network.finish(node, operation)]
        truth = network.true_closest(position(key), without=[node.peer_id])
        assert len(set(found) & set(truth)) >= 19
        assert operation.progress.hops <= 4
        assert operation.progress.best == min(position(bytes(peer_id)) ^ position(key) for peer_id in found)


def test_a_second_lookup_of_a_warm_key_takes_one_hop_at_most() -> None:
    network = DhtNetwork(3)
    nodes = network.build(150)
    for number in range(10):
        node, key = nodes[number * 7], network.random.randbytes(20)
        first = network.finish(node, node.dht.closest(key, network.now))
        operation = node.dht.closest(key, network.now)
        assert network.finish(node, operation) == first
        assert operation.progress.hops <= 1


def test_cached_contacts_vanish_when_their_peers_do() -> None:
    network = DhtNetwork(4)
    nodes = network.build(100)
    node, key = nodes[50], b"a key"
    first = network.finish(node, node.dht.closest(key, network.now))
    lost = first[0].peer_id
    network.nodes[lost].state = "refusing"
    network.finish(node, node.dht.closest(key, network.now))
    assert lost not in node.dht.table
    assert all(contact.peer_id != lost for contact in node.dht.cache.get(key, network.now) or ())


def test_an_answered_node_that_serves_not_leaves_the_table_and_clients_never_enter_it() -> None:
    network = DhtNetwork(5)
    nodes = network.build(50)
    clients = [network.add(is_server=False) for _ in range(10)]
    for client in clients:
        network.introduce(client, nodes[0])
    network.run_for(300.0)
    for client in clients:
        assert len(client.dht.table) >= 20
        network.finish(client, client.dht.closest(b"x", network.now))
    leaver = nodes[10]
    leaver.is_server = False
    for node in nodes:
        node.dht.candidate(leaver.contact, False, network.now)
    network.run_for(650.0)
    for node in network.nodes.values():
        assert all(network.nodes[contact.peer_id].is_server for contact in node.dht.table)


def test_a_peer_is_found_where_it_is_known_and_ends_the_search_itself() -> None:
    network = DhtNetwork(6)
    nodes = network.build(150)
    seeker, sought = nodes[3], nodes[140]
    operation = seeker.dht.find_peer(sought.peer_id, network.now)
    assert network.finish(seeker, operation) == sought.contact
    events = operation.take_events()
    assert events[0] == PeerFound(sought.contact)
    assert network.finish(seeker, seeker.dht.find_peer(random_peer_id(network.random), network.now)) is None


def test_a_peer_that_answers_nothing_is_told_with_the_addresses_others_know() -> None:
    network = DhtNetwork(7)
    nodes = network.build(60)
    sought = nodes[40]
    sought.is_server = False
    assert network.finish(nodes[2], nodes[2].dht.find_peer(sought.peer_id, network.now)) == sought.contact


def test_an_operation_without_anybody_to_ask_says_so() -> None:
    network = DhtNetwork(8)
    node = network.add()
    with pytest.raises(LocalError, match="no peer of this DHT is known"):
        network.finish(node, node.dht.closest(b"x", network.now))
    with pytest.raises(LocalError, match="no peer"):
        network.finish(node, node.dht.find_peer(random_peer_id(network.random), network.now))
    with pytest.raises(LocalError, match="no peer"):
        network.finish(node, node.dht.provide(b"\x12\x20" + bytes(32), network.now))
    with pytest.raises(LocalError, match="no peer"):
        network.finish(node, node.dht.find_providers(b"\x12\x20" + bytes(31) + b"x", network.now))
    with pytest.raises(LocalError, match="no peer"):
        network.finish(node, node.dht.get_value(b"/n/x", network.now))


def test_dead_contacts_delay_a_lookup_and_do_not_spoil_it() -> None:
    network = DhtNetwork(9)
    nodes = network.build(150)
    for number, node in enumerate(network.random.sample(nodes, 50)):
        node.state = "silent" if number % 2 else "refusing"
    living = [node for node in nodes if node.state == "up"]
    for _ in range(30):
        node, key = network.random.choice(living), network.random.randbytes(20)
        began = network.now
        found = network.finish(node, node.dht.closest(key, network.now))
        assert network.now - began <= 5.0
        truth = network.true_closest(position(key), 15, without=[node.peer_id])
        assert set(truth) <= {contact.peer_id for contact in found}


def test_silent_peers_leave_the_table_although_no_lookup_waits_for_them() -> None:
    network = DhtNetwork(10)
    nodes = network.build(60)
    node = nodes[30]
    for other in nodes[:10]:
        other.state = "silent"
    network.finish(node, node.dht.closest(bytes(nodes[0].peer_id), network.now))
    network.run_for(15.0)
    assert nodes[0].peer_id not in node.dht.table


def test_duplicate_and_late_answers_change_nothing() -> None:
    network = DhtNetwork(11)
    nodes = network.build(60)
    network.duplicates = True
    node = nodes[5]
    found = network.finish(node, node.dht.closest(b"key", network.now))
    network.run_for(5.0)
    truth = network.true_closest(position(b"key"), without=[node.peer_id])
    assert [contact.peer_id for contact in found] == truth
    node.dht.on_answer(10**9, Message(Type.FIND_NODE), network.now)
    node.dht.on_failure(10**9, network.now)


def test_an_answer_of_another_type_or_none_is_a_failure() -> None:
    network = DhtNetwork(12)
    nodes = network.build(60)
    liar = nodes[20]
    liar.liar = lambda sender, message: Message(Type.PING, message.key)
    node = nodes[5]
    found = network.finish(node, node.dht.closest(bytes(liar.peer_id), network.now))
    assert liar.peer_id not in [contact.peer_id for contact in found]
    assert liar.peer_id not in node.dht.table
    liar.liar = lambda sender, message: None
    operation = node.dht.find_peer(liar.peer_id, network.now)
    network.finish(node, operation)
    assert operation.progress.failed >= 1


def test_a_lookup_ends_whatever_the_peers_answer() -> None:
    network = DhtNetwork(13)
    nodes = network.build(60)

    def invents(sender: object, message: Message) -> Message:
        target = position(message.key)
        made_up = sorted((random_peer_id(network.random) for _ in range(40)), key=lambda one: position(bytes(one)) ^ target)
        return Message(message.type, closer=tuple(nodes[0].contact.__class__(one, nodes[0].contact.addresses) for one in made_up))

    for node in nodes[:59]:
        node.liar = invents
    honest = nodes[59]
    operation = honest.dht.closest(b"key", network.now)
    network.finish(honest, operation, limit=61.0)
    assert operation.progress.asked <= 200


def test_the_same_seed_gives_the_same_course() -> None:
    def course() -> tuple[object, ...]:
        network = DhtNetwork(14, config=DhtConfig(refresh_interval=60.0))
        nodes = network.build(30, seconds=60.0)
        network.run_for(60.0)
        return network.sent, [[bytes(contact.peer_id) for contact in node.dht.table] for node in nodes]

    assert course() == course()
