"""mDNS over real sockets, in a network namespace of its own: nobody outside hears of it."""

import json

import pytest

from tests.support.namespaces import run_inside


def nodes(*arguments: str, setup: str = "") -> list[dict[str, int]]:
    found: list[dict[str, int]] = json.loads(run_inside("tests.support.mdns_nodes", *arguments, setup=setup))
    return found


@pytest.mark.parametrize("service", ["_p2p._udp", "loreum-cortex"])
def test_three_nodes_of_one_machine_find_each_other_by_mdns_alone(service: str) -> None:
    assert nodes(service, "any", "3", LOOPBACK) == [{"found": 2, "pinged": 2}] * 3


def test_they_do_on_an_interface_that_is_named_though_it_is_not_made_for_multicast() -> None:
    assert nodes("_p2p._udp", "lo", "2", LOOPBACK, setup="ip link set lo multicast off") == [{"found": 1, "pinged": 1}] * 2


def test_they_do_where_there_is_nothing_but_ipv6() -> None:
    assert nodes("_p2p._udp", "any", "2", "/ip6/fd00::5/tcp/0", setup=WIRE) == [{"found": 1, "pinged": 1}] * 2


def test_sockets_on_interfaces_of_all_kinds() -> None:
    """See `tests/support/mdns_interfaces.py`."""
    assert run_inside("tests.support.mdns_interfaces", setup=VETH) == "fine"


LOOPBACK = "/ip4/127.0.0.1/tcp/0"
WIRE = (
    "ip link add wire type veth peer name end && ip addr add fd00::5/64 dev wire nodad"
    " && (echo 0 > /proc/sys/net/ipv6/conf/wire/accept_dad || true)"  # else its link-local address takes two seconds
    " && ip link set end up && ip link set wire up"
)
VETH = (
    "ip link add left type veth peer name right && ip link set left up && ip link set right up"
    " && ip addr add 10.1.0.1/24 dev left && ip addr add 10.2.0.1/24 dev right"
    " && ip link add asleep type veth peer name other && ip addr add 10.3.0.1/24 dev asleep"
)
"""Two interfaces that are one wire, and one that is down."""
