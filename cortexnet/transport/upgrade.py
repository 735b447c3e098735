"""From a fresh socket to a connection: a shell that runs the generators of `upgrade_steps`.

Spec: libp2p specs, connections/, "Upgrading".
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final

from cortexnet import multistream
from cortexnet.admission.gater import Gater
from cortexnet.admission.rate_limit import ConnectRateLimit
from cortexnet.admission.resources import Reservation, Resources
from cortexnet.errors import ConnectionClosed, ConnectionCode, CortexError, Denied, LimitExceeded, NegotiationFailed, PeerTimeout
from cortexnet.handshake import ByteQueue, Driver, Handshake
from cortexnet.identity.peer_id import PeerId
from cortexnet.mux import yamux
from cortexnet.mux.muxer import MemoryBudget, Muxer
from cortexnet.security.session import SecureChannel
from cortexnet.transport.byte_link import ByteLink
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.link import Link
from cortexnet.transport.read_turns import turns_of
from cortexnet.transport.upgrade_steps import Upgraded, upgrade_inbound, upgrade_outbound

_HANDSHAKE_CHUNK = 16_384  # bytes taken in at a time before the peer is verified
MuxerFactory = Callable[[bool, MemoryBudget], Muxer]
"""A fresh muxer: whether this side dialed, and its memory."""


def _yamux(initiator: bool, memory: MemoryBudget) -> Muxer:
    return yamux.Yamux(initiator=initiator, memory=memory)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeConfig:
    """What connections are made of, and how long that may take, in seconds."""

    muxers: Mapping[str, MuxerFactory] = field(default_factory=lambda: {yamux.NAME: _yamux})
    """In order of preference."""
    inbound_timeout: float = 10.0
    negotiation_timeout: float = 10.0
    close_timeout: float = 2.0


class Pending(Protocol):
    """What was accepted and has proven nothing yet."""

    def fail(self, error: Exception) -> None:
        """Give it up; nothing happens where it is over."""


@final
class Upgrader:
    """Makes connections out of the sockets of one node; its transports share it."""

    def __init__(
        self, channels: Sequence[SecureChannel], resources: Resources, config: UpgradeConfig, gater: Gater | None = None
    ) -> None:
        """`channels` in order of preference; without `gater` everybody may connect."""
        self.channels = channels
        self.resources = resources
        self.config = config
        self.gater = gater or Gater(limit=resources.limits.access_rules, unix_time=time.time)
        self._rate = ConnectRateLimit(resources.limits)
        self._pending: dict[Reservation, Pending] = {}  # accepted, nothing proven yet

    def admit(self, upgrade: Pending, ip: str | None, *, is_rated: bool = True, has_socket: bool = True) -> Reservation:
        """Count what was accepted. Where there is no room, the oldest that has not proven anything goes.

        Not rated is what somebody else may have begun under that address. Raises LimitExceeded.
        """
        resources = self.resources
        if is_rated:
            self._rate.admit(ip, asyncio.get_running_loop().time())
        oldest = resources.oldest_to_evict(ip)
        if oldest is not None:
            limit = resources.limits.unauthenticated
            setting = "limits.unauthenticated"
            self._pending[oldest].fail(LimitExceeded("sockets without handshake", limit=limit, value=limit + 1, setting=setting))
        reservation = resources.admit_inbound(ip, has_socket=has_socket)
        self._pending[reservation] = upgrade
        return reservation

    def settled(self, reservation: Reservation) -> None:
        """The upgrade of an accepted socket is over."""
        self._pending.pop(reservation, None)

    def abort_pending(self, error: CortexError) -> None:
        """End all upgrades of accepted sockets."""
        for upgrade in list(self._pending.values()):
            upgrade.fail(error)

    def connection(
        self, io: asyncio.Transport, upgraded: Upgraded, undecrypted: bytes, endpoints: Endpoints, reservation: Reservation
    ) -> tuple[ByteLink, Connection]:
        """The connection on top of what the handshakes led to, and its link. Raises LimitExceeded, Denied."""
        self.admit_peer(upgraded.session.remote_peer, endpoints, reservation)
        mux = self.muxer(upgraded, endpoints.direction == "outbound", reservation)
        link = ByteLink(io, session=upgraded.session, mux=mux, leftover=upgraded.leftover, undecrypted=undecrypted)
        return link, self.over(link, endpoints, reservation)

    def admit_peer(self, peer: PeerId, endpoints: Endpoints, reservation: Reservation) -> None:
        """The handshake has shown who it is. Raises LimitExceeded, Denied."""
        self.gater.check_secured(peer, endpoints.remote, endpoints.direction)
        reservation.authenticated(peer)

    def over(self, link: Link, endpoints: Endpoints, reservation: Reservation) -> Connection:
        """The connection over a link whose peer was admitted. Raises Denied."""
        connection = Connection(
            link,
            endpoints=endpoints,
            reservation=reservation,
            negotiation_timeout=self.config.negotiation_timeout,
            close_timeout=self.config.close_timeout,
        )
        self.gater.check_upgraded(connection)
        return connection

    def muxer(self, upgraded: Upgraded, initiator: bool, reservation: Reservation) -> Muxer:
        """A fresh muxer of the kind that was agreed on."""
        return self.config.muxers[upgraded.muxer](initiator, reservation.memory)


Outcome = Connection | Exception


@final
class Upgrade(asyncio.BufferedProtocol):
    """The protocol of a socket until its connection takes over: in one step, so that no byte falls between them.

    `finished` gets the connection, not started, or the error; on an error the socket is closed already. With a `channel` and the
    dialer's `reservation` it is the dialer's side.
    """

    def __init__(
        self,
        upgrader: Upgrader,
        endpoints: Callable[[asyncio.Transport], Endpoints],
        finished: Callable[[Outcome], None],
        *,
        channel: SecureChannel | None = None,
        reservation: Reservation | None = None,
        expected: PeerId | None = None,
    ) -> None:
        self._upgrader = upgrader
        self._channel = channel
        self._endpoints = endpoints
        self._finished = finished
        self._reservation = reservation
        self._expected = expected
        self._loop = asyncio.get_running_loop()
        self._turns = turns_of(self._loop)
        self._buffer = self._turns.buffer()[:_HANDSHAKE_CHUNK]
        self._received = ByteQueue()
        self._driver: Driver[Upgraded] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._io: asyncio.Transport | None = None
        self._refusal: LimitExceeded | None = None  # said to the peer, which is given a moment to read it
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # what sockets and memory links give
        self._io = transport
        if self._over:  # given up while the socket was being made
            transport.abort()
        elif self._channel is not None and self._reservation is not None:
            if self._reservation.on_reached is not None:
                self._reservation.on_reached()
            self._run(upgrade_outbound(self._channel, self._upgrader.config.muxers, self._expected), self._reservation)
        else:
            self._accepted(transport)

    def _accepted(self, io: asyncio.Transport) -> None:
        upgrader, config = self._upgrader, self._upgrader.config
        peer = io.get_extra_info("peername")
        if peer is None:
            self.fail(ConnectionClosed("closed before it was accepted", by="remote"))
            return
        try:
            if upgrader.gater.is_active:
                upgrader.gater.check_accept(self._endpoints(io).remote)
            self._reservation = upgrader.admit(self, str(peer[0]) if isinstance(peer, tuple) else None)
        except LimitExceeded as error:
            self.fail(error)
            return
        self._timer = self._loop.call_later(config.inbound_timeout, self._timed_out)
        self._run(upgrade_inbound(upgrader.channels, config.muxers), self._reservation)

    def moved(self, transport: asyncio.Transport) -> None:
        """The bytes come and go through `transport` from now on: what is spoken on the socket was not known before."""
        self._io = transport

    def _run(self, handshake: Handshake[Upgraded], reservation: Reservation) -> None:
        self._driver = Driver(handshake, self._received.take, buffer_limit=reservation.memory.limit)
        self._advance(self._driver)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._driver is None or self._io is None or self._over:
            return
        self._received.append(self._buffer[:nbytes])
        if self._turns.is_over_for_changes:
            self._io.pause_reading()
            self._turns.defer_change(self._resume)
        else:
            self._advance(self._driver)

    def _resume(self) -> None:
        """It is this handshake's turn."""
        if self._driver is not None and not self._over:
            self._advance(self._driver)
        if self._io is not None and not self._over:
            self._io.resume_reading()

    def _advance(self, driver: Driver[Upgraded]) -> None:
        assert self._io is not None  # set before anything runs
        begin = self._loop.time()
        driver.advance()
        self._turns.spend_on_change(self._loop.time() - begin)
        data = driver.data_to_send()
        if data:
            self._io.write(data)
        if driver.error is not None:
            self.fail(driver.error)
        elif driver.done:
            self._succeed(self._io, driver.result)

    def _succeed(self, io: asyncio.Transport, upgraded: Upgraded) -> None:
        assert self._reservation is not None  # set before anything runs
        endpoints = self._endpoints(io)
        try:
            link, connection = self._upgrader.connection(io, upgraded, self._received.take_all(), endpoints, self._reservation)
        except LimitExceeded as error:
            mux = self._upgrader.muxer(upgraded, endpoints.direction == "outbound", self._reservation)
            mux.close(ConnectionCode.GATED if isinstance(error, Denied) else ConnectionCode.LIMIT_EXCEEDED)
            io.write(upgraded.session.encrypt(mux.data_to_send()))
            self._refuse(io, error, lingering=endpoints.direction == "inbound")
            return
        self._settle()
        io.set_protocol(link)
        self._finished(connection)
        if not link.is_started:
            link.wait()

    def _refuse(self, io: asyncio.Transport, error: LimitExceeded, *, lingering: bool) -> None:
        """The peer is told why. Who dialed us has most likely sent more already, and may be told in vain if the socket closes
        with that unread: it is read, and dropped, until the peer closes too.
        """
        self._refusal = error
        self._driver = None
        if not lingering or not io.can_write_eof():
            self.fail(error)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._upgrader.config.close_timeout, io.abort)
        try:
            io.write_eof()
        except OSError:  # the peer has reset it
            self.fail(error)
        else:
            io.resume_reading()

    def fail(self, error: Exception) -> None:
        """Close the socket and report; nothing happens where the upgrade is over."""
        if self._over:
            return
        self._settle()
        if self._io is not None:
            at_once = error is not self._refusal and (self._refusal is not None or isinstance(error, LimitExceeded))
            self._io.abort() if at_once or self._io.get_write_buffer_size() else self._io.close()
        if self._channel is None:
            if self._reservation is not None:
                self._reservation.release()
            self._upgrader.resources.tally.handshakes_failed += 1
            self._upgrader.resources.refused(self._refusal or error)
        self._finished(self._refusal or error)

    def _settle(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._reservation is not None:
            self._upgrader.settled(self._reservation)

    def _timed_out(self) -> None:
        self.fail(PeerTimeout(f"no handshake within {self._upgrader.config.inbound_timeout:g} s"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        reason = f": {error}" if error is not None else ""
        self._io = None
        closed = ConnectionClosed(f"closed during the handshake{reason}", by="remote")
        self.fail(error if isinstance(error, CortexError) else closed)


async def dial_over(
    create: Callable[[Callable[[], Upgrade]], Awaitable[object]],
    upgrader: Upgrader,
    endpoints: Callable[[asyncio.Transport], Endpoints],
    reservation: Reservation,
    expected: PeerId | None,
) -> Connection:
    """Connect with `create(protocol_factory)` and upgrade. Raises what either does.

    A secure channel that the peer refuses costs its socket (see `upgrade_outbound`); the next one is tried on a new one.
    Owns the reservation from the call on. Cancelled or failed: the socket is closed, the reservation released.
    """
    try:
        for channel in upgrader.channels:
            try:
                return await _dial_with(channel, create, upgrader, endpoints, reservation, expected)
            except NegotiationFailed as error:
                if error.protocols != (channel.name,):
                    raise  # it is not the channel that was refused
        raise multistream.nothing_in_common([channel.name for channel in upgrader.channels])
    except BaseException:
        reservation.release()
        raise


async def _dial_with(
    channel: SecureChannel,
    create: Callable[[Callable[[], Upgrade]], Awaitable[object]],
    upgrader: Upgrader,
    endpoints: Callable[[asyncio.Transport], Endpoints],
    reservation: Reservation,
    expected: PeerId | None,
) -> Connection:
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Connection] = loop.create_future()

    def finished(result: Outcome) -> None:
        if outcome.done():
            if isinstance(result, Connection):
                result.abort()
        elif isinstance(result, Connection):
            outcome.set_result(result)
        else:
            outcome.set_exception(result)

    upgrade = Upgrade(upgrader, endpoints, finished, channel=channel, reservation=reservation, expected=expected)
    try:
        await create(lambda: upgrade)
        return await outcome
    except BaseException as error:
        if outcome.done() and not outcome.cancelled() and outcome.exception() is None:
            outcome.result().abort()  # cancelled in the turn in which it succeeded
        outcome.cancel()
        upgrade.fail(error if isinstance(error, Exception) else ConnectionClosed("the dial was given up", by="local"))
        raise
