"""How reputation is counted, and from which score on something follows from it."""

from dataclasses import asdict, dataclass, fields
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationConfig:
    """Settings of the ledger. Times are seconds, scores go from -100 to 100. Raises ConfigInvalid."""

    half_life: float = 86_400.0
    """In which half of everything is forgotten, good and bad: long enough to outlast a night, short enough to forgive."""
    downtime_limit: float = 86_400.0
    """As much of the time between two runs counts as gone by: a clock that was set wrong meanwhile forgives nobody."""
    peers: int = 10_000
    """Peers in good standing that are remembered, some 1 KiB each; of 16 that were not heard of for long the one with least merit
    goes."""
    offenders: int = 10_000
    """Peers with a bad score, apart from the others, so that no crowd of fresh identities makes us forget them. The mildest goes,
    and only for a worse one."""
    subnets: int = 4096
    """IPv4 /24 and IPv6 /48 from which misbehaviour came; the mildest goes, and only for a worse one."""
    reliability_weight: float = 30.0
    """Points for success each time, and as many off for failure each time."""
    latency_weight: float = 15.0
    """Points for answers in an eighth of the time that is usual in the network, and as many off for eight times as much. With
    `reliability_weight` less than what `refuse_below` asks for: who is slow or away is chosen last, never refused."""
    sharing_weight: float = 20.0
    """Points for having given far more than it took; taking costs none, since serving is what nodes are for."""
    violation_cost: float = 10.0
    """Points off for each thing that no correct peer sends: five in a short time and its streams are refused, eight and it is
    denied, from a peer of whom nothing is known; one with merit has some more."""
    violations_limit: float = 20.0
    """More of them than that weigh no more: after two half-lives at most a peer's streams are taken again."""
    refuse_below: float = -50.0
    """With a lower score new streams of a peer are refused, with error code 0x1008."""
    deny_below: float = -80.0
    """With a lower score a peer is denied, until it has risen again."""
    deny_limit: float = 86_400.0
    """For so long at a time at most; with a score that is still too low it is denied again."""
    denied_peers: int = 1000
    """Rules of access control that are made for that, of the 10,000 there may be (`limits.access_rules`). A peer beyond them is
    denied as well, but only after it has proven its key."""
    newcomer_rate: float = 0.2
    """Identities of which nothing good is known that may come from one IPv4 /24 or IPv6 /48 per second in the long run, where
    misbehaviour came from there: divided by one more than the offences that are not forgotten yet."""
    newcomer_burst: int = 16
    """And that many at once, divided likewise, but one in any case."""

    def __post_init__(self) -> None:
        values = asdict(self)
        for field in fields(self):
            _check(field.name, values[field.name], whole=field.type is int, negative=field.name.endswith("_below"))
        if not -100 <= self.deny_below <= self.refuse_below:
            what = f"must be between -100 and `refuse_below` ({self.refuse_below:g}), but is {self.deny_below:g}"
            raise ConfigInvalid(what, key="reputation.deny_below")
        if self.reliability_weight + self.latency_weight >= -self.refuse_below:
            raise ConfigInvalid(
                "must be such that its sum with `latency_weight` is less than `refuse_below` is under 0, "
                "or who is only slow would be refused",
                key="reputation.reliability_weight",
            )


def _check(name: str, value: object, *, whole: bool, negative: bool) -> None:
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        raise ConfigInvalid(f"must be a {'whole ' if whole else ''}number, but is {value!r}", key=f"reputation.{name}")
    assert isinstance(value, int | float)
    if negative and not -100 <= value < 0:
        raise ConfigInvalid(f"must be below 0, and at least -100, but is {value!r}", key=f"reputation.{name}")
    if not negative and not 0 < value < float("inf"):
        raise ConfigInvalid(f"must be above 0, but is {value!r}", key=f"reputation.{name}")
