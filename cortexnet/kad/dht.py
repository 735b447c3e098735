"""The DHT node as one pure core: actions out, answers in, time handed in. A shell or a simulation drives it.

    dht.start(now, unix_now)
    operation = dht.find_providers(key, now)
    for action in dht.take_actions(): ...       # after every call: Send, Cancel, ContactsWanted
    dht.on_answer(id, message, now)             # of each Send, or on_failure
    dht.handle_timeout(now)                     # at next_timeout()

No call enters another: what an operation's `on_change` is told, it may not answer by calling the Dht.

Spec: libp2p/specs kad-dht.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar, final

from cortexnet.errors import InvalidRecord, LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.actions import Action
from cortexnet.kad.engine.engine import Engine, Filters
from cortexnet.kad.engine.operation import Operation
from cortexnet.kad.engine.requests import Request
from cortexnet.kad.lookup.lookup import LookupConfig
from cortexnet.kad.many.ask_many import AskMany
from cortexnet.kad.many.each import Work
from cortexnet.kad.many.get_many import ManyProviders, ManyValues
from cortexnet.kad.many.list_names import ListNames
from cortexnet.kad.many.store_many import StoreMany
from cortexnet.kad.messages import KEY_SIZE_LIMIT, Message, Type
from cortexnet.kad.operations.closest import ClosestPeers, FindPeer
from cortexnet.kad.operations.find_providers import FindProviders
from cortexnet.kad.operations.get_value import GetValue
from cortexnet.kad.operations.store_near import StoreNear, provide_message, put_message
from cortexnet.kad.records import namespaces
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.records import Validators
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing import key as keys
from cortexnet.kad.routing.cache import RoutingCache
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.diversity import Diversity
from cortexnet.kad.routing.network_size import NetworkSize
from cortexnet.kad.routing.routing_table import RoutingTable
from cortexnet.kad.server.server import PROVIDER_KEY_LIMIT, Server
from cortexnet.kad.upkeep.admission import Admission
from cortexnet.kad.upkeep.maintenance import Maintenance
from cortexnet.kad.upkeep.reprovide import ReprovideSchedule
from cortexnet.kad.upkeep.reproviding import Reproviding
from cortexnet.kad.upkeep.republish import OwnValues

if TYPE_CHECKING:
    from random import Random


REFUSABLE = (Type.PUT_VALUE, Type.ADD_PROVIDER, Type.LIST_PREFIX)
"""A peer may have its reasons not to take a record, or not know what is asked, and is none the worse for it."""

Result = TypeVar("Result")


@final
class Dht:
    """One DHT: routing table, stores, server, lookups and upkeep.

    `own` gives this node's contact as it is now: its id, which stays, and the addresses that others shall hear of. Stores that
    are given may hold what an earlier run has kept. `diversity` bounds who is in the table from one network; None: nothing does.
    `worth` says of peers of one bucket whom to give up first. Nothing happens before `start`.
    """

    def __init__(
        self,
        own: Callable[[], Contact],
        *,
        config: DhtConfig,
        random: "Random",
        validators: Validators,
        values: ValueStore | None = None,
        providers: ProviderStore | None = None,
        filters: Filters | None = None,
        diversity: Diversity | None = None,
        worth: Callable[[PeerId], float] | None = None,
    ) -> None:
        own_id = own().peer_id
        self.table = RoutingTable(keys.position(bytes(own_id)), bucket_size=config.k, diversity=diversity, worth=worth)
        self.values = values if values is not None else ValueStore()
        self.providers = providers if providers is not None else ProviderStore()
        self.cache = RoutingCache()
        self.size = NetworkSize(self.table)
        self._engine = Engine(
            own=own,
            own_id=own_id,
            config=config,
            random=random,
            table=self.table,
            values=self.values,
            providers=self.providers,
            validators=validators,
            cache=self.cache,
            size=self.size,
            filters=filters if filters is not None else Filters(),
            lookup_config=lookup_config(config),
        )
        self._requests = self._engine.requests
        self._timers = self._engine.timers
        self._admission = Admission(self._engine, self._table_changed)
        self._own_values = OwnValues(self._engine, self._put_again)
        self._reproviding = Reproviding(self._engine, self._provide_again)
        self._maintenance = Maintenance(self._engine, self._admission)
        self._server = self._made_server()
        self._running: dict[int, Callable[[], None]] = {}

    def _made_server(self) -> Server:
        engine, filters = self._engine, self._engine.filters
        return Server(
            engine.own,
            self.table,
            self.values,
            self.providers,
            engine.validators,
            random=engine.random,
            k=engine.config.k,
            contact_of=filters.contact_of,
            keep_addresses=filters.keep_addresses,
            group_of=filters.group_of,
            position=engine.position,
            list_names=self._list_names if engine.config.namespaces else None,
        )

    # Life

    def start(self, now: float, unix_now: float) -> None:
        """Begin the upkeep: bootstrap, refresh, checks, republishing, expiry."""
        self.set_clock(now, unix_now)
        self._maintenance.start(now)

    def close(self) -> None:
        """Cancel every operation and the upkeep. No timer is left; the `Cancel`s can still be taken."""
        for cancel in list(self._running.values()):
            cancel()
        self._maintenance.stop()
        self._requests.cancel_all()
        self._timers.clear()

    def set_clock(self, now: float, unix_now: float) -> None:
        """What wall time it is at `now`; `start` and `answer` tell it too. To be called where the wall clock was set."""
        self._engine.unix_offset = unix_now - now
        self._reproviding.arm(now)

    # What others do

    def answer(self, sender: PeerId, message: Message, now: float, unix_now: float) -> Message | None:
        """The answer to a request; None for ADD_PROVIDER. Raises ProtocolViolation, InvalidRecord: reset the stream."""
        self._engine.unix_offset = unix_now - now
        if message.type is Type.PUT_VALUE and self._engine.config.namespaces and self.values.stored(message.key) is None:
            check_share(self.values, message.key)
        return self._server.answer(sender, message, unix_now)

    def _list_names(self, message: Message, unix_now: float) -> Message:
        page = namespaces.page(self.values, message.key, message.cursor, unix_now)
        return Message(Type.LIST_PREFIX, message.key, names=page.names, cursor=page.cursor)

    def candidate(self, contact: Contact, is_server: bool, now: float) -> None:
        """Somebody was identified, or identified anew, with or without the DHT's protocol. A server is probed by FIND_NODE(its
        own id), and enters the table when it answers; one that is no server leaves it."""
        self._admission.candidate(contact, is_server, now)

    def gone(self, peer_id: PeerId, now: float) -> None:
        """The peer no longer speaks the protocol: it leaves the table and the cache."""
        self._admission.gone(peer_id, now)

    def dial_failed(self, peer_id: PeerId, now: float) -> None:
        """A dial for some other purpose has failed: the peer leaves the table and the cache."""
        self._admission.gone(peer_id, now)

    def refresh(self, now: float) -> None:
        """Refresh the whole table now; without effect while a refresh is under way."""
        self._maintenance.refresh(now)

    def _table_changed(self, now: float) -> None:
        self._maintenance.table_changed(now)

    # What the driver does

    def take_actions(self) -> list[Action]:
        """What is to be done now, in this order. Each is given once."""
        return self._requests.take_actions()

    def on_answer(self, request_id: int, message: Message | None, now: float, rtt: float | None = None) -> None:
        """A request was answered, or (None) one that expects no answer was written. Late and second ones are ignored.

        Of the addresses in the answer `message` has those that are to be believed: who tells them, and what can be reached from
        here, is for the driver to know.
        `rtt` is what the answer took without the dial, where that is known.
        """
        self._engine.now = now
        request = self._requests.end(request_id)
        if request is None:
            return
        contact, asker = request.contact, request.asker
        if message is None:
            if request.type is Type.ADD_PROVIDER:
                asker.on_answer(contact, None, now)
            else:
                asker.on_failure(contact, now)
        elif message.type is not request.type:
            self._failed(request, now)
        else:
            if asker is not self._admission:
                self._admission.answered(contact, now, rtt)
            asker.on_answer(contact, message, now)

    def on_failure(self, request_id: int, now: float) -> None:
        """A request failed: no dial succeeded, the stream broke, the answer was no answer, its time is over."""
        self._engine.now = now
        request = self._requests.end(request_id)
        if request is not None:
            self._failed(request, now)

    def _failed(self, request: Request, now: float) -> None:
        if request.type not in REFUSABLE:
            self._admission.gone(request.contact.peer_id, now)
        request.asker.on_failure(request.contact, now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is to be called; None: not until something else happens."""
        return self._timers.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._engine.now = now
        self._timers.run(now)

    # Operations. Each returns at once; its requests are in `take_actions`.

    def closest(self, key: bytes, now: float) -> Operation[list[Contact]]:
        """The k contacts nearest to the position of `key` (a binary peer id, a record key, a multihash), nearest first.

        Here and below: LocalError for a key that is empty, or longer than others take.
        """
        check_key(key)
        return self._run(ClosestPeers(self._engine, key, now), now)

    def find_peer(self, peer_id: PeerId, now: float) -> Operation[Contact | None]:
        """The contact of a peer with every address heard; over when the peer itself answers. Tells PeerFound as soon as there is
        an address: whoever reaches it may cancel. None: nobody knows it."""
        return self._run(FindPeer(self._engine, peer_id, now), now)

    def put_value(self, key: bytes, value: bytes, now: float, *, republish: bool = True) -> Operation[int]:
        """Store a value here and with the k nearest; the result is how many of these took it.

        `republish`: again each `value_interval`, and soon where few took it, until `forget_value`. Raises InvalidRecord where it
        is invalid, or worse than the one this node keeps; LocalError where no value of its namespace is taken.
        """
        self._keep_value(key, value, now)
        work = StoreNear(self._engine, put_message(key, value), now)
        if republish:
            self._own_values.begun({key: value}, work.operation, now)
        return self._run(work, now)

    def _keep_value(self, key: bytes, value: bytes, now: float) -> None:
        engine = self._engine
        unix_now = engine.unix(now)
        check_key(key)
        engine.validators.require(key)
        engine.validators.validate(key, value, unix_now)
        known = self.values.get(key, unix_now)
        if known is not None and known.value != value and not engine.validators.is_better(key, value, known.value):
            raise InvalidRecord("this node keeps a better value of this key")
        self.values.put(key, value, unix_now)

    def put_many(self, values: Mapping[bytes, bytes], now: float, *, republish: bool = True) -> Operation[dict[bytes, int]]:
        """`put_value` by regions; the result counts, by key, the peers that took it."""
        for key, value in values.items():
            self._keep_value(key, value, now)
        operation = self._put_again(values, now)
        if republish:
            self._own_values.begun(values, operation, now)
        return operation

    def _put_again(self, values: Mapping[bytes, bytes], now: float) -> Operation[dict[bytes, int]]:
        return self._run(StoreMany(self._engine, values, now, lambda key: put_message(key, values[key])), now)

    def forget_value(self, key: bytes) -> None:
        """Put a value no more; what others keep of it, they keep until it is too old."""
        self._own_values.forget(key)

    def get_value(self, key: bytes, now: float, *, quorum: int = 0) -> Operation[bytes | None]:
        """The best value. It stops after more than `quorum` answers; 0 asks everybody near and then corrects those of the k
        nearest that lacked the best. Each better one is told as ValueFound at once. Raises LocalError where no value of the
        namespace is taken."""
        check_key(key)
        self._engine.validators.require(key)
        return self._run(GetValue(self._engine, key, quorum, now), now)

    def get_many(self, keys: Iterable[bytes], now: float) -> Operation[dict[bytes, bytes]]:
        """`get_value` by regions; keys without a value are left out. Of each key the nearest are asked until 3 have answered with
        a valid value. Raises LocalError where no value of a namespace is taken."""
        wanted = list(keys)
        for key in wanted:
            check_key(key)
            self._engine.validators.require(key)
        return self._run(AskMany(self._engine, wanted, now, ManyValues(self._engine, wanted, now)), now)

    def provide(self, key: bytes, now: float, *, reprovide: bool = True) -> Operation[int]:
        """Announce this node as a provider of a multihash; the result is how many peers were told.

        Raises LocalError where this node has no address that others could be told.
        """
        check_key(key, PROVIDER_KEY_LIMIT)
        own = self._engine.own()
        work = StoreNear(self._engine, provide_message(key, own), now)
        if reprovide:
            self._reproviding.begun([key], work.operation, now)
        else:
            self.provide_here(key, now)
        return self._run(work, now)

    def provide_here(self, key: bytes, now: float) -> None:
        """Name this node as a provider of a multihash to whoever asks it, for 48 h; not where it has no address to be told."""
        own = self._engine.own()
        if own.addresses:
            self.providers.add(key, own, self._engine.unix(now))

    def provide_many(self, keys: Iterable[bytes], now: float, *, reprovide: bool = True) -> Operation[dict[bytes, int]]:
        """`provide` by regions: each region of the keyspace is explored once. The result counts, by key, the peers told."""
        work = self._providing(keys, now)
        for key in work.keys:
            check_key(key, PROVIDER_KEY_LIMIT)
        if reprovide:
            self._reproviding.begun(work.keys, work.operation, now)
        return self._run(work, now)

    def _providing(self, keys: Iterable[bytes], now: float) -> StoreMany:
        own = self._engine.own()
        provide_message(b"", own)
        return StoreMany(self._engine, keys, now, lambda key: provide_message(key, own))

    def _provide_again(self, keys: Iterable[bytes], now: float) -> Operation[dict[bytes, int]] | None:
        return self._run(self._providing(keys, now), now) if self._engine.own().addresses else None

    def stop_providing(self, key: bytes) -> None:
        """Announce it no more; what others keep of it, they keep until it is too old."""
        self._reproviding.forget(key)

    @property
    def schedule(self) -> ReprovideSchedule:
        """What this node provides, and when it is told again: for whoever keeps its rows. Only the Dht changes it."""
        return self._reproviding.schedule

    def when_provided(self, changed: Callable[[bytes], None]) -> None:
        """Have `changed` called with each key whose row in `schedule` has changed, or is gone. It must not call the Dht."""
        self._reproviding.on_change = changed

    def restore_provided(self, rows: Mapping[bytes, bytes], now: float) -> None:
        """Go on to provide what an earlier run has provided; `rows` are those of its schedule. To be called after `start`."""
        self._reproviding.restore(rows, now)

    def find_providers(self, key: bytes, now: float, *, limit: int = 0) -> Operation[list[Contact]]:
        """Providers of a multihash, told as ProviderFound when they are found. `limit` counts those with addresses; 0: all."""
        check_key(key, PROVIDER_KEY_LIMIT)
        return self._run(FindProviders(self._engine, key, limit, now), now)

    def find_providers_many(self, keys: Iterable[bytes], now: float) -> Operation[dict[bytes, list[Contact]]]:
        """`find_providers` by regions; every key is in the result. Of each key the nearest are asked until somebody names one."""
        wanted = list(keys)
        for key in wanted:
            check_key(key, PROVIDER_KEY_LIMIT)
        return self._run(AskMany(self._engine, wanted, now, ManyProviders(self._engine, wanted, now)), now)

    def list_namespace(self, namespace: str, bits: int, now: float) -> Operation[list[bytes]]:
        """Every key of a namespace of which `bits` bits are the namespace's; told as NameFound when they are found.

        Raises LocalError where this network has no namespaces, and for what is no namespace.
        """
        if not self._engine.config.namespaces:
            raise LocalError("there are no namespaces here: set kad.dht.namespaces, on a prefix of your own")
        return self._run(ListNames(self._engine, namespaces.Name(bits, namespace.encode()), now), now)

    def _run(self, work: Work[Result], now: float) -> Operation[Result]:
        operation = work.operation
        self._engine.now = now
        self._running[id(operation)] = operation.cancel
        operation.when_over(lambda: self._running.pop(id(operation), None))
        work.start(now)
        return operation


def check_key(key: bytes, limit: int = KEY_SIZE_LIMIT) -> None:
    """Raises LocalError for a key that others refuse."""
    if not 0 < len(key) <= limit:
        raise LocalError(f"a key has 1 to {limit} bytes here, not {len(key)}")


def check_share(values: ValueStore, key: bytes) -> None:
    """A new key of a namespace. Raises InvalidRecord where that holds its share of this node already, ProtocolViolation where the
    key is none."""
    try:
        namespaces.check_quota(values, key, limit=values.config.names_per_namespace)
    except LimitExceeded as error:
        raise InvalidRecord(str(error)) from None


def lookup_config(config: DhtConfig) -> LookupConfig:
    """The part of the settings that lookups have."""
    return LookupConfig(
        k=config.k,
        alpha=config.alpha,
        beta=config.beta,
        slow_after=config.slow_after,
        timeout=config.lookup_timeout,
        request_limit=config.request_limit,
        closer_limit=config.closer_limit,
    )
