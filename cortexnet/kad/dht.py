"""The DHT node as one pure core: actions out, answers in, time handed in. A shell or a simulation drives it.

After every call the driver carries out `take_actions()`, and calls `handle_timeout` at `next_timeout()`.

Spec: libp2p/specs kad-dht.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.actions import Action
from cortexnet.kad.contact import Contact
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.messages import Message
from cortexnet.kad.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


@final
class Dht:
    """One DHT: routing table, stores, server, lookups and upkeep.

    `own` gives this node's contact as it is now (its id, the addresses that others shall hear of). `accept` is the query filter:
    whether a contact heard of may be asked. `groups` gives the IP groups under which a contact enters the routing table, None to
    keep it out (kad.filters). `keep_addresses` filters addresses in what is heard. Nothing happens before `start`.
    """

    def __init__(
        self,
        own: "Callable[[], Contact]",
        *,
        config: DhtConfig,
        random: "Random",
        validators: "object",
        values: "object | None" = None,
        providers: "object | None" = None,
        accept: "Callable[[Contact], bool] | None" = None,
        groups: "Callable[[Contact], Sequence[object] | None] | None" = None,
        keep_addresses: "Callable[[Contact], Contact] | None" = None,
    ) -> None: ...

    # Life

    def start(self, now: float, unix_now: float) -> None:
        """Begin the upkeep: bootstrap, refresh, checks, republishing, expiry."""

    def close(self) -> None:
        """Cancel every operation and the upkeep. No timer is left; the `Cancel`s can still be taken."""

    def set_clock(self, now: float, unix_now: float) -> None:
        """What wall time it is at `now`; `start` and `answer` tell it too. To be called where the wall clock was set."""

    # What others do

    def answer(self, sender: PeerId, message: Message, now: float, unix_now: float) -> Message | None:
        """The answer to a request; None for ADD_PROVIDER. Raises ProtocolViolation, InvalidRecord: reset the stream."""

    def candidate(self, contact: Contact, is_server: bool, now: float) -> None:
        """Somebody was identified, or identified anew, with or without the DHT's protocol. A server is probed by FIND_NODE(its
        own id), and enters the table when it answers; one that is no server leaves it."""

    def gone(self, peer_id: PeerId) -> None:
        """The peer no longer speaks the protocol: it leaves the table and the cache."""

    def dial_failed(self, peer_id: PeerId, now: float) -> None:
        """A dial for some other purpose has failed: the peer leaves the table and the cache."""

    # What the driver does

    def take_actions(self) -> list[Action]:
        """What is to be done now, in this order. Each is given once."""

    def on_answer(self, request_id: int, message: Message | None, now: float, rtt: float | None = None) -> None:
        """A request was answered, or (None) one that expects no answer was written. Late and second ones are ignored."""

    def on_failure(self, request_id: int, now: float) -> None:
        """A request failed: no dial succeeded, the stream broke, the answer was no answer, its time is over."""

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is to be called; None: not until something else happens."""

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""

    # Operations. Each returns at once; its requests are in `take_actions`.

    def closest(self, key: bytes, now: float) -> "Operation[list[Contact]]":
        """The k contacts nearest to the position of `key` (a binary peer id, a record key, a multihash), nearest first."""

    def find_peer(self, peer_id: PeerId, now: float) -> "Operation[Contact | None]":
        """The contact of a peer with every address heard; ends early when the peer itself answers. Tells PeerFound as soon as
        there is an address: whoever reaches it may cancel. None: nobody knows it."""

    def put_value(self, key: bytes, value: bytes, now: float, *, republish: bool = True) -> "Operation[int]":
        """Store a value with the k nearest; the result is how many took it. Raises InvalidRecord where it is invalid or worse
        than what this node knows. `republish`: again each `value_interval`, until `forget_value`."""

    def get_value(self, key: bytes, now: float, *, quorum: int = 0) -> "Operation[bytes | None]":
        """The best value. It stops after more than `quorum` answers; 0 asks everybody near and then corrects those of the k
        nearest that lacked the best. Each better one is told as ValueFound at once."""

    def provide(self, key: bytes, now: float, *, reprovide: bool = True) -> "Operation[int]":
        """Announce this node as a provider of a multihash; the result is how many peers were told."""

    def find_providers(self, key: bytes, now: float, *, limit: int = 0) -> "Operation[list[Contact]]":
        """Providers of a multihash, told as ProviderFound when they are found. `limit` 0: run to completion."""

    def provide_many(self, keys: Sequence[bytes], now: float, *, reprovide: bool = True) -> "Operation[dict[bytes, int]]":
        """`provide` by regions: each region of the key space is explored once. The result counts peers told, by key."""

    def put_many(self, values: Mapping[bytes, bytes], now: float, *, republish: bool = True) -> "Operation[dict[bytes, int]]":
        """`put_value` by regions."""

    def get_many(self, keys: Sequence[bytes], now: float) -> "Operation[dict[bytes, bytes]]":
        """`get_value` by regions; keys without a value are left out."""

    def find_providers_many(self, keys: Sequence[bytes], now: float) -> "Operation[dict[bytes, list[Contact]]]":
        """`find_providers` by regions; every key is in the result."""

    def list_namespace(self, namespace: str, bits: int, now: float) -> "Operation[list[bytes]]":
        """Every key of a namespace whose names have `bits` prefix bits (LIST_PREFIX; private prefixes only)."""
