"""The providers of a key: our own store, then everybody near it."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.bulk import Bulk
from cortexnet.kad.closest import nobody_known, report
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.near import Near
from cortexnet.kad.operation import Operation, ProviderFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.contact import Contact
    from cortexnet.kad.engine import Engine


def own_providers(engine: "Engine", key: bytes, now: float) -> "list[Contact]":
    """Whom this node knows by itself, itself included."""
    own = [engine.own()] if engine.providers.is_own(key) else []
    return [*own, *engine.providers.get(key, engine.unix(now))]


@final
class Found:
    """Providers of a key, each once; again where there were no addresses before. Never more than `limit`."""

    __slots__ = ("_limit", "contacts")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.contacts: dict[PeerId, Contact] = {}

    @property
    def is_full(self) -> bool:
        """Whether no further one is taken."""
        return len(self.contacts) >= self._limit

    def hear(self, providers: "Iterable[Contact]") -> "list[Contact]":
        """Take them in; returns those that are news."""
        news = []
        for contact in providers:
            known = self.contacts.get(contact.peer_id)
            if (known is None and not self.is_full) or (known is not None and contact.addresses and not known.addresses):
                self.contacts[contact.peer_id] = contact
                news.append(contact)
        return news


@final
class FindProviders:
    """Asks GET_PROVIDERS. Over with `limit` providers, or when all near the key were asked."""

    def __init__(self, engine: "Engine", key: bytes, limit: int, now: float) -> None:
        self.operation: Operation[list[Contact]] = Operation()
        self._engine = engine
        self._key = key
        self._found = Found(limit or engine.config.providers_limit)
        request = Message(Type.GET_PROVIDERS, key, cluster_level=1)
        self._request = request
        self._near = Near(engine, request, now, self._asked_near, on_reply=self._on_reply, on_step=self._step)
        self._others = Bulk(engine, self._other_ended, self._done)
        self.operation.when_over(self._stop)

    def start(self, now: float) -> None:
        """Look into our own store, then ask."""
        self._hear(own_providers(self._engine, self._key, now))
        if not self.operation.is_done:
            self._near.start(now)

    def _on_reply(self, contact: "Contact", message: Message, now: float) -> bool:
        self._hear(self._engine.kept(message.providers))
        return True

    def _hear(self, providers: "Iterable[Contact]") -> None:
        for contact in self._found.hear(providers):
            self.operation.emit(ProviderFound(self._key, contact))
        if self._found.is_full:
            self._finish()

    def _finish(self) -> None:
        self.operation.finish(list(self._found.contacts.values()))

    def _step(self, now: float) -> None:
        report(self.operation, self._near.walk)

    def _asked_near(self, now: float) -> None:
        for contact in self._near.others:
            self._others.add(contact, [self._request])
        self._others.pump(now)

    def _other_ended(self, contact: "Contact", request: Message, answer: Message | None, is_good: bool, now: float) -> None:
        if answer is not None:
            self._hear(self._engine.kept(answer.providers))

    def _done(self, now: float) -> None:
        if not self._near.walk.lookup.asked and not self._found.contacts:
            self.operation.fail(nobody_known())
        else:
            self._finish()

    def _stop(self) -> None:
        self._near.stop()
        self._others.stop()
