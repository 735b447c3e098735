"""Asking and answering on one network interface: when what is said, and who was heard; a core.

Of a node with an address to tell there are an announcement, a second one after a second, and answers: one a second at most,
however many ask. Questions go out at once, after 4 s, and then 1.5 to 2.5 times as late each time, as those of go-libp2p; in the
long run the question of any node stands for those of all others, since all hear all the answers.

Names are not probed for: of 32 random letters no two are alike.

Spec: libp2p `discovery/mdns`; RFC 6762 sections 5.2, 6, 7.3, 8.3, 10.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, final

from cortexnet.admission.rate_limit import KeyedRateLimit, TokenBucket
from cortexnet.discovery.mdns_addresses import host_ips
from cortexnet.discovery.mdns_answer import (
    SERVICES,
    Answer,
    Sighting,
    asks_for,
    asks_for_all,
    query,
    service_listing,
    service_name,
    sightings,
)
from cortexnet.discovery.mdns_packet import SIZE_LIMIT, Name, Packet, decode
from cortexnet.errors import ProtocolViolation
from cortexnet.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from random import Random

    from cortexnet.discovery.mdns_config import MdnsConfig

FIRST_INTERVAL = 4.0
"""Seconds from the first question to the second; go-libp2p's value."""
ANSWER_INTERVAL = 1.0
"""Seconds between two answers at least (RFC 6762 section 6)."""
ANNOUNCEMENTS = 2
"""How often a node says where it is without being asked (RFC 6762 section 8.3)."""
SILENCE = 5
"""Intervals after which we ask in any case: who asks instead of us may be heard by us alone."""
SOURCES_LIMIT = 256
"""Addresses whose packets are counted apart. A LAN rarely has more, and of others the longest silent are forgotten."""

_DELAY = (0.02, 0.12)  # seconds before an answer, and the first question: so many that were asked at once don't speak at once
_LABEL_SIZES = (32, 63)
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"


@final
@dataclass(frozen=True, slots=True)
class Unreadable:
    """A packet with the name of the service in it was none, or against the rules."""

    error: ProtocolViolation


@final
class MdnsLink:
    """Call `next_timeout` and `data_to_send` after everything else; what is to be sent goes to all nodes on the interface."""

    def __init__(self, config: "MdnsConfig", random: "Random", now: float) -> None:
        self._config = config
        self._random = random
        self._service = service_name(config.service)
        self._marks = [_mark(self._service), _mark(SERVICES)]
        self._budget = TokenBucket(config.packet_rate, 2 * config.packet_rate, now)
        self._budgets: KeyedRateLimit[str] = KeyedRateLimit(
            config.source_packet_rate, 2 * config.source_packet_rate, size_limit=SOURCES_LIMIT
        )
        self._outbox: list[bytes] = []
        self._addresses: tuple[Multiaddr, ...] = ()
        self._answer: Answer | None = None
        self._unasked = 0
        self._answer_due = self._listing_due = inf
        self._answered_at = self._listed_at = -inf
        self._interval = FIRST_INTERVAL
        self._is_patient = False  # whether the questions have come to follow each other as slowly as they ever do
        self._asked_at = now
        self._question_due = now + random.uniform(*_DELAY)

    def tell(self, addresses: Sequence[Multiaddr], now: float) -> None:
        """From now on answer with these addresses, which end in the peer id; without any, not at all.

        Where there were others, they are taken back: nodes take no new ones under the same name before the old are too old.
        """
        if tuple(addresses) == self._addresses:
            return
        self.fall_silent()
        self._addresses = tuple(addresses)
        if addresses:
            label = bytes(self._random.choices(_LETTERS, k=self._random.randint(*_LABEL_SIZES)))
            self._answer = Answer(self._service, label, addresses, host_ips(addresses), self._config.ttl)
            self._marks[2:] = [_mark(self._answer.host)]
            self._unasked = ANNOUNCEMENTS
            self._answered_at = -inf
            self._answer_due = now

    def fall_silent(self) -> None:
        """Say goodbye, where somebody may know us, and answer no more."""
        if self._answer is not None and self._answered_at > -inf:
            self._outbox.append(self._answer.goodbye)
        self._answer, self._addresses, self._answer_due = None, (), inf

    def receive(self, data: bytes, source: str, now: float) -> "list[Sighting | Unreadable]":
        """What came from the IP address `source`, our own packets included: they tell others on this machine of us."""
        if len(data) > SIZE_LIMIT:
            return []
        folded = data.lower()
        if not any(mark in folded for mark in self._marks):
            return []
        if not self._budgets.take(source, now) or not self._budget.take(now):
            return []
        try:
            packet = decode(data)
        except ProtocolViolation as error:
            return [Unreadable(error)]
        if packet.is_response:
            return [*sightings(packet, self._service)]
        self._asked(packet, now)
        return []

    def _asked(self, packet: Packet, now: float) -> None:
        if self._is_patient and asks_for_all(packet, self._service):
            self._question_due = min(now + self._interval, self._asked_at + SILENCE * self._interval)
        answer = self._answer
        if answer is None:
            return
        if asks_for(packet, self._service, answer.instance, answer.host) and not answer.is_known(packet.answers):
            self._answer_due = min(self._answer_due, self._when(self._answered_at, now))
        if asks_for(packet, SERVICES):
            self._listing_due = min(self._listing_due, self._when(self._listed_at, now))

    def _when(self, last: float, now: float) -> float:
        """When to say something that was said last at that time. (One who can't have it by unicast asks too often.)"""
        return max(now + self._random.uniform(*_DELAY), last + ANSWER_INTERVAL)

    def next_timeout(self) -> float:
        """When to call `handle_timeout`, if nothing happens before."""
        return min(self._question_due, self._answer_due, self._listing_due)

    def handle_timeout(self, now: float) -> None:
        """Say what is due."""
        if now >= self._question_due:
            self._outbox.append(query(self._service))
            self._asked_at = now
            self._question_due = now + self._interval
            self._is_patient = self._interval >= self._config.query_interval
            self._interval = min(self._interval * self._random.uniform(1.5, 2.5), self._config.query_interval)
        if now >= self._answer_due and self._answer is not None:
            self._outbox.append(self._answer.packet)
            self._answered_at = now
            self._unasked -= 1
            self._answer_due = now + ANSWER_INTERVAL if self._unasked > 0 else inf
        if now >= self._listing_due:
            self._outbox.append(service_listing(self._service, self._config.ttl))
            self._listed_at, self._listing_due = now, inf

    def data_to_send(self) -> list[bytes]:
        """What has to go out now, on this interface."""
        outbox, self._outbox = self._outbox, []
        return outbox


def _mark(name: Name) -> bytes:
    """Bytes that a packet has which names it: names are whole where they first occur. So most of what others say is not read."""
    return bytes([len(name[0])]) + name[0]
