"""The node's own card and those of others: `node.card`, `node.update_card`, `node.find`. A shell.

/cortex/card/1.0.0 is a request (`messaging.request`) without content; the answer is the card of who was asked, in its envelope.
Capabilities are namespaces of routing discovery, `/cortex/capability/…`: what the DHT tells is a hint, the card is what counts.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, TypedDict, Unpack, final

from cortexnet.admission.rate_limit import KeyedRateLimit
from cortexnet.discovery.card_cache import CardCache
from cortexnet.discovery.card_search import CardSearch
from cortexnet.discovery.routing_discovery import RETRY, RoutingDiscovery
from cortexnet.errors import CortexError, LocalError, MessageTooLarge, ProtocolViolation, Refuse, StreamCode
from cortexnet.host.step_turns import step_turns
from cortexnet.identity.card import Card, check_name, check_region
from cortexnet.identity.envelope import SIZE_LIMIT
from cortexnet.messaging.request import Request, request, responder
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream

if TYPE_CHECKING:
    from cortexnet.discovery.card_config import CardConfig
    from cortexnet.host.context import Context
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.messaging.caller import Caller

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

PROTOCOL = "/cortex/card/1.0.0"
FOUND = 20
"""Nodes that are looked for where nothing else is said: enough to choose from."""


def namespace_of(capability: str) -> str:
    """The name under which the nodes with a capability find each other in the DHT."""
    return f"/cortex/capability/{capability}"


class CardChanges(TypedDict, total=False):
    """What a card can be made to say: see `CardConfig`."""

    capabilities: Sequence[str]
    region: str
    metadata: Mapping[str, str]
    limits: Mapping[str, int]


@final
class Cards:
    """What this node says about itself, and what others say about themselves."""

    def __init__(
        self,
        context: "Context",
        config: "CardConfig",
        discovery: "RoutingDiscovery | None",
        caller: "Caller",
        *,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._context = context
        self._config = config
        self._discovery = discovery
        self._caller = caller
        self._unix_time = unix_time
        self._now = asyncio.get_running_loop().time
        self._random = Random()
        self._scope = Scope(context.scope)
        self._details = config.details
        self._own: Card | None = None
        self._sequence = 0
        self._is_served = False
        self._cache = CardCache(config.cache_size)
        self._asking: dict[PeerId, asyncio.Future[Card]] = {}
        self._rates: KeyedRateLimit[PeerId] = KeyedRateLimit(
            config.request_rate, config.request_burst, size_limit=context.limits.rate_table_size
        )
        self._changed = asyncio.Event()
        self._advertiser: asyncio.Task[None] | None = None

    # --- life --------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin with what the configuration says."""
        self._publish()

    async def close(self) -> None:
        """End everything; who was told of a capability forgets it in two days. Cancelled: what is left ends with the node."""
        if self._is_served:
            self._is_served = False
            self._context.protocols.unhandle(PROTOCOL)
        await self._scope.close()

    # --- our own -----------------------------------------------------------------------------------------------------------

    @property
    def own(self) -> Card | None:
        """The card of this node as it is served now; None where it has nothing to say."""
        if self._details.is_blank:
            return None
        card, unix_now = self._own, self._unix_time()
        # Looked at when somebody wants it: no timer, and none that a sleep of the machine or a wrong clock could deceive.
        is_good = card is not None and card.issued - self._config.clock_skew <= unix_now < (card.issued + card.expires) / 2
        if card is None or not is_good:
            card = self._own = self._issued(unix_now)
        return card

    def _issued(self, unix_now: float) -> Card:
        # Microseconds of the wall clock grow from one run to the next without being kept. Where the clock was set back between
        # two runs, others prefer what they have for `cache_time` more.
        self._sequence = max(round(unix_now * 1_000_000), self._sequence + 1)
        key = self._context.identity.private_key
        return Card.issue(key, self._details, sequence=self._sequence, issued=int(unix_now), lifetime=self._config.lifetime)

    def update(self, **changes: "Unpack[CardChanges]") -> Card | None:
        """Say something else from now on; see `Node.update_card`."""
        self._details = replace(self._details, **changes)
        self._own = None
        self._publish()
        return self.own

    def _publish(self) -> None:
        """Serve the card while there is one, and have the DHT told of what can be done."""
        has_card, protocols = not self._details.is_blank, self._context.protocols
        if has_card and not self._is_served:
            protocols.handle(PROTOCOL, responder(self._answer, limits=self._context.limits, size_limit=0))
        elif self._is_served and not has_card:
            protocols.unhandle(PROTOCOL)
        self._is_served = has_card
        self._changed.set()
        if self._advertiser is None and self._details.capabilities and self._discovery is not None:
            self._advertiser = self._scope.spawn(self._advertise(self._discovery), name="advertise capabilities")

    async def _answer(self, request: Request) -> bytes:
        if not self._rates.take(request.peer_id, self._now()):
            raise Refuse(StreamCode.RATE_LIMITED, f"{request.peer_id} asks for our card too often")
        card = self.own
        if card is None:
            raise Refuse(message="no card any more")
        return card.envelope

    async def _advertise(self, discovery: RoutingDiscovery) -> None:
        """Have the DHT know our capabilities, one after the other; those that it did not take are tried again.

        Discovery tells it again by itself, for as long as it is not told to stop.
        """
        advertised: dict[str, None] = {}
        while True:
            self._changed.clear()
            for capability in [name for name in advertised if name not in self._details.capabilities]:
                del advertised[capability]
                with contextlib.suppress(LocalError):  # the application has done it already
                    discovery.stop_advertising(namespace_of(capability))
            is_complete = await self._advertise_missing(discovery, advertised)
            if not self._changed.is_set():
                wait = None if is_complete else RETRY * (1 - self._random.random() / 2)
                await self._wait_for_change(wait)

    async def _advertise_missing(self, discovery: RoutingDiscovery, advertised: dict[str, None]) -> bool:
        """Whether all is told."""
        missing = [name for name in self._details.capabilities if name not in advertised]
        for capability in missing:
            discovery.name_here(namespace_of(capability))
        for capability in missing:
            try:
                await discovery.advertise(namespace_of(capability))
            except CortexError as error:
                log.warning("only who asks this node itself finds it by its capabilities yet: %s; it is tried again", error)
                return False  # so it is with the others too
            advertised[capability] = None
        return True

    async def _wait_for_change(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    # --- those of others ---------------------------------------------------------------------------------------------------

    async def of(self, peer: "PeerId", *, fresh: bool = False) -> Card:
        """The card of a peer; see `Node.card`. Who asks for the same one meanwhile gets what the first gets."""
        while True:
            card = None if fresh else self._cache.get(peer, self._now())
            if card is not None:
                return card
            asking = self._asking.get(peer)
            if asking is None:
                return await self._ask(peer)
            await asyncio.wait([asking])
            if not asking.cancelled():
                return asking.result()

    async def _ask(self, peer: "PeerId") -> Card:
        asking = self._asking[peer] = asyncio.get_running_loop().create_future()
        try:
            card = await self._fetch(peer)
        except CortexError as error:
            asking.set_exception(error)
            asking.exception()  # it may be that nobody else waits
            raise
        else:
            asking.set_result(card)
            return card
        finally:
            del self._asking[peer]
            asking.cancel()  # where it was given up: one of those who wait begins anew

    async def _fetch(self, peer: "PeerId") -> Card:
        async def exchange(stream: Stream) -> Card:
            try:
                answer = await request(stream, b"", size_limit=SIZE_LIMIT)
            except MessageTooLarge as error:
                raise ProtocolViolation(f"the card of {peer}: {error}") from error  # no card has so much, whoever asks
            # What is wrong here is the peer's fault.
            return await step_turns().run(lambda: Card.open(answer, peer), of=stream.connection.origin)

        timeout = self._config.timeout
        card = await self._caller.call(peer, PROTOCOL, exchange, timeout=timeout, what=f"the card of {peer}")
        now, unix_now, skew = self._now(), self._unix_time(), self._config.clock_skew
        card.check_time(unix_now, skew)
        return self._cache.keep(card, now + min(self._config.cache_time, card.expires + skew - unix_now), now)

    def find(self, capability: str, region: str = "", limit: int | None = FOUND) -> CardSearch:
        """Nodes that say they have a capability; see `Node.find`."""
        check_name(capability, "capability")
        check_region(region, "region")
        if limit is not None and limit < 1:
            raise LocalError(f"a limit of {limit} nodes finds none; None finds all")
        if self._discovery is None:
            raise LocalError("the DHT is off, over which nodes are found: give this node a Config whose `kad` is a KadConfig")
        candidates = self._discovery.find_peers(namespace_of(capability), self._config.find_peers)
        return CardSearch(
            candidates,
            self.of,
            lambda card: card.has(capability, region),
            scope=self._scope,
            limit=limit,
            at_once=self._config.find_at_once,
        )
