"""The providers of a key: our own store, then everybody near it."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.bulk import Bulk
from cortexnet.kad.engine.operation import Operation, ProviderFound
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.operations.closest import nobody_known, report
from cortexnet.kad.operations.near import Near

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.routing.contact import Contact


_TELLERS = 3  # have to agree, or to name different ones, before a limit is reached


def own_providers(engine: "Engine", key: bytes, now: float) -> "list[Contact]":
    """Whom this node knows by itself, itself included."""
    own = [engine.own()] if engine.providers.is_own(key) else []
    return [*own, *engine.providers.get(key, engine.unix(now))]


@final
class Found:
    """Providers of a key, each once; again where there were no addresses before.

    `limit` counts those with addresses, for others can't be dialed: peers keep addresses for a shorter time than providers, and
    go-libp2p may lose them at once. Of others `spare` are held at most.

    Anybody can name providers that are none. So of one answer a third of the limit is taken at first; the rest, `spare` at most,
    waits for what others say, until `take_held`.
    """

    __slots__ = ("_held", "_limit", "_located", "_share", "_spare", "_unlocated")

    def __init__(self, limit: int, spare: int) -> None:
        self._limit = limit
        self._spare = spare
        self._share = max(1, limit // _TELLERS)
        self._located: dict[PeerId, Contact] = {}
        self._unlocated: dict[PeerId, Contact] = {}
        self._held: dict[PeerId, Contact] = {}

    @property
    def is_full(self) -> bool:
        """Whether no further one is taken."""
        return len(self._located) >= self._limit

    @property
    def contacts(self) -> "list[Contact]":
        """Up to the limit, those with addresses first."""
        return [*self._located.values(), *self._unlocated.values()][: self._limit]

    def hear(self, providers: "Iterable[Contact]") -> "list[Contact]":
        """Take in an answer; returns those that are news and count by now."""
        before = len(self._located)
        return [contact for contact in providers if not self.is_full and self._counts(contact, before) and self._is_news(contact)]

    def trust(self, providers: "Iterable[Contact]") -> "list[Contact]":
        """Take in what this node knows by itself; returns those that are news."""
        return [contact for contact in providers if not self.is_full and self._is_news(contact)]

    def take_held(self) -> "list[Contact]":
        """Nobody says anything more: those that had to wait, up to the limit."""
        held, self._held = self._held, {}
        return self.trust(held.values())

    def _counts(self, contact: "Contact", before: int) -> bool:
        """Whether it is within the share of the answer that began with so many; else it is held."""
        if not contact.addresses or len(self._located) - before < self._share or contact.peer_id in self._located:
            return True
        if len(self._held) < self._spare:
            self._held[contact.peer_id] = contact
        return False

    def _is_news(self, contact: "Contact") -> bool:
        peer = contact.peer_id
        if peer in self._located:
            return False
        if contact.addresses:
            self._unlocated.pop(peer, None)
            self._located[peer] = contact
            return True
        if peer in self._unlocated or len(self._unlocated) >= self._spare:
            return False
        self._unlocated[peer] = contact
        return True


@final
class FindProviders:
    """Asks GET_PROVIDERS. Over with `limit` providers, or when all near the key were asked."""

    def __init__(self, engine: "Engine", key: bytes, limit: int, now: float) -> None:
        self.operation: Operation[list[Contact]] = Operation()
        self._engine = engine
        self._key = key
        most = engine.config.providers_limit
        self._found = Found(limit or most, most)
        request = Message(Type.GET_PROVIDERS, key, cluster_level=1)
        self._request = request
        self._near = Near(engine, request, now, self._asked_near, on_reply=self._on_reply, on_step=self._step)
        self._others = Bulk(engine, self._other_ended, self._done)
        self.operation.when_over(self._stop)

    def start(self, now: float) -> None:
        """Look into our own store, then ask."""
        self._tell(self._found.trust(own_providers(self._engine, self._key, now)))
        if not self.operation.is_done:
            self._near.start(now)

    def _on_reply(self, contact: "Contact", message: Message, now: float) -> bool:
        self._hear(message.providers)
        return True

    def _hear(self, providers: "Iterable[Contact]") -> None:
        self._tell(self._found.hear(providers))

    def _tell(self, news: "Iterable[Contact]") -> None:
        for contact in news:
            self.operation.emit(ProviderFound(self._key, contact))
        if self._found.is_full:
            self._finish()

    def _finish(self) -> None:
        self.operation.finish(self._found.contacts)

    def _step(self, now: float) -> None:
        report(self.operation, self._near.walk)

    def _asked_near(self, now: float) -> None:
        for contact in self._near.others:
            self._others.add(contact, [self._request])
        self._others.pump(now)

    def _other_ended(self, contact: "Contact", request: Message, answer: Message | None, is_good: bool, now: float) -> None:
        if answer is not None:
            self._hear(answer.providers)

    def _done(self, now: float) -> None:
        self._tell(self._found.take_held())
        if self.operation.is_done:
            return
        if not self._near.walk.lookup.asked and not self._found.contacts:
            self.operation.fail(nobody_known())
        else:
            self._finish()

    def _stop(self) -> None:
        self._near.stop()
        self._others.stop()
