"""Reputation as a service of the node: told what peers do, and asked what they are worth. A shell."""

import asyncio
import logging
from typing import TYPE_CHECKING, final

from cortexnet.errors import (
    CortexError,
    DialFailed,
    EndOfStream,
    InvalidRecord,
    LimitExceeded,
    LocalError,
    NegotiationFailed,
    PeerIdMismatch,
    PeerTimeout,
    RemoteError,
    StreamCode,
    StreamReset,
    describe,
)
from cortexnet.identity.peer_id import PeerId, peer_of
from cortexnet.reputation.consequences import Consequences
from cortexnet.reputation.explanation import Explanation, explain
from cortexnet.reputation.ledger import Ledger
from cortexnet.reputation.subnets import Networks
from cortexnet.swarm.dial_plan import shown
from cortexnet.transport.log_limit import LogLimit

if TYPE_CHECKING:
    from cortexnet.admission.gater import Gater
    from cortexnet.host.context import Context
    from cortexnet.host.peer_info import PeerInfo
    from cortexnet.reputation.config import ReputationConfig
    from cortexnet.storage.storage import Storage
    from cortexnet.transport.connection import Connection

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

_AGE = 1e9  # seconds; nobody has waited so long
_OUTAGE = 8  # dials that fail in a row: as many peers are rarely gone at once


@final
class Reputation:
    """How peers have behaved towards this node: `node.reputation`.

    It is this node's own opinion: nobody else is told, and nobody else is asked. A peer is named by its id, or the text of it.
    """

    def __init__(self, config: "ReputationConfig", gater: "Gater", storage: "Storage | None") -> None:
        self.config = config
        self._loop = asyncio.get_running_loop()
        self._store = None if storage is None else storage.reputation()
        begin = 0.0 if self._store is None else self._store.time(config.downtime_limit)
        self._offset = begin - self._loop.time()
        self._ledger = Ledger(config)
        self._networks = Networks(config)
        self._consequences = Consequences(config, self._ledger, self._networks, gater, self._now)
        self._context: Context | None = None
        self._identified: set[Connection] = set()
        self._dials_failed = 0  # in a row

    def attach(self, context: "Context") -> None:
        """The other parts of the node."""
        self._context = context

    async def start(self) -> None:
        """Take back what an earlier run knew, and look on from now on."""
        context = self._context
        assert context is not None  # attached
        if self._store is not None:
            await self._store.load(self._ledger, self._networks, self._now)
        self._consequences.start(context)
        context.on_connected.append(self._connected)
        context.on_disconnected.append(self._disconnected)
        context.on_identified.append(self._has_identified)

    async def close(self) -> None:
        """Look on no more; what is known stays readable."""
        self._consequences.stop()
        context, self._context = self._context, None
        if context is not None:
            context.on_connected.remove(self._connected)
            context.on_disconnected.remove(self._disconnected)
            context.on_identified.remove(self._has_identified)

    # --- what is known -----------------------------------------------------------------------------------------------------

    def score(self, peer: PeerId | str) -> float:
        """From -100 to 100, 0 for who is not known. Takes about a microsecond."""
        return self._ledger.score(peer_of(peer), self._now())

    def misgivings(self, peer: PeerId) -> float:
        """What speaks against a peer, from -100 to 0: merit elsewhere buys nothing among those who pass on messages."""
        return min(0.0, self._ledger.score(peer, self._now()))

    def explain(self, peer: PeerId | str) -> Explanation:
        """Why a peer has the score it has, and what follows from that; `str` of it is for people."""
        found = peer_of(peer)
        return explain(found, self._ledger, self._now(), self._consequences.standing(found))

    def peers(self) -> list[PeerId]:
        """Whom something is known of: first those with a bad score; of each kind the one heard of last comes last, mostly."""
        return list(self._ledger)

    def quantile(self, peer: PeerId | str, q: float) -> float | None:
        """Of the last 100 response times of a peer, in seconds: 0.5 is the median, 0.95 what hedging waits for; None: unknown."""
        return self._ledger.quantile(peer_of(peer), q)

    @property
    def median(self) -> float | None:
        """The usual response time in seconds, the median of peers' medians; None where fewer than three are known."""
        return self._ledger.median

    def strangers_slowed(self, network: str) -> float:
        """How many offences of peers from an IPv4 /24 or IPv6 /48 are not forgotten yet; strangers come so much more slowly."""
        return self._networks.offences(network, self._now())

    # --- what has happened -------------------------------------------------------------------------------------------------

    def report(self, peer: PeerId | str, success: bool, response_time: float | None = None) -> None:
        """Something asked of the peer went well or not, in so many seconds. The node reports what it does itself.

        Raises LocalError for a time that is none.
        """
        if response_time is not None and not (isinstance(response_time, int | float) and 0 <= response_time < _AGE):
            raise LocalError(f"a response time is some seconds, not {response_time!r}")
        found = peer_of(peer)
        self._ledger.report(found, self._now(), success=success, response_time=response_time)
        if not success and self._ledger.is_bad(found):
            self._consequences.suspect(found, "what it did earlier, and failures")
        self._hurry(found)

    def violation(self, peer: PeerId | str, what: str) -> None:
        """The peer itself sent what no correct peer sends: `what`, in a few words. Never for what another one says of it."""
        found = peer_of(peer)
        log.debug("%s: %s", found, what, extra={"peer": found})
        self._ledger.violation(found, self._now())
        self._consequences.offended(found, what)
        self._hurry(found)

    def shared(self, peer: PeerId, given: int = 0, taken: int = 0) -> None:
        """The peer gave so many bytes that were asked for, or asked for and got so many."""
        self._ledger.shared(peer, self._now(), given=given, taken=taken)

    def forgive(self, peer: PeerId | str) -> None:
        """Forget all that is known of a peer, good and bad; where it was denied for that, it is so no more."""
        found = peer_of(peer)
        self._ledger.forget(found)
        self._consequences.forgive(found)

    def failed(self, peer: PeerId, error: Exception) -> None:
        """Something asked of a peer has ended in an error: a failure, or worse, where that is its doing.

        Our own limits, a network that is gone, and what we have given up ourselves say nothing about it, nor does a protocol that
        it does not speak, nor a no of its application: a reset with a code of that's own. Where it is not connected it may never
        have heard of it: see `dial_failed`.
        """
        if is_violation(error):
            self.violation(peer, describe(error))
            return
        is_its_own = isinstance(error, TimeoutError) or (isinstance(error, StreamReset | EndOfStream) and error.by == "remote")
        if isinstance(error, StreamReset) and is_of_application(error.code):
            return
        if is_its_own and self._context is not None and self._context.swarm.connections_to(peer):
            self.report(peer, False)

    def offended(self, connection: "Connection", error: RemoteError) -> None:
        """The bytes of a connection, which its peer has authenticated, break a protocol."""
        if is_violation(error):
            self.violation(connection.peer_id, describe(error))

    def dial_failed(self, peer: PeerId | None, error: CortexError) -> None:
        """A dial has led to nobody.

        It counts where the peer was a good one; where an address that it has signed did not answer, or anybody could harm it by
        telling wrong ones of it, which limits of ours and dials that were given up say nothing about; and unless it may be our
        own network that is down: where nobody is connected, or many dials in a row have failed.
        """
        context = self._context
        if context is None or not isinstance(error, DialFailed) or not any(_is_its_own(cause) for _, cause in error.attempts):
            return
        self._dials_failed += 1
        if peer is None or not context.swarm.peers or self._dials_failed > _OUTAGE:
            return
        entry, known = self._ledger.entry(peer), context.peerstore.known(peer, self._loop.time())
        if entry is None or entry.successes <= 0 or known is None:
            return
        signed = {shown(address) for address in known.certified}
        if any(address in signed and _is_its_own(cause) for address, cause in error.attempts):
            self.report(peer, False)

    def _connected(self, connection: "Connection") -> None:
        if connection.direction == "outbound":
            self._dials_failed = 0
            self._ledger.report(connection.peer_id, self._now(), success=True)
        self._consequences.connected(connection.peer_id)

    def _disconnected(self, connection: "Connection") -> None:
        self._identified.discard(connection)

    def _has_identified(self, connection: "Connection", info: "PeerInfo") -> None:
        """Once for each connection: so who only ever calls us becomes known as well."""
        if connection.is_open and connection not in self._identified:
            self._identified.add(connection)
            self._ledger.report(connection.peer_id, self._now(), success=True)

    def _hurry(self, peer: PeerId) -> None:
        """A bad score is written down soon: who is ended by it shall not be forgotten by an end of ours."""
        if self._store is not None and self._ledger.is_bad(peer):
            self._store.hurry()

    def _now(self) -> float:
        """By the ledger's own clock: it goes on where the last run has left it."""
        return self._loop.time() + self._offset


def is_violation(error: BaseException) -> bool:
    """Whether no correct peer sends what led to it. A DHT record may have been good when it was kept."""
    return isinstance(error, RemoteError) and not isinstance(error, _INNOCENT)


def is_of_application(code: int) -> bool:
    """Whether a stream was reset with a code of its protocol, and none of libp2p's (spec: "error codes"): that is an answer."""
    return code != StreamCode.NONE and code not in _CODES_OF_LIBP2P


_CODES_OF_LIBP2P = range(0x1000, 0x2000)
_INNOCENT = (NegotiationFailed, PeerIdMismatch, PeerTimeout, InvalidRecord)


def _is_its_own(cause: BaseException) -> bool:
    """Whether a failed attempt says something about the peer. That somebody else is at its address does not."""
    return not isinstance(cause, LocalError | LimitExceeded | PeerIdMismatch)
