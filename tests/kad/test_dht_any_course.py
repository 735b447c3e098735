"""A node whose peers answer anything in any order, and whose operations are cancelled at any moment."""

from random import Random
from typing import TYPE_CHECKING

import pytest

from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.actions import Send
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.records.namespaces import Name
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.support.dht_network import UNIX_START, random_peer_id, validators

if TYPE_CHECKING:
    from cortexnet.kad.engine.operation import Operation

ADDRESS = (Multiaddr.parse("/ip4/10.0.0.1/tcp/4001"),)
CONFIG = DhtConfig(namespaces=True, optimistic_provide=True, refresh_interval=30.0, value_interval=50.0, provide_interval=70.0)


class Course:
    """One random course of events."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.people = [Contact(random_peer_id(self.random), ADDRESS[: self.random.randrange(2)]) for _ in range(80)]
        own = Contact(random_peer_id(self.random), ADDRESS)
        self.dht = Dht(lambda: own, config=CONFIG, random=Random(seed), validators=validators())
        self.now = 0.0
        self.out: dict[int, Send] = {}
        self.operations: list[Operation[object]] = []
        self.dht.start(0.0, UNIX_START)

    def step(self) -> None:
        self.now += self.random.choice((0.0, 0.01, 0.3, 2.0, 15.0))
        self.random.choice((self.answer, self.answer, self.answer, self.fail, self.begin, self.cancel, self.wait, self.meet))()
        for action in self.dht.take_actions():
            if isinstance(action, Send):
                assert action.id not in self.out
                self.out[action.id] = action
        due = self.dht.next_timeout()
        if due is not None and due <= self.now:
            self.dht.handle_timeout(self.now)

    def answer(self) -> None:
        if self.out:
            number = self.random.choice(list(self.out))
            send = self.out[number] if self.random.random() < 0.1 else self.out.pop(number)
            self.dht.on_answer(number, self.reply(send) if send.expects_answer else None, self.now, self.random.random())

    def reply(self, send: Send) -> Message | None:
        key, kind = send.message.key, send.message.type
        some = tuple(self.random.sample(self.people, self.random.randrange(25)))
        record = self.random.choice(
            (None, Record(key, b"%d" % self.random.randrange(9)), Record(b"/n/other", b"1"), send.message.record)
        )
        names = self.random.choice(((), (key + b"a", key + b"b"), (b"else",)))
        kind = self.random.choice((kind, kind, kind, kind, Type.PING))
        cursor = self.random.choice((b"", names[-1] if names else b"x"))
        return self.random.choice((None, *[Message(kind, key, record, some, some[:3], names=names, cursor=cursor)] * 9))

    def fail(self) -> None:
        if self.out:
            number = self.random.choice(list(self.out))
            del self.out[number]
            self.dht.on_failure(number, self.now)

    def begin(self) -> None:
        dht, now, number = self.dht, self.now, self.random.randrange(100)
        many = [b"/n/%d" % self.random.randrange(50) for _ in range(number)]
        starts = (
            lambda: dht.closest(b"%d" % number, now),
            lambda: dht.find_peer(self.random.choice(self.people).peer_id, now),
            lambda: dht.put_value(b"/n/%d" % number, b"9", now),
            lambda: dht.get_value(b"/n/%d" % number, now, quorum=number % 3),
            lambda: dht.provide(b"%d" % number, now),
            lambda: dht.find_providers(b"%d" % number, now, limit=number % 4),
            lambda: dht.put_many(dict.fromkeys(many, b"9"), now),
            lambda: dht.get_many(many, now),
            lambda: dht.provide_many(many, now),
            lambda: dht.find_providers_many(many, now),
            lambda: dht.list_namespace("songs", number % 4, now),
        )
        self.operations.append(self.random.choice(starts)())  # type: ignore[arg-type]

    def cancel(self) -> None:
        if self.operations and self.random.random() < 0.3:
            self.random.choice(self.operations).cancel()

    def wait(self) -> None:
        self.now = max(self.now, min(self.dht.next_timeout() or self.now, self.now + 20.0))

    def meet(self) -> None:
        one = self.random.choice(self.people)
        self.dht.candidate(one, self.random.random() < 0.9, self.now)
        key = Name(1, b"songs", b"%d" % self.random.randrange(9)).key
        self.dht.answer(one.peer_id, Message(Type.PUT_VALUE, key, Record(key, b"1")), self.now, UNIX_START + self.now)


@pytest.mark.parametrize("seed", range(6))
def test_any_course_ends_with_nothing_left(seed: int) -> None:
    course = Course(seed)
    for _ in range(1_500):
        course.step()
    assert len(course.dht._requests) <= len(course.out)
    course.dht.close()
    assert all(operation.is_done for operation in course.operations)
    assert len(course.dht._requests) == 0
    assert course.dht.next_timeout() is None
    assert not course.dht._running
