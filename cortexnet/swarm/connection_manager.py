"""The connection manager: which connections are worth keeping, and which peers must stay connected. A shell.

There are two bounds. `limits.connections` and its kin are hard: beyond them newcomers are refused, whoever they are, for who
they are is only known after a handshake that a full node can't afford. The watermarks lie below: above the high one the least
valuable connections are closed until the low one is reached, so that there is room for newcomers.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, final

from cortexnet.admission.limits import Limits
from cortexnet.errors import LimitExceeded, LocalError, NotRunning
from cortexnet.identity.peer_id import PeerId, peer_of
from cortexnet.multiformats.multiaddr import Multiaddr, addresses_of
from cortexnet.swarm.dial_plan import shown
from cortexnet.swarm.manager_config import ConnectionManagerConfig
from cortexnet.swarm.manager_events import ManagerEvent, NetworkChanged
from cortexnet.swarm.tags import Bump, Fading, Tags, add
from cortexnet.swarm.upkeep import Identified, Rules, Upkeep
from cortexnet.swarm.warm_set import Key, WarmSet

if TYPE_CHECKING:
    from cortexnet.swarm.swarm import Swarm
    from cortexnet.transport.scope import Scope

KEPT = "kept"
"""The name under which kept peers are protected."""


@final
class ConnectionManager:
    """`node.manager`: says what connections are worth, and keeps peers connected. Usable before the start.

    A peer is worth the sum of its tags. Peers are named by their id, or its text. A tag that is set on a peer without connection
    is forgotten a quarter of an hour later, unless the peer is protected.
    """

    def __init__(self, own_id: PeerId, config: ConnectionManagerConfig, limits: Limits, *, random: Random | None = None) -> None:
        """`random` draws how far apart dials of lost peers are. Raises ConfigInvalid for watermarks that don't fit the limits."""
        self._own_id = own_id
        self._tags = Tags(limits)
        self._warm = WarmSet(
            limit=limits.kept_peers,
            address_limit=limits.dial_addresses_per_peer,
            first=config.retry_first,
            longest=config.retry_longest,
            random=random or Random(),
        )
        self._names: dict[Key, str] = {}
        self._rules = Rules(config, config.watermarks(limits), limits, self._tags, self._warm, self._names, self._tell)
        self._upkeep: Upkeep | None = None
        self.observers: list[Callable[[ManagerEvent], None]] = []
        """Of the node itself: called with what the manager does of its own accord, synchronously; they must not raise. The
        application is told by `Node.events`."""

    # --- what peers are worth ----------------------------------------------------------------------------------------------

    def tag(self, peer: PeerId | str, name: str, value: float) -> None:
        """Let the tag `name` of a peer be worth `value`, which may be negative.

        Raises LocalError for a tag that was declared as fading, and for what is no finite number; LimitExceeded.
        """
        self._tags.set(peer_of(peer), name, value, self._now())

    def untag(self, peer: PeerId | str, name: str) -> None:
        """Take the tag away; nothing happens where there is none."""
        self._tags.remove(peer_of(peer), name, self._now())

    def fading(self, name: str, fading: Fading, bump: Bump = add) -> None:
        """Let `name` be a tag that fades: by `HalfLife(seconds)`, or `FixedSteps(step, interval)`.

        `bump` makes the new value of what is left of the old one and the amount; as it stands, their sum. It must not raise.
        Raises LocalError where `name` fades already.
        """
        self._tags.declare(name, fading, bump)

    def bump(self, peer: PeerId | str, name: str, amount: float = 1.0) -> None:
        """Give the fading tag of a peer `amount` more. Raises LocalError for a tag that does not fade, LimitExceeded."""
        self._tags.bump(peer_of(peer), name, amount, self._now())

    def value(self, peer: PeerId | str) -> float:
        """What a peer is worth now: the sum of its tags, 0 for one without."""
        return self._tags.value(peer_of(peer), self._now())

    def tags(self, peer: PeerId | str) -> dict[str, float]:
        """A peer's tags, those that fade at what is left of them."""
        return self._tags.of(peer_of(peer), self._now())

    # --- who must not go ---------------------------------------------------------------------------------------------------

    def protect(self, peer: PeerId | str, name: str) -> None:
        """Never trim connections of this peer, until `unprotect` with the same name: several callers don't disturb each other.

        The hard limits, `node.disconnect` and the peer itself may still end them. Raises LimitExceeded.
        """
        self._tags.protect(peer_of(peer), name, self._now())

    def unprotect(self, peer: PeerId | str, name: str) -> bool:
        """End what `protect` began; whether the peer is protected under another name."""
        return self._tags.unprotect(peer_of(peer), name, self._now())

    def is_protected(self, peer: PeerId | str, name: str | None = None) -> bool:
        """Whether the peer is protected, under `name` or any; kept peers are."""
        found = peer_of(peer)
        return self._tags.is_protected(found, name) or (name is None and self._warm.is_kept(found))

    # --- who must stay connected -------------------------------------------------------------------------------------------

    def keep(self, peer: PeerId | str, addresses: Iterable[Multiaddr | str] = ()) -> None:
        """Keep this peer connected until `forget`: protect it, dial it now or at the start, and again whenever it is lost.

        It is dialed at these addresses and at those the node knows besides. A dial that fails is tried again after some seconds,
        later each minute (`retry_first`, `retry_longest`). A second call adds addresses. `node.disconnect` alone does not end it:
        the peer is dialed again. Raises LocalError, also for our own id, LimitExceeded.
        """
        found = peer_of(peer)
        if found == self._own_id:
            raise LocalError("that is our own peer id: a node does not keep itself; two nodes with one key are one to all others")
        parsed = addresses_of("addresses", addresses)
        self._tags.protect(found, KEPT, self._now())
        try:
            self._keep(found, parsed)
        except LimitExceeded:
            self._tags.unprotect(found, KEPT, self._now())
            raise

    def keep_address(self, address: Multiaddr) -> Key | None:
        """The same for whoever answers at an address, which is how bootstrap nodes are named; see `keep`.

        Where the address names a peer, that one is kept, and returned; where it names us, nobody is.
        """
        where, named = address.split_peer()
        key: Key = address if named is None else PeerId.from_bytes(named)
        if key == self._own_id:
            return None
        if isinstance(key, Multiaddr):
            self._keep(key, ())
        else:
            self.keep(key, [] if where is None else [where])
        self._names.setdefault(key, f"bootstrap peer {shown(address)}")
        return key

    def _keep(self, key: Key, addresses: Iterable[Multiaddr]) -> None:
        upkeep = self._upkeep
        is_connected = upkeep is not None and isinstance(key, PeerId) and upkeep.is_connected(key)
        self._warm.keep(key, addresses, self._now(), is_connected=is_connected)
        if upkeep is not None:
            upkeep.wake()

    def forget(self, peer: PeerId | str) -> None:
        """End what `keep` began; connections stay. Nothing happens where the peer is not kept."""
        found = peer_of(peer)
        if found in self._warm:
            self._warm.forget(found)
            self._names.pop(found, None)
            self._tags.unprotect(found, KEPT, self._now())
            if self._upkeep is not None:
                self._upkeep.forget(found)

    @property
    def kept(self) -> list[PeerId]:
        """Who is kept by id: bootstrap nodes that were named so too."""
        return [key for key in self._warm if isinstance(key, PeerId)]

    @property
    def kept_count(self) -> int:
        """How many are kept, those included that are known by an address alone."""
        return len(list(self._warm))

    # --- at once -----------------------------------------------------------------------------------------------------------

    async def trim(self) -> int:
        """Close connections down to the low watermark now, whether the high one is passed or not; how many were closed.

        Protected peers and those within their grace stay. Raises NotRunning. Cancelled: those chosen are aborted.
        """
        return await self._running().trim()

    def network_changed(self, change: NetworkChanged | None = None) -> None:
        """The network is another one, or the machine has slept: see to it that connections which died are noticed soon.

        The node finds that out itself (`watch_interval`); this is for who is told by the system. Connections from a local address
        that is gone end, all others have 5 s (`limits.probe_timeout`) to let us hear something, failed dials are forgotten, and
        kept peers are dialed at once. Raises NotRunning.
        """
        self._running().network_changed(change or NetworkChanged())

    # --- with the node -----------------------------------------------------------------------------------------------------

    def start(self, swarm: "Swarm", scope: "Scope", identified: Identified) -> Upkeep:
        """The node has started: whoever is kept is dialed. Its swarm is to tell the upkeep of its connections."""
        self._upkeep = Upkeep(self._rules, swarm, scope, identified)
        return self._upkeep

    def stop(self) -> None:
        """The node is closing."""
        if self._upkeep is not None:
            self._upkeep.stop()
            self._upkeep = None

    def _running(self) -> Upkeep:
        if self._upkeep is None:
            raise NotRunning("the node is not running: use it inside `async with node`")
        return self._upkeep

    def _now(self) -> float:
        return 0.0 if self._upkeep is None else self._upkeep.now

    def _tell(self, event: ManagerEvent) -> None:
        for observer in self.observers:
            observer(event)
