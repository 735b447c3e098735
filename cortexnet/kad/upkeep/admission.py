"""Who comes into the routing table and who leaves it.

In come servers that have answered us: a candidate is probed by FIND_NODE(its own id) before, as go-libp2p does, so nobody is in
it who only says that it serves. Out goes whoever fails a request.

Spec: libp2p/specs kad-dht, "Client and server mode".
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.walk import find_node
from cortexnet.kad.messages import Message

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.routing.contact import Contact


@final
class Admission:
    """Keeps the routing table, and with it the cache. `on_change(now)` is called when somebody came or went."""

    def __init__(self, engine: "Engine", on_change: Callable[[float], None]) -> None:
        self._engine = engine
        self._on_change = on_change
        self._probed: dict[PeerId, int] = {}
        self.is_settled = False
        """Until the first refreshes are over, newcomers stay replaceable by others."""

    def candidate(self, contact: "Contact", is_server: bool, now: float) -> None:
        """Somebody was identified: probe it where it might come in; it leaves where it is no server."""
        peer_id = contact.peer_id
        if not is_server:
            self.gone(peer_id, now)
        elif peer_id in self._engine.table:
            if contact.addresses:
                self._engine.table.update_contact(contact)
        elif (groups := self._groups(contact)) is not None and self._engine.table.wants(contact, groups):
            self._probe(contact, now)

    def _groups(self, contact: "Contact") -> "tuple[str, ...] | None":
        admit = self._engine.filters.admit
        groups = admit(contact) if admit is not None else ()
        return None if groups is None else tuple(groups)

    def check(self, contact: "Contact", now: float) -> None:
        """Is a contact that was silent for long still there?"""
        self._probe(contact, now)

    def _probe(self, contact: "Contact", now: float) -> None:
        engine = self._engine
        if contact.peer_id not in self._probed and len(self._probed) < engine.config.probe_limit:
            request = find_node(bytes(contact.peer_id))
            self._probed[contact.peer_id] = engine.requests.send(contact, request, self, now, engine.config.request_timeout)

    def on_answer(self, contact: "Contact", message: Message | None, now: float) -> None:
        """A probe was answered."""
        self._probed.pop(contact.peer_id, None)
        is_lost = message is None or not message.closer
        self._engine.table.succeeded(contact.peer_id, now)
        if contact.peer_id not in self._engine.table and not (is_lost and len(self._engine.table) >= self._engine.config.k):
            self._enter(contact, now)

    def on_failure(self, contact: "Contact", now: float) -> None:
        """A probe was not."""
        self._probed.pop(contact.peer_id, None)

    def answered(self, contact: "Contact", now: float, rtt: float | None) -> None:
        """A request other than a probe was answered."""
        table = self._engine.table
        if contact.peer_id in self._probed:
            return
        if contact.peer_id in table:
            table.succeeded(contact.peer_id, now)
        else:
            self._enter(contact, now, rtt)

    def _enter(self, contact: "Contact", now: float, rtt: float | None = None) -> None:
        groups = self._groups(contact)
        is_replaceable = not self.is_settled
        if groups is not None and self._engine.table.add(contact, now, replaceable=is_replaceable, groups=groups, rtt=rtt):
            self._on_change(now)

    def gone(self, peer_id: "PeerId", now: float) -> None:
        """It leaves the table and the cache, and is probed no more."""
        engine = self._engine
        if (number := self._probed.pop(peer_id, None)) is not None:
            engine.requests.cancel(number)
        engine.cache.drop(peer_id)
        if engine.table.remove(peer_id):
            self._on_change(now)
