"""Shapes of addresses, written as the addresses are: `/HOST/tcp/tls/sni?/ws/p2p?`.

Each segment is a protocol name, or several with `|` between; `?` behind it means at most once, `*` any number of times.
Three words stand for many: IP is /ip4 or /ip6 with or without a zone, DNS is /dns, /dns4 or /dns6, HOST is either.
Values are not looked at. Patterns come from our own code: there may be hundreds, never one that a peer wrote.

Spec: multiaddr transports of libp2p/specs "addressing".
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from cortexnet.errors import LocalError
from cortexnet.multiformats.multiaddr_protocols import BY_NAME, PROTOCOLS, AddressProtocol

# One character for each protocol, so that a list of protocols is a string and a pattern a regular expression over it.
_LETTERS = {protocol: chr(0xE000 + index) for index, protocol in enumerate(PROTOCOLS)}


def matches(pattern: str, protocols: Iterable[AddressProtocol]) -> bool:
    """Whether the protocols, all of them in their order, are of the pattern. Raises LocalError if the pattern makes no sense."""
    return _compile(pattern).fullmatch("".join([_LETTERS[protocol] for protocol in protocols])) is not None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    segments = [_segment(segment) for segment in pattern.strip("/").split("/")]
    return re.compile("".join(segments))


def _segment(segment: str) -> str:
    repeat = segment[-1:] if segment.endswith(("?", "*")) else ""
    names = segment.removesuffix(repeat).split("|")
    return f"(?:{'|'.join([_WORDS.get(name) or _letter(name) for name in names])}){repeat}"


def _letter(name: str) -> str:
    if name not in BY_NAME:
        raise LocalError(f"there is no multiaddr protocol {name!r}")
    return _LETTERS[BY_NAME[name]]


_IP = f"{_letter('ip4')}|{_letter('ip6zone')}?{_letter('ip6')}"
_DNS = f"{_letter('dns')}|{_letter('dns4')}|{_letter('dns6')}"
_WORDS = {"IP": _IP, "DNS": _DNS, "HOST": f"{_IP}|{_DNS}"}
