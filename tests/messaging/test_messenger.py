"""Direct messages between real connections: receipts, refusals, impostors, and many recipients."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cortexnet.errors import (
    CortexError,
    DialFailed,
    LocalError,
    NegotiationFailed,
    PeerTimeout,
    ProtocolViolation,
    Refuse,
    RequestFailed,
    StreamCode,
)
from cortexnet.identity.peer_id import PeerId
from cortexnet.messaging.caller import Caller
from cortexnet.messaging.message import Message, Receipt, signed_frame, unsigned_frame
from cortexnet.messaging.messenger import BROADCAST_CONCURRENCY, PROTOCOL, MessageHandler, Messenger
from cortexnet.messaging.request import request
from cortexnet.transport.stream import Stream
from tests.support.pairs import Net, Station, network, settle

NOW = 1_700_000_000_000_000_000


def messenger_of(station: Station, *, signed: bool = True, size_limit: int = 1_000) -> Messenger:
    caller = Caller(station.open_stream, station.limits)
    return Messenger(
        station.identity, lambda: caller, limits=station.limits, signed=signed, size_limit=size_limit, unix_ns=lambda: NOW
    )


async def keep(message: Message) -> bytes | None:
    return b"got " + message.data


async def pair(
    net: Net, handler: MessageHandler = keep, *, sender_signs: bool = True, receiver_signs: bool = True
) -> tuple[Station, Station, Messenger]:
    """Alice, who can send to Bob, who has `handler`."""
    alice, bob = net.station(), net.station()
    bob.handle(PROTOCOL, messenger_of(bob, signed=receiver_signs).receiver(handler))
    await net.connect(alice, bob)
    return alice, bob, messenger_of(alice, signed=sender_signs)


async def test_a_message_arrives_and_its_receipt_comes_back() -> None:
    async with network() as net:
        seen: list[Message] = []

        async def handle(message: Message) -> bytes:
            seen.append(message)
            return b"thanks"

        alice, bob, messenger = await pair(net, handle)
        receipt = await messenger.send(bob.peer_id, b"hello")
        (message,) = seen
        assert (message.sender, message.recipient, message.data) == (alice.peer_id, bob.peer_id, b"hello")
        assert (message.sequence, message.unix_ns) == (NOW, NOW)
        assert (receipt.sender, receipt.recipient, receipt.data) == (bob.peer_id, alice.peer_id, b"thanks")
        assert message.proof is not None
        assert receipt.proof is not None
        kept = Message.open_proof(message.proof), Receipt.open_proof(receipt.proof)
        assert kept[1].is_for(kept[0]), "a third party needs nothing but the two proofs"
        await settle()
        assert (alice.open[0].stream_count, bob.open[0].stream_count) == (0, 0)


async def test_a_handler_may_return_nothing() -> None:
    async def handle(message: Message) -> None:
        return None

    async with network(tcp=True) as net:
        _, bob, messenger = await pair(net, handle)
        assert (await messenger.send(bob.peer_id, b"hello")).data == b""


async def test_sequences_rise_also_where_the_clock_stands_still() -> None:
    async with network() as net:
        _, bob, messenger = await pair(net)
        receipts = [await messenger.send(bob.peer_id, b"hello") for _ in range(3)]
        assert [receipt.sequence for receipt in receipts] == [NOW, NOW + 1, NOW + 2]


# --- with and without signatures


async def test_without_signatures_there_is_nothing_to_show() -> None:
    async with network() as net:
        seen: list[Message] = []

        async def handle(message: Message) -> None:
            seen.append(message)

        _, bob, messenger = await pair(net, handle, sender_signs=False, receiver_signs=False)
        receipt = await messenger.send(bob.peer_id, b"hello")
        assert (seen[0].proof, receipt.proof) == (None, None)
        assert receipt.is_for(seen[0])


async def test_who_does_not_sign_answers_a_signed_message_with_a_signed_receipt() -> None:
    async with network() as net:
        _, bob, messenger = await pair(net, receiver_signs=False)
        assert (await messenger.send(bob.peer_id, b"hello")).proof is not None


async def test_who_wants_signatures_takes_nothing_without() -> None:
    async with network() as net:
        _, bob, messenger = await pair(net, sender_signs=False)
        with pytest.raises(RequestFailed) as caught:
            await messenger.send(bob.peer_id, b"hello")
        assert caught.value.code == StreamCode.PROTOCOL_VIOLATION


# --- impostors


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("wrong", ["sender", "recipient"])
async def test_a_message_of_or_to_somebody_else_is_refused(is_signed: bool, wrong: str) -> None:
    async with network() as net:
        alice, bob, _ = await pair(net, receiver_signs=is_signed)
        carol = net.station()
        sender, recipient = (carol, bob) if wrong == "sender" else (alice, carol)
        message = Message(sender=sender.peer_id, recipient=recipient.peer_id, sequence=1, unix_ns=1, data=b"hello")
        frame = signed_frame(message, sender.identity.private_key) if is_signed else unsigned_frame(message)
        async with await alice.open_stream(bob.peer_id, [PROTOCOL]) as stream:
            with pytest.raises(RequestFailed) as caught:
                await request(stream, frame)
        assert caught.value.code == StreamCode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("kind", ["of another message", "of another signer", "unsigned", "a message", "nothing"])
async def test_a_receipt_that_is_not_the_recipients_for_this_message_is_refused(kind: str) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()

        async def answer(stream: Stream) -> None:
            message = Message.decode_frame(await stream.read_message(), size_limit=100, is_signed=True)
            receipt = Receipt.of(message, unix_ns=1, data=b"")
            key = bob.identity.private_key
            if kind == "of another message":
                other = Message(sender=message.sender, recipient=message.recipient, sequence=1, unix_ns=1, data=b"bye")
                frame = signed_frame(Receipt.of(other, unix_ns=1, data=b""), key)
            elif kind == "of another signer":
                frame = signed_frame(receipt, alice.identity.private_key)
            elif kind == "unsigned":
                frame = unsigned_frame(receipt)
            else:
                frame = signed_frame(Message(sender=bob.peer_id, recipient=alice.peer_id, sequence=1, unix_ns=1, data=b""), key)
            await stream.write_message(b"" if kind == "nothing" else frame)

        bob.handle(PROTOCOL, answer)
        connection, _ = await net.connect(alice, bob)
        with pytest.raises(ProtocolViolation):
            await messenger_of(alice).send(bob.peer_id, b"hello")
        await settle()
        assert connection.stream_count == 0


# --- failures


async def test_a_receiver_may_refuse() -> None:
    async def refuse(message: Message) -> None:
        raise Refuse(0x2001)

    async with network() as net:
        _, bob, messenger = await pair(net, refuse)
        with pytest.raises(RequestFailed) as caught:
            await messenger.send(bob.peer_id, b"hello")
        assert caught.value.code == 0x2001


async def test_what_others_did_to_a_handler_is_not_the_senders_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(message: Message) -> None:
        raise ProtocolViolation("of somebody else")

    async with network() as net:
        _, bob, messenger = await pair(net, fail)
        with pytest.raises(RequestFailed) as caught:
            await messenger.send(bob.peer_id, b"hello")
        assert caught.value.code == 0
        assert "of somebody else" in caplog.text


async def test_data_over_the_limit_is_neither_sent_nor_taken_nor_returned(caplog: pytest.LogCaptureFixture) -> None:
    async def large(message: Message) -> bytes:
        return bytes(1_001)

    async with network() as net:
        alice, bob, messenger = await pair(net)
        assert (await messenger.send(bob.peer_id, bytes(996))).data == b"got " + bytes(996)
        with pytest.raises(LocalError):
            await messenger.send(bob.peer_id, bytes(1_001))
        with pytest.raises(LocalError):
            await messenger.broadcast([bob.peer_id], bytes(1_001))
        with pytest.raises(RequestFailed) as caught:
            await messenger_of(alice, size_limit=5_000).send(bob.peer_id, bytes(1_001))
        assert caught.value.code == StreamCode.PROTOCOL_VIOLATION
        bob.handle(PROTOCOL, messenger_of(bob).receiver(large))
        with pytest.raises(RequestFailed):
            await messenger.send(bob.peer_id, b"hello")
        assert "1001 bytes is over the limit" in caplog.text


async def test_a_handler_that_returns_no_bytes_has_failed_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async def text(message: Message) -> Any:
        return "noted" if message.data else ""

    async with network() as net:
        _, bob, messenger = await pair(net, text)
        for data in (b"hello", b""):
            with pytest.raises(RequestFailed):
                await messenger.send(bob.peer_id, data)
        assert caplog.text.count("what a handler of messages returns is bytes, not str: encode the text") >= 2


async def test_the_time_covers_everything() -> None:
    async def slow(message: Message) -> None:
        await asyncio.sleep(30)

    async with network() as net:
        alice, bob, messenger = await pair(net, slow)
        begin = alice.open[0].loop.time()
        with pytest.raises(PeerTimeout):
            await messenger.send(bob.peer_id, b"hello", timeout=3)
        assert alice.open[0].loop.time() == begin + 3
        await settle()
        assert (alice.open[0].stream_count, bob.open[0].stream_count) == (0, 0)


# --- many recipients


async def test_a_broadcast_reaches_everybody_and_says_of_each_what_became_of_it() -> None:
    async with network() as net:
        alice, bob, messenger = await pair(net)
        carol, dave = net.station(), net.station()
        carol.handle(PROTOCOL, messenger_of(carol).receiver(keep))
        await net.connect(alice, carol)
        await net.connect(alice, dave)
        outcomes = await messenger.broadcast([bob.peer_id, dave.peer_id, carol.peer_id, bob.peer_id], b"hello")
        assert list(outcomes) == [bob.peer_id, dave.peer_id, carol.peer_id]
        receipts = [outcome for outcome in outcomes.values() if isinstance(outcome, Receipt)]
        assert [receipt.sender for receipt in receipts] == [bob.peer_id, carol.peer_id]
        assert isinstance(outcomes[dave.peer_id], NegotiationFailed)
        assert await messenger.broadcast([], b"hello") == {}


class Unreachable:
    """A host that counts how many dials are under way, and fails all of them."""

    def __init__(self) -> None:
        self.under_way = self.most = self.cancelled = 0

    async def open_stream(self, peer: PeerId, protocols: Sequence[str], *, confirm: bool = False) -> Stream:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        raise DialFailed(f"{peer} is not there")


async def test_a_broadcast_has_a_bounded_number_under_way() -> None:
    async with network() as net:
        alice, host = net.station(), Unreachable()
        caller = Caller(host.open_stream, alice.limits)
        messenger = Messenger(alice.identity, lambda: caller, limits=alice.limits)
        peers = [PeerId.from_bytes(b"\x00\x01" + bytes([number])) for number in range(BROADCAST_CONCURRENCY + 3)]
        outcomes = await messenger.broadcast(peers, b"hello")
        assert {type(outcome) for outcome in outcomes.values()} == {DialFailed}
        assert list(outcomes) == peers
        assert host.most == BROADCAST_CONCURRENCY


async def test_a_cancelled_broadcast_gives_up_what_is_under_way() -> None:
    async with network() as net:
        alice, host = net.station(), Unreachable()
        caller = Caller(host.open_stream, alice.limits)
        messenger = Messenger(alice.identity, lambda: caller, limits=alice.limits)
        peers = [PeerId.from_bytes(b"\x00\x01" + bytes([number])) for number in range(3)]
        task = asyncio.ensure_future(messenger.broadcast(peers, b"hello"))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (host.under_way, host.cancelled) == (0, 3)


async def test_each_recipient_of_a_broadcast_has_its_own_time() -> None:
    async with network() as net:
        alice, host = net.station(), Unreachable()
        caller = Caller(host.open_stream, alice.limits)
        messenger = Messenger(alice.identity, lambda: caller, limits=alice.limits)
        outcomes: dict[PeerId, Receipt | CortexError] = await messenger.broadcast([net.station().peer_id], b"", timeout=0.5)
        assert {type(outcome) for outcome in outcomes.values()} == {PeerTimeout}
