"""Hundreds of DHT nodes that are nothing but routing tables, with virtual time: what lookups are tried on."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.lookup.lookup import Lookup, LookupConfig
from cortexnet.kad.lookup.regions import ExplorationConfig, Question, RegionExploration
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import BITS, Prefix, position

OWN = PeerId(b"\x12\x20" + bytes(32))
ROUND_TRIP = 0.05
REQUEST_TIMEOUT = 10.0

Behaviour = Callable[[int], "Sequence[Contact] | None"]
"""What a node answers when asked for a target; None: nothing, ever."""


def contact(random: Random) -> Contact:
    return Contact(PeerId(b"\x12\x20" + random.randbytes(32)))


def ground(random: Random, target: int, amount: int, tries: int = 1 << 14) -> list[Contact]:
    """The nearest to a target of many contacts: what somebody gets who makes keys until they suit."""
    ids = [b"\x12\x20" + random.randbytes(32) for _ in range(tries)]
    ids.sort(key=lambda peer_id: position(peer_id) ^ target)
    return [Contact(PeerId(peer_id)) for peer_id in ids[:amount]]


class Refuses(Exception):
    """What a behaviour raises whose node is not there."""


class Network:
    """Nodes with filled tables: per bucket 20 of those that belong there, all of them where they are fewer."""

    def __init__(self, random: Random, size: int, *, bucket: int = 20) -> None:
        self.random = random
        self.round_trip = ROUND_TRIP
        self.requests = 0
        self.nodes: dict[PeerId, Contact] = {}
        self.behaviour: dict[PeerId, Behaviour] = {}
        self.answer_of_strangers: Callable[[PeerId], None] = unreachable
        self._bucket = bucket
        self._tables: dict[PeerId, list[Contact]] = {}
        self.join([contact(random) for _ in range(size)])

    def join(self, contacts: Sequence[Contact]) -> None:
        """Known from now on to everybody in whose table there is room: tables are drawn anew."""
        self.nodes.update((each.peer_id, each) for each in contacts)
        self._sorted = sorted(self.nodes.values(), key=lambda each: each.position)
        self._positions = [each.position for each in self._sorted]
        self._tables.clear()

    def closest(self, target: int, amount: int = 20) -> list[Contact]:
        return sorted(self.nodes.values(), key=lambda each: each.position ^ target)[:amount]

    def table(self, peer_id: PeerId) -> list[Contact]:
        if peer_id not in self._tables:
            self._tables[peer_id] = self.table_at(position(bytes(peer_id)))
        return self._tables[peer_id]

    def table_at(self, own: int) -> list[Contact]:
        found: list[Contact] = []
        for length in range(1, BITS):
            shift = BITS - length
            first = ((own >> shift) ^ 1) << shift
            low, high = bisect_left(self._positions, first), bisect_left(self._positions, first + (1 << shift))
            bucket = self._sorted[low:high]
            found += bucket if len(bucket) <= self._bucket else self.random.sample(bucket, self._bucket)
            own_first = own >> shift << shift
            rest = bisect_left(self._positions, own_first + (1 << shift)) - bisect_left(self._positions, own_first)
            if rest <= 1:
                break
        return found

    def nearest(self, peer_id: PeerId, target: int) -> list[Contact]:
        table = self.table(peer_id)
        return sorted(table, key=lambda each: each.position ^ target)[:20]

    def answer(self, peer_id: PeerId, target: int) -> Sequence[Contact] | None:
        """Raises Refuses. None: it stays silent."""
        self.requests += 1
        behaviour = self.behaviour.get(peer_id)
        if behaviour is not None:
            return behaviour(target)
        if peer_id not in self.nodes:
            return self.answer_of_strangers(peer_id)
        return self.nearest(peer_id, target)

    def seeds(self, target: int, *, own: int | None = None) -> list[Contact]:
        """The 20 nearest of a table at a random place."""
        table = self.table_at(self.random.getrandbits(BITS) if own is None else own)
        return sorted(table, key=lambda each: each.position ^ target)[:20]

    def kill(self, share: float) -> dict[PeerId, None]:
        """That many are dead, half of them silently; everybody's tables still have them."""
        dead = self.random.sample(list(self.nodes), int(len(self.nodes) * share))
        for index, peer_id in enumerate(dead):
            self.behaviour[peer_id] = refuse if index % 2 else silent
        return dict.fromkeys(dead)

    def lookup(self, target: int, seeds: Sequence[Contact] | None = None, config: LookupConfig | None = None) -> "Run":
        lookup = Lookup(
            target,
            self.seeds(target) if seeds is None else seeds,
            own=OWN,
            config=config or LookupConfig(),
            now=0.0,
        )
        return Run(self, lookup)

    def explore(
        self, prefix: Prefix, seeds: Sequence[Contact] | None = None, config: ExplorationConfig | None = None
    ) -> "Exploration":
        exploration = RegionExploration(
            prefix,
            self.seeds(prefix.first) if seeds is None else seeds,
            own=OWN,
            config=config or ExplorationConfig(),
            now=0.0,
            random=self.random,
        )
        return Exploration(self, exploration)


def unreachable(peer_id: PeerId) -> None:
    raise Refuses


def silent(target: int) -> None:
    return None


def refuse(target: int) -> None:
    raise Refuses


class Run:
    """One lookup from its start to its end, in virtual time."""

    def __init__(self, network: Network, lookup: Lookup) -> None:
        self.lookup = lookup
        self.now = 0.0
        self._network = network
        self._order = count()
        self._events: list[tuple[float, int, PeerId, Sequence[Contact] | None]] = []
        while not lookup.is_done:
            for asked in lookup.next(self.now):
                self._send(asked)
            if not lookup.is_done:
                self._go_on()

    def _send(self, asked: Contact) -> None:
        after, reply = self._network.round_trip, None
        try:
            reply = self._network.answer(asked.peer_id, self.lookup.target)
        except Refuses:
            pass
        else:
            after = REQUEST_TIMEOUT if reply is None else after
        heappush(self._events, (self.now + after, next(self._order), asked.peer_id, reply))

    def _go_on(self) -> None:
        due = self.lookup.next_timeout()
        assert due is not None
        if not self._events or due < self._events[0][0]:
            assert due > self.now, "it asks to be called at a time that is over"
            self.now = due
            return
        self.now, _, peer_id, reply = heappop(self._events)
        if reply is None:
            self.lookup.on_failure(peer_id, self.now)
        else:
            self.lookup.on_reply(peer_id, reply, self.now)


class Exploration:
    """One exploration of a region from its start to its end, in virtual time."""

    def __init__(self, network: Network, exploration: RegionExploration) -> None:
        self.exploration = exploration
        self.now = 0.0
        self._network = network
        self._order = count()
        self._events: list[tuple[float, int, PeerId, bytes, Sequence[Contact] | None]] = []
        while not exploration.is_done:
            for question in exploration.next(self.now):
                self._send(question)
            if not exploration.is_done:
                self._go_on()

    def _send(self, question: Question) -> None:
        after, reply = self._network.round_trip, None
        try:
            reply = self._network.answer(question.contact.peer_id, position(question.key))
        except Refuses:
            pass
        else:
            after = REQUEST_TIMEOUT if reply is None else after
        heappush(self._events, (self.now + after, next(self._order), question.contact.peer_id, question.key, reply))

    def _go_on(self) -> None:
        due = self.exploration.next_timeout()
        assert due is not None
        if not self._events or due < self._events[0][0]:
            assert due > self.now, "it asks to be called at a time that is over"
            self.now = due
            return
        self.now, _, peer_id, key, reply = heappop(self._events)
        if reply is None:
            self.exploration.on_failure(peer_id, key, self.now)
        else:
            self.exploration.on_reply(peer_id, key, reply, self.now)
