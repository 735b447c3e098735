"""Whose score is so low that something follows from it, and until when. A core."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.reputation.config import ReputationConfig
    from cortexnet.reputation.ledger import Ledger

Standing = Literal["good", "refused", "denied"]
"""Nothing follows; new streams are refused; connections too."""


@final
@dataclass(frozen=True, slots=True)
class Sentence:
    """What was found of a peer: how it stands, how it stood before, and when that is to be looked at again."""

    standing: Standing
    before: Standing
    score: float
    until: float


@final
class Standings:
    """The peers that are refused or denied, twice `offenders` at most.

    They are looked at when their ledger has changed, and when their time has come.
    """

    def __init__(self, config: "ReputationConfig", ledger: "Ledger") -> None:
        self._config = config
        self._ledger = ledger
        self._low: dict[PeerId, Sentence] = {}

    def __len__(self) -> int:
        return len(self._low)

    def __iter__(self) -> "Iterator[PeerId]":
        return iter(list(self._low))

    def of(self, peer: "PeerId") -> Standing:
        """How a peer stands, as was last found."""
        sentence = self._low.get(peer)
        return "good" if sentence is None else sentence.standing

    def sentence(self, peer: "PeerId") -> Sentence | None:
        """What was last found of a peer; None where nothing follows from that."""
        return self._low.get(peer)

    def judge(self, peer: "PeerId", now: float) -> Sentence:
        """Look at a peer anew."""
        config, before = self._config, self.of(peer)
        score = self._ledger.score(peer, now)
        standing: Standing = "good"
        if score < config.deny_below:
            standing = "denied"
        elif score < config.refuse_below:
            standing = "refused"
        if standing == "good":
            self._low.pop(peer, None)
            return Sentence(standing, before, score, now)
        level = config.deny_below if standing == "denied" else config.refuse_below
        until = now + max(1.0, self._ledger.recovers_in(peer, level, now, limit=config.deny_limit))
        sentence = self._low[peer] = Sentence(standing, before, score, until)
        if len(self._low) > 2 * config.offenders:
            self._forget_with_ledger()
        return sentence

    def _forget_with_ledger(self) -> None:
        """Drop those whom the ledger has dropped for worse ones: at least half, so that a crowd costs little for each."""
        self._low = {peer: sentence for peer, sentence in self._low.items() if self._ledger.is_bad(peer)}

    def due(self, now: float) -> "list[PeerId]":
        """Whose time has come: they are to be judged again."""
        return [peer for peer, sentence in self._low.items() if sentence.until <= now]
