"""What the router remembers of one peer and of one topic."""

from hashlib import sha256
from typing import TYPE_CHECKING, final

from cortexnet.gossip.config import FLOODSUB, GOSSIPSUB_10, GOSSIPSUB_11, GOSSIPSUB_12, GOSSIPSUB_13
from cortexnet.gossip.strangers import Strangers

if TYPE_CHECKING:
    from cortexnet.gossip.messages import Prune
    from cortexnet.identity.peer_id import PeerId

_AGE = {FLOODSUB: 0, GOSSIPSUB_10: 1, GOSSIPSUB_11: 2, GOSSIPSUB_12: 3, GOSSIPSUB_13: 4}
_LONG_ID = 48  # bytes above which the hash of an unwanted id is remembered: default ids have 46, and are looked up for each copy


@final
class Peer:
    """One neighbour: what it understands, what it wants, and what it has done since the last heartbeat.

    Hashed and compared as an object: there is one of these for each peer.
    """

    __slots__ = (
        "asked",
        "beats_unopened",
        "has_extensions",
        "has_idontwant",
        "has_mesh",
        "has_px",
        "has_spoken",
        "id",
        "idontwant_count",
        "ihave_count",
        "is_direct",
        "is_open",
        "is_outbound",
        "px_count",
        "raw",
        "topics",
        "unwanted",
        "wants_test",
        "was_open",
    )

    def __init__(self, peer_id: "PeerId") -> None:
        self.id = peer_id
        self.raw = bytes(peer_id)
        self.is_open = False
        """Whether our stream to it is open: what is sent before would go nowhere."""
        self.was_open = False
        """Whether an earlier one was: then it may believe what was true then."""
        self.beats_unopened = 0
        """Heartbeats for which it was in a mesh, and our stream not open."""
        self.is_outbound = False
        """Whether we dialed it."""
        self.is_direct = False
        self.has_mesh = self.has_px = self.has_idontwant = self.has_extensions = False
        self.topics: dict[str, None] = {}
        """What it subscribed to."""
        self.has_spoken = False
        """Whether the first RPC of its stream has come: extensions are told in that one only."""
        self.wants_test = False
        """Whether it announced the test extension."""
        self.ihave_count = self.idontwant_count = self.asked = self.px_count = 0
        self.unwanted: list[dict[bytes, None]] = []
        """What it said by IDONTWANT, one dict for each heartbeat, the newest last."""

    def open(self, protocol: str, *, outbound: bool) -> None:
        """Our stream to it is open, and speaks `protocol`, which fixes what may be said on it."""
        age = _AGE[protocol]
        self.is_open = True
        self.beats_unopened = 0
        self.is_outbound = outbound
        self.has_mesh = age >= 1
        self.has_px = age >= 2
        self.has_idontwant = age >= 3
        self.has_extensions = age >= 4

    def close(self) -> None:
        """Our stream to it is gone."""
        self.is_open = self.is_outbound = False
        self.was_open = True
        self.has_mesh = self.has_px = self.has_idontwant = self.has_extensions = False
        self.unwanted = []

    def is_unwilling(self, message_id: bytes) -> bool:
        """Whether it has said that it does not want this message."""
        key = unwanted_key(message_id)
        for ids in self.unwanted:  # noqa: SIM110 - asked for each copy, and `any` takes four times as long
            if key in ids:
                return True
        return False

    @property
    def unwanted_count(self) -> int:
        """Ids that it does not want."""
        return sum(map(len, self.unwanted))

    def reset_counts(self) -> None:
        """A heartbeat has passed."""
        self.ihave_count = self.idontwant_count = self.asked = self.px_count = 0


def unwanted_key(message_id: bytes) -> bytes:
    """What an unwanted id is remembered by; never more than 48 bytes, however long the ids of a peer are."""
    return message_id if len(message_id) <= _LONG_ID else sha256(message_id).digest()


@final
class Topic:
    """One topic: who wants it, and whom we exchange its messages with."""

    __slots__ = ("_aside", "fanout", "is_joined", "last_published", "mesh", "name", "strangers", "subscribers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscribers: dict[Peer, None] = {}
        self.is_joined = False
        self.mesh: dict[Peer, None] = {}
        """With whom we exchange messages, where we have joined."""
        self.strangers = Strangers()
        """How many that have shown nothing the mesh takes."""
        self.fanout: dict[Peer, None] = {}
        """To whom we publish without having joined."""
        self.last_published: float | None = None
        """When we did so last; None: not of late."""
        self._aside: list[Peer] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not self.subscribers and not self.is_joined and self.last_published is None

    def change(self) -> None:
        """Somebody came or went, or is of another kind now."""
        self._aside = None

    def aside(self) -> list[Peer]:
        """Subscribers who get every message outside of any mesh: direct peers, and those that know no mesh."""
        if self._aside is None:
            self._aside = [peer for peer in self.subscribers if peer.is_open and (peer.is_direct or not peer.has_mesh)]
        return self._aside


@final
class Kept:
    """What had no room in a peer's queue, or was forgotten there: said again at the next heartbeat, as far as it is true then."""

    __slots__ = ("grafts", "prunes", "subscriptions")

    def __init__(self) -> None:
        self.grafts: dict[str, None] = {}
        self.prunes: dict[str, Prune] = {}
        self.subscriptions: dict[str, None] = {}
