"""Who is denied and who is allowed: rules by peer id and by network, with a reason and an end. Time is handed in.

A rule is one line of text, for files and logs: `deny 192.0.2.0/24 1767225600.0 floods us`, with `-` where it has no end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import isfinite
from typing import Literal, TypeAlias, final

from cortexnet.errors import LimitExceeded, LocalError, ProtocolViolation
from cortexnet.identity.peer_id import PeerId

Kind = Literal["deny", "allow"]
Subject: TypeAlias = PeerId | IPv4Network | IPv6Network

REASON_LIMIT = 256
"""Characters of a reason."""
_TEXT_LIMIT = 512
_MAPPED_PREFIX = 96  # IPv4 addresses as IPv6 writes them: ::ffff:0:0/96


def parse_subject(text: str) -> Subject:
    """The peer id, IP address or network (`192.0.2.0/24`, `2001:db8::/32`) of a text; bits behind the prefix are cleared.

    Raises LocalError.
    """
    if len(text) > _TEXT_LIMIT:
        raise LocalError(f"{len(text)} characters are too long for a peer id or a network")
    try:
        return _normal(ip_network(text, strict=False))
    except ValueError:
        pass
    try:
        return PeerId.parse(text)
    except ProtocolViolation as error:
        raise LocalError(f"neither a peer id nor an IP address or network: {text!r}") from error


def _normal(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """IPv4 written as IPv6 is IPv4. Wider networks of IPv6 hold none of it: `::/0` is all of IPv6 alone."""
    if isinstance(network, IPv4Network) or network.prefixlen < _MAPPED_PREFIX:
        return network
    mapped = network.network_address.ipv4_mapped
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of a list. Raises LocalError where the reason is not printable or above 256 characters, or the end no time."""

    kind: Kind
    subject: Subject
    reason: str = ""
    expires: float | None = None
    """In unix seconds; from then on it holds no more. None: it has no end."""

    def __post_init__(self) -> None:
        if self.kind not in ("deny", "allow"):
            raise LocalError(f"a rule denies or allows, it can't {self.kind!r}")
        if len(self.reason) > REASON_LIMIT or not self.reason.isprintable():
            raise LocalError(f"a reason is up to {REASON_LIMIT} printable characters, in one line")
        if not isinstance(self.subject, PeerId):
            object.__setattr__(self, "subject", _normal(self.subject))
        if self.expires is not None:
            if not isfinite(self.expires):
                raise LocalError(f"a rule can't end at {self.expires}")
            object.__setattr__(self, "expires", float(self.expires))

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """The rule that `str` made this text of. Raises LocalError."""
        kind, subject, expires, reason = [*text.split(" ", 3), "", "", ""][:4]
        if kind not in ("deny", "allow"):
            raise LocalError("a rule begins with 'deny' or 'allow'")
        try:
            end = None if expires == "-" else float(expires)
        except ValueError as error:
            raise LocalError("the third word of a rule is the time it ends, or '-'") from error
        return cls("deny" if kind == "deny" else "allow", parse_subject(subject), reason, end)

    def is_over(self, now: float) -> bool:
        """Whether it holds no more at `now`, in unix seconds."""
        return self.expires is not None and now >= self.expires

    def __str__(self) -> str:
        end = "-" if self.expires is None else repr(self.expires)
        return " ".join([self.kind, str(self.subject), end, *([self.reason] if self.reason else [])])


OnChange: TypeAlias = Callable[[Rule, bool], None]
"""Called with a rule and whether it came (True) or went (False)."""


@final
class AccessRules:
    """Up to `limit` rules, one of a kind for each subject.

    `on_change` is called at once for each rule that comes or goes; of a rule that takes the place of another, for the new one
    only. It must not raise.
    """

    def __init__(self, *, limit: int, on_change: OnChange | None = None) -> None:
        self.on_change = on_change
        self._limit = limit
        self._rules: dict[tuple[Kind, Subject], Rule] = {}
        self._networks: dict[tuple[Kind, int], _Networks] = {}  # by kind and IP version
        self._peers: dict[Kind, int] = {"deny": 0, "allow": 0}

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        """Every rule, the oldest first, those included that are over and not yet dropped; rules may change meanwhile."""
        return iter(tuple(self._rules.values()))

    def add(self, rule: Rule, now: float) -> None:
        """Take in a rule, in the place of one of its kind about the same subject. Raises LimitExceeded: there are too many."""
        key = (rule.kind, rule.subject)
        is_new = key not in self._rules
        if is_new and len(self._rules) >= self._limit:
            self.drop_expired(now)
            if len(self._rules) >= self._limit:
                value = len(self._rules) + 1
                raise LimitExceeded("access rules", limit=self._limit, value=value, setting="limits.access_rules")
        self._rules[key] = rule
        if isinstance(rule.subject, PeerId):
            self._peers[rule.kind] += is_new
        else:
            networks = self._networks.setdefault((rule.kind, rule.subject.version), _Networks(rule.subject.max_prefixlen))
            networks.add(rule.subject, rule)
        self._changed(rule, came=True)

    def remove(self, kind: Kind, subject: Subject) -> bool:
        """Drop the rule of this kind about exactly this subject; False where there is none."""
        if not isinstance(subject, PeerId):
            subject = _normal(subject)
        rule = self._rules.pop((kind, subject), None)
        if rule is None:
            return False
        if isinstance(subject, PeerId):
            self._peers[kind] -= 1
        else:
            self._networks[kind, subject.version].remove(subject)
        self._changed(rule, came=False)
        return True

    def drop_expired(self, now: float) -> None:
        """Drop what is over. Takes time linear in the number of rules; lookups pass over such rules anyway."""
        for rule in self:
            if rule.is_over(now):
                self.remove(rule.kind, rule.subject)

    def names_peers(self, kind: Kind) -> bool:
        """Whether there is a rule of this kind about any peer, also one that is over."""
        return self._peers[kind] > 0

    def of_peer(self, kind: Kind, peer: PeerId, now: float) -> Rule | None:
        """The rule of a kind about a peer."""
        rule = self._rules.get((kind, peer))
        return None if rule is None or rule.is_over(now) else rule

    def of_ip(self, kind: Kind, ip: str, now: float) -> Rule | None:
        """The rule of a kind about the smallest network that holds an IP address.

        Takes as many steps as there are prefix lengths among the rules. Raises LocalError where `ip` is no IP address.
        """
        version, number = _numbered(ip)
        networks = self._networks.get((kind, version))
        return None if networks is None else networks.find(number, now)

    def _changed(self, rule: Rule, *, came: bool) -> None:
        if self.on_change is not None:
            self.on_change(rule, came)


@final
class _Networks:
    """Rules by network, of one version of IP."""

    __slots__ = ("_by_shift", "_width")

    def __init__(self, width: int) -> None:
        self._width = width
        self._by_shift: dict[int, dict[int, Rule]] = {}  # the smallest networks first: these are asked first

    def add(self, network: IPv4Network | IPv6Network, rule: Rule) -> None:
        shift = self._width - network.prefixlen
        if shift not in self._by_shift:
            self._by_shift[shift] = {}
            self._by_shift = dict(sorted(self._by_shift.items()))
        self._by_shift[shift][int(network.network_address) >> shift] = rule

    def remove(self, network: IPv4Network | IPv6Network) -> None:
        shift = self._width - network.prefixlen
        rules = self._by_shift[shift]
        del rules[int(network.network_address) >> shift]
        if not rules:
            del self._by_shift[shift]

    def find(self, number: int, now: float) -> Rule | None:
        for shift, rules in self._by_shift.items():
            rule = rules.get(number >> shift)
            if rule is not None and not rule.is_over(now):
                return rule
        return None


@lru_cache(maxsize=1024)  # asked at several points of one connection, and 20 µs each
def _numbered(ip: str) -> tuple[int, int]:
    """The version and the number of an IP address; IPv4 written as IPv6 is IPv4, a zone is left out."""
    try:
        address = ip_address(ip)
    except ValueError as error:
        raise LocalError(f"not an IP address: {ip!r}") from error
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)
