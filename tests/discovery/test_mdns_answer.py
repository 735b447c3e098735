"""What is said by multicast DNS, and who is seen in what others say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.discovery.mdns_answer import (
    ANSWER_SIZE,
    ATTRIBUTES_LIMIT,
    SERVICES,
    Answer,
    Sighting,
    asks_for,
    asks_for_all,
    query,
    service_listing,
    service_name,
    sightings,
)
from cortexnet.discovery.mdns_packet import (
    ANY,
    PTR,
    SRV,
    HostAddress,
    Location,
    Name,
    Packet,
    Pointer,
    Question,
    Texts,
    decode,
)
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "mdns.json").read_text())
SERVICE = service_name("_p2p._udp")
CORTEX = service_name("loreum-cortex")
PEER = PeerId.parse(GOLDEN["rust_peer"])
LABEL = b"x" * 63
INSTANCE: Name = (LABEL, *SERVICE)


def addresses(*texts: str) -> list[Multiaddr]:
    return [Multiaddr.parse(text).with_peer(bytes(PEER)) for text in texts]


def answer(*texts: str, service: Name = SERVICE) -> Answer:
    return Answer(service, LABEL, addresses(*texts), [b"\x0a\0\0\1"], 360)


def text_of(*attributes: str | bytes, ttl: int = 120) -> Packet:
    strings = tuple([each.encode() if isinstance(each, str) else each for each in attributes])
    return Packet(is_response=True, answers=(Pointer(SERVICE, ttl, INSTANCE), Texts(INSTANCE, ttl, strings)))


def seen(packet: Packet) -> list[Sighting]:
    return sightings(packet, SERVICE)


# --- what we say ---


def test_names_of_services_have_any_number_of_parts() -> None:
    assert SERVICE == (b"_p2p", b"_udp", b"local")
    assert CORTEX == (b"loreum-cortex", b"local")
    assert service_name("Some.Thing") == (b"some", b"thing", b"local")


def test_the_question_is_the_one_in_the_specification() -> None:
    assert query(SERVICE).hex() == "000000000001000000000000045f703270045f756470056c6f63616c00000c0001"
    assert query(CORTEX).hex() == "0000000000010000000000000d6c6f7265756d2d636f72746578056c6f63616c00000c0001"


@pytest.mark.parametrize("service", [SERVICE, CORTEX])
def test_an_answer_has_all_that_go_wants_in_one_packet(service: Name) -> None:
    said = answer("/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/udp/4001/quic-v1", service=service)
    packet = decode(said.packet)
    instance = (LABEL, *service)
    host = (LABEL, b"local")
    texts = tuple(
        [f"dnsaddr={address}".encode() for address in addresses("/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/udp/4001/quic-v1")]
    )
    assert packet == Packet(
        is_response=True,
        answers=(Pointer(service, 360, instance),),
        additional=(
            Location(instance, 360, 4001, host, replaces=True),
            Texts(instance, 360, texts, replaces=True),
            HostAddress(host, 120, b"\x0a\0\0\1", replaces=True),
        ),
    )


def test_a_goodbye_is_the_same_that_lives_no_longer() -> None:
    packet = decode(answer("/ip4/10.0.0.1/tcp/4001").goodbye)
    assert {record.ttl for record in (*packet.answers, *packet.additional)} == {0}
    assert seen(packet) == [Sighting(PEER, ())]


def test_addresses_that_do_not_fit_into_a_frame_are_left_out_the_last_ones_first() -> None:
    texts = [f"/ip6/2001:db8:1234:5678:9abc:def0:1234:{number}/udp/4001/quic-v1" for number in range(20)]
    said = answer(*texts)
    assert ANSWER_SIZE - 150 < len(said.packet) <= ANSWER_SIZE
    (sighting,) = seen(decode(said.packet))
    assert 7 <= len(sighting.addresses) < 20
    assert list(map(str, sighting.addresses)) == texts[: len(sighting.addresses)]


def test_an_address_too_long_for_an_attribute_is_left_out() -> None:
    far = "/dns4/" + ".".join(["a" * 60] * 3) + "/tcp/4001"
    longest = "/dns4/" + "a" * (255 - len("dnsaddr=/dns4//tcp/4001/p2p/") - len(str(PEER))) + "/tcp/4001"
    (sighting,) = seen(decode(answer(far, longest, "/ip4/10.0.0.1/tcp/4001").packet))
    assert list(map(str, sighting.addresses)) == [longest, "/ip4/10.0.0.1/tcp/4001"]


def test_one_address_is_said_however_long_its_service_is() -> None:
    service = service_name(".".join(["a" * 63] * 2))
    assert len(sightings(decode(answer("/ip4/10.0.0.1/tcp/4001", service=service).packet), service)) == 1


def test_who_has_the_answer_for_long_enough_needs_no_other() -> None:
    said = answer("/ip4/10.0.0.1/tcp/4001")
    assert said.is_known((Texts(INSTANCE, 360, ()), Pointer(SERVICE, 180, INSTANCE)))
    assert not said.is_known((Pointer(SERVICE, 179, INSTANCE),))
    assert not said.is_known((Pointer(SERVICE, 360, (b"y", *SERVICE)),))
    assert not said.is_known(())


def test_tools_are_told_that_there_is_such_a_service() -> None:
    assert decode(service_listing(SERVICE, 360)) == Packet(is_response=True, answers=(Pointer(SERVICES, 360, SERVICE),))


def test_what_a_packet_asks_for() -> None:
    asked = Packet(is_response=False, questions=(Question((b"other",), PTR), Question(INSTANCE, SRV)))
    assert asks_for(asked, SERVICE, INSTANCE)
    assert not asks_for(asked, SERVICE)
    assert not asks_for(Packet(is_response=True, questions=asked.questions), INSTANCE)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (Packet(is_response=False, questions=(Question(SERVICE, PTR),)), True),
        (Packet(is_response=False, questions=(Question(SERVICE, ANY),)), True),
        (Packet(is_response=False, questions=(Question(SERVICE, SRV),)), False),
        (Packet(is_response=False, questions=(Question(INSTANCE, PTR),)), False),
        (Packet(is_response=True, questions=(Question(SERVICE, PTR),)), False),
        (Packet(is_response=False, questions=(Question(SERVICE, PTR),), answers=(Pointer(SERVICE, 9, INSTANCE),)), False),
    ],
)
def test_only_a_question_that_all_answer_stands_for_ours(packet: Packet, expected: bool) -> None:
    assert asks_for_all(packet, SERVICE) == expected


# --- what others say ---


@pytest.mark.parametrize("name", ["go_answer", "go_announcement"])
def test_a_node_of_gos_is_seen(name: str) -> None:
    peer, places = PeerId.parse(GOLDEN["go_peer"]), map(Multiaddr.parse, GOLDEN["go_addresses"])
    assert seen(decode(bytes.fromhex(GOLDEN[name]))) == [Sighting(peer, tuple(places))]


def test_a_node_of_the_reference_network_is_seen_under_its_name_alone() -> None:
    packet = decode(bytes.fromhex(GOLDEN["go_cortex_answer"]))
    peer, places = PeerId.parse(GOLDEN["go_cortex_peer"]), map(Multiaddr.parse, GOLDEN["go_cortex_addresses"])
    assert sightings(packet, CORTEX) == [Sighting(peer, tuple(places))]
    assert seen(packet) == []


def test_a_goodbye_of_gos_is_seen() -> None:
    assert seen(decode(bytes.fromhex(GOLDEN["go_goodbye"]))) == [Sighting(PeerId.parse(GOLDEN["go_peer"]), ())]


@pytest.mark.parametrize("stack", ["rust", "js"])
def test_nodes_that_send_a_text_for_each_address_are_seen(stack: str) -> None:
    """Those of rust have names outside of the service's, to which a pointer leads; those of js put all into the answers."""
    peer, places = PeerId.parse(GOLDEN[f"{stack}_peer"]), map(Multiaddr.parse, GOLDEN[f"{stack}_addresses"])
    assert seen(decode(bytes.fromhex(GOLDEN[f"{stack}_answer"]))) == [Sighting(peer, tuple(places))]


def test_a_text_under_another_name_than_the_services_is_somebody_elses() -> None:
    text = Texts((LABEL, *CORTEX), 120, (f"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{PEER}".encode(),))
    assert seen(Packet(is_response=True, answers=(text,))) == []
    assert seen(Packet(is_response=True, answers=(Pointer(SERVICES, 120, text.name), text))) == []
    assert len(seen(Packet(is_response=True, additional=(Pointer(SERVICE, 120, text.name), text)))) == 1


def test_a_question_says_nothing_of_anybody() -> None:
    packet = text_of(f"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{PEER}")
    assert seen(packet) != []
    assert seen(Packet(is_response=False, answers=packet.answers)) == []


def test_what_is_no_address_of_a_peer_is_left_out() -> None:
    good = f"dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/{PEER}"
    packet = text_of(
        "",
        "txtvers=1",
        "dnsaddr=",
        "dnsaddr=/ip4/10.0.0.1/tcp/1",  # of nobody
        f"dnsaddr=/p2p/{PEER}",  # nowhere
        "dnsaddr=/ip4/10.0.0.1/tcp/1/p2p/QmNoPeer",
        b"dnsaddr=/ip4/\xff",
        f"DNSADDR=/ip4/10.0.0.2/tcp/1/p2p/{PEER}",
        good,
        good,
    )
    assert seen(packet) == [Sighting(PEER, (Multiaddr.parse("/ip4/10.0.0.1/tcp/1"),))]


def test_several_peers_in_one_packet_are_told_apart() -> None:
    other = PeerId.parse(GOLDEN["go_peer"])
    packet = text_of(*[f"dnsaddr=/ip4/10.0.0.{number}/tcp/1/p2p/{peer}" for number in (1, 2) for peer in (PEER, other)])
    places = Multiaddr.parse("/ip4/10.0.0.1/tcp/1"), Multiaddr.parse("/ip4/10.0.0.2/tcp/1")
    assert seen(packet) == [Sighting(PEER, places), Sighting(other, places)]


@pytest.mark.parametrize("split", [1, 5, ATTRIBUTES_LIMIT])
def test_so_many_attributes_are_looked_at_and_no_more(split: int) -> None:
    attributes = [f"dnsaddr=/ip4/10.0.0.1/tcp/{number}/p2p/{PEER}".encode() for number in range(1, ATTRIBUTES_LIMIT + 11)]
    texts = [Texts(INSTANCE, 1, tuple(attributes[at : at + split])) for at in range(0, len(attributes), split)]
    (sighting,) = seen(Packet(is_response=True, answers=tuple(texts)))
    assert [address.endpoint for address in sighting.addresses] == [("10.0.0.1", n + 1) for n in range(ATTRIBUTES_LIMIT)]


@given(st.lists(st.binary(max_size=255) | st.binary(max_size=200).map(b"dnsaddr=".__add__), max_size=8))
def test_any_attributes_are_seen_or_left_out(attributes: list[bytes]) -> None:
    assert isinstance(seen(text_of(*attributes)), list)
