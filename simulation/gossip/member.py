"""An honest node: a router that has joined the topic, with its timer."""

from typing import TYPE_CHECKING, final

from cortexnet.gossip.actions import Connect, Deliver, MeshChanged, SendRpc, Validate, Verdict
from cortexnet.gossip.config import GOSSIPSUB_12
from cortexnet.gossip.router import Router
from simulation.gossip.party import Party
from simulation.gossip.settings import TOPIC
from simulation.wakeups import Wakeups

if TYPE_CHECKING:
    from cortexnet.gossip.config import GossipConfig
    from cortexnet.gossip.message import Message
    from cortexnet.gossip.messages import Rpc
    from cortexnet.identity.peer_id import PeerId
    from simulation.gossip.world import World
    from simulation.network import End


@final
class Member(Party):
    """It passes on what it gets, and accepts every message: signatures are not simulated."""

    __slots__ = ("_wakeups", "born", "dialed", "number", "router", "world")

    def __init__(self, world: "World", number: int, peer_id: "PeerId", end: "End", config: "GossipConfig") -> None:
        super().__init__(peer_id, end)
        now = world.simulation.now
        self.world = world
        self.number = number
        """Of all honest nodes, from 0."""
        self.born = now
        self.dialed: dict[PeerId, None] = {}
        """Peers that it wanted to be connected to because the router said so."""
        self.router = Router(peer_id, config, world.simulation.chance(f"router {number}"), now)
        self._wakeups = Wakeups(world.simulation, self._wake)
        self.router.subscribe(TOPIC, now)
        self._wakeups.set(self.router.next_timeout())

    def met(self, peer: Party, *, outbound: bool) -> None:
        """Both streams are open."""
        self.router.add_peer(peer.peer_id, GOSSIPSUB_12, outbound=outbound, now=self.world.simulation.now)
        self.settle()

    def lost(self, peer: "PeerId") -> None:
        """Both are gone."""
        if self.is_up:
            self.router.remove_peer(peer, self.world.simulation.now)
            self.settle()

    def wants(self, rpc: "Rpc") -> bool:
        """Everything."""
        return True

    def hear(self, sender: "PeerId", rpc: "Rpc") -> None:
        """To the router with it."""
        self.router.receive(sender, rpc, self.world.simulation.now)
        self.settle()

    def publish(self, message: "Message") -> int:
        """To how many peers it went."""
        count = len(self.router.publish(message, self.world.simulation.now))
        self.settle()
        return count

    def settle(self) -> None:
        """Carry out what the router wants done."""
        world, router = self.world, self.router
        actions = router.take_actions()
        while actions:
            for action in actions:
                kind = type(action)
                if kind is SendRpc:
                    world.carry(self, action.peers, action.rpc)  # type: ignore[union-attr]
                elif isinstance(action, Validate):
                    router.validated(action, Verdict.ACCEPT, world.simulation.now)
                elif isinstance(action, Deliver):
                    world.delivered(self, action.id)
                elif isinstance(action, MeshChanged):
                    world.note(b"mesh", self.number, bytes(action.peer), action.change)
                elif isinstance(action, Connect):
                    self.dialed[action.peer] = None
                    world.dial(self, action.peer)
            actions = router.take_actions()

    def _wake(self) -> None:
        if self.is_up:
            self.router.handle_timeout(self.world.simulation.now)
            self.settle()
            self._wakeups.set(self.router.next_timeout())
