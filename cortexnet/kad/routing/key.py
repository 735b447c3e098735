"""Where peers and keys lie: positions of 256 bits, their distance (XOR), and the regions that share their first bits.

Spec: libp2p/specs kad-dht, "Distance".
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, final

from cortexnet.errors import LocalError

if TYPE_CHECKING:
    from random import Random

BITS = 256
"""Of a position."""
REFRESH_BITS = 16
"""The longest prefix `refresh_key` takes, for which it needs 40 ms; where go's table of preimages ends, too."""

_VARIANTS_BITS = 4
_KEY_HEAD = b"\x12\x20"  # of a sha2-256 multihash: what is asked for looks like a peer id
_KEY_TAIL = bytes(28)


def position(key: bytes) -> int:
    """Where a key lies: of a peer, the bytes of its id; of a value or provider record, the key as it stands in messages."""
    return int.from_bytes(sha256(key).digest(), "big")


def common_prefix_length(a: int, b: int) -> int:
    """How many of the first bits of two positions are equal, up to `BITS`."""
    return BITS - (a ^ b).bit_length()


@final
@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `length` bits that all positions of a region have, as the number `bits`. Printed in binary, empty as `*`.

    Raises LocalError for a length outside 0 to 256, or bits that it has no room for.
    """

    length: int
    bits: int

    def __post_init__(self) -> None:
        if not 0 <= self.length <= BITS or not 0 <= self.bits < 1 << self.length:
            raise LocalError(f"a prefix of {self.length} bits can't be {self.bits}")

    @classmethod
    def of(cls, position: int, length: int) -> "Prefix":
        """The region of this length in which a position lies."""
        return cls(length, position >> (BITS - length) if 0 <= length <= BITS else -1)

    @property
    def first(self) -> int:
        """The lowest position in it."""
        return self.bits << (BITS - self.length)

    @property
    def last(self) -> int:
        """The highest position in it."""
        return (self.bits + 1 << (BITS - self.length)) - 1

    def contains(self, position: int) -> bool:
        """Whether a position lies in it."""
        return position >> (BITS - self.length) == self.bits

    def covers(self, other: "Prefix") -> bool:
        """Whether all of the other region lies in it; a region covers itself."""
        return other.length >= self.length and other.bits >> (other.length - self.length) == self.bits

    def children(self) -> tuple["Prefix", "Prefix"]:
        """Its two halves. Raises LocalError where it is a single position."""
        return Prefix(self.length + 1, self.bits << 1), Prefix(self.length + 1, self.bits << 1 | 1)

    def parent(self) -> "Prefix":
        """The region of which it is a half. Raises LocalError for the whole keyspace."""
        return Prefix(self.length - 1, self.bits >> 1)

    def sibling(self) -> "Prefix":
        """The other half of its parent. Raises LocalError for the whole keyspace."""
        return Prefix(self.length, self.bits ^ 1)

    def __str__(self) -> str:
        return f"{self.bits:0{self.length}b}" if self.length else "*"


def refresh_key(prefix: Prefix, random: "Random") -> bytes:
    """A key to ask for that lies in a region, one of 16: servers hash what they are asked for, so it has to be searched.

    The first search for each takes 2^length hashes, half a microsecond each; 4,096 are kept. The outcome depends on the prefix
    and on `random` alone. Raises LocalError for a prefix of more than `REFRESH_BITS`.
    """
    if prefix.length > REFRESH_BITS:
        raise LocalError(f"a prefix of {prefix.length} bits is too long to search a key for: {REFRESH_BITS} is the most")
    return _searched(prefix.length, prefix.bits, random.getrandbits(_VARIANTS_BITS))


@lru_cache(maxsize=4_096)
def _searched(length: int, bits: int, variant: int) -> bytes:
    shift = 32 - length
    start = variant << (32 - _VARIANTS_BITS)
    keys = (_KEY_HEAD + number.to_bytes(4, "big") + _KEY_TAIL for number in count(start))
    return next(key for key in keys if int.from_bytes(sha256(key).digest()[:4], "big") >> shift == bits)
