"""Peers that are to stay connected: who is to be dialed now, and when next; a core.

A peer that was lost is dialed again after about a second, then after twice that with each failure, up to a longest wait. Each
wait is cut by up to half at random. A connection that ended soon counts as a failure too: its peer may not want us.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from cortexnet.errors import LimitExceeded
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from random import Random

Key = PeerId | Multiaddr
"""Whom to keep: a peer, or whoever answers at an address."""

_DOUBLINGS = 32


@final
@dataclass(slots=True)
class _Kept:
    peer: PeerId | None
    addresses: dict[Multiaddr, None] = field(default_factory=dict)
    failures: int = 0
    due: float | None = None  # when to dial; None while it is dialed or connected
    since: float | None = None  # when it was connected; None while it is not


@final
class WarmSet:
    """At most `limit` of them, with `address_limit` addresses each. `first` and `longest` are seconds."""

    def __init__(self, *, limit: int, address_limit: int, first: float, longest: float, random: "Random") -> None:
        self._limit = limit
        self._address_limit = address_limit
        self._first = first
        self._longest = longest
        self._random = random
        self._kept: dict[Key, _Kept] = {}
        self._keys: dict[PeerId, dict[Key, None]] = {}  # of a peer: its id, addresses where it answered

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kept)

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def is_kept(self, peer: PeerId) -> bool:
        """Whether it is, by its id or because it is the one who answers at a kept address."""
        return peer in self._keys

    def keys_of(self, peer: PeerId) -> list[Key]:
        """What it is kept by: its id, addresses where it answered last."""
        return list(self._keys.get(peer, ()))

    def addresses(self, key: Key) -> list[Multiaddr]:
        """Those that were given with it."""
        kept = self._kept.get(key)
        return [] if kept is None else list(kept.addresses)

    def keep(self, key: Key, addresses: Iterable[Multiaddr], now: float, *, is_connected: bool = False) -> None:
        """Keep it from now on; more addresses, if it is kept already. The newest ones go where there are too many.

        Raises LimitExceeded, setting `limits.kept_peers`.
        """
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= self._limit:
                raise LimitExceeded("kept peers", limit=self._limit, value=len(self._kept) + 1, setting="limits.kept_peers")
            kept = self._kept[key] = _Kept(key if isinstance(key, PeerId) else None)
            if isinstance(key, PeerId):
                self._keys.setdefault(key, {})[key] = None
            if is_connected:
                kept.since = now
            else:
                kept.due = now
        known = dict.fromkeys([*kept.addresses, *addresses])
        kept.addresses = dict.fromkeys(list(known)[: self._address_limit])

    def forget(self, key: Key) -> None:
        """Keep it no longer; nothing happens where it is not kept."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._is_not(kept, key)

    def begin(self, now: float) -> None:
        """The clock starts here: all who are not connected are due at once."""
        for kept in self._kept.values():
            if kept.since is None:
                kept.due = now

    def take_due(self, now: float, room: int, worth: Callable[[PeerId], float] | None = None) -> list[Key]:
        """Up to `room` of those to be dialed now, by their `worth` where not all of them have room; each waits for `succeeded` or
        `failed`."""
        due = [key for key, kept in self._kept.items() if kept.due is not None and kept.due <= now]
        if worth is not None and len(due) > room:
            peers = [self._kept[key].peer for key in due]
            worths = {key: 0.0 if peer is None else -worth(peer) for key, peer in zip(due, peers, strict=True)}
            due.sort(key=worths.__getitem__)
        del due[room:]
        for key in due:
            self._kept[key].due = None
        return due

    def next_timeout(self) -> float | None:
        """When `take_due` may have something."""
        return min((kept.due for kept in self._kept.values() if kept.due is not None), default=None)

    def succeeded(self, key: Key, peer: PeerId, now: float) -> None:
        """Its dial has led to `peer`."""
        kept = self._kept.get(key)
        if kept is None:
            return
        if kept.peer != peer:
            self._is_not(kept, key)
            kept.peer = peer
            self._keys.setdefault(peer, {})[key] = None
        self._up(kept, now)

    def failed(self, key: Key, now: float) -> float | None:
        """Its dial has failed; the seconds until the next, None where it is not kept any more, or is connected all the same."""
        kept = self._kept.get(key)
        if kept is None or kept.since is not None:
            return None
        kept.failures += 1
        return self._wait(kept, now)

    def connected(self, peer: PeerId, now: float) -> None:
        """The peer has a connection, whoever dialed."""
        for kept in self._of(peer):
            self._up(kept, now)

    def lost(self, peer: PeerId, now: float) -> None:
        """The peer has no connection any more."""
        for kept in self._of(peer):
            if kept.since is None:
                continue
            was_steady = now >= kept.since + self._longest
            kept.failures = 0 if was_steady else kept.failures + 1
            kept.since = None
            self._wait(kept, now)

    def hurry(self, now: float) -> None:
        """The network is another one: failures so far say nothing, and all that wait are due now."""
        for kept in self._kept.values():
            kept.failures = 0
            if kept.due is not None:
                kept.due = now

    def _of(self, peer: PeerId) -> Sequence[_Kept]:
        return [self._kept[key] for key in self.keys_of(peer)]

    def _up(self, kept: _Kept, now: float) -> None:
        kept.due = None
        if kept.since is None:
            kept.since = now

    def _wait(self, kept: _Kept, now: float) -> float:
        longest = min(self._longest, self._first * 2.0 ** min(kept.failures, _DOUBLINGS))
        wait = longest * self._random.uniform(0.5, 1.0)
        kept.due = now + wait
        return wait

    def _is_not(self, kept: _Kept, key: Key) -> None:
        """The key stands for its peer no longer."""
        if kept.peer is not None:
            keys = self._keys[kept.peer]
            del keys[key]
            if not keys:
                del self._keys[kept.peer]
