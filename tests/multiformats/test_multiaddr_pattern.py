import pytest

from cortexnet.errors import LocalError
from cortexnet.multiformats.multiaddr import Multiaddr

HASH = "certhash/uEiCfhtCBiEx9ZZov6qDFWtAVo79PGysLgizRXWwVsPAKCA"
WSS = "/HOST/tcp/tls/sni?/ws/p2p?"
WEBTRANSPORT = "/IP/udp/quic-v1/webtransport/certhash*"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("/ip4/tcp", "/ip4/192.0.2.1/tcp/1", True),
        ("ip4/tcp", "/ip4/192.0.2.1/tcp/1", True),
        ("/ip4/tcp", "/ip6/::1/tcp/1", False),
        ("/ip4/tcp", "/ip4/192.0.2.1", False),
        ("/ip4/tcp", "/ip4/192.0.2.1/tcp/1/ws", False),
        ("/IP/tcp", "/ip6/::1/tcp/1", True),
        ("/IP/tcp", "/ip6zone/eth0/ip6/::1/tcp/1", True),
        ("/IP/tcp", "/ip6zone/eth0/ip4/192.0.2.1/tcp/1", False),
        ("/IP/tcp", "/dns/example.com/tcp/1", False),
        ("/DNS/tcp", "/dns6/example.com/tcp/1", True),
        ("/DNS/tcp", "/dnsaddr/example.com/tcp/1", False),
        ("/HOST/tcp|udp", "/dns4/example.com/udp/1", True),
        ("/IP|dns4/tcp", "/dns4/example.com/tcp/1", True),
        ("/IP|dns4/tcp", "/dns6/example.com/tcp/1", False),
        (WSS, "/dns/example.com/tcp/443/tls/ws", True),
        (WSS, "/dns/example.com/tcp/443/tls/sni/example.com/ws", True),
        (WSS, "/dns/example.com/tcp/443/tls/sni/a/sni/b/ws", False),
        (WSS, "/dns/example.com/tcp/443/ws", False),
        (WSS, "/ip4/192.0.2.1/tcp/443/tls/ws/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC", True),
        (WEBTRANSPORT, "/ip4/192.0.2.1/udp/1/quic-v1/webtransport", True),
        (WEBTRANSPORT, f"/ip4/192.0.2.1/udp/1/quic-v1/webtransport/{HASH}/{HASH}", True),
        ("/ipfs", "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC", True),
    ],
)
def test_a_pattern_is_an_address_with_choices(pattern: str, text: str, expected: bool) -> None:
    assert Multiaddr.parse(text).matches(pattern) is expected


@pytest.mark.parametrize("pattern", ["", "/", "/ip5", "/ip4//tcp", "/?", "/ip4||tcp", "/host", "/tcp?*", "/(ip4)"])
def test_a_pattern_that_names_no_protocol_is_the_callers_fault(pattern: str) -> None:
    with pytest.raises(LocalError, match="no multiaddr protocol"):
        Multiaddr.parse("/tcp/1").matches(pattern)
