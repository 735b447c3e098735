import pytest

from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.messages import Type
from tests.support.dht_network import UNIX_START, DhtNetwork, SimNode

MULTIHASH = b"\x12\x20" + bytes(32)


def cut_off(network: DhtNetwork, nodes: list[SimNode]) -> None:
    for node in network.nodes.values():
        node.state = "up" if node in nodes else "refusing"


def rejoin(network: DhtNetwork, nodes: list[SimNode]) -> None:
    for node in network.nodes.values():
        node.state = "up"
    for node in nodes:
        for other in network.random.sample(list(network.nodes.values()), 3):
            network.introduce(node, other)


def holders(network: DhtNetwork, key: bytes) -> int:
    return sum(node.dht.values.get(key, UNIX_START + network.now) is not None for node in network.nodes.values())


def test_a_value_that_few_took_is_put_again_soon() -> None:
    network = DhtNetwork(21)
    nodes = network.build(40)
    part = nodes[:3]
    cut_off(network, part)
    assert network.finish(part[0], part[0].dht.put_value(b"/n/one", b"1", network.now)) <= 2
    taken = network.finish(part[0], part[0].dht.put_many({b"/n/two": b"1", b"/n/three": b"1"}, network.now))
    assert max(taken.values()) <= 2
    rejoin(network, part)
    network.run_for(65.0)
    assert min(holders(network, key) for key in (b"/n/one", b"/n/two", b"/n/three")) >= 20


def test_a_value_that_half_of_those_near_took_waits_for_its_interval() -> None:
    network = DhtNetwork(22)
    nodes = network.build(40)
    part = nodes[:15]
    cut_off(network, part)
    assert network.finish(part[0], part[0].dht.put_value(b"/n/key", b"1", network.now)) == 14
    sent = network.sent[Type.PUT_VALUE]
    network.run_for(3600.0)
    assert network.sent[Type.PUT_VALUE] == sent


def test_what_few_take_time_after_time_is_put_ever_more_seldom_until_many_take_it() -> None:
    network = DhtNetwork(23, config=DhtConfig(value_interval=1000.0))
    nodes = network.build(40)
    part = nodes[:3]
    cut_off(network, part)
    puts = list[float]()
    put_many = part[0].dht._own_values._put_many
    part[0].dht._own_values._put_many = lambda values, now: (puts.append(now), put_many(values, now))[1]
    start = network.now
    network.finish(part[0], part[0].dht.put_value(b"/n/key", b"1", network.now))
    network.run_for(950.0)
    assert [round((at - start) / 60) for at in puts] == [1, 3, 7, 15]
    rejoin(network, part)
    network.run_for(1000.0)
    assert holders(network, b"/n/key") >= 20
    assert len(puts) == 5, "at the latest when its interval is over"
    network.run_for(900.0)
    assert len(puts) == 5
    network.run_for(200.0)
    assert len(puts) == 6


@pytest.mark.parametrize("size", [10, 40])
@pytest.mark.parametrize("seconds", [1.0, 600.0])
def test_who_was_cut_off_before_a_value_was_due_knows_that_few_took_it(size: int, seconds: float) -> None:
    network = DhtNetwork(28, config=DhtConfig(value_interval=10_800.0))
    nodes = network.build(size)
    network.finish(nodes[0], nodes[0].dht.put_value(b"/n/key", b"1", network.now))
    network.run_for(10_800.0 - seconds)
    cut_off(network, nodes[:2])
    network.run_for(seconds + 30.0)
    rejoin(network, nodes[:2])
    sent = network.sent[Type.PUT_VALUE]
    network.run_for(300.0)
    assert network.sent[Type.PUT_VALUE] - sent >= 5


def test_in_a_network_of_three_two_are_enough() -> None:
    network = DhtNetwork(24)
    nodes = network.build(3)
    assert network.finish(nodes[0], nodes[0].dht.put_value(b"/n/key", b"1", network.now)) == 2
    sent = network.sent[Type.PUT_VALUE]
    network.run_for(3600.0)
    assert network.sent[Type.PUT_VALUE] == sent


def test_what_is_forgotten_or_put_anew_while_few_have_taken_it_is_not_put_for_its_old_sake() -> None:
    network = DhtNetwork(25)
    nodes = network.build(40)
    part = nodes[:3]
    cut_off(network, part)
    for key in (b"/n/forgotten", b"/n/anew"):
        network.finish(part[0], part[0].dht.put_value(key, b"1", network.now))
    part[0].dht.forget_value(b"/n/forgotten")
    rejoin(network, part)
    network.run_for(10.0)
    assert network.finish(part[0], part[0].dht.put_value(b"/n/anew", b"2", network.now)) >= 20
    sent = network.sent[Type.PUT_VALUE]
    network.run_for(3600.0)
    assert network.sent[Type.PUT_VALUE] == sent
    assert holders(network, b"/n/forgotten") == 3


def test_a_put_that_was_given_up_is_made_good() -> None:
    network = DhtNetwork(26)
    nodes = network.build(40)
    operation = nodes[0].dht.put_value(b"/n/key", b"1", network.now)
    network.drain(nodes[0])
    operation.cancel()
    network.drain(nodes[0])
    network.run_for(65.0)
    assert holders(network, b"/n/key") >= 20


def test_a_provider_whom_few_know_tells_again_soon() -> None:
    network = DhtNetwork(27)
    nodes = network.build(40)
    part = nodes[:3]
    cut_off(network, part)
    assert network.finish(part[0], part[0].dht.provide(MULTIHASH, network.now)) <= 2
    rejoin(network, part)
    network.run_for(310.0)
    told = sum(bool(node.dht.providers.get(MULTIHASH, UNIX_START + network.now)) for node in nodes)
    assert told >= 20
