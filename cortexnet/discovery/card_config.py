"""What a node says about itself on its card, and how it asks others for theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid
from cortexnet.identity.card import LIFETIME_LIMIT, CardDetails


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class CardConfig:
    """Settings of node cards. Times are seconds. Raises ConfigInvalid.

    With nothing to say a node has no card, and does not speak the protocol; it can ask others all the same.
    """

    capabilities: Sequence[str] = ()
    """What this node can do, at most 32: names of lower-case letters, digits and `._+:/-`, such as "gpu" or "model/llama-3". The
    DHT is told of each, so that `node.find` finds this node by it."""
    region: str = ""
    """Where this node is: a geohash of at most 4 characters (two: 1,250 km by 625 km; four: 39 km by 20 km). Nothing: nobody is
    told; it is never guessed."""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Whatever else it says: at most 32 pairs of texts, 2 KiB together. Everybody can read it."""
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    """What it takes at most, at most 16: names as those of capabilities, and whole numbers, in units that the name tells."""
    lifetime: int = 86_400
    """How long a card counts, at most 30 days. It is signed anew at half of that; what is wrong on it is over by then."""
    clock_skew: float = 300.0
    """By how much the clock of another node may differ from ours: cards that have expired, or begin, within that count."""
    timeout: float = 20.0
    """How long to wait for a card, a dial included."""
    cache_time: float = 600.0
    """How long a card is not asked for again. A card that has changed is noticed after that, or with `fresh`."""
    cache_size: int = 1_024
    """Cards that are kept, of 8 KiB at most each; the one used longest ago goes first."""
    request_rate: float = 0.1
    """How often a second one peer may ask for our card in the long run: once in `cache_time` is what it needs."""
    request_burst: int = 10
    """How often at once: programs that start again and again, and `fresh`."""
    find_peers: int = 200
    """Peers of one search that are looked at: where nearly all are in another region, it ends there."""
    find_at_once: int = 8
    """Peers of one search that are asked for their cards at once: of those that were announced many may be gone."""

    def __post_init__(self) -> None:
        details = self.details  # its own copies, and checked
        object.__setattr__(self, "capabilities", details.capabilities)
        object.__setattr__(self, "metadata", details.metadata)
        object.__setattr__(self, "limits", details.limits)
        values = asdict(self)
        for each in fields(self):
            if each.type in (int, float):
                _check(each.name, values[each.name], whole=each.type is int)
        if self.lifetime > LIFETIME_LIMIT:
            raise ConfigInvalid(f"must be at most {LIFETIME_LIMIT}, but is {self.lifetime}", key="card.lifetime")

    @property
    def details(self) -> CardDetails:
        """What the card says at the start. Raises ConfigInvalid."""
        return CardDetails(capabilities=self.capabilities, region=self.region, metadata=self.metadata, limits=self.limits)


def _check(name: str, value: object, *, whole: bool) -> None:
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        raise ConfigInvalid(f"must be a {'whole ' if whole else ''}number, but is {value!r}", key=f"card.{name}")
    assert isinstance(value, int | float)
    if not 0 < value < float("inf"):
        raise ConfigInvalid(f"must be above 0, but is {value!r}", key=f"card.{name}")
