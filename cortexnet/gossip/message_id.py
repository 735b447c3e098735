"""What a message is recognised by.

All nodes of a network must agree: IHAVE, IWANT and IDONTWANT name messages by their ids. Stacks differ in their defaults.

Spec: libp2p/specs pubsub, "Message Identification".
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import final

from cortexnet.errors import LocalError
from cortexnet.gossip.message import Message

MessageIdFunction = Callable[[Message], bytes]


def default_id(message: Message) -> bytes:
    """Author and sequence number, as the specification and go have it."""
    return (message.author or b"") + (message.seqno or b"")


def content_id(message: Message) -> bytes:
    """The sha2-256 of the data: the same content is one message, whoever sent it. js's default where messages are not signed."""
    return sha256(message.data).digest()


@final
class MessageIds:
    """The id of each message, by the function of its topic."""

    __slots__ = ("_by_topic", "_default", "_size_limit")

    def __init__(self, default: MessageIdFunction | None, by_topic: Mapping[str, MessageIdFunction], size_limit: int) -> None:
        self._default = default or default_id
        self._by_topic = dict(by_topic)
        self._size_limit = size_limit

    def of(self, message: Message) -> bytes:
        """The id, made at the first call and kept in the message.

        Raises LocalError for a function that gives anything but 1 to `size_limit` bytes, and whatever the function raises.
        """
        if not message.id:
            made = self._by_topic.get(message.topic, self._default)(message)
            if not isinstance(made, bytes) or not 0 < len(made) <= self._size_limit:
                raise LocalError(f"a message id is 1 to {self._size_limit} bytes (see message_id_size), not {made!r:.100}")
            message.id = made
        return message.id
