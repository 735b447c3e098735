"""RPCs of gossipsub and floodsub, in and out of bytes: subscriptions, messages, control.

What a peer may make of one RPC is bounded before anything is built: its size, its size without the data of messages, messages,
entries and ids. Fields of extensions that are not spoken here are skipped.

Spec: libp2p/specs pubsub, "The RPC"; libp2p/specs gossipsub 1.0 to 1.3, "Protobuf".
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, final

from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.message import Message as Message  # for all who deal with RPCs
from cortexnet.gossip.message import varint_size
from cortexnet.multiformats import varint
from cortexnet.protobuf import BYTES, VARINT, Budget, Field, Schema, field_bytes, field_header, field_varint, text

TEST_EXTENSION: Final = 6492434
_PARTIAL: Final = 10
_IHAVE: Final = 1
_IWANT: Final = 2
_GRAFT: Final = 3
_PRUNE: Final = 4
_IDONTWANT: Final = 5
_ID: Final = 1 << 3 | BYTES
_IHAVE_ID: Final = 2 << 3 | BYTES


PORTION: Final = 250
"""Elements of an RPC that are taken in at a time, before others have their turn: at most some 2 ms of work."""
_IDS: Final = 8  # ids cost as much as one element of any other kind

_COUNTLESS: Final = 1 << 30  # they are counted where they are read
_FIELDS_OF_ELEMENT: Final = 5  # go writes four; so many of each element are read in all, whosever they are

_FIELDS_OF_UNREADABLE: Final = 1_000  # that may have been looked at before that was seen; 25 such messages spend all there are

_SUBSCRIPTION = Schema("subscription", Field(1, VARINT), Field(2, BYTES))
_PRUNE_PEER = Schema("peer of a PRUNE", Field(1, BYTES), Field(2, BYTES))
_EXTENSIONS = Schema("gossip extensions", Field(_PARTIAL, VARINT), Field(TEST_EXTENSION, VARINT))
_GRAFT_ENTRY = Schema("GRAFT", Field(1, BYTES))
_ID_ENTRY = Schema("list of message ids", Field(1, BYTES, count_limit=_COUNTLESS))
_IHAVE_ENTRY = Schema("IHAVE", Field(1, BYTES), Field(2, BYTES, count_limit=_COUNTLESS))


@final
@dataclass(slots=True)
class Subscription:
    """Somebody wants messages of a topic from now on, or no more."""

    topic: str
    subscribe: bool = True


@final
@dataclass(slots=True)
class IHave:
    """Messages of a topic that the sender has."""

    topic: str
    ids: list[bytes]


@final
@dataclass(slots=True)
class PrunePeer:
    """Another peer of the topic: its id, and its signed record in an envelope (empty: none). Both as they came, unverified."""

    peer_id: bytes
    record: bytes = b""


@final
@dataclass(slots=True)
class Prune:
    """The receiver is out of the sender's mesh. `backoff` is seconds, None where 1.0 peers say nothing."""

    topic: str
    peers: list[PrunePeer] = field(default_factory=list)
    backoff: int | None = None


@final
@dataclass(slots=True)
class Extensions:
    """Extensions of 1.3 that the sender speaks."""

    partial_messages: bool = False
    test_extension: bool = False


@final
@dataclass(slots=True)
class ControlMessages:
    """The control part. Several IWANT and IDONTWANT are the same as one with all their ids, and are kept so."""

    ihave: list[IHave] = field(default_factory=list)
    iwant: list[bytes] = field(default_factory=list)
    graft: list[str] = field(default_factory=list)
    prune: list[Prune] = field(default_factory=list)
    idontwant: list[bytes] = field(default_factory=list)
    extensions: Extensions | None = None


@final
@dataclass(slots=True)
class Rpc:
    """What one peer says at once. `control` is None where there was none; an empty one counts as control, too."""

    subscriptions: list[Subscription] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    control: ControlMessages | None = None
    test_extension: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.subscriptions or self.messages or self.control is not None or self.test_extension)


def decode(data: bytes, config: GossipConfig) -> Rpc:
    """The RPC that is the whole of `data`, within the limits of `config`; names and ids that are too long are left out.

    So are a few messages that can't be read: who sends them may have them from anybody. Raises ProtocolViolation, or
    MessageTooLarge above `rpc_limit` or `control_limit`. What may take long is for `decoding`.
    """
    steps = decoding(data, config)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            rpc: Rpc = end.value
            return rpc


def decoding(data: bytes, config: GossipConfig) -> Generator[int, None, Rpc]:
    """As `decode`, in steps: after each it gives how many elements it has read, about `PORTION`; in the end the RPC."""
    if len(data) > config.rpc_limit:
        raise MessageTooLarge("gossip RPC", len(data), config.rpc_limit)
    rpc, control_size, rest = Rpc(), len(data), list[tuple[int, int, int]]()
    budget = Budget(_FIELDS_OF_ELEMENT * config.element_limit)
    count = 0
    for number, start, end in _schemas(config.element_limit)[0].scan(data):
        if number == 2:
            header = field_header(2, end - start)
            try:
                message = Message(header + data[start:end], len(header), budget)
            except ProtocolViolation:
                # go passes on fields it does not know as they came: anybody can have an honest peer say this, a few times.
                budget.left -= _FIELDS_OF_UNREADABLE
                if budget.left < 0:
                    raise
                control_size -= end - start
            else:
                control_size -= message.payload_share
                if message.topic_size <= config.topic_size:
                    rpc.messages.append(message)
        elif number == _PARTIAL:
            control_size -= 1 + varint_size(end - start) + end - start
        else:
            rest.append((number, start, end))
        count += 1
        if count == PORTION:
            yield count
            count = 0
    if control_size > config.control_limit:
        raise MessageTooLarge("gossip RPC without the data of its messages", control_size, config.control_limit)
    for work in _Reader(data, config, rpc, budget).read(rest):
        count += work
        if count >= PORTION:
            yield count
            count = 0
    return rpc


def portions(rpc: Rpc) -> Iterator[Rpc]:
    """RPCs of up to `PORTION` messages that together say the same, in the order in which a single one is taken in.

    Extensions are in the first, for they count only there.
    """
    messages, control = rpc.messages, rpc.control
    if len(messages) <= PORTION:
        yield rpc
        return
    first = Rpc(rpc.subscriptions, messages[:PORTION])
    if control is not None and control.extensions is not None:
        first.control, control = ControlMessages(extensions=control.extensions), replace(control, extensions=None)
    yield first
    for start in range(PORTION, len(messages), PORTION):
        is_last = start + PORTION >= len(messages)
        yield Rpc([], messages[start : start + PORTION], control if is_last else None, is_last and rpc.test_extension)


@lru_cache(maxsize=16)
def _schemas(elements: int) -> tuple[Schema, Schema, Schema]:
    """Those of an RPC, of a control part and of a PRUNE: what comes past `elements` is refused for messages, else skipped."""
    rpc = Schema(
        "gossip RPC",
        Field(1, BYTES, count_limit=elements, surplus="skip"),
        Field(2, BYTES, count_limit=elements),
        Field(3, BYTES),
        Field(_PARTIAL, BYTES),
        Field(TEST_EXTENSION, BYTES),
    )
    entries = [Field(number, BYTES, count_limit=elements, surplus="skip") for number in range(1, 6)]
    control = Schema("gossip control", *entries, Field(6, BYTES))
    peers = Field(2, BYTES, count_limit=elements, surplus="skip")
    return rpc, control, Schema("PRUNE", Field(1, BYTES), peers, Field(3, VARINT))


@final
class _Reader:
    """Reads what is no message into an RPC, and counts for all of it what may still be built.

    What may be long is read in steps that give how many elements they have read.
    """

    def __init__(self, data: bytes, config: GossipConfig, rpc: Rpc, budget: Budget) -> None:
        self._data, self._config, self._rpc, self._budget = data, config, rpc, budget
        # Of IHAVE there is one for each topic: the first shall not leave the others without.
        self._room = {_IHAVE: 4 * config.element_limit, _IWANT: config.element_limit, _IDONTWANT: config.idontwant_ids}
        self._peer_room = config.element_limit

    def read(self, parts: list[tuple[int, int, int]]) -> Iterator[int]:
        for number, start, end in parts:
            if number == 1:
                self._read_subscription(start, end)
            elif number == 3:
                self._rpc.control = self._rpc.control or ControlMessages()
                yield from self._read_control(self._rpc.control, start, end)
            else:
                self._rpc.test_extension = True
            yield 1

    def _read_subscription(self, start: int, end: int) -> None:
        subscribe, topic = False, b""
        for number, value, stop in _SUBSCRIPTION.scan(self._data, start, end, budget=self._budget):
            if number == 1:
                subscribe = value != 0
            else:
                topic = self._data[value:stop]
        if len(topic) <= self._config.topic_size:
            self._rpc.subscriptions.append(Subscription(text(topic), subscribe))

    def _read_control(self, control: ControlMessages, start: int, end: int) -> Iterator[int]:
        control_schema = _schemas(self._config.element_limit)[1]
        for number, first, stop in control_schema.scan(self._data, start, end, budget=self._budget):
            if number == _IHAVE:
                topic, ids = yield from self._read_ids(_IHAVE, first, stop)
                if len(topic) <= self._config.topic_size:
                    control.ihave.append(IHave(text(topic), ids))
            elif number == _IWANT:
                control.iwant += (yield from self._read_ids(_IWANT, first, stop))[1]
            elif number == _GRAFT:
                self._read_graft(control, first, stop)
            elif number == _PRUNE:
                yield from self._read_prune(control, first, stop)
            elif number == _IDONTWANT:
                control.idontwant += (yield from self._read_ids(_IDONTWANT, first, stop))[1]
            else:
                control.extensions = self._read_extensions(first, stop)
            yield 1

    def _read_ids(self, kind: int, position: int, end: int) -> Generator[int, None, tuple[bytes, list[bytes]]]:
        """The topic (of an IHAVE) and the ids of an entry, read no further than there is room for.

        Ids are the cheapest thing to send us many of, so the usual form of them has a loop of its own.
        """
        data, size_limit, room = self._data, self._config.message_id_size, self._room[kind]
        tag = _IHAVE_ID if kind == _IHAVE else _ID
        topic: bytes | None = None
        ids: list[bytes] = []
        while room > 0 and position + 1 < end:
            size = data[position + 1]
            stop = position + 2 + size
            if size > 0x7F or stop > end:
                break
            if data[position] == tag:
                room -= 1
                if 0 < size <= size_limit:
                    ids.append(data[position + 2 : stop])
            elif data[position] == _ID:
                room -= topic is not None  # the first is none of those that are counted
                topic = data[position + 2 : stop]
            else:
                break
            position = stop
        yield (self._room[kind] - room) // _IDS
        if room > 0 and position < end:
            entry = _IHAVE_ENTRY if kind == _IHAVE else _ID_ENTRY
            for number, first, stop in entry.scan(data, position, end, budget=self._budget):
                if number << 3 | BYTES != tag:
                    room -= topic is not None
                    topic = data[first:stop]
                else:
                    room -= 1
                    if 0 < stop - first <= size_limit:
                        ids.append(data[first:stop])
                yield 1
                if room == 0:
                    break
        self._room[kind] = room
        return topic or b"", ids

    def _read_graft(self, control: ControlMessages, start: int, end: int) -> None:
        topic = b""
        for _, first, stop in _GRAFT_ENTRY.scan(self._data, start, end, budget=self._budget):
            topic = self._data[first:stop]
        if len(topic) <= self._config.topic_size:
            control.graft.append(text(topic))

    def _read_prune(self, control: ControlMessages, start: int, end: int) -> Iterator[int]:
        prune, topic = Prune(""), b""
        prune_schema = _schemas(self._config.element_limit)[2]
        for number, value, stop in prune_schema.scan(self._data, start, end, budget=self._budget):
            if number == 1:
                topic = self._data[value:stop]
            elif number == 3:
                prune.backoff = value
            elif (room := self._peer_room) == 0:
                raise ProtocolViolation(f"gossip RPC names more than {self._config.element_limit} peers")
            else:
                self._peer_room = room - 1
                prune.peers.append(self._read_peer(value, stop))
                yield 1
        if len(topic) <= self._config.topic_size:
            prune.topic = text(topic)
            control.prune.append(prune)

    def _read_peer(self, start: int, end: int) -> PrunePeer:
        peer = PrunePeer(b"")
        for number, first, stop in _PRUNE_PEER.scan(self._data, start, end, budget=self._budget):
            if number == 1:
                peer.peer_id = self._data[first:stop]
            else:
                peer.record = self._data[first:stop]
        return peer

    def _read_extensions(self, start: int, end: int) -> Extensions:
        extensions = Extensions()
        for number, value, _ in _EXTENSIONS.scan(self._data, start, end, budget=self._budget):
            if number == _PARTIAL:
                extensions.partial_messages = value != 0
            else:
                extensions.test_extension = value != 0
        return extensions


def encode(rpc: Rpc) -> bytes:
    """The RPC, to stand in one frame. Messages go out as they came in."""
    if not rpc.subscriptions and rpc.control is None and not rpc.test_extension:
        return rpc.messages[0].wire if len(rpc.messages) == 1 else b"".join([message.wire for message in rpc.messages])
    parts = [subscription_field(subscription) for subscription in rpc.subscriptions]
    parts += [message.wire for message in rpc.messages]
    if rpc.control is not None:
        parts.append(field_bytes(3, encode_control(rpc.control)))
    if rpc.test_extension:
        parts.append(field_bytes(TEST_EXTENSION, b""))
    return b"".join(parts)


def frame(rpc: Rpc) -> bytes:
    """The RPC behind its length, as it is written on a stream."""
    content = encode(rpc)
    return varint.encode(len(content)) + content


def subscription_field(subscription: Subscription) -> bytes:
    """One subscription as it stands in an RPC."""
    return field_bytes(1, field_varint(1, int(subscription.subscribe)) + field_bytes(2, subscription.topic.encode()))


def encode_control(control: ControlMessages) -> bytes:
    """The control part, without the header it has in an RPC."""
    parts = [ihave_field(entry.topic, entry.ids) for entry in control.ihave]
    if control.iwant:
        parts.append(ids_field(_IWANT, control.iwant))
    parts += [graft_field(topic) for topic in control.graft]
    parts += [prune_field(prune) for prune in control.prune]
    if control.idontwant:
        parts.append(ids_field(_IDONTWANT, control.idontwant))
    if control.extensions is not None:
        parts.append(extensions_field(control.extensions))
    return b"".join(parts)


def ihave_field(topic: str, ids: list[bytes]) -> bytes:
    """An IHAVE as it stands in a control part."""
    return field_bytes(_IHAVE, b"".join([field_bytes(1, topic.encode()), *(field_bytes(2, each) for each in ids)]))


def ids_field(number: int, ids: list[bytes]) -> bytes:
    """An IWANT or IDONTWANT as it stands in a control part."""
    return field_bytes(number, b"".join([field_bytes(1, each) for each in ids]))


def graft_field(topic: str) -> bytes:
    """A GRAFT as it stands in a control part."""
    return field_bytes(_GRAFT, field_bytes(1, topic.encode()))


def prune_field(prune: Prune) -> bytes:
    """A PRUNE as it stands in a control part."""
    parts = [field_bytes(1, prune.topic.encode())]
    for peer in prune.peers:
        record = field_bytes(2, peer.record) if peer.record else b""
        parts.append(field_bytes(2, field_bytes(1, peer.peer_id) + record))
    if prune.backoff is not None:
        parts.append(field_varint(3, prune.backoff))
    return field_bytes(_PRUNE, b"".join(parts))


def extensions_field(extensions: Extensions) -> bytes:
    """The extensions as they stand in a control part."""
    partial = field_varint(_PARTIAL, 1) if extensions.partial_messages else b""
    return field_bytes(6, partial + (field_varint(TEST_EXTENSION, 1) if extensions.test_extension else b""))
