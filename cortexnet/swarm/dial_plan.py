"""Dialing one peer: which addresses are worth an attempt, and when each of them starts.

`choose` drops what can't lead there, `dial_ranking` gives the rest their times, `DialPlan` runs them: after every call of it the
dialer starts what `next` gives until it gives None, then sleeps until `next_timeout` or until an attempt ends.
"""

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from cortexnet.errors import DialFailed, LimitExceeded, LocalError, in_one_line
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multiformats.multiaddr_websocket import canonical
from cortexnet.swarm.dial_backoff import DialBackoff
from cortexnet.swarm.dial_ranking import PUBLIC_STEP, ScheduledDial, rank, without_worse

Attempt = tuple[str, BaseException]
"""An address as text, and why it was not dialed or how its attempt ended."""


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """The addresses worth dialing, without their peer ids and in the order given; and the others, each with the reason."""

    addresses: list[Multiaddr]
    refused: list[Attempt]


def choose(
    addresses: Iterable[Multiaddr],
    *,
    expected: PeerId | None,
    can_dial: Callable[[Multiaddr], bool],
    own_addresses: Container[Multiaddr] = (),
    resting: Callable[[Multiaddr], str] | None = None,
    lost: Callable[[Sequence[Multiaddr]], Mapping[Multiaddr, str]] | None = None,
    direct: bool = False,
) -> Choice:
    """Sort out resolved addresses.

    An address that names a peer is for dialing that peer only. `own_addresses` are what we listen on, without peer id;
    `resting` says why an address is to be left alone yet, or "", `lost` which of all that are left this network swallows,
    and why that seems so. `direct` leaves relays out. Duplicates, and worse ways to the same port, are dropped without a word.
    """
    chosen: dict[Multiaddr, None] = {}
    refused: dict[str, BaseException] = {}
    for whole in addresses:
        address, named = canonical(whole).split_peer()
        if address is None:
            objection = "says who, but not where"
        elif named is not None and (expected is None or named != bytes(expected)):
            objection = f"is an address of {PeerId(named)}, who was not asked for"
        elif address in own_addresses:
            objection = "is an address of our own: a node does not dial itself"
        elif direct and address.is_relayed:
            objection = "leads through a relay, and a direct connection was asked for"
        elif not can_dial(address):
            objection = "is not for any transport that is enabled: see Config.transports, or use another address"
        else:
            objection = _objection_to_ip(address) or (resting(address) if resting is not None else "")
        if address is None or objection:
            refused[shown(whole)] = LocalError(objection)
        else:
            chosen[address] = None
    kept = without_worse(list(chosen))
    reasons = lost(kept) if lost is not None else {}
    refused.update((shown(address), LocalError(reason)) for address, reason in reasons.items())
    return Choice([address for address in kept if address not in reasons], list(refused.items()))


def _objection_to_ip(address: Multiaddr) -> str:
    if address.is_unspecified:
        return "begins with the unspecified IP, which leads nowhere"
    first = address.components[0]
    if first.protocol == "ip6" and first.raw[0] == 0xFE and first.raw[1] & 0xC0 == 0x80:
        return "is link-local, but says no zone (/ip6zone/…)"
    return ""


def shown(address: Multiaddr) -> str:
    """The address for an error message. Values such as zones and names are a peer's text."""
    text = str(address)[:256]
    return text if text.isprintable() else ascii(text)


@final
class DialPlan:
    """The attempts of one dial; a core.

    `schedule` is in the order of its delays. Equal delays start together; else the time between two delays lies between the two
    starts, but nobody waits while nothing is in flight: the next one starts at once, and those behind it as much earlier.
    (go-libp2p keeps them at their time from the start; after a quick failure that is time lost.)

    At most `address_limit` addresses are tried, `at_once` of them at a time. `peer` is None where it is not known; then there is
    no back-off. `tcp_first` is how addresses are ranked that become known later.
    """

    def __init__(
        self,
        schedule: Sequence[ScheduledDial],
        now: float,
        *,
        peer: PeerId | None = None,
        backoff: DialBackoff | None = None,
        refused: Iterable[Attempt] = (),
        at_once: int = 8,
        address_limit: int = 16,
        tcp_first: bool = False,
    ) -> None:
        self._queue: deque[ScheduledDial] = deque()
        self._known: set[Multiaddr] = set()
        self._address_limit = address_limit
        self._in_flight: dict[Multiaddr, float] = {}  # and until when the next one waits for it
        self._last_start, self._last_delay = now, 0.0
        self._at_once = at_once
        self._tcp_first = tcp_first
        self._peer, self._backoff = peer, backoff
        self._has_succeeded = False
        self.attempts: list[Attempt] = list(refused)
        """What was refused, then what failed."""
        self._enqueue(schedule)

    def add(self, addresses: Iterable[Multiaddr], refused: Iterable[Attempt] = ()) -> None:
        """More addresses have become known: those that are new come behind the others, ranked among themselves."""
        self.attempts += refused
        start = PUBLIC_STEP + (self._queue[-1].delay if self._queue else self._last_delay)
        new = rank([address for address in addresses if address not in self._known], tcp_first=self._tcp_first)
        self._enqueue([ScheduledDial(dial.address, start + dial.delay) for dial in new])

    def _enqueue(self, schedule: Sequence[ScheduledDial]) -> None:
        room = max(0, self._address_limit - len(self._known))
        self._known.update([dial.address for dial in schedule])
        self._queue.extend(schedule[:room])
        if len(schedule) > room:
            limit, value = self._address_limit, len(self._known)
            error = LimitExceeded("addresses of one dial", limit=limit, value=value, setting="limits.dial_addresses_per_peer")
            self.attempts.append((f"{len(schedule) - room} more addresses", error))

    @property
    def is_over(self) -> bool:
        """Whether one attempt succeeded, or all failed."""
        return self._has_succeeded or not (self._queue or self._in_flight)

    def next(self, now: float) -> Multiaddr | None:
        """The address whose attempt must start now; None where none must. To be called until then."""
        due = self.next_timeout()
        if due is None or (self._in_flight and now < due):
            return None
        dial = self._queue.popleft()
        self._in_flight[dial.address] = now
        self._last_start, self._last_delay = now, dial.delay
        return dial.address

    def next_timeout(self) -> float | None:
        """When `next` must be called, if nothing happens before."""
        if self._has_succeeded or not self._queue or len(self._in_flight) >= self._at_once:
            return None
        if not self._in_flight:
            return self._last_start
        return max(self._last_start + self._queue[0].delay - self._last_delay, *self._in_flight.values())

    def on_reached(self, address: Multiaddr, now: float) -> None:
        """Somebody has answered an attempt, and now the handshakes run: on the internet the next attempt waits a step for them.

        They take two round trips and more where finding out took one. go-libp2p does so with TCP too.
        """
        if address in self._in_flight and address.is_public:
            self._in_flight[address] = now + PUBLIC_STEP

    def on_failure(self, address: Multiaddr, error: BaseException, now: float) -> None:
        """An attempt that `next` gave has failed. Its address is left alone for a while, unless the fault was ours."""
        self._end(address)
        if self._has_succeeded:
            return  # it lost the race, and says nothing about the address
        self.attempts.append((shown(address), error))
        if self._peer is not None and self._backoff is not None and not isinstance(error, (LocalError, LimitExceeded)):
            self._backoff.on_failure(self._peer, address, now, in_one_line(error))

    def on_success(self, address: Multiaddr) -> list[Multiaddr]:
        """An attempt led to a connection: the plan is over. Returns those still in flight, which are to be cancelled."""
        self._end(address)
        self._has_succeeded = True
        if self._peer is not None and self._backoff is not None:
            self._backoff.on_success(self._peer)
        return list(self._in_flight)

    def failure(self) -> DialFailed:
        """The error of a plan whose attempts have all failed."""
        who = "a connection" if self._peer is None else f"a connection to {self._peer}"
        if not self.attempts:
            return DialFailed(f"{who} could not be made, for no address is known: dial one, or find the peer first")
        return DialFailed(f"{who} could not be made:", self.attempts)

    def _end(self, address: Multiaddr) -> None:
        if address not in self._in_flight:
            raise LocalError(f"there is no attempt at {address}")
        del self._in_flight[address]
