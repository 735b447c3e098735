"""The corners of the DHT's parts that a healthy network seldom turns."""

from random import Random

import pytest

from cortexnet.errors import InvalidRecord, LocalError
from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.actions import Send
from cortexnet.kad.engine.bulk import Bulk
from cortexnet.kad.engine.engine import Filters
from cortexnet.kad.engine.explore import Explore
from cortexnet.kad.engine.operation import Operation
from cortexnet.kad.many.each import Each
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.operations.get_value import BestValue
from cortexnet.kad.records.namespaces import Name
from cortexnet.kad.records.records import Validators
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import Prefix, position
from tests.support.dht_network import UNIX_START, DhtNetwork, Highest, random_peer_id

QUESTION = Message(Type.GET_VALUE, b"/n/key")


def contact(seed: int) -> Contact:
    return Contact(random_peer_id(Random(seed)))


class AtOnce:
    """Work that is over as soon as it begins."""

    def __init__(self) -> None:
        self.operation: Operation[int] = Operation()

    def start(self, now: float) -> None:
        self.operation.finish(1)


class Never:
    def __init__(self) -> None:
        self.operation: Operation[int] = Operation()

    def start(self, now: float) -> None:
        pass


def test_work_that_is_over_at_once_is_no_recursion() -> None:
    dht = DhtNetwork(1).add(start=False).dht
    ended: list[bytes] = []
    done: list[float] = []
    each: Each[int] = Each(dht._engine, lambda key, now: AtOnce(), lambda key, _: ended.append(key), done.append, at_once=1)
    keys = [b"%d" % number for number in range(5_000)]
    each.add(keys)
    each.run(3.0)
    each.run(4.0)
    assert ended == keys
    assert done == [3.0]


def test_work_that_is_given_up_is_cancelled_and_told_to_nobody() -> None:
    dht = DhtNetwork(2).add(start=False).dht
    made: list[Never] = []

    def make(key: bytes, now: float) -> Never:
        made.append(Never())
        return made[-1]

    told: list[object] = []
    each: Each[int] = Each(dht._engine, make, lambda key, operation: told.append(key), told.append, at_once=2)
    each.add([b"a", b"b", b"c"])
    each.run(0.0)
    each.stop()
    assert [work.operation.has_failed for work in made] == [True, True]
    assert each.is_idle
    assert told == []


def test_a_bulk_gives_up_a_peer_after_failures_in_a_row_and_may_be_stopped_by_who_is_told() -> None:
    dht = DhtNetwork(3, config=DhtConfig(bulk_requests=1)).add(start=False).dht
    told: list[tuple[Message | None, bool]] = []
    idle: list[float] = []
    bulk = Bulk(dht._engine, lambda c, request, answer, is_good, now: told.append((answer, is_good)), idle.append)
    bulk.add(contact(1), [QUESTION] * 6)
    bulk.pump(0.0)
    for _ in range(3):
        (send,) = dht.take_actions()
        assert isinstance(send, Send)
        dht.on_failure(send.id, 1.0)
    assert told == [(None, False)] * 6
    assert (bulk.asked, bulk.failed, idle) == (3, 3, [1.0])

    stopped = Bulk(dht._engine, lambda c, request, answer, is_good, now: stopped.stop(), idle.append)
    stopped.add(contact(2), [QUESTION] * 3)
    stopped.pump(2.0)
    (send,) = dht.take_actions()
    assert isinstance(send, Send)
    dht.on_answer(send.id, Message(Type.GET_VALUE), 3.0)
    assert idle == [1.0]
    assert dht.take_actions() == []


def test_the_best_value_is_known_with_those_who_hold_it() -> None:
    dht = DhtNetwork(4).add(start=False).dht
    best, one, other = BestValue(dht._engine, b"/n/key"), contact(1).peer_id, contact(2).peer_id
    assert best.hear(b"5", None, 0.0)
    assert not best.hear(b"5", None, 0.0)
    assert not best.hear(b"5", one, 0.0)
    assert not best.hear(b"4", other, 0.0)
    assert not best.hear(b"x", other, 0.0)
    assert (best.value, list(best.holders), best.answers) == (b"5", [one], 4)
    assert best.hear(b"6", other, 0.0)
    assert list(best.holders) == [other]


def test_a_search_that_is_cut_short_corrects_nobody() -> None:
    network = DhtNetwork(5, config=DhtConfig(request_limit=12))
    nodes = network.build(60)
    near = [network.nodes[peer_id] for peer_id in network.true_closest(position(b"/n/key"))]
    for node in near:
        node.dht.values.put(b"/n/key", b"1", UNIX_START + network.now)
    near[3].dht.values.put(b"/n/key", b"2", UNIX_START + network.now)
    getter = next(node for node in nodes if node not in near)
    operation = getter.dht.get_value(b"/n/key", network.now)
    assert network.finish(getter, operation) in (b"1", b"2")
    assert operation.progress.asked <= 12
    assert network.sent.get(Type.PUT_VALUE, 0) == 0


def test_an_operation_may_be_cancelled_by_who_is_told_of_its_progress() -> None:
    network = DhtNetwork(6)
    node = network.build(40)[5]
    operation = node.dht.closest(b"key", network.now)
    operation.on_change = lambda: operation.cancel() if operation.progress.answered == 3 else None
    network.drain(node)
    network.run_for(2.0)
    assert operation.has_failed
    assert operation.progress.answered == 3
    assert not node.dht._running


def test_a_peer_is_found_without_an_address_where_none_is_of_use() -> None:
    network = DhtNetwork(7)
    nodes = network.build(40)
    node = network.add()
    for other in nodes[:3]:
        network.introduce(node, other)
    network.run_for(20.0)
    nodes[30].state = "refusing"
    for other in nodes:
        other.liar = lambda sender, message: Message(message.type, closer=(Contact(nodes[30].peer_id),))
    node.dht.gone(nodes[30].peer_id, network.now)
    operation = node.dht.find_peer(nodes[30].peer_id, network.now)
    assert network.finish(node, operation) == Contact(nodes[30].peer_id)
    assert operation.take_events() == []


def test_values_that_are_valid_no_more_are_not_put_again() -> None:
    class Fading:
        def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
            if unix_now > UNIX_START + float(value):
                raise InvalidRecord("its time is over")

        def select(self, key: bytes, values: object) -> int:
            return 0

    network = DhtNetwork(8, config=DhtConfig(value_interval=600.0))
    nodes = network.build(30)
    node = network.add(validators=Validators({"n": Fading()}))
    network.introduce(node, nodes[0])
    network.run_for(10.0)
    network.finish(node, node.dht.put_value(b"/n/short", b"300", network.now))
    network.run_for(20.0)
    network.finish(node, node.dht.put_value(b"/n/long", b"5000", network.now))
    network.run_for(800.0)
    assert list(node.dht._own_values._values) == [b"/n/long"]
    with pytest.raises(InvalidRecord):
        node.dht.put_value(b"/n/short", b"300", network.now)


def test_values_that_nobody_has_taken_are_tried_again_soon() -> None:
    network = DhtNetwork(9, config=DhtConfig(value_interval=3600.0))
    node = network.add()
    network.drain(node)
    node.dht.put_value(b"/n/key", b"1", network.now)
    node.dht.put_value(b"/n/late", b"1", network.now + 100.0)
    network.run_for(3650.0)
    nodes = network.build(30)
    network.introduce(node, nodes[0])
    network.run_for(310.0)
    held = sum(other.dht.values.get(b"/n/key", UNIX_START + network.now) is not None for other in nodes)
    assert held >= 20


def test_explorations_are_not_led_by_whom_they_leave_out() -> None:
    network = DhtNetwork(10)
    node = network.build(60)[5]
    engine = node.dht._engine
    found: list[Explore] = []

    def even(one: Contact) -> bool:
        return one.position & 1 == 0

    node.dht._engine.filters = Filters(accept=lambda one: one.position & 2 == 0)
    explore = Explore(engine, Prefix(1, 0), network.now, lambda explored, now: found.append(explored), accept=even)
    explore.start(network.now)
    asked = [action.contact for action in node.dht.take_actions() if isinstance(action, Send)]
    assert asked
    assert all(even(one) for one in asked)
    explore.stop()
    assert found == []
    assert explore.exploration.is_done


def test_silent_peers_of_a_region_are_not_waited_for_to_the_end() -> None:
    network = DhtNetwork(11)
    nodes = network.build(100)
    for node in nodes[10:40]:
        node.state = "silent"
    began = network.now
    told = network.finish(nodes[5], nodes[5].dht.provide_many([network.random.randbytes(34) for _ in range(40)], began))
    assert min(told.values()) >= 10
    assert network.now - began <= 60.0


def test_asking_for_many_goes_on_where_the_first_asked_fail_or_know_nothing() -> None:
    network = DhtNetwork(12)
    nodes = network.build(60)
    keys = [b"/n/%d" % number for number in range(30)]
    for key in keys:
        near = network.true_closest(position(key))
        for peer_id in near[8:]:
            network.nodes[peer_id].dht.values.put(key, b"1", UNIX_START + network.now)
    lost = network.true_closest(position(keys[0]), 3)
    getter = next(node for node in nodes if node.peer_id not in network.true_closest(position(keys[0])))
    network.finish(getter, getter.dht.get_many(keys, network.now))
    for peer_id in lost:
        network.nodes[peer_id].state = "refusing"
    assert network.finish(getter, getter.dht.get_many(keys, network.now)) == dict.fromkeys(keys, b"1")


def test_a_key_by_itself_that_fails_costs_the_others_nothing() -> None:
    network = DhtNetwork(13)
    node = network.add(config=DhtConfig(bulk_lookups=1))
    node.dht.table.add(contact(5), 0.0)
    gets = node.dht.get_many([b"/n/a", b"/n/b"], network.now)
    network.drain(node)
    network.run_for(130.0)
    assert gets.result() == {}
    node.dht.table.add(contact(6), network.now)
    puts = node.dht.put_many({b"/n/a": b"1", b"/n/b": b"1"}, network.now, republish=False)
    network.drain(node)
    network.run_for(130.0)
    assert puts.result() == {b"/n/a": 0, b"/n/b": 0}


def test_no_names_of_a_namespace_are_told_where_there_are_none() -> None:
    contact_of_own = contact(1)
    dht = Dht(lambda: contact_of_own, config=DhtConfig(), random=Random(1), validators=Validators({"n": Highest()}))
    key = Name(0, b"songs").key
    with pytest.raises(Exception, match="no LIST_PREFIX"):
        dht.answer(contact(2).peer_id, Message(Type.LIST_PREFIX, key), 0.0, UNIX_START)
    record = Record(b"/n/a", b"1")
    assert dht.answer(contact(2).peer_id, Message(Type.PUT_VALUE, b"/n/a", record), 0.0, UNIX_START) is not None


def test_keys_that_others_refuse_are_refused_here() -> None:
    network = DhtNetwork(14)
    node = network.add()
    dht, now = node.dht, network.now
    calls = [
        lambda: dht.closest(b"", now),
        lambda: dht.closest(bytes(1_025), now),
        lambda: dht.put_value(b"/n/" + bytes(1_022), b"1", now),
        lambda: dht.get_value(b"", now),
        lambda: dht.get_many([b"/n/a", b""], now),
        lambda: dht.provide(bytes(81), now),
        lambda: dht.provide_many([b"a", bytes(81)], now),
        lambda: dht.find_providers(bytes(81), now),
        lambda: dht.find_providers_many([bytes(81)], now),
    ]
    for call in calls:
        with pytest.raises(LocalError, match="a key has 1 to"):
            call()
    assert not dht._running
    assert dht.schedule.next_due() is None


def test_a_node_finds_itself_at_home() -> None:
    node = DhtNetwork(15).add()
    assert node.dht.find_peer(node.peer_id, 0.0).result() is node.contact
