"""The multiaddrs of QUIC version 1. Spec: libp2p specs, quic/."""

from cortexnet.multiformats.multiaddr import Multiaddr

_SHAPES = (["ip4", "udp", "quic-v1"], ["ip6", "udp", "quic-v1"], ["ip6zone", "ip6", "udp", "quic-v1"])


def is_quic(address: Multiaddr) -> bool:
    """Whether it says where QUIC is spoken, and no more; a link-local IP needs its zone in front."""
    return [component.protocol for component in address.components] in _SHAPES
