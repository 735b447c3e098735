"""Nodes that do not follow the protocol: those that made their ids for one key, and those that lie to everybody."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from random import Random
from typing import Final, final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import position
from simulation.kad.peer import Behaviour
from simulation.kad.world import random_address, random_id

TRIES: Final = 1 << 14
"""Ids made for a key, of which the nearest are taken: with 20 of so many a thousand honest nodes are far away."""
_TOLD = 20
_CLOSENESS = range(5, 8)


def ground(chance: Random, target: int, amount: int) -> list[PeerId]:
    """The ids nearest to a position out of `TRIES`."""
    ids = [b"\x12\x20" + chance.randbytes(32) for _ in range(TRIES)]
    ids.sort(key=lambda each: int.from_bytes(sha256(each).digest(), "big") ^ target)
    return [PeerId(each) for each in ids[:amount]]


def accomplices(them: Sequence[Contact]) -> Behaviour:
    """Takes what it is to store and forgets it, knows of nothing, and names nobody but the others of its kind."""

    def answer(sender: PeerId, message: Message) -> Message | None:
        target = position(message.key)
        near = sorted(them, key=lambda contact: contact.position ^ target)[:_TOLD]
        return _reply(message, tuple(near))

    return answer


def inventor(chance: Random, closeness: int) -> Behaviour:
    """The same, but it names 20 peers that are nowhere, nearer to the target than anybody by some `closeness` bits."""

    def answer(sender: PeerId, message: Message) -> Message | None:
        return _reply(message, tuple(_invented(chance, position(message.key), closeness)))

    return answer


@final
class Endless:
    """Names ever new peers, ever nearer, all of which are there and answer likewise: there is no end of them."""

    def __init__(self, chance: Random, join: Callable[[Contact, Behaviour], object]) -> None:
        self._chance = chance
        self._join = join
        self._answers = 0

    def __call__(self, sender: PeerId, message: Message) -> Message | None:
        self._answers += 1
        told = _invented(self._chance, position(message.key), _CLOSENESS[min(len(_CLOSENESS) - 1, self._answers // _TOLD)])
        for contact in told:
            self._join(contact, self)
        return _reply(message, tuple(told))


def _invented(chance: Random, target: int, closeness: int) -> list[Contact]:
    """The nearest of some ids: as much nearer than others as trying 2^`closeness` times brings."""
    ids = [random_id(chance) for _ in range(_TOLD << closeness)]
    ids.sort(key=lambda each: position(bytes(each)) ^ target)
    return [Contact(each, (random_address(chance),)) for each in ids[:_TOLD]]


def _reply(message: Message, closer: tuple[Contact, ...]) -> Message | None:
    if message.type is Type.ADD_PROVIDER:
        return None
    record: Record | None = message.record if message.type is Type.PUT_VALUE else None
    return Message(message.type, message.key, record, closer=closer, cluster_level=1)
