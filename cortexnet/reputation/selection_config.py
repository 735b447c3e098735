"""How peers are chosen, and when a request is tried a second time elsewhere."""

from dataclasses import asdict, dataclass
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """Settings of `node.selection`. Times are seconds. Raises ConfigInvalid."""

    exploration: float = 0.03
    """Share of the choices that fall on anybody: who was slow once is asked again some time, and newcomers get a chance."""
    hedges: float = 0.1
    """Second tries for each request, in the long run: where the whole network is slow, its load grows by a tenth at most."""
    hedge_burst: int = 10
    """Second tries that were saved up at most, as after a quiet while; there are as many at the start."""
    hedge_least: float = 0.01
    """No second try is made sooner: less is what a busy event loop is late by, on either side."""
    hedge_default: float = 1.0
    """When it is made with a peer of whom no response time is known: longer than a dial and an answer from afar take."""
    tries: int = 3
    """Peers that one request goes to at most, second tries and those after failures together."""
    remembered: int = 2048
    """Peers and purposes whose response times are remembered, some 1 KiB each; the least recently used goes."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            objection = _objection(value, whole=name in _WHOLE, share=name in _SHARES)
            if objection:
                raise ConfigInvalid(f"must be {objection}, but is {value!r}", key=f"selection.{name}")


_WHOLE = ("hedge_burst", "tries", "remembered")
_SHARES = ("exploration", "hedges")


def _objection(value: object, *, whole: bool, share: bool) -> str:
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        return "a whole number" if whole else "a number"
    assert isinstance(value, int | float)
    if share:
        return "" if 0 <= value <= 1 else "from 0 to 1"
    if whole:
        return "" if value >= 1 else "at least 1"
    return "" if 0 < value < float("inf") else "above 0"
