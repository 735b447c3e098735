from random import Random

import pytest

from cortexnet.errors import InvalidRecord, LocalError
from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.operation import ProviderFound, Stored, ValueFound
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.operations.find_providers import Found
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import position
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.support.dht_network import UNIX_START, DhtNetwork, SimNode, random_peer_id

ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
MULTIHASH = b"\x12\x20" + bytes(range(32))


def holders(network: DhtNetwork, key: bytes, value: bytes) -> list[SimNode]:
    found = []
    for node in network.nodes.values():
        stored = node.dht.values.get(key, UNIX_START + network.now)
        if stored is not None and stored.value == value:
            found.append(node)
    return found


def put_at(network: DhtNetwork, nodes: list[SimNode], key: bytes, value: bytes) -> None:
    for node in nodes:
        node.dht.values.put(key, value, UNIX_START + network.now)


def nearest(network: DhtNetwork, key: bytes, count: int = 20) -> list[SimNode]:
    return [network.nodes[peer_id] for peer_id in network.true_closest(position(key), count)]


def test_a_value_is_put_with_the_nearest_and_found_by_others() -> None:
    network = DhtNetwork(1)
    nodes = network.build(100)
    operation = nodes[3].dht.put_value(b"/n/key", b"7", network.now)
    assert network.finish(nodes[3], operation) == 20
    assert len([event for event in operation.take_events() if isinstance(event, Stored)]) == 20
    getter = nodes[70]
    getting = getter.dht.get_value(b"/n/key", network.now)
    assert network.finish(getter, getting) == b"7"
    event = getting.take_events()[0]
    assert isinstance(event, ValueFound)
    assert event.value == b"7"
    assert network.finish(nodes[9], nodes[9].dht.get_value(b"/n/nothing", network.now)) is None


def test_a_value_that_is_invalid_or_worse_or_of_no_namespace_is_not_put() -> None:
    network = DhtNetwork(2)
    nodes = network.build(30)
    dht = nodes[0].dht
    with pytest.raises(InvalidRecord):
        dht.put_value(b"/n/key", b"x", network.now)
    with pytest.raises(LocalError, match="no validator"):
        dht.put_value(b"/other/key", b"1", network.now)
    with pytest.raises(LocalError, match="no validator"):
        dht.get_value(b"/other/key", network.now)
    network.finish(nodes[0], dht.put_value(b"/n/key", b"5", network.now))
    with pytest.raises(InvalidRecord, match="better"):
        dht.put_value(b"/n/key", b"4", network.now)
    network.finish(nodes[0], dht.put_value(b"/n/key", b"5", network.now))


def test_the_best_value_wins_and_who_lacked_it_is_corrected() -> None:
    network = DhtNetwork(3)
    nodes = network.build(100)
    near = nearest(network, b"/n/key")
    put_at(network, near[:10], b"/n/key", b"1")
    put_at(network, near[10:12], b"/n/key", b"9")
    getter = nodes[50] if nodes[50] not in near else nodes[51]
    operation = getter.dht.get_value(b"/n/key", network.now)
    assert network.finish(getter, operation) == b"9"
    assert not any(isinstance(event, ValueFound) and event.value == b"x" for event in operation.take_events())
    network.run_for(2.0)
    assert {node.peer_id for node in near} <= {node.peer_id for node in holders(network, b"/n/key", b"9")}


def test_a_quorum_ends_the_search_early_and_corrects_nobody() -> None:
    network = DhtNetwork(4)
    nodes = network.build(100)
    near = nearest(network, b"/n/key")
    put_at(network, near, b"/n/key", b"1")
    getter = next(node for node in nodes if node not in near)
    operation = getter.dht.get_value(b"/n/key", network.now, quorum=3)
    assert network.finish(getter, operation) == b"1"
    assert network.sent.get(Type.PUT_VALUE, 0) == 0
    assert operation.progress.answered <= 20


def test_our_own_value_counts_as_an_answer() -> None:
    network = DhtNetwork(5)
    nodes = network.build(40)
    put_at(network, [nodes[0]], b"/n/key", b"3")
    assert network.finish(nodes[0], nodes[0].dht.get_value(b"/n/key", network.now)) == b"3"
    alone = network.add()
    put_at(network, [alone], b"/n/key", b"4")
    assert network.finish(alone, alone.dht.get_value(b"/n/key", network.now)) == b"4"


def test_a_record_under_another_key_fails_its_peer_and_an_invalid_one_is_ignored() -> None:
    network = DhtNetwork(6)
    nodes = network.build(60)
    near = nearest(network, b"/n/key")
    put_at(network, near[5:], b"/n/key", b"2")
    near[0].liar = lambda sender, message: Message(message.type, record=Record(b"/n/other", b"99"))
    near[1].liar = lambda sender, message: Message(message.type, record=Record(message.key, b"no number"))
    getter = next(node for node in nodes if node not in near)
    operation = getter.dht.get_value(b"/n/key", network.now)
    assert network.finish(getter, operation) == b"2"
    assert operation.progress.failed == 1


def test_a_peer_that_takes_no_value_is_not_counted_and_stays_in_the_table() -> None:
    network = DhtNetwork(7)
    nodes = network.build(60)
    near = nearest(network, b"/n/key")
    put_at(network, [near[0]], b"/n/key", b"9")
    near[1].liar = lambda sender, message: (
        Message(message.type, message.key, Record(message.key, b"8"))
        if message.type is Type.PUT_VALUE
        else near[1].dht.answer(sender, message, network.now, UNIX_START + network.now)
    )
    putter = next(node for node in nodes if node not in near)
    network.finish(putter, putter.dht.closest(b"/n/key", network.now))
    assert near[0].peer_id in putter.dht.table
    assert network.finish(putter, putter.dht.put_value(b"/n/key", b"2", network.now)) == 18
    assert near[0].peer_id in putter.dht.table


def test_a_provider_is_found_through_third_nodes() -> None:
    network = DhtNetwork(8)
    nodes = network.build(100)
    for provider in nodes[:3]:
        assert network.finish(provider, provider.dht.provide(MULTIHASH, network.now)) == 20
    seeker = nodes[80]
    operation = seeker.dht.find_providers(MULTIHASH, network.now)
    found = network.finish(seeker, operation)
    assert {contact.peer_id for contact in found} == {node.peer_id for node in nodes[:3]}
    events = operation.take_events()
    assert all(isinstance(event, ProviderFound) and event.key == MULTIHASH for event in events)
    one = network.finish(seeker, seeker.dht.find_providers(MULTIHASH, network.now, limit=1))
    assert len(one) == 1
    own = network.finish(nodes[0], nodes[0].dht.find_providers(MULTIHASH, network.now, limit=1))
    assert own == [nodes[0].contact]


def test_a_provider_without_addresses_is_told_again_with_them() -> None:
    network = DhtNetwork(9)
    nodes = network.build(60)
    near = nearest(network, MULTIHASH)
    provider = nodes[1]
    bare = Contact(provider.peer_id)
    for node in near[1:]:
        node.liar = lambda sender, message, node=node: Message(
            message.type, closer=tuple(node.dht.table.nearest(position(message.key))), providers=(bare,)
        )
    near[0].liar = lambda sender, message: Message(message.type, providers=(provider.contact,))
    seeker = next(node for node in nodes if node not in near and node is not provider)
    operation = seeker.dht.find_providers(MULTIHASH, network.now)
    assert network.finish(seeker, operation) == [provider.contact]
    told = [event.contact for event in operation.take_events() if isinstance(event, ProviderFound)]
    assert told in ([bare, provider.contact], [provider.contact])


def test_a_provider_without_addresses_ends_no_search_and_comes_last() -> None:
    network = DhtNetwork(9)
    nodes = network.build(60)
    near = nearest(network, MULTIHASH)
    provider = nodes[1]
    strangers = [Contact(random_peer_id(network.random)) for _ in range(3)]
    for node in near[:-1]:
        node.liar = lambda sender, message, node=node: Message(
            message.type, closer=tuple(node.dht.table.nearest(position(message.key))), providers=tuple(strangers)
        )
    near[-1].liar = lambda sender, message: Message(message.type, providers=(provider.contact,))
    seeker = next(node for node in nodes if node not in near and node is not provider)
    assert network.finish(seeker, seeker.dht.find_providers(MULTIHASH, network.now, limit=1)) == [provider.contact]
    two = network.finish(seeker, seeker.dht.find_providers(MULTIHASH, network.now, limit=2))
    assert (two[0], len(two), two[1] in strangers) == (provider.contact, 2, True)
    every = network.finish(seeker, seeker.dht.find_providers(MULTIHASH, network.now))
    assert (every[0], len(every)) == (provider.contact, 4)


def test_one_peer_that_names_many_providers_does_not_use_up_the_limit() -> None:
    network = DhtNetwork(9)
    nodes = network.build(60)
    near = nearest(network, MULTIHASH)
    provider = nodes[1]
    fakes = [Contact(random_peer_id(network.random), provider.contact.addresses) for _ in range(100)]
    for node in near:
        node.liar = lambda sender, message, node=node: Message(
            message.type, closer=tuple(node.dht.table.nearest(position(message.key))), providers=(provider.contact,)
        )
    near[0].liar = lambda sender, message: Message(message.type, closer=(near[1].contact,), providers=tuple(fakes))
    seeker = next(node for node in nodes if node not in near and node is not provider)
    operation = seeker.dht.find_providers(MULTIHASH, network.now, limit=20)
    found = network.finish(seeker, operation)
    assert (len(found), provider.contact in found) == (20, True), "the rest of the answer makes up for what nobody else names"
    told = [event.contact for event in operation.take_events() if isinstance(event, ProviderFound)]
    assert told == found
    every = network.finish(seeker, seeker.dht.find_providers(MULTIHASH, network.now))
    assert len(every) == 101
    few = network.finish(seeker, seeker.dht.find_providers(MULTIHASH, network.now, limit=2))
    assert (len(few), provider.contact in few) == (2, True)


def test_what_waits_of_long_answers_is_bounded() -> None:
    found = Found(limit=9, spare=4)
    contacts = [Contact(random_peer_id(Random(number)), (ADDRESS,)) for number in range(20)]
    assert found.hear(contacts) == contacts[:3]
    assert found.hear(contacts) == contacts[3:6], "a second one says the same"
    assert found.take_held() == contacts[6:7], "four had waited, of whom three are there by now"
    assert found.take_held() == []


def test_a_node_without_an_address_provides_nothing() -> None:
    network = DhtNetwork(10)
    node = network.add()
    bare = Contact(node.peer_id)
    node.dht._engine.own = lambda: bare
    with pytest.raises(LocalError, match="no address"):
        node.dht.provide(MULTIHASH, network.now)
    node.dht.provide_here(MULTIHASH, network.now)
    assert len(node.dht.providers) == 0


def test_values_are_put_again_and_survive_that_all_their_holders_go() -> None:
    network = DhtNetwork(11, config=DhtConfig(value_interval=600.0))
    nodes = network.build(60)
    putter = nodes[0]
    network.finish(putter, putter.dht.put_value(b"/n/key", b"1", network.now))
    network.finish(putter, putter.dht.put_value(b"/n/once", b"1", network.now, republish=False))
    for node in holders(network, b"/n/key", b"1"):
        if node is not putter:
            node.state = "gone"
    network.run_for(700.0)
    living = [node for node in nodes if node.state == "up"]
    assert len(holders(network, b"/n/key", b"1")) >= 20
    assert network.finish(living[-1], living[-1].dht.get_value(b"/n/key", network.now)) == b"1"
    putter.dht.forget_value(b"/n/key")
    sent = network.sent[Type.PUT_VALUE]
    network.run_for(1300.0)
    assert network.sent[Type.PUT_VALUE] == sent


def test_a_better_value_that_others_have_stored_here_is_put_again_in_place_of_ours() -> None:
    network = DhtNetwork(12, config=DhtConfig(value_interval=600.0))
    nodes = network.build(40)
    network.finish(nodes[0], nodes[0].dht.put_value(b"/n/key", b"1", network.now))
    put_at(network, [nodes[0]], b"/n/key", b"2")
    network.run_for(700.0)
    assert len(holders(network, b"/n/key", b"2")) >= 20


def test_the_values_put_longest_ago_are_left_out_above_the_limit() -> None:
    network = DhtNetwork(13, config=DhtConfig(value_interval=600.0, own_values_limit=2))
    nodes = network.build(30)
    for number in range(3):
        network.finish(nodes[0], nodes[0].dht.put_value(b"/n/%d" % number, b"1", network.now))
    kept = nodes[0].dht._own_values
    assert b"/n/0" not in kept
    assert len(kept) == 2


def own_requests(dht: Dht) -> int:
    """Those under way that are no probes: whom an operation has met meanwhile may be probed."""
    return sum(request.asker is not dht._admission for request in dht._requests._under_way.values())


def test_a_cancelled_operation_leaves_nothing() -> None:
    network = DhtNetwork(14)
    nodes = network.build(60)
    dht, node = nodes[5].dht, nodes[5]
    network.run_for(120.0)
    starts = [
        lambda: dht.closest(b"k", network.now),
        lambda: dht.find_peer(nodes[50].peer_id, network.now),
        lambda: dht.put_value(b"/n/key", b"1", network.now, republish=False),
        lambda: dht.get_value(b"/n/key", network.now),
        lambda: dht.provide(MULTIHASH, network.now, reprovide=False),
        lambda: dht.find_providers(MULTIHASH, network.now),
        lambda: dht.put_many({b"/n/%d" % number: b"1" for number in range(30)}, network.now, republish=False),
    ]
    for start in starts:
        for steps in (0, 1, 10, 25, 40, 60):
            requests, timers = own_requests(dht), len(dht._timers)
            operation = start()
            network.drain(node)
            for _ in range(steps):
                if operation.is_done:
                    break
                network.run_for(0.005)
            if operation.is_done:
                network.run_for(12.0)
                continue
            operation.cancel()
            operation.cancel()
            network.drain(node)
            assert own_requests(dht) == requests
            assert len(dht._timers) == timers
            with pytest.raises(LocalError, match="cancelled"):
                operation.result()
            assert not dht._running


def test_close_leaves_no_request_and_no_timer() -> None:
    network = DhtNetwork(15)
    nodes = network.build(40)
    node = nodes[5]
    operation = node.dht.closest(b"k", network.now)
    node.dht.refresh(network.now)
    node.dht.close()
    assert operation.is_done
    assert node.dht.next_timeout() is None
    assert len(node.dht._requests) == 0
    network.drain(node)


def test_who_provides_something_once_says_so_when_asked() -> None:
    network = DhtNetwork(3)
    nodes = network.build(30)
    network.finish(nodes[1], nodes[1].dht.provide(MULTIHASH, network.now, reprovide=False))
    request = Message(Type.GET_PROVIDERS, MULTIHASH)
    answer = nodes[1].dht.answer(nodes[2].peer_id, request, network.now, UNIX_START + network.now)
    assert answer is not None
    assert nodes[1].contact in answer.providers
    later = network.now + 49 * 3600.0
    answer = nodes[1].dht.answer(nodes[2].peer_id, request, later, UNIX_START + later)
    assert answer is not None
    assert answer.providers == ()
