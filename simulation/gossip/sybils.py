"""Attackers: any number of identities of one mind, connected to honest nodes, in whose meshes they want to sit.

A `Gang` has a plan and the memory of all its sybils: what one of them hears all know at once, which none can do better.
Sybils keep to the rules whose breach would cost them score, such as backoffs, but for what the plan is about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final, final

from cortexnet.gossip.messages import ControlMessages, IHave, Prune, PrunePeer, Rpc, Subscription
from simulation.gossip.party import Party
from simulation.gossip.settings import TOPIC

if TYPE_CHECKING:
    from cortexnet.gossip.message import Message
    from cortexnet.identity.peer_id import PeerId
    from simulation.gossip.member import Member
    from simulation.gossip.world import World
    from simulation.network import End

SLACK: Final = (1.0, 30.0)
"""Seconds that sybils wait beyond a backoff before they come again: not all at once, so that some come at any time."""
COMING: Final = 5.0
"""Seconds within which a gang connects."""
RPCS: Final = 3
"""Of spam, to each neighbour in a second."""
INVENTED: Final = 50
"""Ids in one of them that tells of messages that there are not."""
NEWS: Final = 10
"""Ids that sybils remember to ask for: those of the last seconds."""
NAMED: Final = 16
"""Accomplices named in a PRUNE."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What sybils do besides sitting in meshes and passing nothing on. Times are of the simulation."""

    honest_until: float = 0.0
    """They pass on every message until then, as soon as one of them has it."""
    is_keen: bool = True
    """They graft everybody they meet, and come again once a backoff is over; else they wait to be grafted."""
    late_by: float = inf
    """After that they pass messages on so many seconds after they came; or never."""
    ihave_from: float = inf
    """From then on each tells each second of messages that there are not."""
    iwant_from: float = inf
    """From then on each asks each second for all that there is, as often as it is told of it."""
    exchange_from: float = inf
    """From then on they prune those who have them in their mesh and name accomplices instead."""


@final
class Sybil(Party):
    """One identity of a gang."""

    __slots__ = ("gang", "meshes")

    def __init__(self, gang: "Gang", peer_id: "PeerId", end: "End") -> None:
        super().__init__(peer_id, end)
        self.gang = gang
        self.meshes: dict[PeerId, None] = {}
        """In whose mesh it believes to be."""

    def met(self, peer: Party, *, outbound: bool) -> None:
        """It wants the topic, and into the mesh."""
        self.say(peer.peer_id, Rpc([Subscription(TOPIC)]))
        if self.gang.plan.is_keen:
            self._graft(peer.peer_id)

    def lost(self, peer: "PeerId") -> None:
        """One less."""
        self.meshes.pop(peer, None)

    def wants(self, rpc: Rpc) -> bool:
        """GRAFT and PRUNE always; messages and what is told of them as far as the plan needs them."""
        control, gang = rpc.control, self.gang
        if control is not None and (control.graft or control.prune):
            return True
        if control is not None and control.ihave and gang.is_greedy:
            return True
        return bool(rpc.messages or (control is not None and control.iwant)) and gang.is_listening

    def hear(self, sender: "PeerId", rpc: Rpc) -> None:
        """See `wants`."""
        gang = self.gang
        if gang.is_listening:
            for message in rpc.messages:
                gang.learn(message)
        if rpc.control is not None:
            self._take_control(sender, rpc.control)

    def _take_control(self, sender: "PeerId", control: ControlMessages) -> None:
        gang = self.gang
        if control.graft:
            self.meshes[sender] = None
        for prune in control.prune:
            self.meshes.pop(sender, None)
            if gang.plan.is_keen:
                pause = (prune.backoff or 60) + gang.chance.uniform(*SLACK)
                gang.world.simulation.after(pause, partial(self._graft, sender))
        if gang.is_greedy:
            gang.hear_of([each for entry in control.ihave for each in entry.ids])
        if control.iwant and gang.is_honest:
            known = [gang.known[each] for each in control.iwant if each in gang.known]
            if known:
                self.say(sender, Rpc(messages=known))

    def say(self, peer: "PeerId", rpc: Rpc) -> None:
        """Send it."""
        self.gang.world.carry(self, (peer,), rpc)

    def _graft(self, peer: "PeerId") -> None:
        if peer in self.links and peer not in self.meshes:
            self.meshes[peer] = None
            self.say(peer, Rpc(control=ControlMessages(graft=[TOPIC])))

    def exchange(self) -> None:
        """Prune everybody, and name accomplices instead."""
        named = [PrunePeer(bytes(each.peer_id)) for each in self.gang.some(NAMED)]
        for peer in list(self.meshes):
            self.say(peer, Rpc(control=ControlMessages(prune=[Prune(TOPIC, named, 60)])))
        self.meshes.clear()

    def spam(self, control: ControlMessages) -> None:
        """Say the same to everybody."""
        self.gang.world.carry(self, list(self.links), Rpc(control=control))


@final
class Gang:
    """All sybils of an attack."""

    def __init__(self, world: "World", size: int, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.chance = world.simulation.chance("gang")
        self.sybils = [Sybil(self, world.identity(), world.end()) for _ in range(size)]
        self.ids = {sybil.peer_id: None for sybil in self.sybils}
        self.known: dict[bytes, Message] = {}
        for sybil in self.sybils:
            world.admit(sybil)
        self.news: dict[bytes, None] = {}
        """Ids that they were told of, the newest last."""
        for time, act in ((plan.exchange_from, self._exchange), (plan.ihave_from, self._invent), (plan.iwant_from, self._ask)):
            if time < inf:
                world.simulation.at(time, partial(self._each_second, act))

    @property
    def is_honest(self) -> bool:
        """Whether they still pass messages on at once."""
        return self.world.simulation.now < self.plan.honest_until

    @property
    def is_listening(self) -> bool:
        """Whether messages matter to them."""
        return self.is_honest or self.plan.late_by < inf

    @property
    def is_greedy(self) -> bool:
        """Whether they ask for whatever there is."""
        return self.world.simulation.now >= self.plan.iwant_from

    def some(self, count: int) -> Sequence[Sybil]:
        """Some of them."""
        return self.chance.sample(self.sybils, min(count, len(self.sybils)))

    def surround(self, members: "Sequence[Member]", each: int) -> None:
        """Connect so many different sybils to each of these nodes, with the same number of nodes for each sybil."""
        size = len(self.sybils)
        turn = self.chance.randrange(size)
        for member in members:
            for number in range(each):
                link = partial(self.world.dial, self.sybils[(turn + number) % size], member.peer_id)
                self.world.simulation.after(self.chance.uniform(0.0, COMING), link)
            turn += each

    def learn(self, message: "Message") -> None:
        """One of them has got a message: all pass it on to those in whose meshes they are, where that is the plan."""
        if message.id in self.known:
            return
        self.known[message.id] = message
        if self.is_honest:
            self._pass_on(message)
        else:
            self.world.simulation.after(self.plan.late_by, partial(self._pass_on, message))

    def _pass_on(self, message: "Message") -> None:
        rpc = Rpc(messages=[message])
        for sybil in self.sybils:
            if sybil.meshes:
                self.world.carry(sybil, list(sybil.meshes), rpc)

    def hear_of(self, ids: "Sequence[bytes]") -> None:
        """There are such messages."""
        self.news.update(dict.fromkeys(ids))
        while len(self.news) > NEWS:
            del self.news[next(iter(self.news))]

    def _each_second(self, act: "Callable[[], None]") -> None:
        act()
        self.world.simulation.after(1.0, partial(self._each_second, act))

    def _exchange(self) -> None:
        for sybil in self.sybils:
            sybil.exchange()

    def _invent(self) -> None:
        for sybil in self.sybils:
            invented = [self.chance.randbytes(42) for _ in range(INVENTED)]
            for _ in range(RPCS):
                sybil.spam(ControlMessages(ihave=[IHave(TOPIC, invented)]))

    def _ask(self) -> None:
        for sybil in self.sybils:
            for _ in range(RPCS):
                sybil.spam(ControlMessages(iwant=list(self.news)))

    def share(self, members: "Sequence[Member]") -> float:
        """Of all places in the meshes of these nodes, the part that sybils have."""
        own = self.ids
        slots = [peer for member in members for peer in member.router.mesh(TOPIC)]
        return sum(peer in own for peer in slots) / max(1, len(slots))
