"""Asking for many keys: each region of the keyspace is explored once, and of each key some of the nearest are asked, then more
where these knew too little."""

from collections import deque
from heapq import nsmallest
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

from cortexnet.kad.many.many_keys import ManyKeys, Results

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cortexnet.kad.engine.bulk import Bulk
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.messages import Message
    from cortexnet.kad.routing.contact import Contact

Single = TypeVar("Single")
Whole = TypeVar("Whole")

AT_FIRST = 5
"""Of the k nearest, how many are asked about a key at a time: what was stored with 20 is known to several of any 5."""


class Answers(Results[Single, Whole], Protocol[Single, Whole]):
    """What is asked for, and what becomes of the answers."""

    def request(self, key: bytes) -> "Message":
        """What each peer is asked."""

    def hear(self, key: bytes, contact: "Contact", answer: "Message", now: float) -> None:
        """A peer has answered."""

    def is_enough(self, key: bytes) -> bool:
        """Whether nobody else needs to be asked."""


@final
class _Key:
    """One key: who is to be asked yet, and how many answers are out."""

    __slots__ = ("out", "to_ask")

    def __init__(self, to_ask: "Iterable[Contact]") -> None:
        self.to_ask = deque(to_ask)
        self.out = 0


@final
class AskMany(Generic[Single, Whole]):
    """Asks for the keys, and ends the operation of `answers`."""

    def __init__(self, engine: "Engine", keys: "Iterable[bytes]", now: float, answers: Answers[Single, Whole]) -> None:
        self.operation = answers.operation
        self._answers = answers
        self._size = engine.config.k
        self._keys: dict[bytes, _Key] = {}
        wanted = [key for key in dict.fromkeys(keys) if not answers.is_enough(key)]
        self._many = ManyKeys(engine, wanted, now, self, answers)

    def start(self, now: float) -> None:
        """Begin."""
        self._many.start(now)

    def on_region(self, keys: dict[bytes, int], contacts: "list[Contact]", bulk: "Bulk") -> None:
        for key, position in keys.items():
            near = nsmallest(self._size, contacts, key=lambda contact, there=position: contact.position ^ there)  # type: ignore[misc]
            self._keys[key] = _Key(near)
            self._ask_some(key, bulk)

    def _ask_some(self, key: bytes, bulk: "Bulk") -> None:
        state, request = self._keys[key], self._answers.request(key)
        while state.to_ask and state.out < AT_FIRST:
            state.out += 1
            bulk.add(state.to_ask.popleft(), [request])

    def on_end(
        self, bulk: "Bulk", contact: "Contact", request: "Message", answer: "Message | None", is_good: bool, now: float
    ) -> None:
        key = request.key
        state = self._keys[key]
        state.out -= 1
        if answer is not None:
            self._answers.hear(key, contact, answer, now)
        if not state.out:
            if self._answers.is_enough(key):
                del self._keys[key]
            else:
                self._ask_some(key, bulk)
