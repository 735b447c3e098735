"""When each address of a dial is due: the ranking of go-libp2p.

Most peers name many addresses that lead to one machine. Dialed all at once they cost that machine a handshake each, one after
the other they make everybody wait for the dead ones. So what is best comes first, and each gets about a round trip alone: QUIC
before TCP, IPv6 before IPv4 (RFC 8305), low ports before high ones, which more often are those somebody listens on. Relays wait
where there is a public address, and what leads into private networks is tried beside the public ones.

Where TCP is preferred, it is TCP before QUIC: in Python QUIC has a hundredth of its throughput.

Spec: `swarm.DefaultDialRanker` of go-libp2p.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

from cortexnet.multiformats.multiaddr import Multiaddr

PUBLIC_STEP = 0.25
"""Seconds between attempts over the internet: most answer within that (RFC 8305 and go-libp2p agree)."""
PRIVATE_STEP = 0.03
"""Seconds an attempt in a private network gets before the next one starts; go-libp2p's value."""
RELAY_DELAY = 0.5
"""Seconds that relays wait for public addresses; go-libp2p's value."""
PUBLIC_OTHER_DELAY = 1.0
"""Seconds that all but QUIC and TCP wait for them; go-libp2p's value."""
PRIVATE_OTHER_DELAY = 0.1
"""The same in a private network; go-libp2p's value."""

_QUIC, _WEBTRANSPORT, _TCP, _WEBRTC, _OTHER = range(5)


@final
@dataclass(frozen=True, slots=True)
class ScheduledDial:
    """An address, and the seconds after the start of the plan at which its attempt is due."""

    address: Multiaddr
    delay: float


@final
class _Traits:
    """What matters of an address here, looked up once."""

    __slots__ = ("address", "better_kind", "is_ip4", "is_ip6", "is_relayed", "is_worse", "key", "kind", "place")

    def __init__(self, address: Multiaddr) -> None:
        values = {component.protocol: component.raw for component in reversed(address.components)}
        self.address = address
        self.is_ip4, self.is_ip6 = "ip4" in values, "ip6" in values
        self.kind = _kind(values)
        port = values.get("tcp" if self.kind == _TCP else "udp", b"") if self.kind <= _TCP else b""
        self.key = (self.kind, self.is_ip4 and self.kind <= _TCP, "quic" in values, port)
        """The lower comes first."""
        self.is_relayed = "p2p-circuit" in values
        self.place = (values.get("ip4") or values.get("ip6"), port, self.is_relayed)
        """Where it leads, with whatever protocol."""
        self.is_worse = self.kind == _WEBTRANSPORT or "quic" in values or "ws" in values or "wss" in values
        """Whether it is of use only where nothing of this better kind leads to the same place."""
        self.better_kind = _TCP if self.kind == _TCP else _QUIC


_traits_of = lru_cache(maxsize=256)(_Traits)  # each address of a dial is looked at twice, and takes 4 µs


def _kind(protocols: Iterable[str]) -> int:
    if "webtransport" in protocols:
        return _WEBTRANSPORT
    if "quic-v1" in protocols or "quic" in protocols:
        return _QUIC
    if "tcp" in protocols:
        return _TCP
    return _WEBRTC if "webrtc-direct" in protocols else _OTHER


def rank(addresses: Sequence[Multiaddr], *, tcp_first: bool = False) -> list[ScheduledDial]:
    """All the addresses in the order of their delays; of equal delay, private ones first, then public ones, then relays.

    `tcp_first` lets QUIC wait for TCP instead of the other way round.
    """
    private: list[_Traits] = []
    public: list[_Traits] = []
    relayed: list[_Traits] = []
    others: list[_Traits] = []
    for address in addresses:
        traits = _traits_of(address)
        if traits.is_relayed:
            relayed.append(traits)
        elif address.is_private:
            private.append(traits)
        else:
            (public if traits.is_ip4 or traits.is_ip6 else others).append(traits)
    schedule = [
        *_rank_group(private, PRIVATE_STEP, PRIVATE_OTHER_DELAY, tcp_first=tcp_first),
        *_rank_group(public, PUBLIC_STEP, PUBLIC_OTHER_DELAY, tcp_first=tcp_first),
        *_rank_group(relayed, PUBLIC_STEP, PUBLIC_OTHER_DELAY, RELAY_DELAY if public else 0.0, tcp_first=tcp_first),
    ]
    delay = PUBLIC_OTHER_DELAY + (schedule[-1].delay if schedule else 0.0)
    schedule += [ScheduledDial(traits.address, delay) for traits in others]
    return sorted(schedule, key=lambda dial: dial.delay)


def _rank_group(
    group: list[_Traits], step: float, other_delay: float, offset: float = 0.0, *, tcp_first: bool
) -> list[ScheduledDial]:
    """QUIC, from a step after its last one on TCP, or the other way round; long after both everything else."""
    group.sort(key=lambda traits: traits.key)
    first = [traits for traits in group if traits.kind <= _WEBTRANSPORT]
    second = [traits for traits in group if traits.kind == _TCP]
    if tcp_first:
        first, second = second, first
    begin = _stagger(first, step, offset)
    both = begin + _stagger(second, step, begin[-1].delay + step if begin else offset)
    last = both[-1].delay if both else offset
    return both + [ScheduledDial(traits.address, last + other_delay) for traits in group if traits.kind > _TCP]


def _stagger(ranked: list[_Traits], step: float, start: float) -> list[ScheduledDial]:
    """The first IPv6 address, a step later the first IPv4 one, a step later all others; without one of them, a step less."""
    rest = start + step
    if ranked and ranked[0].is_ip6:
        first_ip4 = next((traits for traits in ranked if traits.is_ip4), None)
        if first_ip4 is not None:
            ranked.remove(first_ip4)
            ranked.insert(1, first_ip4)
            rest += step
    delays = (start, start + step)
    return [ScheduledDial(traits.address, delays[i] if i < 2 else rest) for i, traits in enumerate(ranked)]


def without_worse(addresses: Sequence[Multiaddr]) -> list[Multiaddr]:
    """The addresses, less those of a host and port that a better one leads to: WebTransport beside QUIC, WebSocket beside TCP."""
    if len(addresses) < 2:
        return list(addresses)
    known = [_traits_of(address) for address in addresses]
    better = {(traits.kind, traits.place) for traits in known if not traits.is_worse}
    return [traits.address for traits in known if not traits.is_worse or (traits.better_kind, traits.place) not in better]
