"""Reading DER, the one encoding that signed structures may have: definite lengths, each in its shortest form."""

from typing import final

INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER, SEQUENCE = 0x02, 0x03, 0x04, 0x06, 0x30
BOOLEAN = 0x01

_SHORT = 0x80  # lengths below it are one byte


@final
class DerReader:
    """Takes elements from the front of `data`, each of a tag that the caller names. Every method raises ValueError."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_empty(self) -> bool:
        """Whether all has been taken."""
        return self._position == len(self._data)

    def next_is(self, tag: int) -> bool:
        """Whether an element of this tag comes next."""
        return not self.is_empty and self._data[self._position] == tag

    def take(self, tag: int) -> bytes:
        """The content of the next element, which has this tag."""
        return self._next(tag)[1]

    def take_whole(self, tag: int) -> bytes:
        """The next element, which has this tag, as it stands there: tag, length and content."""
        return self._next(tag)[0]

    def finish(self) -> None:
        """There must be nothing left."""
        if not self.is_empty:
            raise ValueError(f"{len(self._data) - self._position} bytes too many")

    def _next(self, tag: int) -> tuple[bytes, bytes]:
        data, begin = self._data, self._position
        if len(data) - begin < 2 or data[begin] != tag:
            raise ValueError(f"no element of tag {tag:#04x} at byte {begin}")
        size, start = data[begin + 1], begin + 2
        if size >= _SHORT:
            width = size - _SHORT
            size = int.from_bytes(data[start : start + width])
            start += width
            if width not in (1, 2) or size < (_SHORT if width == 1 else 0x100):
                raise ValueError(f"the length at byte {begin} is too long, or not in its shortest form")
        stop = start + size
        if stop > len(data):
            raise ValueError(f"the element at byte {begin} is cut short")
        self._position = stop
        return data[begin:stop], data[start:stop]


def one(data: bytes, tag: int) -> DerReader:
    """What is inside of the single element that `data` consists of. Raises ValueError."""
    reader = DerReader(data)
    content = reader.take(tag)
    reader.finish()
    return DerReader(content)
