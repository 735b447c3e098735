"""Cuts an RPC that is too large for its receiver into several, in go's order.

Messages go first, then subscriptions, extensions, GRAFT, PRUNE, IWANT, IDONTWANT and IHAVE: what others wait for before what is
only offered.
"""

from collections.abc import Iterator
from typing import final

from cortexnet.gossip.message import Message, varint_size
from cortexnet.gossip.messages import (
    ControlMessages,
    IHave,
    Rpc,
    encode_control,
    extensions_field,
    graft_field,
    prune_field,
    subscription_field,
)


def split_rpc(rpc: Rpc, limit: int, control_limit: int, message_limit: int = 500) -> list[Rpc]:
    """The same in RPCs of at most `limit` bytes, of which `control_limit` are not the data of messages, and `message_limit`
    messages (rust reads no more). A single message or entry that is larger makes an RPC of its own: whoever sends it decides.
    """
    parts = list(_split_messages(rpc.messages, limit, control_limit, message_limit))
    if rpc.subscriptions or rpc.control is not None or rpc.test_extension:
        rest = Rpc(rpc.subscriptions, [], rpc.control, rpc.test_extension)
        parts += _Splitter(rest, min(limit, control_limit)).parts()
    return parts


def _split_messages(messages: list[Message], limit: int, control_limit: int, message_limit: int) -> Iterator[Rpc]:
    part = Rpc()
    size = control = 0
    for message in messages:
        whole = len(message.wire)
        extra = whole - message.payload_share
        is_full = size + whole > limit or control + extra > control_limit or len(part.messages) >= message_limit
        if part.messages and is_full:
            yield part
            part, size, control = Rpc(), 0, 0
        part.messages.append(message)
        size += whole
        control += extra
    if part.messages:
        yield part


@final
class _Splitter:
    """Fills one RPC after the other. Sizes are kept as running sums, not measured anew for each of 5,000 ids."""

    def __init__(self, rpc: Rpc, limit: int) -> None:
        self._rpc = rpc
        self._limit = limit
        self._parts: list[Rpc] = []
        self._part = Rpc()
        self._outside = 0  # bytes that are not in the control part
        self._closed = 0  # bytes of the control part but for the entry that is being filled with ids
        self._open = 0  # bytes within that entry; 0: there is none

    def parts(self) -> list[Rpc]:
        if self._fits_whole():
            return [self._rpc]
        for subscription in self._rpc.subscriptions:
            self._add(len(subscription_field(subscription)), is_control=False)
            self._part.subscriptions.append(subscription)
        if self._rpc.test_extension:
            self._add(_TEST_EXTENSION_SIZE, is_control=False)
            self._part.test_extension = True
        if self._rpc.control is not None:
            self._add_control(self._rpc.control)
        return [*self._parts, self._part]

    def _fits_whole(self) -> bool:
        size = sum([len(subscription_field(subscription)) for subscription in self._rpc.subscriptions])
        size += _TEST_EXTENSION_SIZE if self._rpc.test_extension else 0
        control = self._rpc.control
        return size + (_field_size(len(encode_control(control))) if control is not None else 0) <= self._limit

    def _add_control(self, control: ControlMessages) -> None:
        if control.extensions is not None:
            self._add(len(extensions_field(control.extensions)))
            self._control.extensions = control.extensions
        for topic in control.graft:
            self._add(len(graft_field(topic)))
            self._control.graft.append(topic)
        for prune in control.prune:
            self._add(len(prune_field(prune)))
            self._control.prune.append(prune)
        for message_id in control.iwant:
            self._grow(message_id)
            self._control.iwant.append(message_id)
        self._close()
        for message_id in control.idontwant:
            self._grow(message_id)
            self._control.idontwant.append(message_id)
        self._close()
        for entry in control.ihave:
            self._add_ihave(entry)

    def _add_ihave(self, entry: IHave) -> None:
        """Entries of one topic that follow each other become one."""
        header = _field_size(len(entry.topic.encode()))
        if not self._control.ihave or self._control.ihave[-1].topic != entry.topic:
            self._close()
            self._make_room(_field_size(header))
            self._begin_ihave(entry.topic, header)
        for message_id in entry.ids:
            if self._grow(message_id, header):
                self._begin_ihave(entry.topic, self._open)
            self._control.ihave[-1].ids.append(message_id)

    def _begin_ihave(self, topic: str, size: int) -> None:
        self._control.ihave.append(IHave(topic, []))
        self._open = size

    def _grow(self, message_id: bytes, header: int = 0) -> bool:
        """Make room for one more id in the entry that is open. True where that was in a new RPC, whose entry has `header`."""
        more = _field_size(len(message_id))
        is_full = bool(self._part) and self._size(_field_size((self._open or header) + more)) > self._limit
        if is_full:
            self._next()
        self._open = (self._open or header) + more
        return is_full

    def _close(self) -> None:
        self._closed += _field_size(self._open) if self._open else 0
        self._open = 0

    def _add(self, size: int, *, is_control: bool = True) -> None:
        """Count an entry of so many bytes, in the next RPC where it does not fit into this one."""
        self._make_room(size, is_control=is_control)
        if is_control:
            self._closed += size
        else:
            self._outside += size

    def _make_room(self, size: int, *, is_control: bool = True) -> None:
        """Go on with the next RPC where so many bytes more do not fit into this one."""
        entry = size if is_control else 0
        if self._part and self._size(entry) + size - entry > self._limit:
            self._next()

    def _size(self, entry: int) -> int:
        """Bytes of the RPC with one more entry, of `entry` bytes in all, in its control part (in place of the open one)."""
        control = self._closed + entry
        return self._outside + (_field_size(control) if control else 0)

    def _next(self) -> None:
        self._parts.append(self._part)
        self._part = Rpc()
        self._outside = self._closed = self._open = 0

    @property
    def _control(self) -> ControlMessages:
        if self._part.control is None:
            self._part.control = ControlMessages()
        return self._part.control


_TEST_EXTENSION_SIZE = 5


def _field_size(size: int) -> int:
    """Bytes of a field with a content of `size` bytes, where its number is below 16."""
    return 1 + varint_size(size) + size
