"""Which addresses failed lately, and for how long each is left alone.

After its first failure an address rests 5 s, after the n-th repeat 5 s + n² s, at most 5 minutes; any connection to the peer
clears them all. The numbers are go-libp2p's.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import final

from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

BASE = 5.0
STEP = 1.0
LONGEST = 300.0
REASON_LENGTH = 160
"""So many characters of a reason are kept."""


@final
@dataclass(slots=True)
class _Rest:
    failures: int
    until: float
    forget_at: float
    reason: str


@final
class DialBackoff:
    """The failures of up to `peer_limit` peers, `address_limit` addresses each. Above that the oldest are forgotten."""

    def __init__(self, *, peer_limit: int = 1024, address_limit: int = 32) -> None:
        self._peer_limit = peer_limit
        self._address_limit = address_limit
        self._peers: OrderedDict[PeerId, dict[Multiaddr, _Rest]] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return sum(len(rests) for rests in self._peers.values())

    def remaining(self, peer: PeerId, address: Multiaddr, now: float) -> float:
        """Seconds until the address may be tried again; 0.0 where it may be now."""
        rest = self._peers.get(peer, {}).get(address)
        return 0.0 if rest is None else max(0.0, rest.until - now)

    def objection(self, peer: PeerId, address: Multiaddr, now: float) -> str:
        """Why the address is not to be tried now, with what it failed of, in words; "" where it may be."""
        seconds = self.remaining(peer, address, now)
        if not seconds:
            return ""
        reason = self._peers[peer][address].reason
        return f"has failed lately{f' ({reason})' if reason else ''}, and is left alone for {ceil(seconds)} s"

    def on_failure(self, peer: PeerId, address: Multiaddr, now: float, reason: str = "") -> None:
        """An attempt failed, for a reason that lies with the address or who answers there."""
        rests = self._peers.setdefault(peer, {})
        self._peers.move_to_end(peer)
        last = rests.pop(address, None)
        repeats = 0 if last is None or now > last.forget_at else last.failures
        seconds = min(BASE + STEP * repeats * repeats, LONGEST)
        # Remembered for as long again: who fails a little later than that starts anew.
        rests[address] = _Rest(repeats + 1, now + seconds, now + 2 * seconds, reason[:REASON_LENGTH])
        if len(rests) > self._address_limit:
            del rests[next(iter(rests))]
        self._forget_oldest(now)

    def on_success(self, peer: PeerId) -> None:
        """A connection to the peer exists, whoever made it."""
        self._peers.pop(peer, None)

    def clear(self) -> None:
        """The network is another one: what failed may work now."""
        self._peers.clear()

    def _forget_oldest(self, now: float) -> None:
        # Two a call: the cost of one stays constant, and the table shrinks faster than it grows.
        for _ in range(2):
            oldest = next(iter(self._peers))
            is_stale = all(now > rest.forget_at for rest in self._peers[oldest].values())
            if not is_stale and len(self._peers) <= self._peer_limit:
                return
            del self._peers[oldest]
