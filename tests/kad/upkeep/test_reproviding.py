from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.messages import Type
from cortexnet.kad.routing.contact import Contact
from tests.support.dht_network import UNIX_START, DhtNetwork, SimNode

CONFIG = DhtConfig(provide_interval=1200.0, refresh_interval=7200.0)


def multihashes(count: int) -> list[bytes]:
    return [b"\x12\x20" + number.to_bytes(32, "big") for number in range(count)]


def holders(network: DhtNetwork, key: bytes) -> list[SimNode]:
    unix_now = UNIX_START + network.now
    return [node for node in network.nodes.values() if node.state == "up" and node.dht.providers.get(key, unix_now)]


def test_what_is_provided_is_told_again_in_each_interval_until_it_is_forgotten() -> None:
    network = DhtNetwork(1, config=DhtConfig(provide_interval=1200.0))
    nodes = network.build(60)
    provider, key = nodes[0], multihashes(1)[0]
    changed: list[bytes] = []
    provider.dht.when_provided(changed.append)
    network.finish(provider, provider.dht.provide(key, network.now))
    assert changed == [key]
    for node in holders(network, key):
        node.state = "gone"
    network.run_for(1300.0)
    assert len(holders(network, key)) >= 20
    assert key in provider.dht.schedule
    provider.dht.stop_providing(key)
    provider.dht.stop_providing(key)
    sent = network.sent[Type.ADD_PROVIDER]
    network.run_for(2600.0)
    assert network.sent[Type.ADD_PROVIDER] == sent
    assert key not in provider.dht.schedule
    assert not provider.dht.providers.is_own(key)


def test_many_keys_are_told_again_region_by_region() -> None:
    network = DhtNetwork(2, config=CONFIG)
    nodes = network.build(120)
    provider, keys = nodes[0], multihashes(100)
    network.finish(provider, provider.dht.provide_many(keys, network.now))
    sent = network.sent[Type.ADD_PROVIDER]
    network.run_for(1300.0)
    assert network.sent[Type.ADD_PROVIDER] - sent >= 1900
    assert provider.dht.schedule.length in (2, 3)


def test_what_could_not_be_told_is_tried_again_soon() -> None:
    network = DhtNetwork(3, config=CONFIG)
    provider, key = network.add(), multihashes(1)[0]
    operation = provider.dht.provide(key, network.now)
    network.drain(provider)
    assert operation.has_failed
    nodes = network.build(30)
    network.introduce(provider, nodes[0])
    network.run_for(310.0)
    assert len(holders(network, key)) >= 20


def test_a_node_that_has_lost_its_addresses_tells_nothing_until_it_has_some() -> None:
    network = DhtNetwork(4, config=CONFIG)
    nodes = network.build(12)
    provider, key = nodes[0], multihashes(1)[0]
    network.finish(provider, provider.dht.provide(key, network.now))
    contact = provider.contact
    provider.dht._engine.own = lambda: Contact(contact.peer_id)
    sent = network.sent[Type.ADD_PROVIDER]
    network.run_for(1500.0)
    assert network.sent[Type.ADD_PROVIDER] == sent
    provider.dht._engine.own = lambda: contact
    network.run_for(310.0)
    assert network.sent[Type.ADD_PROVIDER] >= sent + 11


def test_a_cancelled_provide_is_made_up_for() -> None:
    network = DhtNetwork(5, config=CONFIG)
    nodes = network.build(30)
    provider, keys = nodes[0], multihashes(5)
    operation = provider.dht.provide_many(keys, network.now)
    operation.cancel()
    network.drain(provider)
    network.run_for(310.0)
    assert all(len(holders(network, key)) >= 20 for key in keys)


def test_the_schedule_goes_on_after_a_restart() -> None:
    network = DhtNetwork(6, config=CONFIG)
    nodes = network.build(60)
    provider, key = nodes[0], multihashes(1)[0]
    network.finish(provider, provider.dht.provide(key, network.now))
    rows = provider.dht.schedule.rows()
    provider.state = "gone"
    provider.dht.close()
    again = network.add()
    network.introduce(again, nodes[1])
    again.dht.restore_provided(rows, network.now)
    network.drain(again)
    assert again.dht.providers.is_own(key)
    network.run_for(1300.0)
    unix_now = UNIX_START + network.now
    told = [node for node in nodes if again.peer_id in [one.peer_id for one in node.dht.providers.get(key, unix_now)]]
    assert len(told) >= 20
