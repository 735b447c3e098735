"""A gossip router among peers that are nothing but ids, and what it wants of them."""

from collections.abc import Iterable
from hashlib import sha256
from random import Random
from typing import TypeVar, final

from cortexnet.gossip.actions import Action, Deliver, SendRpc, Validate, Verdict
from cortexnet.gossip.config import GOSSIPSUB_12, GossipConfig
from cortexnet.gossip.message import Message
from cortexnet.gossip.messages import ControlMessages, IHave, Prune, PrunePeer, Rpc, Subscription
from cortexnet.gossip.router import Router
from cortexnet.identity.peer_id import PeerId

TOPIC = "t"
A = TypeVar("A", bound=Action)


def peer_id(number: int) -> PeerId:
    """The id of a peer that has no key."""
    return PeerId(b"\x12\x20" + sha256(b"%d" % number).digest())


def message(
    number: int, *, topic: str = TOPIC, author: int = 999, data: bytes = b"data", signature: bytes | None = b"s" * 64
) -> Message:
    """A message whose signature nobody checks."""
    return Message.build(topic, data, author=bytes(peer_id(author)), seqno=number.to_bytes(8, "big"), signature=signature)


def id_of(built: Message) -> bytes:
    """The id it has by default."""
    return (built.author or b"") + (built.seqno or b"")


@final
class Desk:
    """A router, its clock, and the actions it has handed out since the last `clear`."""

    def __init__(self, *, seed: int = 1, records: dict[PeerId, bytes] | None = None, **settings: object) -> None:
        self.now = 1_000.0
        self.own = peer_id(0)
        known = records or {}
        config = GossipConfig(**settings)  # type: ignore[arg-type]
        self.router = Router(self.own, config, Random(seed), self.now, records=lambda peer: known.get(peer, b""))
        self.config = config
        self.actions: list[Action] = []

    def take(self) -> list[Action]:
        """What it wants now."""
        new = self.router.take_actions()
        self.actions += new
        return new

    def clear(self) -> None:
        """Forget what it wanted up to now."""
        self.take()
        self.actions.clear()

    def of(self, kind: type[A]) -> list[A]:
        """Its actions of one kind since the last `clear`."""
        self.take()
        return [action for action in self.actions if isinstance(action, kind)]

    def peer(
        self, number: int, *topics: str, protocol: str = GOSSIPSUB_12, outbound: bool = False, ips: Iterable[object] = ()
    ) -> PeerId:
        """A peer to which our stream is open, and that wants these topics."""
        peer = peer_id(number)
        self.router.add_peer(peer, protocol, outbound=outbound, now=self.now, ips=list(ips))  # type: ignore[arg-type]
        self.hear(peer, Rpc([Subscription(topic) for topic in topics]))
        return peer

    def peers(self, numbers: Iterable[int], *topics: str, protocol: str = GOSSIPSUB_12, outbound: bool = False) -> list[PeerId]:
        """Several of the kind."""
        return [self.peer(number, *topics, protocol=protocol, outbound=outbound) for number in numbers]

    def meshed(self, numbers: Iterable[int], *, protocol: str = GOSSIPSUB_12, outbound: bool = False) -> list[PeerId]:
        """Peers of the topic that are in its mesh, for they have grafted us."""
        peers = self.peers(numbers, TOPIC, protocol=protocol, outbound=outbound)
        for peer in peers:
            self.control(peer, graft=[TOPIC])
        return peers

    def hear(self, peer: PeerId, rpc: Rpc) -> None:
        """The peer says something."""
        self.router.receive(peer, rpc, self.now)

    def control(
        self,
        peer: PeerId,
        *,
        ihave: Iterable[bytes] = (),
        iwant: Iterable[bytes] = (),
        graft: Iterable[str] = (),
        prune: Iterable[Prune] = (),
        idontwant: Iterable[bytes] = (),
        topic: str = TOPIC,
    ) -> None:
        """The peer sends these control messages, and nothing else."""
        entries = [IHave(topic, ids)] if (ids := list(ihave)) else []
        self.hear(peer, Rpc(control=ControlMessages(entries, list(iwant), list(graft), list(prune), list(idontwant))))

    def beat(self, count: int = 1) -> None:
        """So many heartbeats later, decays included."""
        for _ in range(count):
            ticks = self.router._state.ticks
            while self.router._state.ticks == ticks:
                self.now = max(self.now, self.router.next_timeout())
                self.router.handle_timeout(self.now)

    def wait(self, seconds: float) -> None:
        """Time passes, with all that is due in it."""
        until = self.now + seconds
        while (due := self.router.next_timeout()) <= until:
            self.now = max(self.now, due)
            self.router.handle_timeout(self.now)
        self.now = until

    def settle(self, verdict: Verdict = Verdict.ACCEPT) -> list[Validate]:
        """Give every message that waits for it this verdict."""
        tokens = [action for action in self.take() if isinstance(action, Validate)]
        for token in tokens:
            self.router.validated(token, verdict, self.now)
        self.take()
        return tokens

    def bring(self, peer: PeerId, *messages: Message, verdict: Verdict = Verdict.ACCEPT) -> list[Validate]:
        """The peer brings messages in one RPC, and they get this verdict."""
        self.take()
        self.hear(peer, Rpc(messages=list(messages)))
        return self.settle(verdict)

    # --- what it wanted ----------------------------------------------------------------------------------------------------

    def rpcs_to(self, peer: PeerId) -> list[Rpc]:
        """The RPCs to one peer."""
        return [action.rpc for action in self.of(SendRpc) if peer in action.peers]

    def controls_to(self, peer: PeerId) -> list[ControlMessages]:
        """The control parts to one peer."""
        return [rpc.control for rpc in self.rpcs_to(peer) if rpc.control is not None]

    def prunes_to(self, peer: PeerId) -> list[Prune]:
        """The PRUNEs to one peer."""
        return [prune for control in self.controls_to(peer) for prune in control.prune]

    def grafts_to(self, peer: PeerId) -> list[str]:
        """The GRAFTs to one peer."""
        return [topic for control in self.controls_to(peer) for topic in control.graft]

    def asked_of(self, peer: PeerId) -> list[list[bytes]]:
        """The IWANTs to one peer."""
        return [control.iwant for control in self.controls_to(peer) if control.iwant]

    def told(self, peer: PeerId) -> list[bytes]:
        """The ids in IHAVEs to one peer."""
        return [each for control in self.controls_to(peer) for entry in control.ihave for each in entry.ids]

    def unwanted_by(self, peer: PeerId) -> list[list[bytes]]:
        """The IDONTWANTs to one peer."""
        return [control.idontwant for control in self.controls_to(peer) if control.idontwant]

    def messages_to(self, peer: PeerId) -> list[Message]:
        """The messages to one peer."""
        return [each for rpc in self.rpcs_to(peer) for each in rpc.messages]

    def delivered(self) -> list[Message]:
        """What was handed to subscribers here."""
        return [action.message for action in self.of(Deliver)]

    def score(self, peer: PeerId) -> float:
        """What a peer is worth."""
        return self.router.score_of(peer, self.now)


__all__ = ["TOPIC", "Desk", "PrunePeer", "id_of", "message", "peer_id"]
