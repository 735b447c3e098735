"""What follows from low scores: streams refused, peers denied for a while, strangers from bad networks let in slowly. A shell.

All of it ends by itself as the score rises. Rules of access control that somebody else has made are left alone, and go first.
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, final

from cortexnet.admission.subnet import subnets_of
from cortexnet.errors import ConnectionCode, Denied, LimitExceeded
from cortexnet.identity.peer_id import PeerId
from cortexnet.reputation.events import PeerDenied, PeerForgiven, PeerRefused
from cortexnet.reputation.standings import Sentence, Standing, Standings
from cortexnet.swarm.tags import STANDING
from cortexnet.transport.log_limit import LogLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.admission.gater import Gater
    from cortexnet.host.context import Context
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.reputation.config import ReputationConfig
    from cortexnet.reputation.events import ReputationEvent
    from cortexnet.reputation.ledger import Ledger
    from cortexnet.reputation.subnets import Networks

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

LOOK_INTERVAL = 10.0
"""Seconds between looks at whose time has come; who has waited for hours can wait as long."""
_TAG_LOOKS = 6  # looks from one update of all connections' tags to the next
_TAG_SCALE = 10  # points of the score for one: from -10 to 10, where a peer of a mesh of gossip is worth 20
_CLOCK_SLACK = 60.0  # seconds that a rule's end may be off before the clock of the machine is taken to have been set
_EARLIER_AT_ONCE = 50  # offenders of an earlier run, some 50 µs each
_OURS = "reputation: "  # how the reasons of our rules begin
_WHY_LIMIT = 160


@final
class Consequences:
    """Keeps rules, tags and refusals as the scores say."""

    def __init__(
        self, config: "ReputationConfig", ledger: "Ledger", networks: "Networks", gater: "Gater", clock: "Callable[[], float]"
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._networks = networks
        self._gater = gater
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._standings = Standings(config, ledger)
        self._suspects: dict[PeerId, str] = {}
        self._rules: dict[PeerId, None] = {}  # whom a rule of ours denies
        self._earlier: list[PeerId] = []  # offenders of earlier runs that are still to be looked at
        self._looks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._context: Context | None = None

    # --- life --------------------------------------------------------------------------------------------------------------

    def start(self, context: "Context") -> None:
        """Take up again what an earlier run has left, and begin to look."""
        self._context = context
        self._take_up_rules()
        self._earlier = [peer for peer in self._ledger if self._ledger.is_bad(peer)]
        self._look_at_earlier()
        self._gater.admission = self.admit
        context.resources.objection = self.objection
        self.wake()

    def stop(self) -> None:
        """Look no more. Rules stay."""
        self._gater.admission = None
        if self._context is not None:
            self._context.resources.objection = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._context = None
        self._earlier.clear()

    def wake(self) -> None:
        """There is, or may soon be, something to look at."""
        if self._timer is None and self._context is not None:
            self._timer = self._loop.call_later(LOOK_INTERVAL, self._look)

    # --- asked on the way --------------------------------------------------------------------------------------------------

    def objection(self, peer: "PeerId") -> Denied | None:
        """Why a stream of this peer is not to be taken; None where it is."""
        if self._standings.of(peer) == "good" or self._gater.is_allowed(peer):
            return None
        score = self._ledger.score(peer, self._clock())
        setting = "reputation.refuse_below"
        return Denied(f"stream of {peer}", rule=f"{_OURS}score {score:.1f}, below {setting}", setting=setting)

    def admit(self, peer: "PeerId", address: "Multiaddr") -> None:
        """A peer that has connected has proven who it is. Raises Denied, or LimitExceeded for a stranger that is too early."""
        now = self._clock()
        score = self._ledger.score(peer, now)
        if score > 0 or self._gater.is_allowed(peer):
            return
        if score < self._config.deny_below:  # its rule may have had no room, or ended early by a clock that was set
            setting = "reputation.deny_below"
            raise Denied(f"connection of {peer}", rule=f"{_OURS}score {score:.1f}, below {setting}", setting=setting)
        if len(self._networks):
            for network in self._networks_of([address]):
                self._networks.admit(network, now)

    def standing(self, peer: "PeerId") -> Standing:
        """How a peer stands."""
        return self._standings.of(peer)

    # --- told --------------------------------------------------------------------------------------------------------------

    def offended(self, peer: "PeerId", why: str) -> None:
        """A peer has sent what no correct one sends: the networks it is connected from are remembered for it."""
        if self._context is not None:
            addresses = [each.remote_address for each in self._context.swarm.connections_to(peer)]
            for network in self._networks_of(addresses):
                self._networks.blame(network, self._clock())
        self.suspect(peer, why)

    def suspect(self, peer: "PeerId", why: str) -> None:
        """The score of a peer may be too low by now. Nothing is done about it before this turn of the loop is over: whoever calls
        is in the middle of what the peer has sent."""
        if not self._suspects:
            self._loop.call_soon(self._judge)
        self._suspects[peer] = _harmless(why)

    def forgive(self, peer: "PeerId") -> None:
        """Nothing is known of the peer any more."""
        self._look_at(peer, "", is_told=True)
        self._suspects.pop(peer, None)

    def connected(self, peer: "PeerId") -> None:
        """There is a connection."""
        self._tag(peer, self._clock())
        self.wake()

    # --- looks -------------------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        suspects, self._suspects = self._suspects, {}
        if self._context is not None:
            for peer, why in suspects.items():
                self._look_at(peer, why, is_told=True)

    def _look(self) -> None:
        self._timer = None
        context, now = self._context, self._clock()
        assert context is not None  # else the timer would be gone
        for peer in self._standings.due(now):
            self._look_at(peer, "what it did earlier", is_told=True)
        self._looks += 1
        if self._looks % _TAG_LOOKS == 0:
            for peer in context.swarm.peers:
                self._tag(peer, now)
            self._set_clocks_right()
        if len(self._standings) or context.swarm.peers:
            self.wake()

    def _look_at_earlier(self) -> None:
        """At thousands of offenders, some in each turn of the loop. Who was denied is so by its rule meanwhile."""
        for peer in self._earlier[-_EARLIER_AT_ONCE:]:
            self._look_at(peer, "what it did before this node was started", is_told=False)
        del self._earlier[-_EARLIER_AT_ONCE:]
        if self._earlier:
            self._loop.call_soon(self._look_at_earlier)

    def _look_at(self, peer: "PeerId", why: str, *, is_told: bool) -> None:
        sentence = self._standings.judge(peer, self._clock())
        if sentence.standing == "denied":
            self._deny(peer, sentence, why)
        elif peer in self._rules:
            self._lift(peer)
        self._tag(peer, self._clock())
        if sentence.standing != "good":
            self.wake()
        if is_told and sentence.standing != sentence.before:
            self._tell(peer, sentence, why)

    def _tell(self, peer: "PeerId", sentence: Sentence, why: str) -> None:
        seconds = sentence.until - self._clock()
        log.info("%s is %s: score %.1f, %s", peer, sentence.standing, sentence.score, why, extra={"peer": peer})
        context = self._context
        if context is None:
            return
        tally = context.resources.tally
        event: ReputationEvent
        if sentence.standing == "denied":
            tally.peers_denied += 1
            event = PeerDenied(peer, sentence.score, seconds, why)
        elif sentence.standing == "refused" and sentence.before == "good":
            tally.peers_refused += 1
            event = PeerRefused(peer, sentence.score, why)
        else:
            event = PeerForgiven(peer, sentence.score, is_trusted=sentence.standing == "good")
        if context.bus.has_listeners:
            context.bus.publish(event)

    # --- rules of access control -------------------------------------------------------------------------------------------

    def _deny(self, peer: "PeerId", sentence: Sentence, why: str) -> None:
        denial = self._gater.denial(peer)
        if denial is not None and not denial[0].startswith(_OURS):
            return  # somebody has said so before us, and may have meant it for longer
        seconds = sentence.until - self._clock()
        if peer in self._rules or len(self._rules) < self._config.denied_peers:
            with contextlib.suppress(LimitExceeded):
                self._gater.deny(peer, _reason(sentence.score, why), seconds)
                self._rules[peer] = None
                return
        if self._context is not None and not self._gater.is_allowed(peer):  # without a rule: `admit` refuses it from now on
            setting = "reputation.deny_below"
            for connection in self._context.swarm.connections_to(peer):
                connection.turn_out(Denied(f"connection of {peer}", rule=setting, setting=setting), ConnectionCode.GATED)

    def _lift(self, peer: "PeerId") -> None:
        del self._rules[peer]
        denial = self._gater.denial(peer)
        if denial is not None and denial[0].startswith(_OURS):
            self._gater.access.remove("deny", peer)

    def _take_up_rules(self) -> None:
        """Rules of an earlier run. One that ends later than ours ever do was made when the clock stood wrong, or does now."""
        for rule in self._gater.rules:
            peer = rule.subject
            if rule.kind == "deny" and isinstance(peer, PeerId) and rule.reason.startswith(_OURS):
                denial = self._gater.denial(peer)
                if denial is not None and denial[1] > self._config.deny_limit + _CLOCK_SLACK:
                    self._gater.access.remove("deny", peer)
                else:
                    self._rules[peer] = None

    def _set_clocks_right(self) -> None:
        """The clock of the machine, by which rules end, may have been set; the ledger's goes on."""
        now = self._clock()
        for peer in list(self._rules):
            sentence = self._standings.sentence(peer)
            if sentence is None or sentence.standing != "denied":
                self._lift(peer)  # the ledger does not know why any more, or it was forgiven
                continue
            denial = self._gater.denial(peer)
            if denial is None or abs(denial[1] - (sentence.until - now)) > _CLOCK_SLACK:
                self._deny(peer, sentence, "what it did earlier")

    # --- what connections are worth ----------------------------------------------------------------------------------------

    def _tag(self, peer: "PeerId", now: float) -> None:
        context = self._context
        if context is None:
            return
        value = int(self._ledger.score(peer, now) / _TAG_SCALE)
        with contextlib.suppress(LimitExceeded):
            if not value or not context.swarm.connections_to(peer):
                context.manager.untag(peer, STANDING)
            else:
                context.manager.tag(peer, STANDING, value)

    def _networks_of(self, addresses: "Iterable[Multiaddr]") -> list[str]:
        """The networks to count by: not those of relays, and of loopback only where limits hold there."""
        assert self._context is not None  # asked for while the node runs
        ips = [None if each.is_relayed else each.value_of("ip4") or each.value_of("ip6") for each in addresses]
        found = dict.fromkeys([subnets_of(ip) for ip in ips if ip is not None])
        limit_loopback = self._context.limits.limit_loopback
        return [each.network for each in found if limit_loopback or not each.is_loopback]


def _reason(score: float, why: str) -> str:
    return f"{_OURS}score {score:.1f}, {why}"


def _harmless(why: str) -> str:
    """What may hold a peer's own words, for logs, events and rules."""
    return "".join(character if character.isprintable() else "?" for character in why[:_WHY_LIMIT])
