from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.subnet import Subnets, subnets_of
from cortexnet.errors import LocalError


def test_an_ipv4_address_counts_alone_and_with_its_24() -> None:
    assert subnets_of("192.0.2.7") == Subnets("192.0.2.7", "192.0.2.0/24", is_ipv6=False, is_loopback=False)


def test_an_ipv6_address_counts_with_its_56_and_its_48() -> None:
    assert subnets_of("2001:db8:1:2ff::9") == Subnets("2001:db8:1:200::/56", "2001:db8:1::/48", is_ipv6=True, is_loopback=False)


def test_an_ipv4_mapped_address_counts_as_ipv4() -> None:
    assert subnets_of("::ffff:192.0.2.7") == subnets_of("192.0.2.7")


def test_a_zone_is_left_out() -> None:
    assert subnets_of("fe80::1%eth0") == subnets_of("fe80::1")


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_seen_in_every_form(ip: str) -> None:
    assert subnets_of(ip).is_loopback


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4:80", "::1::", "١.2.3.4"])
def test_what_is_no_address_is_the_callers_fault(text: str) -> None:
    with pytest.raises(LocalError, match="not an IP address"):
        subnets_of(text)


@given(st.ip_addresses())
def test_every_address_lies_in_the_networks_it_counts_with(address: IPv4Address | IPv6Address) -> None:
    subnets = subnets_of(str(address))
    counted = address
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        counted = address.ipv4_mapped
    assert counted in ip_network(subnets.host)
    assert counted in ip_network(subnets.network)
    assert ip_network(subnets.host).subnet_of(ip_network(subnets.network))
