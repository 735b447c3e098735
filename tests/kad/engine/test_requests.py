from random import Random

from cortexnet.kad.engine.actions import Cancel, ContactsWanted, Send
from cortexnet.kad.engine.requests import Requests
from cortexnet.kad.engine.spread import Spread
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.routing.contact import Contact
from tests.support.dht_network import DhtNetwork, random_peer_id

MESSAGE = Message(Type.FIND_NODE, b"key")


class Asker:
    def __init__(self) -> None:
        self.told: list[str] = []

    def on_answer(self, contact: Contact, message: Message | None, now: float) -> None:
        self.told.append("answer")

    def on_failure(self, contact: Contact, now: float) -> None:
        self.told.append("failure")


def contact(seed: int = 1) -> Contact:
    return Contact(random_peer_id(Random(seed)))


def test_each_request_has_a_number_and_ends_once() -> None:
    requests, asker, one = Requests(), Asker(), contact()
    first = requests.send(one, MESSAGE, asker, 0.0, 10.0)
    second = requests.send(one, Message(Type.ADD_PROVIDER, b"key"), asker, 0.0, 30.0)
    assert requests.take_actions() == [
        Send(first, one, MESSAGE, True, 10.0),
        Send(second, one, Message(Type.ADD_PROVIDER, b"key"), False, 30.0),
    ]
    ended = requests.end(first)
    assert ended is not None
    assert ended.asker is asker
    assert requests.end(first) is None
    assert len(requests) == 1


def test_a_cancelled_request_is_told_of_unless_nobody_has_seen_it() -> None:
    requests, asker = Requests(), Asker()
    seen = requests.send(contact(), MESSAGE, asker, 0.0, 10.0)
    requests.take_actions()
    requests.want(ContactsWanted(True))
    unseen = requests.send(contact(2), MESSAGE, asker, 0.0, 10.0)
    requests.cancel(seen)
    requests.cancel(unseen)
    requests.cancel(unseen)
    assert requests.take_actions() == [ContactsWanted(True), Cancel(seen)]
    assert len(requests) == 0


def test_a_disowned_request_tells_its_asker_nothing() -> None:
    requests, asker = Requests(), Asker()
    number = requests.send(contact(), MESSAGE, asker, 0.0, 10.0)
    requests.disown(number)
    requests.disown(77)
    ended = requests.end(number)
    assert ended is not None
    ended.asker.on_answer(ended.contact, MESSAGE, 0.0)
    ended.asker.on_failure(ended.contact, 0.0)
    assert asker.told == []


def test_a_spread_tells_each_peer_once() -> None:
    dht = DhtNetwork(1).add(start=False).dht
    ends: list[bool] = []
    message = Message(Type.ADD_PROVIDER, b"key")
    spread = Spread(dht._engine, message, lambda contact, is_stored, now: ends.append(is_stored))
    spread.add([contact(1), contact(2)], 0.0)
    spread.add([contact(2), contact(3)], 0.0)
    sends = [action for action in dht.take_actions() if isinstance(action, Send)]
    assert [send.contact for send in sends] == [contact(1), contact(2), contact(3)]
    dht.on_answer(sends[0].id, None, 0.0)
    dht.on_failure(sends[1].id, 0.0)
    assert ends == [True, False]
    assert (spread.stored, spread.failed, spread.under_way) == (1, 1, 1)
    spread.leave()
    assert spread.under_way == 0
    assert len(dht._requests) == 1
