import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import multihash
from cortexnet.multiformats.multiaddr import MAX_BYTES, MAX_COMPONENTS, MAX_TEXT, Component, Multiaddr
from cortexnet.multiformats.multiaddr_protocols import PROTOCOLS

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "multiaddr.json").read_text("utf-8"))
PEER = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
PEER_BYTES = bytes.fromhex("0024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
OTHER_PEER = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"

parse = Multiaddr.parse


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["text"][:40])
def test_addresses_are_written_and_printed_as_go_does(vector: dict[str, str]) -> None:
    address = parse(vector["text"])
    assert bytes(address).hex() == vector["bytes"]
    assert str(address) == vector["prints"]
    assert Multiaddr.from_bytes(bytes(address)) == address == parse(str(address))


@pytest.mark.parametrize("vector", VECTORS["text"], ids=lambda vector: vector["text"][:40])
def test_texts_are_judged_as_go_does(vector: dict[str, object]) -> None:
    if vector["rejected"]:
        with pytest.raises(ProtocolViolation, match="multiaddr"):
            parse(str(vector["text"]))
    else:
        assert str(parse(str(vector["text"]))) == vector["prints"]


@pytest.mark.parametrize("vector", VECTORS["binary"], ids=lambda vector: vector["bytes"])
def test_bytes_are_judged_as_go_does(vector: dict[str, object]) -> None:
    data = bytes.fromhex(str(vector["bytes"]))
    if vector["rejected"]:
        with pytest.raises(ProtocolViolation, match="multiaddr"):
            Multiaddr.from_bytes(data)
    else:
        assert str(Multiaddr.from_bytes(data)) == vector["prints"]


@pytest.mark.parametrize("text", VECTORS["accepted"], ids=lambda text: text[:40])
def test_what_go_accepts_survives_bytes_and_text(text: str) -> None:
    address = parse(text)
    assert Multiaddr.from_bytes(bytes(address)) == address == parse(str(address))


@pytest.mark.parametrize("text", VECTORS["refused"], ids=lambda text: text[:40])
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="multiaddr"):
        parse(text)


@pytest.mark.parametrize(("text", "data"), VECTORS["encodings"], ids=lambda text: text[:40])
def test_goes_encodings_hold_both_ways(text: str, data: str) -> None:
    assert bytes(parse(text)).hex() == data
    assert str(Multiaddr.from_bytes(bytes.fromhex(data))) == text


@pytest.mark.parametrize("text", VECTORS["same_text"], ids=lambda text: text[:40])
def test_canonical_text_is_printed_unchanged(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "0 bytes"),
        ("04c0000201ff", "component 1 at byte 5: varint is cut short"),
        ("05", "protocol 5 is unknown"),
        ("a225", "protocol 4770 is unknown"),  # rust's private /x-parity-ws
        ("8400c0000201", "byte 0: varint is not minimal"),
        ("358100", "varint is not minimal"),
        ("80808080808080808001", "longer than 9"),
        ("04c00002", "/ip4 is cut short: 3 of 4"),
        ("3505616263", "/dns is cut short: 3 of 5"),
        ("35ffffffffffffffff7f61", "cut short: 1 of 9223372036854775807"),
        ("3500", "/dns takes a value"),
        ("350161060fa1d20302aabb", "component 2 at byte 6: /certhash"),
        ("9003022f610601bb", "nothing may follow /unix"),
        ("890604342432", "/memory is cut short"),  # js sends the digits as text
    ],
)
def test_what_is_wrong_with_bytes_is_said_and_where(data: str, why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        Multiaddr.from_bytes(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin"),
        ("///", "does not begin"),
        ("tcp/1", "does not begin"),
        ("//tcp/1", "protocol '' is unknown"),
        ("/ip4/192.0.2.1/tcp", "/tcp takes a value"),
        ("/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3", "no whole peer id: multihash"),
        ("/ip4/192.0.2.1/tcp//udp/1", "/tcp takes a value"),
        ("/ip4/192.0.2.1/tls/1/ws", "protocol '1' is unknown"),
        ("/ip4/192.0.2.1/tcp/x\ny", r"/tcp cannot be 'x\\ny': not a decimal"),
        ("/\N{SNOWMAN}", r"protocol '\\u2603' is unknown"),
        ("/dns/\ud800", "/dns cannot be '.ud800': not UTF-8"),
    ],
)
def test_what_is_wrong_with_text_is_said_and_where(text: str, why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        parse(text)


def test_bytes_are_refused_above_the_cap() -> None:
    head = bytes.fromhex("35fe07")  # /dns and a length of 1,022
    largest = Multiaddr.from_bytes(bytes.fromhex("35fd07") + b"x" * 1021)
    assert len(bytes(largest)) == MAX_BYTES
    assert parse(str(largest)) == largest
    with pytest.raises(ProtocolViolation, match="1025 bytes"):
        Multiaddr.from_bytes(head + b"x" * 1022)
    with pytest.raises(ProtocolViolation, match="1025 bytes"):
        parse("/dns/" + "x" * 1022)


def test_components_are_counted_before_they_are_built() -> None:
    most = parse("/ws" * MAX_COMPONENTS)
    assert Multiaddr.from_bytes(bytes(most)) == most
    with pytest.raises(ProtocolViolation, match="more than 64"):
        parse("/ws" * (MAX_COMPONENTS + 1))
    with pytest.raises(ProtocolViolation, match="more than 64"):
        Multiaddr.from_bytes(bytes(most) + bytes.fromhex("dd03"))


def test_text_is_refused_above_the_cap_and_every_address_prints_below_it() -> None:
    widest = Multiaddr.from_bytes(bytes.fromhex("e103fc07") + b"\xff" * 1020)
    assert 3000 < len(str(widest)) < MAX_TEXT
    assert parse(str(widest)) == widest
    with pytest.raises(ProtocolViolation, match="4097 characters"):
        parse("/" * (MAX_TEXT + 1))


def test_components_have_name_code_value_and_bytes() -> None:
    address = parse(f"/ip4/192.0.2.1/tcp/4001/tls/p2p/{PEER}/unix/tmp/x")
    assert [(c.protocol, c.code, c.value, c.raw) for c in address.components] == [
        ("ip4", 4, "192.0.2.1", b"\xc0\x00\x02\x01"),
        ("tcp", 6, "4001", b"\x0f\xa1"),
        ("tls", 448, None, b""),
        ("p2p", 421, PEER, PEER_BYTES),
        ("unix", 400, "/tmp/x", b"/tmp/x"),
    ]
    assert [str(c) for c in address.components] == ["/ip4/192.0.2.1", "/tcp/4001", "/tls", f"/p2p/{PEER}", "/unix/tmp/x"]
    assert b"".join(bytes(c) for c in address.components) == bytes(address)
    assert address.protocols == ("ip4", "tcp", "tls", "p2p", "unix")
    assert Multiaddr.from_components(address.components) == address


def test_a_component_is_made_from_text_and_compared_by_value() -> None:
    tcp = Component.of("tcp", "80")
    assert tcp == parse("/tcp/80").components[0]
    assert hash(tcp) == hash(Component.of("tcp", "080"))
    assert tcp != Component.of("udp", "80")
    assert tcp != "/tcp/80"
    assert repr(tcp) == "Component('/tcp/80')"
    assert Component.of("ipfs", PEER) == Component.of("p2p", PEER)
    assert Component.of("ws").value is None


@pytest.mark.parametrize(("name", "value"), [("tcp", ""), ("tcp", "70000"), ("ws", "x"), ("dns", "a/b"), ("unix", "relative")])
def test_a_component_refuses_a_value_its_protocol_cannot_have(name: str, value: str) -> None:
    with pytest.raises(ProtocolViolation, match=f"/{name} "):
        Component.of(name, value)


def test_a_name_no_protocol_has_is_the_callers_fault() -> None:
    address = parse("/ip4/192.0.2.1")
    for call in (address.has, address.value_of, address.decapsulate, address.matches, Component.of):
        with pytest.raises(LocalError, match="ipv4"):
            call("ipv4")


def test_addresses_are_equal_and_hashed_by_their_bytes() -> None:
    assert parse(f"/ipfs/{PEER}") == parse(f"/p2p/{PEER}/")
    assert len({parse("/tcp/80"), parse("/tcp/080"), parse("/udp/80")}) == 2
    assert parse("/tcp/80") != "/tcp/80"
    assert parse("/dns/A") != parse("/dns/a")
    assert repr(parse("/dns/a\nb")) == r"Multiaddr('/dns/a\nb')"


def test_addresses_can_be_copied_pickled_and_made_from_any_buffer() -> None:
    address = parse("/ip4/192.0.2.1/tcp/1")
    assert copy.deepcopy(address) == pickle.loads(pickle.dumps(address)) == address
    assert Multiaddr.from_bytes(bytearray(bytes(address))) == Multiaddr(memoryview(bytes(address))) == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dns/example.org/tcp/1", True),
        ("/dns4/example.org/tcp/1", True),
        ("/dns6/example.org", True),
        ("/dnsaddr/example.org", True),
        ("/ip4/192.0.2.1/tcp/1/tls/sni/example.org/ws", False),
        ("/memory/1", False),
    ],
)
def test_an_address_that_begins_with_a_name_says_so(text: str, expected: bool) -> None:
    assert parse(text).is_named is expected


@pytest.mark.parametrize("again", [copy.deepcopy, lambda address: pickle.loads(pickle.dumps(address))])
def test_the_copy_of_an_address_that_was_looked_into_still_knows_its_protocols(again: Callable[[Multiaddr], Multiaddr]) -> None:
    address = parse(f"/ip4/192.0.2.1/tcp/4001/p2p/{PEER}/p2p-circuit")
    assert address.components
    other = again(address)
    assert other.components == address.components
    assert other.is_relayed
    assert other.has("p2p")
    assert other.value_of("tcp") == "4001"
    assert other.matches("/HOST/tcp/p2p/p2p-circuit")


def test_the_first_value_of_a_protocol_is_found() -> None:
    address = parse(f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}/p2p-circuit/p2p/{OTHER_PEER}")
    assert address.value_of("p2p") == address.value_of("ipfs") == PEER
    assert address.value_of("tcp") == "1"
    assert address.value_of("udp") is None
    assert address.value_of("p2p-circuit") is None
    assert address.has("p2p-circuit")
    assert not address.has("udp")
    assert address.is_relayed
    assert not parse("/ip4/192.0.2.1").is_relayed


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("/ip4/192.0.2.1/tcp/4001", ("192.0.2.1", 4001)),
        ("/ip4/192.0.2.1/udp/1/quic-v1", ("192.0.2.1", 1)),
        ("/ip6/::1/tcp/2/ws", ("::1", 2)),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/3", ("fe80::1%eth0", 3)),
        ("/dns4/example.com/tcp/443/tls/ws", ("example.com", 443)),
        ("/ip4/192.0.2.1", None),
        ("/ip4/192.0.2.1/sctp/1", None),
        ("/tcp/80/ip4/192.0.2.1", None),
        ("/ip6zone/eth0", None),
        ("/dnsaddr/example.com/tcp/1", None),
        ("/p2p-circuit", None),
    ],
)
def test_the_endpoint_to_dial_is_read_off_the_front(text: str, endpoint: tuple[str, int] | None) -> None:
    assert parse(text).endpoint == endpoint


@pytest.mark.parametrize(
    ("host", "port", "transport", "text"),
    [
        ("192.0.2.1", 4001, "tcp", "/ip4/192.0.2.1/tcp/4001"),
        ("::1", 1, "udp", "/ip6/::1/udp/1"),
        ("fe80::1%eth0", 2, "tcp", "/ip6zone/eth0/ip6/fe80::1/tcp/2"),
    ],
)
def test_a_sockets_address_becomes_an_address(host: str, port: int, transport: str, text: str) -> None:
    address = Multiaddr.from_endpoint(host, port, transport)
    assert str(address) == text
    assert address.endpoint == (host, port)


def test_an_address_is_put_around_another_and_taken_off() -> None:
    relay, circuit = parse(f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}"), parse("/p2p-circuit")
    relayed = relay.encapsulate(circuit)
    assert str(relayed) == f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}/p2p-circuit"
    assert relayed.decapsulate("p2p-circuit") == relay
    assert relayed.decapsulate("udp") == relayed
    assert relayed.decapsulate("ip4") is None
    assert parse("/tcp/1/tls/tcp/2/ws").decapsulate("tcp") == parse("/tcp/1/tls")


def test_nothing_is_put_behind_a_path_or_beyond_the_cap() -> None:
    with pytest.raises(ProtocolViolation, match="nothing may follow"):
        parse("/unix/a").encapsulate(parse("/tcp/1"))
    with pytest.raises(ProtocolViolation, match="1024"):
        parse("/dns/" + "x" * 600).encapsulate(parse("/dns/" + "x" * 600))


def test_the_peer_at_the_end_is_split_off_and_put_back() -> None:
    address, whole = parse("/ip4/192.0.2.1/tcp/1"), parse(f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}")
    assert whole.split_peer() == (address, PEER_BYTES)
    assert address.split_peer() == (address, None)
    assert parse(f"/p2p/{PEER}").split_peer() == (None, PEER_BYTES)
    assert address.with_peer(PEER_BYTES) == whole == whole.with_peer(PEER_BYTES)
    relayed = parse(f"/p2p/{OTHER_PEER}/p2p-circuit")
    assert str(relayed.with_peer(PEER_BYTES)) == f"/p2p/{OTHER_PEER}/p2p-circuit/p2p/{PEER}"
    with pytest.raises(ProtocolViolation, match="another peer"):
        whole.with_peer(multihash.sha2_256(b"x"))
    with pytest.raises(ProtocolViolation, match="/p2p"):
        address.with_peer(b"no multihash")


def test_beginnings_and_ends_are_compared_by_component() -> None:
    address = parse(f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}")
    assert address.starts_with(parse("/ip4/192.0.2.1"))
    assert address.starts_with(address)
    assert not address.starts_with(parse("/ip4/192.0.2.2"))
    assert not parse("/ip4/192.0.2.1").starts_with(address)
    assert address.ends_with(parse(f"/p2p/{PEER}"))
    assert address.ends_with(parse(f"/tcp/1/p2p/{PEER}"))
    assert address.ends_with(address)
    assert not address.ends_with(parse("/tcp/1"))
    assert not parse("/tcp/1").ends_with(address)
    # The bytes of /ip4/6.0.1.1 end as /tcp/257 does; the components do not.
    assert bytes(parse("/ip4/1.6.1.1")).endswith(bytes(parse("/tcp/257")))
    assert not parse("/ip4/1.6.1.1").ends_with(parse("/tcp/257"))


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("/ip4/127.0.0.1/tcp/1", {"loopback", "private"}),
        ("/ip6zone/lo/ip6/::1/tcp/1", {"loopback", "private"}),
        ("/ip4/10.0.0.1", {"private"}),
        ("/ip4/1.1.1.1/tcp/1", {"public"}),
        ("/ip4/0.0.0.0/tcp/1", {"unspecified"}),
        ("/ip6zone/eth0", set()),
        (f"/ip4/1.1.1.1/tcp/1/p2p/{PEER}/p2p-circuit", {"public"}),
        (f"/p2p/{PEER}/p2p-circuit", set()),
    ],
)
def test_an_address_is_classed_by_where_it_begins(text: str, classes: set[str]) -> None:
    address = parse(text)
    found = {
        "loopback": address.is_loopback,
        "private": address.is_private,
        "public": address.is_public,
        "unspecified": address.is_unspecified,
    }
    assert {name for name, is_in in found.items() if is_in} == classes


def test_shapes_are_matched() -> None:
    assert parse("/ip4/192.0.2.1/tcp/1").matches("/HOST/tcp")
    assert not parse("/ip4/192.0.2.1/tcp/1/ws").matches("/HOST/tcp")


values = {
    "ip4": st.ip_addresses(v=4).map(str),
    "ip6": st.ip_addresses(v=6).map(str),
    "ip6zone": st.text("eth0%-", min_size=1, max_size=9),
    "dns4": st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=30),
    "tcp": st.integers(0, 65535).map(str),
    "udp": st.integers(0, 65535).map(str),
    "ipcidr": st.integers(0, 255).map(str),
    "memory": st.integers(0, 2**64 - 1).map(str),
    "p2p": st.sampled_from([PEER, OTHER_PEER, "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6"]),
    "certhash": st.just("uEiCfhtCBiEx9ZZov6qDFWtAVo79PGysLgizRXWwVsPAKCA"),
    "http-path": st.text("ab+\u00e4-", min_size=1, max_size=9),
    **{protocol.name: st.just("") for protocol in PROTOCOLS if not protocol.size},
}
components = st.sampled_from(sorted(values)).flatmap(lambda name: values[name].map(lambda value: f"/{name}/{value}".rstrip("/")))
texts = st.lists(components, min_size=1, max_size=8).map("".join)


@given(texts)
@example("/unix//a//b")
def test_text_and_bytes_round_trip(text: str) -> None:
    address = parse(text)
    assert Multiaddr.from_bytes(bytes(address)) == address == parse(str(address))
    assert str(parse(str(address))) == str(address)


@given(texts, st.integers(0, 200), st.binary(max_size=3))
def test_any_damage_to_the_bytes_parses_or_is_refused_with_a_typed_error(text: str, at: int, patch: bytes) -> None:
    data = bytearray(bytes(parse(text)))
    data[at : at + len(patch)] = patch
    assert_parses_or_refused(bytes(data))


codes = st.sampled_from(PROTOCOLS).map(lambda protocol: protocol.encode(b"")[: None if protocol.size != -1 else -1])


@given(st.lists(st.one_of(codes, st.integers(0, 60).map(lambda size: bytes([size])), st.binary(max_size=40)), max_size=12))
def test_any_bytes_parse_or_are_refused_with_a_typed_error(pieces: list[bytes]) -> None:
    assert_parses_or_refused(b"".join(pieces))


def assert_parses_or_refused(data: bytes) -> None:
    try:
        address = Multiaddr.from_bytes(data)
    except ProtocolViolation:
        return
    assert bytes(address) == b"".join(bytes(component) for component in address.components) == data
    assert parse(str(address)) == address


names = st.sampled_from([protocol.name for protocol in PROTOCOLS])


@given(st.lists(st.one_of(names, st.text(max_size=12)), max_size=8).map(lambda parts: "/" + "/".join(parts)))
def test_any_text_parses_or_is_refused_with_a_typed_error(text: str) -> None:
    try:
        address = parse(text)
    except ProtocolViolation:
        return
    assert_parses_or_refused(bytes(address))


def test_a_text_is_parsed_and_not_taken_for_the_bytes() -> None:
    with pytest.raises(LocalError, match=r"Multiaddr\.parse makes an address of a text"):
        Multiaddr("/ip4/192.0.2.7")  # type: ignore[arg-type]
