"""The values and the providers of many keys: what is asked, and what becomes of the answers."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.operation import Operation, ProviderFound, ValueFound
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.operations.find_providers import FindProviders, Found, own_providers
from cortexnet.kad.operations.get_value import BestValue, GetValue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.routing.contact import Contact

ENOUGH_VALUES = 3
"""Valid answers after which nobody else is asked for a value: one or two of the nearest may have an outdated one."""


@final
class ManyValues:
    """The best value of each key; see `AskMany`."""

    def __init__(self, engine: "Engine", keys: "Iterable[bytes]", now: float) -> None:
        self.operation: Operation[dict[bytes, bytes]] = Operation()
        self._engine = engine
        self._best = {key: BestValue(engine, key) for key in keys}
        for key in self._best:
            own = engine.values.get(key, engine.unix(now))
            if own is not None:
                self._hear(key, own.value, None, now)

    def request(self, key: bytes) -> Message:
        return Message(Type.GET_VALUE, key, cluster_level=1)

    def hear(self, key: bytes, contact: "Contact", answer: Message, now: float) -> None:
        record = answer.record
        if record is not None and record.key == key:
            self._hear(key, record.value, contact.peer_id, now)

    def _hear(self, key: bytes, value: bytes, peer_id: "PeerId | None", now: float) -> None:
        if self._best[key].hear(value, peer_id, now):
            self.operation.emit(ValueFound(key, value, peer_id))

    def is_enough(self, key: bytes) -> bool:
        return self._best[key].answers >= ENOUGH_VALUES

    def single(self, key: bytes, now: float) -> GetValue:
        return GetValue(self._engine, key, 0, now)

    def hear_single(self, key: bytes, result: bytes | None) -> None:
        if result is not None:
            self._hear(key, result, None, self._engine.now)

    def result(self) -> dict[bytes, bytes]:
        return {key: best.value for key, best in self._best.items() if best.value is not None}


@final
class ManyProviders:
    """The providers of each key; see `AskMany`."""

    def __init__(self, engine: "Engine", keys: "Iterable[bytes]", now: float) -> None:
        self.operation: Operation[dict[bytes, list[Contact]]] = Operation()
        self._engine = engine
        most = engine.config.providers_limit
        self._found = {key: Found(most, most) for key in keys}
        for key in self._found:
            self._hear(key, own_providers(engine, key, now))

    def request(self, key: bytes) -> Message:
        return Message(Type.GET_PROVIDERS, key, cluster_level=1)

    def hear(self, key: bytes, contact: "Contact", answer: Message, now: float) -> None:
        self._hear(key, answer.providers)

    def _hear(self, key: bytes, providers: "Iterable[Contact]") -> None:
        for provider in self._found[key].trust(providers):  # there is no limit that one peer could use up
            self.operation.emit(ProviderFound(key, provider))

    def is_enough(self, key: bytes) -> bool:
        return any(contact.peer_id != self._engine.own_id for contact in self._found[key].contacts)

    def single(self, key: bytes, now: float) -> FindProviders:
        return FindProviders(self._engine, key, 0, now)

    def hear_single(self, key: bytes, result: "list[Contact]") -> None:
        self._hear(key, result)

    def result(self) -> "dict[bytes, list[Contact]]":
        return {key: found.contacts for key, found in self._found.items()}
