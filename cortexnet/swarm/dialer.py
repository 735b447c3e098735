"""Dialing: choose, start the attempts when they are due, look up names meanwhile, keep the first that succeeds.

A shell around `dial_plan`.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.errors import ConnectionClosed, CortexError, LimitExceeded, LocalError, PeerIdMismatch, PeerTimeout
from cortexnet.swarm.black_hole import BlackHoles
from cortexnet.swarm.dial_backoff import DialBackoff
from cortexnet.swarm.dial_plan import Attempt, Choice, DialPlan, choose, shown
from cortexnet.swarm.dial_ranking import ScheduledDial, rank

if TYPE_CHECKING:
    from cortexnet.admission.gater import Gater
    from cortexnet.admission.resources import Reservation, Resources
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.transport import Transport

log = logging.getLogger(__name__)

Resolve = Callable[[Iterable["Multiaddr"], "PeerId | None"], Awaitable[Mapping["Multiaddr", "list[Multiaddr] | CortexError"]]]
"""What each of some names stands for, or why that is not known; see `Resolver.resolve_all`."""


@final
class Dialer:
    """Makes connections. Every dial runs in the task of its caller; cancelled, it leaves no socket and no reservation."""

    def __init__(
        self,
        transports: Sequence["Transport"],
        resources: "Resources",
        resolve: Resolve,
        own_addresses: Callable[[], Container["Multiaddr"]],
        *,
        gater: "Gater | None" = None,
        on_stranger: "Callable[[PeerId, Multiaddr], None] | None" = None,
        tcp_first: bool = False,
    ) -> None:
        """Without `gater` anybody may be dialed. `tcp_first`: TCP is tried before QUIC.

        `on_stranger` is called with who was expected at an address where somebody else has answered.
        """
        self._transports = transports
        self._resources = resources
        self._resolve = resolve
        self._own_addresses = own_addresses
        self._gater = gater
        self._on_stranger = on_stranger
        self._tcp_first = tcp_first
        self._waiting: dict[_Waiting, None] = {}  # for a slot among the dials, in the order of asking
        self.backoff = DialBackoff()
        self.black_holes = BlackHoles()

    async def dial(
        self,
        expected: "PeerId | None",
        addresses: Iterable["Multiaddr"],
        *,
        private_names: Container["Multiaddr"] = (),
        direct: bool = False,
    ) -> "Connection":
        """A connection, not started yet, to whoever answers first at one of the addresses and is the expected peer.

        Names may lead to public addresses only, unless they are among `private_names`: else a peer could send us into our own
        network by a name of its own. `direct` leaves relays out and tries addresses that failed lately too: who asks for that
        has a reason to think that now they will do. Where there are more addresses than are tried, the first ones are; of them
        the best comes first. Raises DialFailed, which says of each address why.
        """
        loop = asyncio.get_running_loop()
        named, plain = _split(addresses)
        choice = self._choose(plain, expected, direct=direct)
        is_single = not named and len(choice.addresses) <= 1
        plan = DialPlan(
            [ScheduledDial(address, 0.0) for address in choice.addresses] if is_single else self._schedule(choice.addresses),
            loop.time(),
            peer=expected,
            backoff=self.backoff,
            refused=choice.refused,
            at_once=self._resources.limits.dials_per_peer,
            address_limit=self._resources.limits.dial_addresses_per_peer,
            tcp_first=self._tcp_first,
        )
        if is_single:
            return await self._run_in_turn(plan, expected)
        names = loop.create_task(self._look_up(named, expected, private_names, direct=direct)) if named else None
        return await self._run(plan, expected, names)

    def _schedule(self, addresses: Sequence["Multiaddr"]) -> list[ScheduledDial]:
        """Of many the first ones come first, however good the others look: lies about a peer don't hide what it says itself."""
        limit = self._resources.limits.dial_addresses_per_peer
        ranked = rank(addresses[:limit], tcp_first=self._tcp_first)
        return [*ranked, *(ScheduledDial(address, 0.0) for address in addresses[limit:])]  # the plan says that it left them out

    def _choose(self, addresses: Iterable["Multiaddr"], expected: "PeerId | None", *, direct: bool) -> Choice:
        now = asyncio.get_running_loop().time()
        return choose(
            addresses,
            expected=expected,
            can_dial=lambda address: self._transport_for(address) is not None,
            own_addresses=self._own_addresses(),
            resting=None if expected is None or direct else lambda address: self.backoff.objection(expected, address, now),
            lost=self.black_holes.objections,
            direct=direct,
        )

    async def _look_up(
        self, addresses: Sequence["Multiaddr"], expected: "PeerId | None", private_names: Container["Multiaddr"], *, direct: bool
    ) -> Choice:
        found = [address for address in addresses if not address.is_named]
        refused: list[Attempt] = []
        names = [address for address in addresses if address.is_named]
        for name, outcome in (await self._resolve(names, expected)).items():
            if isinstance(outcome, CortexError):
                refused.append((shown(name), outcome))
                continue
            allowed = outcome if name in private_names else [address for address in outcome if address.is_public]
            found += allowed
            if len(allowed) < len(outcome):
                refused.append((shown(name), LocalError("leads to an address that is not public, as a peer's names must not")))
        choice = self._choose(found, expected, direct=direct)
        return Choice(choice.addresses, [*refused, *choice.refused])

    def _transport_for(self, address: "Multiaddr") -> "Transport | None":
        return next((transport for transport in self._transports if transport.can_dial(address)), None)

    async def _run_in_turn(self, plan: DialPlan, expected: "PeerId | None") -> "Connection":
        """A plan of one address, as most are: its attempt needs no task of its own."""
        now = asyncio.get_running_loop().time
        while (address := plan.next(now())) is not None:
            try:
                connection = await self._attempt(address, expected, plan)
            except Exception as error:  # boundary: a bug that an address brings out costs its attempt, as it does in a task
                self._failed(plan, address, error, expected)
            else:
                plan.on_success(address)
                return connection
        raise plan.failure()

    async def _run(self, plan: DialPlan, expected: "PeerId | None", names: "asyncio.Task[Choice] | None") -> "Connection":
        """Start what the plan says when it says so; the losers are cancelled and awaited on every way out."""
        loop = asyncio.get_running_loop()
        attempts: dict[asyncio.Task[Connection], Multiaddr] = {}
        winner: Connection | None = None
        try:
            while winner is None and not (plan.is_over and names is None):
                while (address := plan.next(loop.time())) is not None:
                    attempts[loop.create_task(self._attempt(address, expected, plan))] = address
                due = plan.next_timeout()
                timeout = None if due is None else max(due - loop.time(), 0.0)
                waiting = attempts if names is None else [*attempts, names]
                done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if names in done:
                    choice, names = names.result(), None
                    plan.add(choice.addresses, choice.refused)
                for task in [task for task in attempts if task in done]:
                    error = task.exception()
                    if error is not None:
                        self._failed(plan, attempts.pop(task), error, expected)
                    elif winner is None:
                        plan.on_success(attempts.pop(task))
                        winner = task.result()
        finally:
            try:
                await _give_up(attempts, names)
            except asyncio.CancelledError:
                if winner is not None:
                    winner.abort()
                raise
        if winner is None:
            raise plan.failure()
        return winner

    def _failed(self, plan: DialPlan, address: "Multiaddr", error: BaseException, expected: "PeerId | None") -> None:
        plan.on_failure(address, error, asyncio.get_running_loop().time())
        if not isinstance(error, CortexError):
            log.warning("the attempt at %s failed: %r", shown(address), error, exc_info=error)
        if isinstance(error, PeerIdMismatch) and expected is not None and self._on_stranger is not None:
            self._on_stranger(expected, address)

    async def _attempt(self, address: "Multiaddr", expected: "PeerId | None", plan: DialPlan) -> "Connection":
        transport = self._transport_for(address)
        assert transport is not None  # `choose` asked
        if self._gater is not None:
            self._gater.check_dial(expected, address)
        reservation = await self._reserve(address, expected)
        now = asyncio.get_running_loop().time
        reservation.on_reached = lambda: plan.on_reached(address, now())
        limits = self._resources.limits
        setting = "dial_timeout_local" if address.is_private else "dial_timeout"
        seconds = limits.dial_timeout_local if address.is_private else limits.dial_timeout
        success = False
        try:
            async with asyncio.timeout(seconds):
                connection = await transport.dial(address, expected, reservation)
            success = True
            return connection
        except PeerTimeout:
            raise
        except TimeoutError:
            raise PeerTimeout(f"no connection within {seconds:g} s (limits.{setting})") from None
        except CortexError:
            raise
        except OSError as error:
            raise ConnectionClosed(reason_of(error), by="network") from error
        finally:
            reservation.on_reached = None  # it lives on with its connection
            self.black_holes.on_result(address, success=success)
            self._give_slots()

    async def _reserve(self, address: "Multiaddr", expected: "PeerId | None") -> "Reservation":
        """A slot among the dials of the node and the peer; waits its turn. Raises LimitExceeded for any other limit."""
        if not self._waiting and self._resources.can_dial(expected):
            return self._admit(address, expected)
        waiting = _Waiting(address, expected, asyncio.get_running_loop().create_future())
        self._waiting[waiting] = None
        self._give_slots()
        try:
            return await waiting.reservation
        except asyncio.CancelledError:
            self._waiting.pop(waiting, None)
            waiting.give_back()
            self._give_slots()
            raise

    def _give_slots(self) -> None:
        """To those who wait, as many as there are. The slot is taken here and now, so that nobody can come between."""
        for waiting in list(self._waiting):
            if not self._resources.can_dial(None):
                return
            if self._resources.can_dial(waiting.peer) and not waiting.reservation.done():  # else it is being cancelled
                del self._waiting[waiting]
                try:
                    waiting.reservation.set_result(self._admit(waiting.address, waiting.peer))
                except LimitExceeded as error:
                    waiting.reservation.set_exception(error)

    def _admit(self, address: "Multiaddr", peer: "PeerId | None") -> "Reservation":
        endpoint = address.endpoint
        return self._resources.admit_dial(peer, endpoint[0] if endpoint else None, has_socket=endpoint is not None)


@final
@dataclass(eq=False, slots=True)
class _Waiting:
    """An attempt that waits for its slot."""

    address: "Multiaddr"
    peer: "PeerId | None"
    reservation: "asyncio.Future[Reservation]"

    def give_back(self) -> None:
        """It was given a slot in the turn in which it was cancelled."""
        if self.reservation.done() and not self.reservation.cancelled() and self.reservation.exception() is None:
            self.reservation.result().release()


def _split(addresses: Iterable["Multiaddr"]) -> "tuple[list[Multiaddr], list[Multiaddr]]":
    """Those that wait for names to be looked up, and the others. Relays wait with them: a direct address may be among those."""
    named: list[Multiaddr] = []
    plain: list[Multiaddr] = []
    for address in addresses:
        (named if address.is_named else plain).append(address)
    if named:
        named += [address for address in plain if address.is_relayed]
        plain = [address for address in plain if not address.is_relayed]
    return named, plain


async def _give_up(attempts: Iterable["asyncio.Task[Connection]"], names: "asyncio.Task[Choice] | None") -> None:
    """Cancel what is still in flight and wait for it; a connection that came all the same is closed."""
    pending = list(attempts)
    both = pending if names is None else [*pending, names]
    for task in both:
        task.cancel()
    cancelled = False
    while waiting := [task for task in both if not task.done()]:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError:  # they are cancelled already, and end at once
            cancelled = True
    for task in pending:
        if not task.cancelled() and task.exception() is None:
            task.result().abort()
    if cancelled:
        raise asyncio.CancelledError


def reason_of(error: OSError) -> str:
    """What the system says, without asyncio's words around it."""
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
