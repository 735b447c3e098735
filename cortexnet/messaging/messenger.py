"""Direct messages to one peer or many, each answered by a receipt. A shell over requests.

See `message` for what is signed and why it can be shown to others.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.errors import CortexError, LocalError, ProtocolViolation
from cortexnet.host.deadline import check_seconds
from cortexnet.host.host import check_callable
from cortexnet.host.step_turns import step_turns
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.messaging.caller import Caller
from cortexnet.messaging.message import OVERHEAD, Message, Receipt, signed_frame, unsigned_frame
from cortexnet.messaging.request import SIZE_LIMIT, Request, blameless, request, verified_responder
from cortexnet.texts import check_bytes
from cortexnet.transport.connection import StreamHandler
from cortexnet.transport.stream import Stream

PROTOCOL = "/cortex/message/1.0.0"
BROADCAST_CONCURRENCY = 32
"""Messages of one broadcast under way at once: enough to hide the latency, and half of the dials that may be in flight."""

MessageHandler = Callable[[Message], Awaitable[bytes | None]]
"""Gets what peers say; what it returns goes back in the receipt."""


@final
class Messenger:
    """Sends and receives direct messages in the name of one identity.

    `signed=False` sends them without signatures, and takes such from others; else everything has to be signed. Data of more than
    `size_limit` bytes is neither sent nor taken. `caller` is who begins the exchanges, asked for with each message.
    """

    def __init__(
        self,
        identity: Identity,
        caller: Callable[[], Caller],
        *,
        limits: Limits,
        signed: bool = True,
        size_limit: int = SIZE_LIMIT,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._identity = identity
        self._caller = caller
        self._limits = limits
        self._signed = signed
        self._size_limit = size_limit
        self._unix_ns = unix_ns
        self._sequence = 0

    def receiver(self, handler: MessageHandler) -> StreamHandler:
        """The stream handler of /cortex/message/1.0.0 that gives each message to `handler`, verified.

        The sender gets the receipt once the handler has returned; where it raises, no receipt but RequestFailed. It is cancelled
        when the sender gives up.
        """
        check_callable("a handler of messages", handler)
        run = blameless(handler)

        async def receive(request: Request) -> bytes:
            message = await step_turns().run(
                lambda: Message.decode_frame(request.data, size_limit=self._size_limit, is_signed=self._signed),
                of=request.peer_id,
            )
            if message.sender != request.peer_id or message.recipient != self._identity.peer_id:
                raise ProtocolViolation(f"a message of {message.sender} to {message.recipient} came from {request.peer_id} to us")
            data = await run(message)
            if data is None:
                data = b""
            self._check_size("what a handler of messages returns", data)
            receipt = Receipt.of(message, unix_ns=self._unix_ns(), data=data)
            is_signed = message.proof is not None
            return await step_turns().run(lambda: self._frame(receipt, is_signed=is_signed), of=request.peer_id)

        return verified_responder(receive, limits=self._limits, size_limit=self._size_limit + OVERHEAD)

    async def send(self, peer: PeerId, data: bytes, *, timeout: float | None = None) -> Receipt:
        """Send one message; its receipt, verified. `timeout` in seconds covers everything, a dial too.

        Raises LocalError for too much data, or what is not bytes; LimitExceeded where too many wait for their turn with this
        peer (see `InFlight`); PeerTimeout, RequestFailed where the peer did not accept it, NegotiationFailed, ProtocolViolation
        for a receipt that is not one of this message, DialFailed, ConnectionClosed. After any of them but the first two the
        message may have arrived all the same. Cancelled: the receiver is told by a reset.
        """
        self._check_size("a message", data)
        now = self._unix_ns()
        self._sequence = max(now, self._sequence + 1)
        message = Message(sender=self._identity.peer_id, recipient=peer, sequence=self._sequence, unix_ns=now, data=data)
        frame = self._frame(message, is_signed=self._signed)

        async def exchange(stream: Stream) -> Receipt:
            answer = await request(stream, frame, size_limit=self._size_limit + OVERHEAD)
            receipt = Receipt.decode_frame(answer, is_signed=self._signed)
            if not receipt.is_for(message):
                raise ProtocolViolation(f"{peer} sent the receipt of another message")
            return receipt

        what = f"a message to {peer}"
        return await self._caller().call(peer, PROTOCOL, exchange, timeout=timeout, what=what, size=len(frame))

    async def broadcast(
        self, peers: Iterable[PeerId], data: bytes, *, timeout: float | None = None
    ) -> dict[PeerId, Receipt | CortexError]:
        """Send the same data to each of the peers: the receipt of each, or why there is none. `timeout` is that of one message.

        Cancelled: messages under way are given up.
        """
        self._check_size("a message", data)
        check_seconds(timeout)
        outcomes: dict[PeerId, Receipt | CortexError] = {}
        recipients = list(dict.fromkeys(peers))
        waiting = iter(recipients)

        async def work(waiting: Iterator[PeerId]) -> None:
            for peer in waiting:
                try:
                    outcomes[peer] = await self.send(peer, data, timeout=timeout)
                except CortexError as error:
                    outcomes[peer] = error

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(BROADCAST_CONCURRENCY, len(recipients))):
                workers.create_task(work(waiting), name="broadcast")
        return {peer: outcomes[peer] for peer in recipients}

    def _frame(self, content: Message | Receipt, *, is_signed: bool) -> bytes:
        return signed_frame(content, self._identity.private_key) if is_signed else unsigned_frame(content)

    def _check_size(self, what: str, data: bytes) -> None:
        check_bytes(what, data)
        if len(data) > self._size_limit:
            raise LocalError(f"a message of {len(data)} bytes is over the limit of {self._size_limit}")
