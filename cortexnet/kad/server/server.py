"""What a node answers to others: whom it knows near a key, what it keeps, who has what. A core.

Answers are go-libp2p-kad-dht's, but for their size: all that is told about peers fits into the 16 KiB that rust-libp2p reads.

Spec: libp2p/specs kad-dht, "RPC messages".
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_not
from typing import TYPE_CHECKING, Final, final

from cortexnet.errors import InvalidRecord, LimitExceeded, ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.records import rfc3339
from cortexnet.kad.routing import key as keys
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.routing_table import BUCKET_SIZE

if TYPE_CHECKING:
    from random import Random

    from cortexnet.kad.records.provider_store import ProviderStore
    from cortexnet.kad.records.records import Validators
    from cortexnet.kad.records.value_store import ValueStore
    from cortexnet.kad.routing.routing_table import RoutingTable

PROVIDER_KEY_LIMIT: Final = 80
"""Bytes of a multihash that is announced or asked for; go-libp2p's."""
PEERS_SIZE_LIMIT: Final = 15_800
"""Bytes of peers in an answer; with a key of 80 bytes they stay below 16 KiB."""

_PEER_OVERHEAD = 1  # the tag in front of each


@final
class Server:
    """Answers requests of a table and two stores.

    `own` is this node's contact, as others shall hear of it. `contact_of` knows peers that are not in the table: FIND_NODE tells
    of anybody who is known. `keep_addresses` takes from a provider's addresses those that are told to nobody. `group_of` is the
    network a peer is connected from (`diversity.group_of`): stores are shared among these. `position` says where a key lies.
    `list_names` answers LIST_PREFIX; without it there is no such request.
    """

    def __init__(
        self,
        own: Callable[[], Contact],
        table: "RoutingTable",
        values: "ValueStore",
        providers: "ProviderStore",
        validators: "Validators",
        *,
        random: "Random",
        k: int = BUCKET_SIZE,
        contact_of: Callable[[PeerId], Contact | None] = lambda peer_id: None,
        keep_addresses: Callable[[Contact], Contact] = lambda contact: contact,
        group_of: Callable[[PeerId], str | None] = lambda peer_id: None,
        position: Callable[[bytes], int] = keys.position,
        list_names: Callable[[Message, float], Message] | None = None,
    ) -> None:
        self._own = own
        self._own_id = own().peer_id
        self._table = table
        self._values = values
        self._providers = providers
        self._validators = validators
        self._random = random
        self._k = k
        self._contact_of = contact_of
        self._keep_addresses = keep_addresses
        self._group_of = group_of
        self._position = position
        self._list_names = list_names

    def answer(self, sender: PeerId, message: Message, unix_now: float) -> Message | None:
        """The answer to a request; None for ADD_PROVIDER, which has none. `unix_now` is in unix seconds.

        Raises ProtocolViolation, or as one InvalidRecord, where the stream is to be reset: nothing was stored then.
        """
        kind = message.type
        if kind is Type.FIND_NODE:
            return self._find_node(sender, message)
        if kind is Type.PING:
            return Message(kind, message.key, message.record, cluster_level=message.cluster_level)
        if not message.key:
            raise ProtocolViolation(f"{kind.name} without a key")
        if kind is Type.GET_PROVIDERS:
            return self._get_providers(sender, message, unix_now)
        if kind is Type.ADD_PROVIDER:
            self._add_provider(sender, message, unix_now)
            return None
        if kind is Type.GET_VALUE:
            return self._get_value(sender, message, unix_now)
        if kind is Type.PUT_VALUE:
            return self._put_value(sender, message, unix_now)
        if self._list_names is None:
            raise ProtocolViolation("there is no LIST_PREFIX in this network")
        return self._list_names(message, unix_now)

    def _find_node(self, sender: PeerId, message: Message) -> Message:
        if not message.key:
            raise ProtocolViolation("FIND_NODE without a key")
        closer = self._nearest(message.key, sender)
        target = self._known(message.key)
        if target is not None and (not closer or closer[0].peer_id != target.peer_id):
            closer.insert(0, target)
        told = tuple([contact for contact in closer if contact.addresses])
        return Message(Type.FIND_NODE, closer=told, cluster_level=message.cluster_level or 1)

    def _known(self, key: bytes) -> Contact | None:
        """Whom a key is the id of, if anybody is known by it: also this node, and whoever asks."""
        try:
            peer_id = PeerId.from_bytes(key)
        except ProtocolViolation:
            return None
        if peer_id == self._own_id:
            return self._own()
        entry = self._table.get(peer_id)
        return self._contact_of(peer_id) if entry is None else entry.contact

    def _get_value(self, sender: PeerId, message: Message, unix_now: float) -> Message:
        stored = self._values.get(message.key, unix_now)
        record = None
        if stored is not None:
            received = rfc3339.encode(rfc3339.nanoseconds(stored.received)).decode()
            record = Record(stored.key, stored.value, received)
        room = max(PEERS_SIZE_LIMIT - (0 if stored is None else stored.size), PEERS_SIZE_LIMIT // 2)
        closer = _fitting(self._nearest(message.key, sender), room)
        return Message(Type.GET_VALUE, message.key, record, closer, cluster_level=message.cluster_level or 1)

    def _put_value(self, sender: PeerId, message: Message, unix_now: float) -> Message:
        record = message.record
        if record is None or record.key != message.key:
            raise ProtocolViolation("PUT_VALUE without a record of its key")
        self._validators.validate(record.key, record.value, unix_now)
        self._check_newer(record, unix_now)
        try:
            self._values.put(record.key, record.value, unix_now, sender=sender, group=self._group_of(sender))
        except LimitExceeded as error:
            raise InvalidRecord(str(error)) from None
        return Message(Type.PUT_VALUE, message.key, record, cluster_level=message.cluster_level)

    def _check_newer(self, record: Record, unix_now: float) -> None:
        """Raises InvalidRecord where what is kept is still good, and better. Of equal ones the new one counts, as for go."""
        stored = self._values.get(record.key, unix_now)
        if stored is None or stored.value == record.value:
            return
        try:
            self._validators.validate(record.key, stored.value, unix_now)
        except InvalidRecord:
            return
        if self._validators.select(record.key, (record.value, stored.value)) != 0:
            raise InvalidRecord("an older record than the one that is kept")

    def _get_providers(self, sender: PeerId, message: Message, unix_now: float) -> Message:
        _check_provider_key(message.key)
        found = self._providers.get(message.key, unix_now)
        if self._providers.is_own(message.key):
            found.append(self._own())
        self._random.shuffle(found)
        closer = self._nearest(message.key, sender)
        providers = _fitting(found, max(PEERS_SIZE_LIMIT - _size(closer), PEERS_SIZE_LIMIT // 2))
        told = _fitting(closer, PEERS_SIZE_LIMIT - _size(providers))
        return Message(Type.GET_PROVIDERS, message.key, None, told, providers, cluster_level=message.cluster_level or 1)

    def _add_provider(self, sender: PeerId, message: Message, unix_now: float) -> None:
        _check_provider_key(message.key)
        # Whatever a peer says about others may be false. Who has no address is not believed to serve; who has only such as are
        # told to nobody (a relay's that changes) is, and is found by FIND_NODE.
        announced = [contact for contact in message.providers if contact.peer_id == sender and contact.addresses]
        if not announced:
            raise ProtocolViolation("ADD_PROVIDER without the address of whoever sends it")
        self._providers.add(message.key, self._keep_addresses(announced[-1]), unix_now, group=self._group_of(sender))

    def _nearest(self, key: bytes, sender: PeerId) -> list[Contact]:
        table, target = self._table, self._position(key)
        found, known = table.nearest(target, self._k), table.get(sender)
        if known is None or all(map(partial(is_not, known.contact), found)):
            return found  # mostly: to look for one more would take the next bucket, too
        return [contact for contact in table.nearest(target, self._k + 1) if contact is not known.contact]


def _check_provider_key(key: bytes) -> None:
    if len(key) > PROVIDER_KEY_LIMIT:
        raise ProtocolViolation(f"a provider key of {len(key)} bytes is over the limit of {PROVIDER_KEY_LIMIT}")


def _size(contacts: Sequence[Contact]) -> int:
    return sum([len(contact.framed) for contact in contacts]) + _PEER_OVERHEAD * len(contacts)


def _fitting(contacts: Sequence[Contact], room: int) -> tuple[Contact, ...]:
    """As many of the first contacts as fit into so many bytes."""
    fitting, size = list(contacts), _size(contacts)
    while size > room:
        size -= len(fitting.pop().framed) + _PEER_OVERHEAD
    return tuple(fitting)
