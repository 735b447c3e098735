import pytest

from cortexnet.errors import InvalidRecord, LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.operation import NameFound, ProviderFound, ValueFound
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.records.namespaces import Name
from cortexnet.kad.routing.contact import Contact
from tests.support.dht_network import UNIX_START, DhtNetwork

CONFIG = DhtConfig(namespaces=True)


def multihashes(count: int) -> list[bytes]:
    return [b"\x12\x20" + number.to_bytes(32, "big") for number in range(count)]


def test_many_keys_are_provided_and_found_with_few_find_nodes() -> None:
    network = DhtNetwork(1)
    nodes = network.build(200)
    keys = multihashes(400)
    before = network.sent[Type.FIND_NODE]
    operation = nodes[3].dht.provide_many(keys, network.now)
    told = network.finish(nodes[3], operation)
    assert list(told) == keys
    assert min(told.values()) >= 18
    assert operation.progress.find_nodes <= 400
    assert network.sent[Type.FIND_NODE] - before <= 600
    seeker = nodes[150]
    finding = seeker.dht.find_providers_many(keys, network.now)
    found = network.finish(seeker, finding)
    assert all([contact.peer_id for contact in found[key]] == [nodes[3].peer_id] for key in keys)
    assert len([event for event in finding.take_events() if isinstance(event, ProviderFound)]) == 400
    single = network.finish(nodes[99], nodes[99].dht.find_providers(keys[7], network.now))
    assert [contact.peer_id for contact in single] == [nodes[3].peer_id]


def test_many_values_are_put_and_got() -> None:
    network = DhtNetwork(2)
    nodes = network.build(150)
    values = {b"/n/%d" % number: b"%d" % number for number in range(200)}
    stored = network.finish(nodes[3], nodes[3].dht.put_many(values, network.now, republish=False))
    assert min(stored.values()) >= 18
    getter = nodes[100]
    operation = getter.dht.get_many([*values, b"/n/nothing"], network.now)
    assert network.finish(getter, operation) == values
    assert len([event for event in operation.take_events() if isinstance(event, ValueFound)]) >= 150
    assert network.finish(nodes[50], nodes[50].dht.get_value(b"/n/77", network.now)) == b"77"


def test_few_keys_take_a_lookup_each() -> None:
    network = DhtNetwork(3)
    nodes = network.build(60)
    keys = multihashes(2)
    told = network.finish(nodes[3], nodes[3].dht.provide_many(keys, network.now))
    assert told == dict.fromkeys(keys, 20)
    found = network.finish(nodes[30], nodes[30].dht.find_providers_many(keys, network.now))
    assert all([contact.peer_id for contact in found[key]] == [nodes[3].peer_id] for key in keys)
    network.finish(nodes[3], nodes[3].dht.put_value(b"/n/a", b"1", network.now))
    assert network.finish(nodes[30], nodes[30].dht.get_many([b"/n/a", b"/n/b"], network.now)) == {b"/n/a": b"1"}


def test_what_this_node_keeps_counts_and_is_not_asked_for() -> None:
    network = DhtNetwork(4)
    nodes = network.build(40)
    dht = nodes[3].dht
    dht.values.put(b"/n/a", b"5", UNIX_START + network.now)
    values = {b"/n/%d" % number: b"1" for number in range(10)}
    network.finish(nodes[9], nodes[9].dht.put_many(values, network.now))
    assert network.finish(nodes[3], dht.get_many([b"/n/a", *values], network.now)) == {b"/n/a": b"5", **values}
    assert network.finish(nodes[3], dht.find_providers_many([], network.now)) == {}
    keys = multihashes(5)
    for key in keys:
        dht.providers.add(key, nodes[20].contact, UNIX_START + network.now)
    sent = network.sent.get(Type.GET_PROVIDERS, 0)
    found = network.finish(nodes[3], dht.find_providers_many(keys, network.now))
    assert found == {key: [nodes[20].contact] for key in keys}
    assert network.sent.get(Type.GET_PROVIDERS, 0) == sent


def test_the_second_call_of_a_region_explores_nothing() -> None:
    network = DhtNetwork(5)
    nodes = network.build(150)
    keys = multihashes(200)
    network.finish(nodes[3], nodes[3].dht.provide_many(keys, network.now))
    again = nodes[3].dht.provide_many(keys, network.now)
    assert min(network.finish(nodes[3], again).values()) >= 18
    assert again.progress.find_nodes <= 40


def test_peers_that_fail_are_given_up_and_the_rest_is_stored() -> None:
    network = DhtNetwork(6)
    nodes = network.build(100)
    values = {b"/n/%d" % number: b"%d" % number for number in range(100)}
    operation = nodes[3].dht.put_many(values, network.now)
    network.drain(nodes[3])
    while not operation.progress.asked:
        network.run_for(0.01)
    for node in nodes[10:40]:
        node.state = "silent"
    stored = network.finish(nodes[3], operation, limit=300.0)
    assert min(stored.values()) >= 6
    progress = operation.progress
    assert progress.failed > 0
    assert 0 < progress.answered == progress.asked - progress.failed


def test_many_calls_refuse_what_single_ones_refuse() -> None:
    network = DhtNetwork(7)
    node = network.add()
    dht = node.dht
    with pytest.raises(InvalidRecord):
        dht.put_many({b"/n/a": b"1", b"/n/b": b"x"}, network.now)
    with pytest.raises(LocalError, match="no validator"):
        dht.get_many([b"/other/a"], network.now)
    with pytest.raises(LocalError, match="no namespaces here"):
        dht.list_namespace("a", 4, network.now)
    with pytest.raises(LocalError, match="no peer"):
        network.finish(node, dht.provide_many(multihashes(3), network.now))
    with pytest.raises(LocalError, match="no peer"):
        network.finish(node, dht.get_many([b"/n/a"], network.now))
    dht._engine.own = lambda: Contact(node.peer_id)
    with pytest.raises(LocalError, match="no address"):
        dht.provide_many(multihashes(3), network.now)


def test_a_namespace_is_listed_completely_with_few_requests() -> None:
    network = DhtNetwork(8, config=CONFIG)
    nodes = network.build(150)
    names = [Name(2, b"songs", b"%d" % number).key for number in range(300)]
    stored = network.finish(nodes[3], nodes[3].dht.put_many(dict.fromkeys(names, b"1"), network.now, republish=False))
    assert min(stored.values()) >= 18
    region = Name(2, b"songs").region
    inside = sum(region.contains(node.contact.position) for node in nodes)
    lister = nodes[120]
    operation = lister.dht.list_namespace("songs", 2, network.now)
    assert network.finish(lister, operation) == sorted(names)
    assert operation.progress.asked <= 3 * inside
    events = operation.take_events()
    assert {event.key for event in events if isinstance(event, NameFound)} == set(names)
    assert network.finish(nodes[60], nodes[60].dht.get_value(names[5], network.now)) == b"1"
    assert network.finish(nodes[60], nodes[60].dht.list_namespace("nothing", 2, network.now)) == []


def test_a_listing_goes_on_without_the_peers_that_fail() -> None:
    network = DhtNetwork(9, config=CONFIG)
    nodes = network.build(80)
    names = [Name(0, b"songs", b"%d" % number).key for number in range(50)]
    network.finish(nodes[3], nodes[3].dht.put_many(dict.fromkeys(names, b"1"), network.now, republish=False))
    for node in nodes[10:20]:
        node.liar = lambda sender, message, node=node: (
            None if message.type is Type.LIST_PREFIX else node.dht.answer(sender, message, network.now, UNIX_START + network.now)
        )
    operation = nodes[50].dht.list_namespace("songs", 0, network.now)
    assert network.finish(nodes[50], operation) == sorted(names)
    assert operation.progress.failed == 10
    alone = network.add()
    with pytest.raises(LocalError, match="no peer"):
        network.finish(alone, alone.dht.list_namespace("songs", 0, network.now))


def test_a_listing_ends_though_somebody_tells_names_one_by_one_without_end() -> None:
    network = DhtNetwork(9, config=CONFIG)
    nodes = network.build(40)
    names = [Name(0, b"songs", b"%d" % number).key for number in range(50)]
    network.finish(nodes[3], nodes[3].dht.put_many(dict.fromkeys(names, b"1"), network.now, republish=False))

    def endless(sender: PeerId, message: Message) -> Message | None:
        if message.type is not Type.LIST_PREFIX:
            return nodes[10].dht.answer(sender, message, network.now, UNIX_START + network.now)
        name = b"/cx/0/songs/a%06d" % (int(message.cursor[-6:] or 0) + 1)
        return Message(message.type, message.key, names=(name,), cursor=name)

    nodes[10].liar = endless
    begin = network.now
    operation = nodes[30].dht.list_namespace("songs", 0, network.now)
    assert set(names) < set(network.finish(nodes[30], operation))
    assert CONFIG.lookup_timeout <= network.now - begin <= 2 * CONFIG.lookup_timeout


def test_one_namespace_has_its_share_of_a_node_and_no_more() -> None:
    network = DhtNetwork(10, config=CONFIG)
    dht = network.add().dht
    sender = network.add().peer_id

    def put(number: int) -> Message | None:
        key = Name(0, b"songs", b"%d" % number).key
        return dht.answer(sender, Message(Type.PUT_VALUE, key, Record(key, b"1")), network.now, UNIX_START)

    for number in range(2_000):
        assert put(number) is not None
    with pytest.raises(InvalidRecord):
        put(2_000)
    assert put(7) is not None


def test_cancelling_a_call_for_many_keys_leaves_nothing() -> None:
    network = DhtNetwork(11, config=CONFIG)
    nodes = network.build(80)
    network.run_for(120.0)
    node, dht = nodes[5], nodes[5].dht
    values = {b"/n/%d" % number: b"1" for number in range(60)}
    starts = [
        lambda: dht.provide_many(multihashes(60), network.now, reprovide=False),
        lambda: dht.put_many(values, network.now, republish=False),
        lambda: dht.get_many(list(values), network.now),
        lambda: dht.find_providers_many(multihashes(61)[59:] + multihashes(50), network.now),
        lambda: dht.list_namespace("songs", 1, network.now),
    ]
    for start in starts:
        for seconds in (0.0, 0.04, 0.09, 0.16, 0.26):
            dht.cache._entries.clear()
            operation = start()
            network.drain(node)
            network.run_for(seconds)
            if operation.is_done:
                continue
            operation.cancel()
            network.drain(node)
            under_way = [request for request in dht._requests._under_way.values() if request.asker is not dht._admission]
            assert not under_way
            assert not dht._running
