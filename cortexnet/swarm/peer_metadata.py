"""Small values that the application notes about peers. A core."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import final

from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.swarm.peer_entry import MetadataValue
from cortexnet.texts import is_text

NAME_LIMIT = 64
"""Characters of a name."""
VALUE_LIMIT = 1024
"""Bytes of a value."""
INTEGER_BITS = 64
"""Of a whole number, its sign included."""
_PIECE = 128  # bytes that a name and its value cost beside their contents
_NOTHING: Mapping[str, MetadataValue] = MappingProxyType({})


@final
class PeerMetadata:
    """Values by peer and name, `limit` bytes together. They last until they are removed: only the application adds to them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of: dict[PeerId, dict[str, MetadataValue]] = {}
        self._size = 0

    def peers(self) -> list[PeerId]:
        """Everybody something is noted about."""
        return list(self._of)

    def of(self, peer: PeerId) -> Mapping[str, MetadataValue]:
        """What is noted about a peer, not to be changed."""
        values = self._of.get(peer)
        return _NOTHING if values is None else MappingProxyType(values)

    def set(self, peer: PeerId, name: str, value: MetadataValue | None) -> None:
        """Note a value in place of the one before; None removes it. Raises LocalError, LimitExceeded; nothing changed then."""
        values = self._of.get(peer, {})
        grown = (0 if value is None else _size(name, value)) - (_size(name, values[name]) if name in values else 0)
        if grown > 0 and self._size + grown > self._limit:
            setting = "limits.peerstore_metadata"
            raise LimitExceeded("metadata of peers", limit=self._limit, value=self._size + grown, setting=setting)
        self._size += grown
        if value is not None:
            self._of.setdefault(peer, values)[name] = value
        elif values.pop(name, None) is not None and not values:
            del self._of[peer]


def _size(name: str, value: object) -> int:
    """Bytes that it costs, roughly."""
    if not is_text(name) or not 0 < len(name) <= NAME_LIMIT:
        raise LocalError(f"the name of a value has 1 to {NAME_LIMIT} characters, unlike {name!r}")
    if isinstance(value, str):
        if not is_text(value):
            raise LocalError(f"{name} is no text that could be written down")
        size = len(value.encode())
    elif isinstance(value, bytes):
        size = len(value)
    elif isinstance(value, bool | int | float):
        if isinstance(value, int) and value.bit_length() >= INTEGER_BITS:
            raise LocalError(f"{name} is a number of more than {INTEGER_BITS} bits")
        size = 8
    else:
        raise LocalError(f"{name} must be a text, bytes, a number, or True or False, but is {value!r}")
    if size > VALUE_LIMIT:
        raise LocalError(f"{name} has {size} bytes, at most {VALUE_LIMIT} are kept")
    return size + len(name) + _PIECE
