"""mDNS on networks in memory: nodes find each other, on the right interfaces, and no failure of the network ends anything."""

import asyncio
import errno
import logging
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from cortexnet.discovery.mdns_answer import query, service_name
from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.discovery.mdns_packet import decode
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.support.mdns_network import Lan, Machine, Node, at, interface

ANYWHERE = ["/ip4/0.0.0.0/tcp/4001"]


def goodbyes(lan: Lan) -> list[str]:
    """Where they came from."""
    packets = [(source, decode(data)) for source, data in lan.packets]
    return [source for source, packet in packets if packet.answers and packet.answers[0].ttl == 0]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_nodes_of_a_network_find_each_other_within_two_seconds() -> None:
    lan = Lan()
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(Node(at(lan, f"10.0.0.{number}"), number, [f"/ip4/0.0.0.0/tcp/{number}"]))
            for number in range(1, 6)
        ]
        await asyncio.sleep(2)
        for node in nodes:
            others = {(other.peer_id, f"/ip4/10.0.0.{number}/tcp/{number}") for number, other in enumerate(nodes, 1)}
            assert {(peer, address) for peer, [address] in node.seen} | {(node.peer_id, "")} >= others - {
                each for each in others if each[0] == node.peer_id
            }
            assert node.peer_id not in {peer for peer, _ in node.seen}


async def test_nodes_on_one_machine_find_each_other() -> None:
    lan = Lan()
    machine = at(lan)
    async with Node(machine, 1, ANYWHERE) as one, Node(machine, 2, ["/ip4/10.0.0.1/tcp/2"]) as two:
        await asyncio.sleep(2)
        assert one.saw(two) == [["/ip4/10.0.0.1/tcp/2"]]
        assert two.saw(one) == [["/ip4/10.0.0.1/tcp/4001"]]


async def test_who_comes_later_is_found_by_its_announcement_and_finds_all_by_its_question() -> None:
    lan = Lan()
    async with Node(at(lan, "10.0.0.1"), 1, ANYWHERE) as one:
        await asyncio.sleep(300)
        async with Node(at(lan, "10.0.0.2"), 2, ANYWHERE) as two:
            await asyncio.sleep(0.05)
            assert len(one.saw(two)) == 1
            await asyncio.sleep(1.2)  # the other one may have spoken a moment before
            assert len(two.saw(one)) == 1


async def test_peers_that_stay_are_told_again_and_again_before_their_addresses_are_forgotten() -> None:
    lan = Lan()
    async with Node(at(lan, "10.0.0.1"), 1, ANYWHERE) as one, Node(at(lan, "10.0.0.2"), 2, ANYWHERE) as two:
        told: list[float] = []
        for second in range(1200):
            before = len(one.saw(two))
            await asyncio.sleep(1)
            if len(one.saw(two)) > before:
                told.append(second)
        assert max(later - earlier for earlier, later in pairwise(told)) < 120
        packets = len(lan.packets)
        await asyncio.sleep(600)
        assert len(lan.packets) - packets <= 3 * 14, "two nodes at rest say little more than three things a minute"


async def test_nodes_of_another_service_are_not_seen() -> None:
    lan = Lan()
    cortex = MdnsConfig(service="loreum-cortex")
    async with (
        Node(at(lan, "10.0.0.1"), 1, ANYWHERE, cortex) as one,
        Node(at(lan, "10.0.0.2"), 2, ANYWHERE) as two,
        Node(at(lan, "10.0.0.3"), 3, ANYWHERE, cortex) as three,
    ):
        await asyncio.sleep(5)
        assert ([peer for peer, _ in one.seen], two.seen) == ([three.peer_id], [])


async def test_a_node_that_is_closed_says_goodbye_and_is_news_when_it_is_back() -> None:
    lan = Lan()
    async with Node(at(lan, "10.0.0.1"), 1, ANYWHERE) as one:
        for _ in range(2):
            async with Node(at(lan, "10.0.0.2"), 2, ANYWHERE) as two:
                await asyncio.sleep(2)
            await asyncio.sleep(1)
        assert goodbyes(lan) == ["10.0.0.2"] * 2
        assert len(one.saw(two)) == 2
    assert lan.sockets == []


async def test_on_each_interface_a_node_says_what_it_listens_on_there() -> None:
    left, right = Lan(), Lan()
    middle = Machine(eth0=(interface("eth0", "10.0.0.1/8"), left), wlan0=(interface("wlan0", "192.168.1.1/24"), right))
    async with (
        Node(middle, 1, ["/ip4/0.0.0.0/tcp/1", "/ip4/192.168.1.1/udp/2/quic-v1"]) as both,
        Node(at(left, "10.0.0.2"), 2, ANYWHERE) as one,
        Node(at(right, "192.168.1.3"), 3, ANYWHERE) as other,
    ):
        await asyncio.sleep(2)
        assert one.saw(both) == [["/ip4/10.0.0.1/tcp/1"]]
        assert other.saw(both) == [["/ip4/192.168.1.1/tcp/1", "/ip4/192.168.1.1/udp/2/quic-v1"]]
        assert {peer for peer, _ in both.seen} == {one.peer_id, other.peer_id}


async def test_who_listens_on_loopback_alone_says_nothing_outside_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    lan = Lan()
    machine = Machine(lo=(interface("lo", "127.0.0.1/8", is_multicast=False), Lan()), eth0=(interface("eth0", "10.0.0.1/8"), lan))
    async with Node(machine, 1, ["/ip4/127.0.0.1/tcp/1"]):
        await asyncio.sleep(60)
    assert lan.packets == []
    assert machine.opened == 0
    assert [text for text in warnings(caplog) if "listens on loopback alone" in text] == warnings(caplog)[:1]


async def test_a_machine_without_a_network_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with Node(Machine(), 1, ANYWHERE):
        await asyncio.sleep(60)
    assert len(warnings(caplog)) == 1
    assert "no network interface is up and made for multicast" in warnings(caplog)[0]


async def test_nodes_on_loopback_find_each_other_where_that_is_named() -> None:
    lan = Lan()
    machine = Machine(lo=(interface("lo", "127.0.0.1/8", is_multicast=False), lan))
    config = MdnsConfig(interfaces=["lo"])
    async with (
        Node(machine, 1, ["/ip4/127.0.0.1/tcp/1"], config) as one,
        Node(machine, 2, ["/ip4/127.0.0.1/tcp/2"], config) as two,
    ):
        await asyncio.sleep(2)
        assert one.saw(two) == [["/ip4/127.0.0.1/tcp/2"]]


async def test_who_listens_on_nothing_finds_others_and_is_not_found() -> None:
    lan = Lan()
    async with Node(at(lan, "10.0.0.1"), 1) as one, Node(at(lan, "10.0.0.2"), 2, ANYWHERE) as two:
        await asyncio.sleep(2)
        assert (len(one.seen), two.seen) == (1, [])


async def test_an_interface_that_comes_is_used_and_one_that_goes_is_left_alone() -> None:
    lan, away = Lan(), Lan()
    machine = Machine()
    async with Node(machine, 1, ANYWHERE) as one, Node(at(lan, "10.0.0.2"), 2, ANYWHERE) as two:
        await asyncio.sleep(30)
        machine.links["eth0"] = (interface("eth0", "10.0.0.1/8"), lan)
        await asyncio.sleep(12)
        assert two.saw(one) == [["/ip4/10.0.0.1/tcp/4001"]]
        machine.links["eth0"] = (interface("eth0", "10.9.9.9/8"), lan)  # another address of the same
        await asyncio.sleep(12)
        assert two.saw(one)[-1] == ["/ip4/10.9.9.9/tcp/4001"]
        machine.links["eth0"] = (interface("eth0", "172.16.0.1/16"), away)
        await asyncio.sleep(12)
        assert goodbyes(lan)[0] == "10.0.0.1"
        assert [source for source, _ in away.packets] != []
        quiet = len([source for source, _ in lan.packets if source != "10.0.0.2"])
        await asyncio.sleep(120)
        assert len([source for source, _ in lan.packets if source != "10.0.0.2"]) == quiet


async def test_a_listener_that_comes_later_is_announced() -> None:
    lan = Lan()
    async with Node(at(lan, "10.0.0.1"), 1) as one, Node(at(lan, "10.0.0.2"), 2) as two:
        await asyncio.sleep(5)
        one.swarm.listen_addresses.append(Multiaddr.parse(ANYWHERE[0]))
        await asyncio.sleep(12)
        assert two.saw(one) == [["/ip4/10.0.0.1/tcp/4001"]]


async def test_a_network_without_multicast_is_one_warning_until_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    lan = Lan()
    machine = at(lan)
    machine.broken["eth0"] = OSError(errno.EADDRINUSE, "Address already in use")
    async with Node(machine, 1, ANYWHERE):
        await asyncio.sleep(60)
        assert len(warnings(caplog)) == 1
        assert "eth0: [Errno 98] Address already in use" in warnings(caplog)[0]
        assert machine.opened > 5
        machine.broken.clear()
        await asyncio.sleep(12)
        assert lan.packets != []
        machine.links.clear()
        machine.failure = OSError("no netlink here")
        await asyncio.sleep(60)
    assert [text.partition(";")[0] for text in warnings(caplog)[1:]] == [
        "mDNS finds nobody: the interfaces can't be read: no netlink here"
    ]


async def test_one_interface_that_fails_beside_one_that_works_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    lan = Lan()
    machine = Machine(eth0=(interface("eth0", "10.0.0.1/8"), lan), tap0=(interface("tap0", "10.1.0.1/16"), lan))
    machine.broken["tap0"] = OSError(errno.ENODEV, "No such device")
    async with Node(machine, 1, ANYWHERE):
        await asyncio.sleep(60)
    assert warnings(caplog) == []
    assert {source for source, _ in lan.packets} == {"10.0.0.1"}


async def test_an_interface_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async with Node(at(Lan()), 1, ANYWHERE, MdnsConfig(interfaces=["eth7"])):
        await asyncio.sleep(60)
    assert len(warnings(caplog)) == 1
    assert "there is no interface eth7" in warnings(caplog)[0]


async def test_noise_and_floods_cost_nothing_but_themselves(caplog: pytest.LogCaptureFixture) -> None:
    lan = Lan()
    async with Node(at(lan, "10.0.0.1"), 1, ANYWHERE) as one, Node(at(lan, "10.0.0.2"), 2, ANYWHERE) as two:
        await asyncio.sleep(5)
        said = len(lan.packets)
        noise = [b"", b"\xff" * 9001, b"\x04_p2p", query(service_name("_p2p._udp"))]
        for number in range(1000):
            lan.send("10.0.0.66", noise[number % len(noise)])
            await asyncio.sleep(0.01)
        answered = [source for source, _ in lan.packets[said:] if source == "10.0.0.1"]
        assert 8 <= len(answered) <= 13, "one answer a second, whoever asks"
        assert len(two.saw(one)) == 1
        assert {peer for peer, _ in one.seen} == {two.peer_id}
    assert warnings(caplog) == []


async def test_a_neighbour_cannot_send_us_anywhere() -> None:
    """One that names a third party, loopback, and another's port on this machine."""
    lan = Lan()
    liar = Machine(eth0=(interface("eth0", "10.0.0.66/8", "8.8.8.8/32", "127.0.0.1/8"), lan))
    async with Node(at(lan, "10.0.0.1"), 1, ANYWHERE) as one, Node(liar, 2, ANYWHERE) as two:
        await asyncio.sleep(5)
        assert one.saw(two) == [["/ip4/10.0.0.66/tcp/4001"]]


async def test_cancelled_at_any_point_nothing_is_left() -> None:
    lan = Lan()
    for steps in range(6):
        node = Node(at(lan), 1, ANYWHERE)
        task = asyncio.ensure_future(node.mdns.start())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await node.mdns.close()
        assert lan.sockets == []
        assert len(node.scope) == 0
