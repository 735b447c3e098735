import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.limits import Limits
from cortexnet.errors import CortexError, LimitExceeded, ResolveFailed
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.resolver import Resolver, look_up_hosts, look_up_texts

A = PeerId(bytes([0x12, 32]) + b"a" * 32)
B = PeerId(bytes([0x12, 32]) + b"b" * 32)


class Zone:
    """Names and what they lead to; counts the look-ups."""

    def __init__(self, hosts: dict[str, list[str]] | None = None, texts: dict[str, list[str]] | None = None) -> None:
        self.host_records = hosts or {}
        self.text_records = texts or {}
        self.asked: list[str] = []

    async def hosts(self, name: str, family: socket.AddressFamily) -> list[str]:
        self.asked.append(name)
        await asyncio.sleep(0)
        if name not in self.host_records:
            raise ResolveFailed(name, "the name does not exist")
        wanted = {socket.AF_UNSPEC: ".:", socket.AF_INET: ".", socket.AF_INET6: ":"}[family]
        return [ip for ip in self.host_records[name] if any(mark in ip for mark in wanted)]

    async def texts(self, name: str) -> list[str]:
        self.asked.append(name)
        await asyncio.sleep(0)
        if name not in self.text_records:
            raise ResolveFailed(name, "the name does not exist")
        return self.text_records[name]

    async def resolve(self, text: str, expected: PeerId | None = None, **limits: int) -> list[str]:
        resolver = Resolver(Limits(**limits), hosts=self.hosts, texts=self.texts)
        return [str(address) for address in await resolver.resolve(Multiaddr.parse(text), expected)]


BOTH = Zone({"example.org": ["192.0.2.1", "2001:db8::1"]})


@pytest.mark.parametrize("text", ["/ip4/192.0.2.1/tcp/1", f"/ip4/192.0.2.1/tcp/1/p2p/{A}", "/memory/1"])
async def test_an_address_without_a_name_is_its_own_answer(text: str) -> None:
    zone = Zone()
    assert await zone.resolve(text, A) == [text]
    assert zone.asked == []


async def test_an_address_of_somebody_else_is_left_out_without_a_look_up() -> None:
    zone = Zone()
    with pytest.raises(ResolveFailed, match="leads to no address of"):
        await zone.resolve(f"/ip4/192.0.2.1/tcp/1/p2p/{B}", A)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dns/example.org/tcp/1", ["/ip4/192.0.2.1/tcp/1", "/ip6/2001:db8::1/tcp/1"]),
        ("/dns4/example.org/tcp/1", ["/ip4/192.0.2.1/tcp/1"]),
        ("/dns6/example.org/udp/1/quic-v1", ["/ip6/2001:db8::1/udp/1/quic-v1"]),
        (f"/dns4/example.org/tcp/1/p2p/{A}", [f"/ip4/192.0.2.1/tcp/1/p2p/{A}"]),
        (f"/dns4/example.org/tcp/1/p2p/{B}/p2p-circuit/p2p/{A}", [f"/ip4/192.0.2.1/tcp/1/p2p/{B}/p2p-circuit/p2p/{A}"]),
        ("/dns4/example.org/tcp/1/ws", ["/ip4/192.0.2.1/tcp/1/ws"]),
        ("/dns4/example.org/tcp/1/wss", ["/ip4/192.0.2.1/tcp/1/tls/sni/example.org/ws"]),
        (f"/dns4/example.org/tcp/1/tls/ws/p2p/{A}", [f"/ip4/192.0.2.1/tcp/1/tls/sni/example.org/ws/p2p/{A}"]),
        ("/dns4/example.org/tcp/1/tls/sni/other.org/ws", ["/ip4/192.0.2.1/tcp/1/tls/sni/other.org/ws"]),
        ("/dns4/example.org/tcp/1/tls", ["/ip4/192.0.2.1/tcp/1/tls"]),
    ],
)
async def test_a_name_is_replaced_by_each_of_its_ips(text: str, expected: list[str]) -> None:
    assert await BOTH.resolve(text, A) == expected


async def test_a_name_without_a_usable_ip_is_an_error() -> None:
    zone = Zone({"example.org": ["fe80::1%2", "192.0.2.1"]})
    assert await zone.resolve("/dns/example.org/tcp/1") == ["/ip4/192.0.2.1/tcp/1"]
    with pytest.raises(ResolveFailed, match=r"/dns6/example\.org/tcp/1: leads to no address$"):
        await zone.resolve("/dns6/example.org/tcp/1")
    with pytest.raises(ResolveFailed, match=r"nowhere\.org: the name does not exist"):
        await zone.resolve("/dns/nowhere.org/tcp/1")


async def test_a_bootstrap_name_is_followed_to_its_addresses() -> None:
    zone = Zone(
        {"a.example.org": ["192.0.2.1", "192.0.2.2"]},
        {
            "_dnsaddr.example.org": [
                f"dnsaddr=/dnsaddr/sjc.example.org/tcp/4001/p2p/{A}",
                "v=spf1",
                f"dnsaddr=/dnsaddr/x/p2p/{B}",
            ],
            "_dnsaddr.sjc.example.org": [
                f"dnsaddr=/dns4/a.example.org/tcp/4001/p2p/{A}",
                f"dnsaddr=/ip4/192.0.2.3/tcp/4001/p2p/{A}",
                f"dnsaddr=/ip4/192.0.2.3/udp/4001/quic-v1/p2p/{A}",
            ],
        },
    )
    assert await zone.resolve(f"/dnsaddr/example.org/p2p/{A}", A) == [
        f"/ip4/192.0.2.3/tcp/4001/p2p/{A}",
        f"/ip4/192.0.2.1/tcp/4001/p2p/{A}",
        f"/ip4/192.0.2.2/tcp/4001/p2p/{A}",
    ]
    assert zone.asked == ["_dnsaddr.example.org", "_dnsaddr.sjc.example.org", "a.example.org"]


async def test_records_that_are_no_addresses_or_end_otherwise_are_left_out() -> None:
    long = "/dns/" + "x" * 1000
    records = [
        "dnsaddr=/ip4/192.0.2.1/tcp/1",
        "dnsaddr=/ip4/192.0.2.1/tcp/2",
        "dnsaddr=nonsense",
        "DNSADDR=/ip4/192.0.2.9/tcp/1",
        " dnsaddr=/ip4/192.0.2.9/tcp/1",
        "",
        f"dnsaddr={long}/tcp/1",
    ]
    zone = Zone(texts={"_dnsaddr.example.org": records})
    assert await zone.resolve("/dnsaddr/example.org/tcp/1") == ["/ip4/192.0.2.1/tcp/1"]
    with pytest.raises(ResolveFailed, match="leads to no address"):
        await zone.resolve("/dnsaddr/example.org/tcp/3")


async def test_what_stands_before_a_name_stays() -> None:
    zone = Zone(texts={"_dnsaddr.example.org": ["dnsaddr=/tcp/1"]})
    assert await zone.resolve("/ip4/192.0.2.1/dnsaddr/example.org") == ["/ip4/192.0.2.1/tcp/1"]


async def test_addresses_of_other_peers_than_the_expected_one_are_left_out() -> None:
    records = [f"dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/{A}", f"dnsaddr=/ip4/192.0.2.2/tcp/1/p2p/{B}", "dnsaddr=/ip4/192.0.2.3/tcp/1"]
    zone = Zone(texts={"_dnsaddr.example.org": records})
    assert await zone.resolve("/dnsaddr/example.org", A) == [f"/ip4/192.0.2.1/tcp/1/p2p/{A}", "/ip4/192.0.2.3/tcp/1"]
    assert len(await zone.resolve("/dnsaddr/example.org")) == 3
    del records[0], records[1]
    with pytest.raises(ResolveFailed, match=f"/dnsaddr/example.org: leads to no address of {A}"):
        await zone.resolve("/dnsaddr/example.org", A)


async def test_a_failure_besides_a_success_is_forgotten() -> None:
    zone = Zone({"good": ["192.0.2.1"]}, {"_dnsaddr.example.org": ["dnsaddr=/dns4/bad/tcp/1", "dnsaddr=/dns4/good/tcp/1"]})
    assert await zone.resolve("/dnsaddr/example.org") == ["/ip4/192.0.2.1/tcp/1"]


@pytest.mark.parametrize("levels", [3, 4, 5])
async def test_records_may_lead_to_others_four_deep(levels: int) -> None:
    texts = {f"_dnsaddr.n{level}": [f"dnsaddr=/dnsaddr/n{level + 1}"] for level in range(levels - 1)}
    texts[f"_dnsaddr.n{levels - 1}"] = ["dnsaddr=/dns4/end/tcp/1"]
    zone = Zone({"end": ["192.0.2.1"]}, texts)
    if levels <= 4:
        assert await zone.resolve("/dnsaddr/n0") == ["/ip4/192.0.2.1/tcp/1"]
    else:
        with pytest.raises(LimitExceeded, match=r"limits\.dns_depth"):
            await zone.resolve("/dnsaddr/n0")
    assert len(zone.asked) == min(levels, 4) + (levels <= 4)


async def test_a_name_that_leads_to_itself_ends() -> None:
    zone = Zone(texts={"_dnsaddr.loop": ["dnsaddr=/dnsaddr/loop"] * 50})
    with pytest.raises(LimitExceeded):
        await zone.resolve("/dnsaddr/loop")
    assert len(zone.asked) == 32


@pytest.mark.parametrize(("records", "kept"), [(31, 31), (32, 32), (33, 32)])
async def test_a_name_leads_to_32_addresses_at_most(records: int, kept: int) -> None:
    hosts = [f"192.0.2.{number}" for number in range(records)]
    zone = Zone({"example.org": hosts}, {"_dnsaddr.example.org": [f"dnsaddr=/ip4/{host}/tcp/1" for host in hosts]})
    assert await zone.resolve("/dnsaddr/example.org") == [f"/ip4/{host}/tcp/1" for host in hosts[:kept]]
    assert await zone.resolve("/dns/example.org/tcp/1") == [f"/ip4/{host}/tcp/1" for host in hosts[:kept]]


@pytest.mark.parametrize(("names", "asked", "kept"), [(3, 4, 3), (4, 4, 3), (6, 4, 3)])
async def test_no_more_look_ups_are_made_than_results_are_wanted(names: int, asked: int, kept: int) -> None:
    hosts = {f"n{number}": [f"192.0.2.{number}"] for number in range(names)}
    zone = Zone(hosts, {"_dnsaddr.example.org": [f"dnsaddr=/dns4/{name}/tcp/1" for name in hosts]})
    assert len(await zone.resolve("/dnsaddr/example.org", dns_results=4)) == kept
    assert len(zone.asked) == asked


async def test_enough_addresses_end_the_search() -> None:
    records = [*(f"dnsaddr=/ip4/192.0.2.{number}/tcp/1" for number in range(4)), "dnsaddr=/dns4/more/tcp/1"]
    zone = Zone({"more": ["192.0.2.9"]}, {"_dnsaddr.example.org": records})
    assert len(await zone.resolve("/dnsaddr/example.org", dns_results=5)) == 5
    assert len(await zone.resolve("/dnsaddr/example.org", dns_results=4)) == 4


async def test_all_addresses_of_a_dial_share_one_budget_of_look_ups() -> None:
    zone = Zone({f"{number}.example.org": ["192.0.2.1"] for number in range(9)})
    addresses = [Multiaddr.parse(f"/dns4/{number}.example.org/tcp/1") for number in range(9)]
    resolver = Resolver(Limits(dns_results=6), hosts=zone.hosts, texts=zone.texts)
    found = await resolver.resolve_all(addresses)
    assert list(found) == addresses
    assert zone.asked == [f"{number}.example.org" for number in range(6)]
    assert [type(one) for one in found.values()] == [list] * 6 + [LimitExceeded] * 3


async def test_each_address_is_answered_or_says_why_it_is_not() -> None:
    zone = Zone({"example.org": ["192.0.2.1", "192.0.2.2"]})
    texts = ["/ip4/192.0.2.9/tcp/1", "/dns4/example.org/tcp/1", "/dns4/nobody.org/tcp/1", f"/ip4/192.0.2.9/tcp/1/p2p/{B}"]
    addresses = [Multiaddr.parse(text) for text in (*texts, texts[0])]
    found = await Resolver(Limits(), hosts=zone.hosts, texts=zone.texts).resolve_all(addresses, A)
    assert [one if isinstance(one, CortexError) else [str(address) for address in one] for one in found.values()] == [
        ["/ip4/192.0.2.9/tcp/1"],
        ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1"],
        found[addresses[2]],
        found[addresses[3]],
    ]
    assert "nobody.org: the name does not exist" in str(found[addresses[2]])
    assert "leads to no address of" in str(found[addresses[3]])


async def test_a_name_that_takes_too_long_is_left_out_and_the_others_are_not() -> None:
    async def hosts(name: str, family: socket.AddressFamily) -> list[str]:
        if name == "slow.org":
            await asyncio.Event().wait()
        return ["192.0.2.1"]

    async def texts(name: str) -> list[str]:
        return ["dnsaddr=/dns4/slow.org/tcp/1", "dnsaddr=/dns4/fast.org/tcp/1"]

    addresses = [Multiaddr.parse("/dnsaddr/example.org"), Multiaddr.parse("/dns4/slow.org/tcp/2")]
    resolver = Resolver(Limits(dns_timeout=3), hosts=hosts, texts=texts)
    begin = asyncio.get_running_loop().time()
    found = await resolver.resolve_all(addresses)
    assert asyncio.get_running_loop().time() - begin == 3  # for all of it, however many names
    assert found[addresses[0]] == [Multiaddr.parse("/ip4/192.0.2.1/tcp/1")]
    assert str(found[addresses[1]]) == "slow.org: was not looked up within 3 s"


async def test_a_cancelled_search_cancels_its_look_ups() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(name: str, family: socket.AddressFamily) -> list[str]:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    task = asyncio.create_task(Resolver(Limits(), hosts=hang).resolve(Multiaddr.parse("/dns/example.org/tcp/1")))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


RECORDS = st.sampled_from(
    [
        "",
        "dnsaddr=",
        "dnsaddr=/",
        "dnsaddr=/ip4/192.0.2.1/tcp/1",
        "dnsaddr=/dnsaddr/a",
        "dnsaddr=/dnsaddr/b/tcp/1",
        "dnsaddr=/dns/c",
    ]
    + [f"dnsaddr=/ip4/192.0.2.2/tcp/1/p2p/{peer}" for peer in (A, B)]
)


@given(st.dictionaries(st.sampled_from(["_dnsaddr.a", "_dnsaddr.b"]), st.lists(RECORDS | st.text(max_size=20), max_size=40)))
def test_whatever_the_records_say_it_ends_within_the_limits_and_with_known_errors_only(texts: dict[str, list[str]]) -> None:
    zone = Zone({"c": ["192.0.2.3"]}, texts)
    try:
        found = asyncio.run(zone.resolve("/dnsaddr/a", A))
    except CortexError as error:
        if not isinstance(error, ResolveFailed | LimitExceeded):
            raise
    else:
        assert 0 < len(found) <= 32
        assert all("dns" not in text and not text.endswith(str(B)) for text in found)
    assert len(zone.asked) <= 32


def test_a_name_in_an_error_is_cut_and_escaped() -> None:
    assert str(ResolveFailed("a\x1b[31m", "no")) == r"'a\x1b[31m': no"
    assert len(str(ResolveFailed("x" * 1000, "no"))) < 270


# --- the system's resolver ---------------------------------------------------------------------------------------------------


async def test_the_system_answers_for_hosts() -> None:
    assert await look_up_hosts("127.0.0.1", socket.AF_UNSPEC) == ["127.0.0.1"]
    assert await look_up_hosts("::1", socket.AF_INET6) == ["::1"]


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".org"])
async def test_a_text_that_can_not_be_a_name_is_an_error_like_others(name: str) -> None:
    with pytest.raises(ResolveFailed, match="the look-up failed"):
        await look_up_hosts(name, socket.AF_UNSPEC)


async def test_a_name_with_a_zero_byte_is_not_looked_up_in_part() -> None:
    with pytest.raises(ResolveFailed, match="zero byte"):
        await look_up_hosts("127.0.0.1\0.example.org", socket.AF_UNSPEC)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), r"example\.org: the name does not exist"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), r"example\.org: Temporary failure"),
        (OSError(24, "Too many open files"), r"example\.org: the look-up failed: .*Too many open files"),
    ],
)
async def test_what_the_system_says_becomes_readable(error: OSError, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ResolveFailed, match=message):
        await look_up_hosts("example.org", socket.AF_UNSPEC)


async def test_names_that_hang_leave_threads_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    release, before = threading.Event(), set(threading.enumerate())

    def hang(*_: object) -> list[object]:
        release.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    looking = [asyncio.create_task(look_up_hosts(f"{number}.example.org", socket.AF_UNSPEC)) for number in range(50)]
    await asyncio.sleep(0)
    assert await asyncio.to_thread(lambda: "done") == "done"
    assert sum(thread.name.startswith("cortexnet names") for thread in {*threading.enumerate()} - before) == 8
    for task in looking:
        task.cancel()
    await asyncio.wait(looking)  # at once, whatever their threads do
    release.set()


class NameServer(asyncio.DatagramProtocol):
    """A DNS server on loopback that answers as `answer` says; None: it is silent."""

    def __init__(self) -> None:
        self.answer: Callable[[dns.message.QueryMessage], dns.message.Message | None] = lambda query: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        assert isinstance(query, dns.message.QueryMessage)
        response = self.answer(query)
        if response is not None:
            self.transport.sendto(response.to_wire(), addr)


@pytest.fixture
async def name_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    resolver.lifetime = resolver.timeout = 5.0
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", resolver)
    yield server
    transport.close()


def respond(query: dns.message.QueryMessage, *texts: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    if texts:
        response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TXT", *texts))
    return response


async def test_text_records_come_joined_and_without_those_that_are_no_text(name_server: NameServer) -> None:
    name_server.answer = lambda query: respond(query, '"dnsaddr=/ip4/192.0.2.1" "/tcp/1"', r'"\255"', '"x"')
    assert sorted(await look_up_texts("_dnsaddr.example.org")) == ["dnsaddr=/ip4/192.0.2.1/tcp/1", "x"]


async def test_an_address_is_found_through_a_real_name_server(name_server: NameServer) -> None:
    name_server.answer = lambda query: respond(query, '"dnsaddr=/ip4/192.0.2.1/tcp/1"')
    found = await Resolver(Limits()).resolve(Multiaddr.parse("/dnsaddr/example.org"))
    assert found == [Multiaddr.parse("/ip4/192.0.2.1/tcp/1")]


async def test_a_name_without_text_records_gives_none(name_server: NameServer) -> None:
    name_server.answer = respond
    assert await look_up_texts("example.org") == []


@pytest.mark.parametrize(
    ("rcode", "message"), [(dns.rcode.NXDOMAIN, "the name does not exist"), (dns.rcode.REFUSED, "the look-up failed: .*REFUSED")]
)
async def test_a_refusing_name_server_is_a_readable_error(name_server: NameServer, rcode: dns.rcode.Rcode, message: str) -> None:
    name_server.answer = lambda query: respond(query, rcode=rcode)
    with pytest.raises(ResolveFailed, match=rf"^example\.org: {message}"):
        await look_up_texts("example.org")


async def test_a_silent_name_server_is_a_readable_error(name_server: NameServer) -> None:
    resolver = dns.asyncresolver.default_resolver
    assert resolver is not None
    resolver.lifetime = resolver.timeout = 0.01
    with pytest.raises(ResolveFailed, match="no DNS server has answered in time"):
        await look_up_texts("example.org")


async def test_a_system_without_name_servers_is_a_readable_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "get_default_resolver", missing)
    with pytest.raises(ResolveFailed, match="names no DNS server"):
        await look_up_texts("example.org")
