"""The peers around a key: the k nearest, and where these are nearer than chance allows, the others of the region as well.

Somebody may have made ids for the key, to swallow what is stored there. He does not own the region: see `lookup/density.py`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.explore import Explore
from cortexnet.kad.engine.walk import OnReply, Walk
from cortexnet.kad.lookup.density import at_most, is_too_dense, outside_crowd, region_of

if TYPE_CHECKING:
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.messages import Message
    from cortexnet.kad.routing.contact import Contact


@final
class Near:
    """Asks `message` of ever closer peers, and explores the region if need be. Runs until `on_done(now)`, or until `stop`."""

    def __init__(
        self,
        engine: "Engine",
        message: "Message",
        now: float,
        on_done: Callable[[float], None],
        *,
        on_reply: OnReply | None = None,
        on_step: Callable[[float], None] | None = None,
    ) -> None:
        self._engine = engine
        self._on_done = on_done
        self._explore: Explore | None = None
        self.walk = Walk(engine, message, now, self._walked, on_reply=on_reply, on_step=on_step)
        self.others: list[Contact] = []
        """Of the region, besides the k nearest, where it had to be explored."""

    def start(self, now: float) -> None:
        """Send the first requests."""
        self.walk.start(now)

    @property
    def closest(self) -> "list[Contact]":
        """The k nearest."""
        return self.walk.closest

    def _walked(self, now: float) -> None:
        engine, lookup = self._engine, self.walk.lookup
        closest, size = lookup.closest, engine.network_size_at_most(now)
        if size is None or not is_too_dense(lookup.target, closest, size, engine.config.k):
            self._on_done(now)
            return
        region = region_of(lookup.target, size, engine.config.k)
        accept = outside_crowd(lookup.target, closest, size, engine.config.k)
        self._explore = Explore(engine, region, now, self._explored, seeds=lookup.answered, accept=accept)
        self._explore.start(now)

    def _explored(self, explore: Explore, now: float) -> None:
        closest = {contact.peer_id: None for contact in self.walk.closest}
        found = at_most(explore.contacts, self.walk.lookup.target)
        self.others = [contact for contact in found if contact.peer_id not in closest]
        self._on_done(now)

    def stop(self) -> None:
        """End it without a word; its requests are given up."""
        self.walk.stop()
        if self._explore is not None:
            self._explore.stop()
