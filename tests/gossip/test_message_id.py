"""Ids of messages: the default, others, and what is no id."""

from hashlib import sha256

import pytest

from cortexnet.errors import LocalError
from cortexnet.gossip.message import Message
from cortexnet.gossip.message_id import MessageIds, content_id, default_id

MESSAGE = Message.build("t", b"data", author=b"author", seqno=b"seqno")


def test_by_default_author_and_number_are_the_id() -> None:
    assert default_id(MESSAGE) == b"authorseqno"
    assert MessageIds(None, {}, 80).of(Message.parse(MESSAGE.raw)) == b"authorseqno"
    assert default_id(Message.build("t", b"")) == b""


def test_the_content_can_be_the_id() -> None:
    assert content_id(MESSAGE) == sha256(b"data").digest()


def test_a_topic_can_have_its_own_function_and_it_is_asked_once() -> None:
    asked: list[str] = []

    def own(message: Message) -> bytes:
        asked.append(message.topic)
        return b"own"

    ids = MessageIds(content_id, {"t": own}, 80)
    message = Message.parse(MESSAGE.raw)
    assert [ids.of(message), ids.of(message), message.id] == [b"own"] * 3
    assert asked == ["t"]
    assert ids.of(Message.build("other", b"data")) == sha256(b"data").digest()


@pytest.mark.parametrize("made", [b"", b"a" * 81, "text", None])
def test_what_is_no_id_is_refused(made: bytes) -> None:
    with pytest.raises(LocalError, match="a message id is 1 to 80 bytes"):
        MessageIds(lambda _: made, {}, 80).of(Message.parse(MESSAGE.raw))
