"""Asks connected peers whom they are connected to, and answers them. A shell around `exchange`."""

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, final

from cortexnet.discovery.exchange import (
    PROTOCOL,
    QUESTION_LIMIT,
    RECORD_LIMIT,
    ExchangeRates,
    answer_limit,
    check_want,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)
from cortexnet.discovery.found import EXCHANGE
from cortexnet.errors import CortexError, MessageTooLarge, ProtocolViolation, Refuse, StreamCode
from cortexnet.host.deadline import deadline
from cortexnet.host.peer_info import is_near, reachable
from cortexnet.host.step_turns import step_turns
from cortexnet.swarm.peerstore import TEMPORARY_TTL
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.discovery.config import DiscoveryConfig
    from cortexnet.discovery.found_dialer import FoundDialer
    from cortexnet.host.context import Context
    from cortexnet.host.peer_info import PeerInfo
    from cortexnet.identity.envelope import SignedRecord
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.stream import Stream

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

TIMEOUT = 10.0
"""Seconds for a question and its answer, on either side."""
PAUSE = 2.0
"""Seconds from one round of questions to the next, less up to half of it at random: time to dial whom the last one has named."""


@final
class PeerExchange:
    """One task that asks, and a handler that answers."""

    def __init__(self, context: "Context", config: "DiscoveryConfig", dialer: "FoundDialer", *, asks: bool) -> None:
        """`asks`: whether this node looks for peers itself; else it only answers."""
        self._context = context
        self._config = config
        self._dialer = dialer
        self._asks = asks
        self._loop = asyncio.get_running_loop()
        self._random = Random()
        self._scope = Scope(context.scope)
        self._rates = ExchangeRates(config, table_size=context.limits.rate_table_size, random=self._random, now=self._loop.time())
        self._woken = asyncio.Event()

    async def start(self) -> None:
        """Answer from now on, and ask where that is wanted."""
        if not self._context.protocols.supports(PROTOCOL):  # the application's own comes first
            self._context.protocols.handle(PROTOCOL, self._answer)
        if self._asks:
            self._context.on_identified.append(self._identified)
            self._context.on_disconnected.append(lambda connection: self._woken.set())
            self._scope.spawn(self._run(), name="peer exchange")

    async def close(self) -> None:
        """Ask no more; questions under way are reset."""
        await self._scope.close()

    # --- asking ------------------------------------------------------------------------------------------------------------

    def _identified(self, connection: "Connection", info: "PeerInfo") -> None:
        if PROTOCOL in info.protocols:
            self._woken.set()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE * self._random.uniform(0.5, 1.0))
            self._woken.clear()
            due = (
                await self._ask_some() if self._dialer.lacks_candidates() else self._loop.time() + self._config.exchange_interval
            )
            timer = None if due is None else self._loop.call_at(due, self._woken.set)
            try:
                await self._woken.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    async def _ask_some(self) -> float | None:
        """Ask a few of those whose turn it is; when there is somebody to ask again."""
        able = self._able()
        chosen = self._rates.choose(able, self._loop.time(), self._config.exchange_asked)
        await asyncio.gather(*(self._ask(peer) for peer in chosen))
        return self._rates.next_timeout(able)

    def _able(self) -> "list[PeerId]":
        return [
            peer
            for peer in self._context.swarm.peers
            if self._context.peerstore.supports(peer, PROTOCOL) and self._dialer.is_good(peer)
        ]

    async def _ask(self, peer: "PeerId") -> None:
        connection = self._context.swarm.connection_to(peer)
        if connection is None:
            return
        tally = self._context.resources.tally
        tally.exchanges_asked += 1
        try:
            records = await self._question(connection)
        except CortexError as error:
            tally.exchanges_failed += 1
            log.debug("peer exchange with %s: %s", peer, error, extra={"peer": peer})
            if self._context.reputation is not None and isinstance(error, ProtocolViolation | MessageTooLarge):
                self._context.reputation.violation(peer, f"peer exchange: {error}")
            return
        for record in records:
            self._learn(record, connection.remote_address)

    async def _question(self, connection: "Connection") -> "list[SignedRecord]":
        want = self._config.exchange_peers
        async with (
            deadline(TIMEOUT, f"a peer exchange with {connection.peer_id}"),
            await connection.open_stream([PROTOCOL]) as stream,
        ):
            await stream.write_message(encode_question(want))
            await stream.close_write()
            answer = await stream.read_message(limit=answer_limit(want))
        turns, origin = step_turns(), connection.origin
        return await turns.run(lambda: decode_answer(answer, want=want, is_known=self._is_known), of=origin)

    def _is_known(self, peer: "PeerId") -> bool:
        return peer == self._context.identity.peer_id or self._context.peerstore.is_connected(peer)

    def _learn(self, record: "SignedRecord", teller: "Multiaddr") -> None:
        """Take what the teller could know of the record's addresses. A record older than the one that is known is none."""
        peer, near = record.record.peer_id, is_near(teller)
        believed = reachable(record.record.addresses, teller)
        now = self._loop.time()
        if believed and self._context.peerstore.accept_record(record, now, ttl=TEMPORARY_TTL, believed=believed, is_near=near):
            self._context.discovered.found(peer, believed, EXCHANGE, is_near=near)

    # --- answering ---------------------------------------------------------------------------------------------------------

    async def _answer(self, stream: "Stream") -> None:
        peer, tally = stream.peer_id, self._context.resources.tally
        if not self._rates.may_answer(peer, self._loop.time()):
            tally.exchanges_refused += 1
            raise Refuse(StreamCode.RATE_LIMITED, f"{peer} asks for peers too often")
        async with deadline(TIMEOUT, f"a peer exchange of {peer}"):
            question = await stream.read_message(limit=QUESTION_LIMIT)
            want = check_want(decode_question(question), self._config.exchange_peers)
            await stream.write_message(encode_answer(self._others(peer, stream.connection.remote_address, want)))
        tally.exchanges_answered += 1

    def _others(self, asker: "PeerId", remote: "Multiaddr", want: int) -> "list[tuple[PeerId, bytes]]":
        """Some whom we are connected to, with their records: such as the asker may be able to reach, and no bad ones."""
        others: list[tuple[PeerId, bytes]] = []
        peers, now = self._context.swarm.peers, self._loop.time()
        for peer in self._random.sample(peers, len(peers)):
            if len(others) == want:
                break
            known = self._context.peerstore.known(peer, now) if peer != asker and self._dialer.is_good(peer) else None
            if known is None or known.record is None or len(known.record) > RECORD_LIMIT:
                continue
            if reachable(known.certified, remote):
                others.append((peer, known.record))
        return others
