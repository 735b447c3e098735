"""Which peers are to stay connected for their score's sake. A core.

Who is among them changes slowly: a peer has to be clearly better than another to take its place, and nobody is exchanged who has
only just come in, or two that are alike would take turns, each time at the price of a connection.
"""

from collections.abc import Iterator, Mapping
from typing import final

from cortexnet.identity.peer_id import PeerId

LEAST = 15.0
"""Points that a peer needs: what comes of a dozen answers without a failure. Nobody is kept for having been seen once."""
MARGIN = 10.0
"""Points by which it has to be better than whom it replaces, and may fall below `LEAST` before it goes."""
STAY = 600.0
"""Seconds for which a favourite is not replaced: some rounds of asking, so that its score says something."""


@final
class Favourites:
    """At most `count` of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._since: dict[PeerId, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[PeerId]:
        return iter(self._since)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._since

    def drop(self, peer: PeerId) -> None:
        """It is none any more; nothing happens where it was none."""
        self._since.pop(peer, None)

    def look(self, scores: Mapping[PeerId, float], now: float) -> tuple[list[PeerId], list[PeerId]]:
        """Who becomes one, and who is one no more. `scores` are of all that may be one; one that is missing there goes.

        Places that are free go to the best. Where there are none, the best of the others may take that of the worst, one a look.
        """
        gone = [peer for peer in self._since if scores.get(peer, -LEAST) < LEAST - MARGIN]
        for peer in gone:
            del self._since[peer]
        others = sorted((peer for peer in scores if peer not in self._since and scores[peer] >= LEAST), key=scores.__getitem__)
        new: list[PeerId] = []
        while others and len(self._since) < self._count:
            new.append(others.pop())
            self._since[new[-1]] = now
        replaceable = [peer for peer, since in self._since.items() if now >= since + STAY]
        if others and replaceable:
            worst = min(replaceable, key=scores.__getitem__)
            if scores[others[-1]] > scores[worst] + MARGIN:
                gone.append(worst)
                new.append(others[-1])
                del self._since[worst]
                self._since[new[-1]] = now
        return new, gone
