"""Access control: who may connect, asked at four points of every connection. A core; wall time is handed in.

    dial      before a socket is made: the peer, where it is known, and the address
    accept    before a byte is read: the address
    secured   the peer has proven who it is
    upgraded  the connection is complete

A rule about the peer decides before one about its address; of two about the same, the one that allows. Without any, everybody
may connect, or with `allow_only` nobody. Who comes from a denied network is refused before it can say who it is: to let a peer
in from there, allow a network around its address.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from ipaddress import IPv4Network, IPv6Network
from math import inf
from typing import Literal, Protocol, TypeAlias, final, runtime_checkable

from cortexnet.admission.access_rules import AccessRules, Kind, Rule, Subject, parse_subject
from cortexnet.errors import Denied, LocalError, ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

AnySubject: TypeAlias = Subject | str
Point = Literal["dial", "accept", "secured", "upgraded"]


class GatedConnection(Protocol):
    """What a gate sees of a complete connection; in truth the `Connection` itself."""

    @property
    def peer_id(self) -> PeerId:
        """Who it is, verified."""

    @property
    def remote_address(self) -> Multiaddr:
        """Where the peer is."""

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        """Who dialed: "outbound" is us."""


@runtime_checkable
class Gate(Protocol):
    """Access control of the application's own, asked where no rule has refused already.

    Each method says whether to go on, by True; it is a plain function, called often, and must be quick. One that raises refuses.
    """

    def dial(self, peer: PeerId | None, address: Multiaddr) -> bool:
        """We are about to connect; `peer` is None where anybody may answer."""

    def accept(self, address: Multiaddr) -> bool:
        """Somebody has connected; nothing was read yet."""

    def secured(self, peer: PeerId, address: Multiaddr, direction: Literal["inbound", "outbound"]) -> bool:
        """The peer is verified."""

    def upgraded(self, connection: GatedConnection) -> bool:
        """The connection is complete; a refused one ends with code 0x1007."""


@final
@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say, and which one of them; None where it is none of them."""

    allowed: bool
    rule: Rule | None

    def __str__(self) -> str:
        if self.rule is None:
            return "allowed: no rule is against it" if self.allowed else "denied: only what is allowed by a rule may connect"
        return f"{'allowed' if self.allowed else 'denied'} by rule '{self.rule}'"


_OPEN, _CLOSED = Decision(allowed=True, rule=None), Decision(allowed=False, rule=None)


@final
class Gater:
    """The doors of a node: its rules, and the gate of its application. Rules may be changed at any time."""

    def __init__(self, *, limit: int, unix_time: Callable[[], float]) -> None:
        """Up to `limit` rules."""
        self._gate: Gate | None = None
        self.access = AccessRules(limit=limit)
        """The rules themselves; their `on_change` is the place of whoever stores them."""
        self.refused: dict[Point, int] = {"dial": 0, "accept": 0, "secured": 0, "upgraded": 0}
        """How often something was refused, by point."""
        self.on_narrowed: Callable[[PeerId | None], None] | None = None
        """Called where who was allowed may be so no more, with the peer where it is one alone: open connections are to be looked
        at again."""
        self.admission: Callable[[PeerId, Multiaddr], None] | None = None
        """Asked about each peer that has connected and was not refused, once it is verified. Raises LimitExceeded or Denied."""
        self.on_fault: Callable[[Exception], None] | None = None
        """Called with what a gate has raised."""
        self._unix_time = unix_time
        self._allow_only = False

    @property
    def gate(self) -> Gate | None:
        """Asked besides the rules."""
        return self._gate

    @gate.setter
    def gate(self, gate: Gate | None) -> None:
        """Raises LocalError for what is no gate, or would answer later (`async def`)."""
        if gate is not None:
            if not isinstance(gate, Gate):
                raise LocalError(f"a gate has the methods dial, accept, secured and upgraded, unlike {gate!r}")
            if any(map(iscoroutinefunction, (gate.dial, gate.accept, gate.secured, gate.upgraded))):
                raise LocalError("the methods of a gate are plain functions, not `async def`: nothing goes on before they answer")
        self._gate = gate

    # --- rules -------------------------------------------------------------------------------------------------------------

    @property
    def allow_only(self) -> bool:
        """Whether only those may connect whom a rule allows; open connections of others are closed when it is set."""
        return self._allow_only

    @allow_only.setter
    def allow_only(self, value: bool) -> None:
        """Let only those connect whom a rule allows, or everybody whom none denies. Raises LocalError for a list of names."""
        if not isinstance(value, bool):
            raise LocalError("allow_only is True or False: name those who may connect by `allow`")
        self._allow_only = value
        if value:
            self._narrowed(None)

    @property
    def rules(self) -> list[Rule]:
        """Those in force, the oldest first."""
        self.access.drop_expired(self._unix_time())
        return list(self.access)

    def deny(self, subject: AnySubject, reason: str = "", seconds: float | None = None) -> Rule:
        """Deny a peer, an IP address or a network, for some seconds or for good; its open connections are closed.

        Takes the place of an earlier rule of the kind about the same subject. Raises LocalError for what is no subject, for a
        reason that is not one printable line of at most 256 characters, and where `seconds` is no number; LimitExceeded where
        there are too many rules.
        """
        rule = self._add("deny", subject, reason, seconds)
        self._narrowed(rule.subject)
        return rule

    def allow(self, subject: AnySubject, reason: str = "", seconds: float | None = None) -> Rule:
        """Allow a peer, an IP address or a network, whatever denies it, for some seconds or for good. Raises as `deny`."""
        return self._add("allow", subject, reason, seconds)

    def _add(self, kind: Kind, subject: AnySubject, reason: str, seconds: float | None) -> Rule:
        if seconds is not None and not isinstance(seconds, int | float):
            raise LocalError(f"a rule holds for a number of seconds, or without one for good, not for {seconds!r}")
        now = self._unix_time()
        rule = Rule(kind, _subject(subject), reason, None if seconds is None else now + seconds)
        self.access.add(rule, now)
        return rule

    def remove(self, subject: AnySubject) -> bool:
        """Drop the rules about exactly this peer or network; False where there were none. Raises LocalError."""
        named = _subject(subject)
        denied = self.access.remove("deny", named)
        allowed = self.access.remove("allow", named)
        if allowed:
            self._narrowed(named)
        return denied or allowed

    def explain(self, subject: AnySubject | Multiaddr) -> Decision:
        """What the rules say about a peer, an IP address, or a multiaddr (with `/p2p/…`: about both).

        Raises LocalError for what is none of these, a network too: its addresses may differ.
        """
        peer, ip = _peer_and_ip(subject)
        return self._decide(peer, ip)

    def denial(self, peer: PeerId) -> tuple[str, float] | None:
        """The reason of the rule that denies exactly this peer, and the seconds until it ends; None where there is none."""
        now = self._unix_time()
        rule = self.access.of_peer("deny", peer, now)
        return None if rule is None else (rule.reason, inf if rule.expires is None else rule.expires - now)

    def is_allowed(self, peer: PeerId) -> bool:
        """Whether a rule allows exactly this peer."""
        return self.access.names_peers("allow") and self.access.of_peer("allow", peer, self._unix_time()) is not None

    # --- the four points; what each needs is handed in by the shells -------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """Whether anybody could be refused; else nothing needs to be asked."""
        return len(self.access) > 0 or self._allow_only or self.gate is not None

    def check_dial(self, peer: PeerId | None, address: Multiaddr) -> None:
        """Before a socket is made. Raises Denied."""
        if not self.is_active:
            return
        gate = self.gate
        ask = None if gate is None else lambda: gate.dial(peer, address)
        self._check("dial", peer, address, ask, f"dial of {address}")

    def check_accept(self, address: Multiaddr) -> None:
        """Before anything is read from who connected. Raises Denied."""
        if not self.is_active:
            return
        gate = self.gate
        ask = None if gate is None else lambda: gate.accept(address)
        self._check("accept", None, address, ask, f"connection from {address}")

    def check_secured(self, peer: PeerId, address: Multiaddr, direction: Literal["inbound", "outbound"]) -> None:
        """The peer is verified, and nothing was said on top yet. Raises Denied, or what `admission` raises."""
        if self.is_active:
            gate = self.gate
            ask = None if gate is None else lambda: gate.secured(peer, address, direction)
            self._check("secured", peer, address, ask, f"connection of {peer}")
        if self.admission is not None and direction == "inbound":
            self.admission(peer, address)

    def check_upgraded(self, connection: GatedConnection) -> None:
        """The connection is complete, and nothing of it was used yet. Raises Denied."""
        if not self.is_active:
            return
        gate = self.gate
        ask = None if gate is None else lambda: gate.upgraded(connection)
        peer = connection.peer_id
        self._check("upgraded", peer, connection.remote_address, ask, f"connection of {peer}")

    def objection(self, connection: GatedConnection) -> Denied | None:
        """Why an open connection has to go, by the rules as they are now; the gate is not asked again."""
        decision = self._decide(connection.peer_id, _ip_of(connection.remote_address))
        return None if decision.allowed else Denied(f"connection of {connection.peer_id}", rule=_named(decision))

    def _check(self, point: Point, peer: PeerId | None, address: Multiaddr, ask: Callable[[], bool] | None, scope: str) -> None:
        decision = self._decide(peer, _ip_of(address), peer_may_follow=peer is None)
        if not decision.allowed:
            self.refused[point] += 1
            raise Denied(scope, rule=_named(decision))
        if ask is not None and not self._passes(ask):
            self.refused[point] += 1
            raise Denied(scope, rule="gate")

    def _passes(self, ask: Callable[[], bool]) -> bool:
        try:
            return ask() is True  # a coroutine, or whatever else, is no yes
        except Exception as error:  # boundary: a bug in the application's gate refuses one connection, and is no open door
            if self.on_fault is not None:
                self.on_fault(error)
            return False

    def _decide(self, peer: PeerId | None, ip: str | None, *, peer_may_follow: bool = False) -> Decision:
        rules = self.access
        if len(rules):
            now = self._unix_time()
            rule = None if peer is None else rules.of_peer("allow", peer, now) or rules.of_peer("deny", peer, now)
            if rule is None and ip is not None:
                rule = rules.of_ip("allow", ip, now) or rules.of_ip("deny", ip, now)
            if rule is not None:
                return Decision(rule.kind == "allow", rule)
        if not self._allow_only or (peer_may_follow and rules.names_peers("allow")):
            return _OPEN
        return _CLOSED

    def _narrowed(self, subject: Subject | None) -> None:
        if self.on_narrowed is not None:
            self.on_narrowed(subject if isinstance(subject, PeerId) else None)


def _named(decision: Decision) -> str:
    return "allow only" if decision.rule is None else str(decision.rule)


def _subject(subject: AnySubject) -> Subject:
    if isinstance(subject, str):
        return parse_subject(subject)
    if not isinstance(subject, PeerId | IPv4Network | IPv6Network):
        raise LocalError(f"a rule is about a peer id, an IP address or a network, not about a {type(subject).__name__}")
    return subject


def _ip_of(address: Multiaddr) -> str | None:
    """The IP address of the peer itself: that of a relay says nothing about who is behind it."""
    return None if address.is_relayed else address.value_of("ip4") or address.value_of("ip6")


def _peer_and_ip(subject: AnySubject | Multiaddr) -> tuple[PeerId | None, str | None]:
    if isinstance(subject, str) and subject.startswith("/"):
        try:
            subject = Multiaddr.parse(subject)
        except ProtocolViolation as error:
            raise LocalError(str(error)) from error
    if isinstance(subject, Multiaddr):
        where, named = subject.split_peer()
        return None if named is None else PeerId.from_bytes(named), None if where is None else _ip_of(where)
    named_subject = _subject(subject)
    if isinstance(named_subject, PeerId):
        return named_subject, None
    if named_subject.prefixlen != named_subject.max_prefixlen:
        raise LocalError(f"{named_subject} is more than one address; ask about one of them")
    return None, str(named_subject.network_address)
