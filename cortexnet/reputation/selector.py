"""`node.selection`: which peers to ask, and requests that go to whoever answers first. A shell.

A request that a peer has not answered in the time that it hardly ever needs is sent to a second one; the first answer counts, and
the other peer is told by a reset that nobody waits any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, final

from cortexnet.documented import documented
from cortexnet.errors import (
    CortexError,
    LimitExceeded,
    LocalError,
    MessageTooLarge,
    NoPeers,
    PeerTimeout,
    describe,
)
from cortexnet.host.deadline import deadline
from cortexnet.identity.peer_id import PeerId, peers_of
from cortexnet.messaging.caller import Caller, OpenStream
from cortexnet.messaging.request import SIZE_LIMIT, Framing, check_request, request
from cortexnet.reputation.selection import LATE, Selection, Standing
from cortexnet.reputation.selection_config import SelectionConfig
from cortexnet.transport.stream import Stream

if TYPE_CHECKING:
    from cortexnet.admission.limits import Limits
    from cortexnet.reputation.service import Reputation
    from cortexnet.swarm.swarm import Swarm


@final
@documented
@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request to one of several peers."""

    peer_id: PeerId
    """Who has answered."""
    data: bytes
    """The response."""


@final
class Selector:
    """Chooses among peers by how they have answered so far; it hears of each request and message of this node."""

    def __init__(
        self,
        own_id: PeerId,
        config: SelectionConfig,
        open_stream: OpenStream,
        swarm: "Swarm",
        limits: "Limits",
        *,
        reputation: "Reputation | None",
        random: Random | None = None,
    ) -> None:
        """Without a `reputation` only what was seen here counts. `random` draws the candidates."""
        self._own_id = own_id
        self._config = config
        self._swarm = swarm
        self._reputation = reputation
        self._selection = Selection(config, random or Random())
        self.caller = Caller(open_stream, limits, self)
        """Begins requests, and counts them."""

    def pick(self, candidates: Iterable[PeerId | str], n: int = 1, purpose: str = "") -> list[PeerId]:
        """Up to `n` different ones of the candidates, whom to ask first in front; fewer where there are not so many.

        Two are drawn, and the one that costs less is taken: usual response time × (1 + requests in flight to it) × a penalty for
        a bad score. Some choices fall on anybody, so that newcomers and those who were slow once get a chance. Peers whose score
        is so bad that they are refused are left out as long as there is anybody else. `purpose` is the protocol they are to be
        asked by, if there is one: each has response times of its own. This node itself is none. Raises LocalError where `n` is
        negative, and for what is no peer id.
        """
        if n < 0:
            raise LocalError(f"{n} peers can't be chosen")
        return self._selection.pick(self._willing(candidates), n, purpose, self._know)

    async def request_any(
        self,
        candidates: Iterable[PeerId | str],
        protocol: str,
        data: bytes,
        *,
        timeout: float | None = None,
        framing: Framing = "varint",
        size_limit: int = SIZE_LIMIT,
    ) -> Answer:
        """The response of one of the candidates to `data`; see `Node.request` and `Node.request_any`."""

        async def exchange(stream: Stream) -> bytes:
            return await request(stream, data, framing=framing, size_limit=size_limit)

        check_request(data, framing, size_limit)
        left = self._willing(candidates)
        self._selection.asked()
        what = f"a request to any of {len(left)} peers"
        race = _Race(self, left, protocol, exchange, len(data))
        try:
            async with deadline(timeout, what), asyncio.TaskGroup() as tasks:
                outcome = await race.run(tasks, self._config.tries)
        except PeerTimeout as error:
            race.blame(error)
            raise
        if isinstance(outcome, CortexError):
            raise outcome
        return outcome

    # --- what a race needs -------------------------------------------------------------------------------------------------

    def choose(self, left: list[PeerId], purpose: str) -> PeerId:
        """One of them, taken out."""
        (chosen,) = self._selection.pick(left, 1, purpose, self._know)
        left.remove(chosen)
        return chosen

    def patience(self, peer: PeerId, purpose: str) -> float:
        """Seconds after which a second peer is to be asked."""
        late = None if self._reputation is None else self._reputation.quantile(peer, LATE)
        return self._selection.patience(peer, purpose, late)

    def take_hedge(self) -> bool:
        """Whether there may be a second try now: then there is one."""
        return self._selection.take_hedge()

    # --- what the caller tells ---------------------------------------------------------------------------------------------

    def answered(self, peer: PeerId, protocol: str, seconds: float) -> None:
        self._selection.answered(peer, protocol, seconds)
        if self._reputation is not None:
            self._reputation.report(peer, success=True, response_time=seconds)

    def failed(self, peer: PeerId, protocol: str, error: CortexError, seconds: float | None) -> None:
        if isinstance(error, LocalError | LimitExceeded):
            return  # that was us
        self._selection.failed(peer, protocol)
        if self._reputation is None or seconds is None:
            return  # of dials the ledger hears anyhow
        is_impatient = isinstance(error, PeerTimeout) and seconds < self.patience(peer, protocol)
        if not is_impatient and not isinstance(error, MessageTooLarge):  # how much may come, whoever asks has said
            self._reputation.failed(peer, error)

    def abandoned(self, peer: PeerId, protocol: str, seconds: float) -> None:
        # It is no failure: for all we know it would have answered.
        self._selection.abandoned(peer, protocol, seconds)

    def _willing(self, candidates: Iterable[PeerId | str]) -> list[PeerId]:
        peers = dict.fromkeys(peers_of(candidates))
        peers.pop(self._own_id, None)
        if self._reputation is None:
            return list(peers)
        least, score = self._reputation.config.refuse_below, self._reputation.score
        return [peer for peer in peers if score(peer) >= least] or list(peers)

    def _know(self, peer: PeerId) -> Standing:
        connection, reputation = self._swarm.connection_to(peer), self._reputation
        response_time = None if reputation is None else reputation.quantile(peer, 0.5)
        if response_time is None and connection is not None:
            response_time = connection.rtt
        return Standing(
            score=0.0 if reputation is None else reputation.score(peer),
            in_flight=self.caller.in_flight.count(peer),
            silence=self.caller.in_flight.silence(peer),
            is_connected=connection is not None,
            response_time=response_time,
        )


@final
@dataclass(frozen=True, slots=True)
class _Try:
    peer: PeerId
    begin: float


@final
class _Race:
    """One request, on its way to one peer or more."""

    def __init__(
        self, selector: Selector, left: list[PeerId], protocol: str, exchange: Callable[[Stream], Awaitable[bytes]], size: int
    ) -> None:
        """`left` are the peers that it may go to, `size` its bytes."""
        self._selector = selector
        self._left = left
        self._protocol = protocol
        self._exchange = exchange
        self._size = size
        self._loop = asyncio.get_running_loop()
        self._running: dict[asyncio.Task[bytes | CortexError], _Try] = {}
        self._errors: list[tuple[PeerId, CortexError]] = []
        self._late_at = 0.0  # when the one that was asked last is late

    async def run(self, tasks: asyncio.TaskGroup, tries: int) -> Answer | CortexError:
        """The first answer, or why there is none. No more than `tries` peers are asked."""
        while True:
            may_begin = self._left and tries > 0
            if not self._running:
                if not may_begin:
                    return self._nobody()
                self._begin(tasks)
                tries -= 1
                continue
            wait = None if not may_begin else max(0.0, self._late_at - self._loop.time())
            done, _ = await asyncio.wait(self._running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                if self._selector.take_hedge():
                    self._begin(tasks)
                    tries -= 1
                else:
                    self._wait_longer()
            for task in done:
                outcome = self._outcome(task)
                if outcome is not None:
                    for other in self._running:
                        other.cancel()
                    return outcome

    def _begin(self, tasks: asyncio.TaskGroup) -> None:
        peer = self._selector.choose(self._left, self._protocol)
        now = self._loop.time()
        self._late_at = now + self._selector.patience(peer, self._protocol)
        self._running[tasks.create_task(self._try(peer), name=f"request to {peer}")] = _Try(peer, now)

    def _wait_longer(self) -> None:
        """There are too many second tries at present: look again when as much time has gone by as until now."""
        now = self._loop.time()
        self._late_at = now + max(now - each.begin for each in self._running.values())

    async def _try(self, peer: PeerId) -> bytes | CortexError:
        """Errors are returned: raised, they would end the other tries."""
        try:
            caller = self._selector.caller
            return await caller.call(peer, self._protocol, self._exchange, timeout=None, what="", size=self._size)
        except CortexError as error:
            return error

    def _outcome(self, task: asyncio.Task[bytes | CortexError]) -> Answer | LocalError | None:
        """What ends the race; None: others are still to be waited for, or asked."""
        peer, result = self._running.pop(task).peer, task.result()
        if isinstance(result, bytes):
            return Answer(peer, result)
        if isinstance(result, LocalError):
            return result  # it is the call that is wrong, or the node that is closed
        self._errors.append((peer, result))
        return None

    def _nobody(self) -> NoPeers:
        if not self._errors:
            return NoPeers("there is nobody to ask: name at least one other peer")
        lines = "".join(f"\n  {peer}: {describe(error)}" for peer, error in self._errors)
        nobody = NoPeers(f"none of the {len(self._errors)} peers that were asked has answered{lines}")
        nobody.__cause__ = self._errors[-1][1]
        return nobody

    def blame(self, error: PeerTimeout) -> None:
        """The time is up. Who had longer than it ever needs has failed; whoever was asked late has not."""
        now = self._loop.time()
        for each in self._running.values():
            if now - each.begin >= self._selector.patience(each.peer, self._protocol):
                self._selector.failed(each.peer, self._protocol, error, now - each.begin)
