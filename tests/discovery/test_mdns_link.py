"""When a node asks and answers on one interface: every case, then any course of events."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexnet.discovery.mdns_answer import SERVICES, Sighting, query, service_listing, service_name
from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.discovery.mdns_link import SILENCE, SOURCES_LIMIT, MdnsLink, Unreadable
from cortexnet.discovery.mdns_packet import (
    PTR,
    SIZE_LIMIT,
    SRV,
    Location,
    Name,
    Packet,
    Pointer,
    Question,
    Texts,
    decode,
    encode,
)
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

SERVICE = service_name("_p2p._udp")
CORTEX = service_name("loreum-cortex")
ME = PeerId(bytes([0x12, 32]) + bytes(32))
NEIGHBOUR = "10.0.0.2"


def places(*ports: int) -> list[Multiaddr]:
    return [Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{port}/p2p/{ME}") for port in ports]


class Running:
    """A link in virtual time, and all that it has sent, with the time."""

    def __init__(self, *, seed: int = 0, config: MdnsConfig | None = None, hears_itself: bool = False) -> None:
        self.hears_itself = hears_itself
        self.now = 100.0
        self.link = MdnsLink(config or MdnsConfig(), random.Random(seed), self.now)
        self.sent: list[tuple[float, bytes]] = []

    def settle(self) -> None:
        sent = self.link.data_to_send()
        self.sent += [(self.now, data) for data in sent]
        for data in sent if self.hears_itself else ():
            self.link.receive(data, "10.0.0.1", self.now)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while (due := self.link.next_timeout()) <= end:
            assert due >= self.now, "a timeout is in the past, which would keep the loop busy"
            self.now = due
            self.link.handle_timeout(self.now)
            self.settle()
        self.now = end

    def tell(self, *ports: int) -> None:
        self.link.tell(places(*ports), self.now)
        self.settle()

    def hear(self, data: bytes, source: str = NEIGHBOUR) -> list[Sighting | Unreadable]:
        events = self.link.receive(data, source, self.now)
        self.settle()
        return events

    def last(self, kind: str) -> bytes:
        return [data for _, data in self.sent if kind_of(data) == kind][-1]

    def times(self, kind: str) -> list[float]:
        return [time for time, data in self.sent if kind_of(data) == kind]


def kind_of(data: bytes) -> str:
    packet = decode(data)
    if not packet.is_response:
        return "question"
    if packet.answers[0].name == SERVICES:
        return "listing"
    return "answer" if packet.answers[0].ttl else "goodbye"


def name_of(data: bytes) -> Name:
    """The name of the instance in an answer."""
    (pointer,) = decode(data).answers
    assert isinstance(pointer, Pointer)
    return pointer.target


def ask(*names: Name, kind: int = PTR, known: Sequence[Pointer] = ()) -> bytes:
    return encode(Packet(is_response=False, questions=tuple([Question(name, kind) for name in names]), answers=tuple(known)))


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


# --- questions ---


def test_questions_go_out_at_once_after_four_seconds_and_then_ever_later_up_to_a_minute() -> None:
    """go-libp2p's times, but for the first tenth of a second: nodes that are started together need not speak together."""
    for seed in range(20):
        running = Running(seed=seed)
        running.run(600)
        times = running.times("question")
        assert 0.02 <= times[0] - 100.0 <= 0.12
        waits = gaps(times)
        assert waits[0] == pytest.approx(4.0)
        for earlier, later in pairwise(waits):
            assert later == pytest.approx(60.0) or 1.49 * earlier <= later <= 2.51 * earlier
        assert waits[-1] == pytest.approx(60.0)
        assert {data for _, data in running.sent} == {query(SERVICE)}


def test_the_question_of_another_node_stands_for_ours_once_all_know_each_other() -> None:
    running = Running()
    running.run(300)
    asked = len(running.times("question"))
    for _ in range(SILENCE - 1):
        running.run(50)
        running.hear(ask(SERVICE))
    assert len(running.times("question")) - asked <= 1  # the one that was due first


def test_our_own_question_which_we_hear_as_well_changes_nothing() -> None:
    alone, echoed = Running(seed=1), Running(seed=1, hears_itself=True)
    alone.run(600)
    echoed.run(600)
    assert echoed.times("question") == alone.times("question")


def test_first_questions_are_asked_whoever_else_asks() -> None:
    running = Running()
    for _ in range(60):
        running.run(1)
        running.hear(ask(SERVICE))
    assert len(running.times("question")) >= 3


def test_nobody_keeps_us_from_asking_for_good() -> None:
    running = Running()
    running.run(300)
    before = len(running.times("question"))
    for _ in range(60):
        running.run(10)
        running.hear(ask(SERVICE))
    times = running.times("question")[before:]
    assert len(times) >= 2
    assert max(gaps(times)) <= SILENCE * 60.0 + 0.01


@pytest.mark.parametrize(
    "question",
    [ask(SERVICE, kind=SRV), ask(CORTEX), ask(SERVICES), ask(SERVICE, known=[Pointer(SERVICE, 360, (b"x", *SERVICE))])],
)
def test_other_questions_do_not_stand_for_ours(question: bytes) -> None:
    alone, beside = Running(seed=3), Running(seed=3)
    alone.run(600)
    for _ in range(60):
        beside.run(10)
        beside.hear(question)
    assert beside.times("question") == alone.times("question")


# --- answers ---


def test_a_node_without_an_address_says_nothing() -> None:
    running = Running()
    running.tell()
    for _ in range(20):
        running.hear(ask(SERVICE))
        running.hear(ask(SERVICES))
        running.run(1)
    running.link.fall_silent()
    running.settle()
    assert {kind_of(data) for _, data in running.sent} == {"question"}


def test_a_node_announces_itself_twice_a_second_apart() -> None:
    running = Running()
    running.tell(1)
    running.run(60)
    assert running.times("answer") == [100.0, 101.0]


def test_a_question_is_answered_a_moment_later_to_everybody() -> None:
    for seed in range(20):
        running = Running(seed=seed)
        running.tell(1)
        running.run(10)
        running.hear(ask(SERVICE))
        running.run(10)
        asked, answered = 110.0, running.times("answer")[-1]
        assert 0.02 <= answered - asked <= 0.12
    assert [sighting for sighting in running.hear(running.last("answer")) if isinstance(sighting, Sighting)] != []


def test_many_questions_are_answered_once_a_second_and_the_last_of_them_too() -> None:
    running = Running()
    running.tell(1)
    running.run(10)
    for _ in range(100):
        running.hear(ask(SERVICE))
        running.run(0.1)
    running.run(2)
    times = running.times("answer")[2:]
    assert len(times) == pytest.approx(10, abs=1)
    assert min(gaps(times)) >= 1.0
    assert times[-1] > 119.9


def test_tools_may_ask_for_the_instance_for_its_host_and_for_all_services() -> None:
    running = Running()
    running.tell(1)
    running.run(10)
    instance = name_of(running.last("answer"))
    host = next(record.target for record in decode(running.last("answer")).additional if isinstance(record, Location))
    for question in (ask(instance, kind=SRV), ask(host, kind=1), ask((b"other",), SERVICE), ask(instance, host, SERVICE)):
        before = len(running.times("answer"))
        running.hear(question)
        running.run(5)
        assert len(running.times("answer")) == before + 1
    running.hear(ask(SERVICES))
    running.hear(ask(SERVICES))
    running.run(5)
    assert [data for _, data in running.sent if kind_of(data) == "listing"] == [service_listing(SERVICE, 360)]
    assert len(running.times("answer")) == 6


def test_who_knows_us_already_is_not_answered() -> None:
    running = Running()
    running.tell(1)
    running.run(10)
    instance = name_of(running.last("answer"))
    running.hear(ask(SERVICE, known=[Pointer(SERVICE, 200, instance)]))
    running.run(5)
    assert len(running.times("answer")) == 2
    running.hear(ask(SERVICE, known=[Pointer(SERVICE, 100, instance)]))
    running.run(5)
    assert len(running.times("answer")) == 3


def test_a_question_for_another_service_is_not_answered() -> None:
    running = Running()
    running.tell(1)
    running.run(10)
    for question in (ask(CORTEX), ask((b"x", *SERVICE)), ask((b"_p2p", b"_tcp", b"local"))):
        running.hear(question)
    running.run(5)
    assert len(running.times("answer")) == 2


# --- names ---


def test_a_name_is_made_at_random_and_says_nothing() -> None:
    names = []
    for seed in range(50):
        running = Running(seed=seed)
        running.tell(1)
        running.run(1)
        (label, *service) = name_of(running.last("answer"))
        assert tuple(service) == SERVICE
        assert 32 <= len(label) <= 63
        assert label.isalnum()
        assert label == label.lower()
        names.append(label)
    assert len(set(names)) == 50


def test_new_addresses_come_under_a_new_name_after_a_goodbye_of_the_old() -> None:
    """go-libp2p takes no news under a name that it knows."""
    running = Running()
    running.tell(1)
    running.run(10)
    first = name_of(running.last("answer"))
    running.tell(1)
    assert running.times("goodbye") == []
    running.tell(1, 2)
    running.run(10)
    (goodbye,) = [data for _, data in running.sent if kind_of(data) == "goodbye"]
    assert name_of(goodbye) == first
    (texts,) = [record for record in decode(running.last("answer")).additional if isinstance(record, Texts)]
    assert len(texts.strings) == 2
    assert name_of(running.last("answer")) != first
    assert running.times("answer") == [100.0, 101.0, 110.0, 111.0]


def test_addresses_that_are_gone_are_taken_back() -> None:
    running = Running()
    running.tell(1)
    running.run(10)
    running.tell()
    running.hear(ask(SERVICE))
    running.run(10)
    assert running.times("goodbye") == [110.0]
    assert running.times("answer") == [100.0, 101.0]


def test_who_was_never_announced_says_no_goodbye() -> None:
    running = Running()
    running.link.tell(places(1), running.now)
    running.link.fall_silent()
    running.run(10)
    assert {kind_of(data) for _, data in running.sent} == {"question"}
    running.tell(1)
    running.run(10)
    running.tell(2)
    running.tell(3)  # before the second one was announced
    running.run(10)
    assert len(running.times("goodbye")) == 1


# --- what comes ---


def answer_of(number: int = 1) -> bytes:
    peer = PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big"))
    instance = (b"x%d" % number, *SERVICE)
    text = f"dnsaddr=/ip4/10.0.0.2/tcp/1/p2p/{peer}".encode()
    return encode(Packet(is_response=True, answers=(Pointer(SERVICE, 9, instance), Texts(instance, 9, (text,)))))


def test_an_answer_names_a_peer() -> None:
    (event,) = Running().hear(answer_of())
    assert isinstance(event, Sighting)
    assert event.addresses == (Multiaddr.parse("/ip4/10.0.0.2/tcp/1"),)


def test_what_is_not_of_the_service_is_not_even_read() -> None:
    running = Running()
    assert running.hear(b"") == []
    assert running.hear(b"\xff" * 100) == []
    assert running.hear(encode(Packet(is_response=True, answers=(Pointer((b"_ipp", b"_tcp", b"local"), 9, (b"x",)),)))) == []


def test_what_is_damaged_is_told_and_changes_nothing() -> None:
    running = Running()
    (event,) = running.hear(answer_of()[:-1])
    assert isinstance(event, Unreadable)
    assert "cut short" in str(event.error) or "ends at" in str(event.error)


def test_what_is_too_large_is_dropped() -> None:
    running = Running()
    packet = answer_of()
    assert len(running.hear(packet + bytes(SIZE_LIMIT - len(packet)))) == 1
    assert running.hear(packet + bytes(SIZE_LIMIT - len(packet) + 1)) == []


def test_a_flood_of_one_neighbour_is_cut_and_hides_no_other() -> None:
    running = Running(config=MdnsConfig(source_packet_rate=5, packet_rate=100))
    read = [bool(running.hear(answer_of(number))) for number in range(11)]
    assert read == [True] * 10 + [False]
    assert running.hear(answer_of(), "10.0.0.3")
    running.run(1)
    assert [bool(running.hear(answer_of())) for _ in range(6)] == [True] * 5 + [False]


def test_a_flood_from_everywhere_is_cut() -> None:
    running = Running(config=MdnsConfig(source_packet_rate=5, packet_rate=5))
    read = [bool(running.hear(answer_of(), f"10.0.0.{number}")) for number in range(11)]
    assert read == [True] * 10 + [False]
    sources = [f"10.{number // 250}.0.{number % 250}" for number in range(10 * SOURCES_LIMIT)]
    for source in sources:
        running.hear(answer_of(), source)
    assert len(running.link._budgets) <= SOURCES_LIMIT


@settings(max_examples=60)
@given(st.data(), st.integers(0, 1000))
def test_whatever_happens_a_node_says_little_and_goes_on_asking(data: st.DataObject, seed: int) -> None:
    running = Running(seed=seed)
    running.tell(1)
    said: list[int] = [1]
    for _ in range(data.draw(st.integers(1, 30))):
        match data.draw(st.sampled_from(["wait", "ask", "answer", "noise", "tell", "tools"])):
            case "wait":
                running.run(data.draw(st.floats(0, 100)))
            case "ask":
                running.hear(ask(SERVICE))
            case "answer":
                running.hear(answer_of())
            case "noise":
                running.hear(b"\x04_p2p" + data.draw(st.binary(max_size=40)))
            case "tools":
                running.hear(ask(SERVICES))
            case "tell":
                said = data.draw(st.lists(st.integers(1, 3), unique=True, max_size=2))
                running.tell(*said)
    running.run(400)
    assert len(running.times("question")) >= 2
    assert running.link.next_timeout() > running.now
    by_name: dict[Name, list[float]] = {}
    for time, sent in running.sent:
        if kind_of(sent) == "answer":
            by_name.setdefault(name_of(sent), []).append(time)
    for times in by_name.values():
        assert all(gap >= 1.0 - 1e-9 for gap in gaps(times))
    living = set(by_name) - {name_of(sent) for _, sent in running.sent if kind_of(sent) == "goodbye"}
    assert len(living) == bool(said)
