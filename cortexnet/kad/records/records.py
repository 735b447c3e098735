"""Which values the DHT takes: validators by the namespace of the key, and the one for public keys.

A key is `/namespace/rest`; the rest is bytes of any kind. A namespace without a validator is refused: nobody could tell whether a
value of it is good, and the better of two.

Spec: libp2p/specs kad-dht, "Entry validation"; go-libp2p-record.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, final, runtime_checkable

from cortexnet.errors import InvalidRecord, LocalError, ProtocolViolation, RemoteError
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId


@runtime_checkable
class Validator(Protocol):
    """The rules of a namespace. Pure and quick: it is asked for every value that comes, of whoever sends it."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Raise InvalidRecord, or ValueError, for a value that must not be kept. `unix_now` is in unix seconds."""

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The index of the best of some valid values, at least one; of equal ones that of the first."""


def namespace_of(key: bytes) -> str:
    """The namespace of a key, as text for errors and lookups. Raises InvalidRecord where it has none."""
    if key[:1] != b"/":
        raise InvalidRecord("a key begins with /namespace/")
    name, slash, _ = key[1:].partition(b"/")
    if not name or not slash:
        raise InvalidRecord("a key begins with /namespace/")
    return name.decode("ascii", "backslashreplace")


@final
class Validators:
    """Validators by namespace, the text between the first two slashes of a key. Raises LocalError for a name that is none."""

    def __init__(self, by_namespace: Mapping[str, Validator]) -> None:
        for name in by_namespace:
            if not name or "/" in name or not name.isascii() or not name.isprintable():
                raise LocalError(f"a namespace is printable ASCII without a slash, not {name!r}")
        self._by_namespace = dict(by_namespace)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The names, as they were given."""
        return tuple(self._by_namespace)

    def require(self, key: bytes) -> None:
        """For a key of the application's own. Raises LocalError, which names the namespace, where no value of it is taken."""
        try:
            self._validator(key)
        except InvalidRecord as error:
            known = ", ".join(self._by_namespace) or "no namespace"
            raise LocalError(f"{error}; values are taken in {known}: give one for yours, on a prefix of your own") from None

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Raises InvalidRecord where the value must not be kept, also for want of a validator."""
        validator = self._validator(key)
        try:
            validator.validate(key, value, unix_now)
        except InvalidRecord:
            raise
        except (ValueError, RemoteError) as error:
            raise InvalidRecord(f"{namespace_of(key)}: {error}") from error

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The index of the best of some valid values. Raises InvalidRecord where one can't be compared.

        Raises LocalError where there are none, or the validator answers what is no index.
        """
        if not values:
            raise LocalError("there is no best of no values")
        try:
            index = self._validator(key).select(key, values)
        except InvalidRecord:
            raise
        except (ValueError, RemoteError) as error:
            raise InvalidRecord(f"{namespace_of(key)}: {error}") from error
        if not 0 <= index < len(values):
            raise LocalError(f"the validator of {namespace_of(key)!r} has selected {index} of {len(values)} values")
        return index

    def is_better(self, key: bytes, value: bytes, than: bytes) -> bool:
        """Whether a valid value goes before another. Raises as `select`."""
        return self.select(key, (than, value)) == 1

    def _validator(self, key: bytes) -> Validator:
        name = namespace_of(key)
        validator = self._by_namespace.get(name)
        if validator is None:
            raise InvalidRecord(f"there is no validator for the namespace {name[:64]!r}")
        return validator


@final
class PublicKeyValidator:
    """`/pk/` and a binary peer id: the key that this is the id of, in its protobuf form. All valid values are the same key."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Raises InvalidRecord."""
        try:
            owner = PeerId.from_public_key(PublicKey.unmarshal(value))
        except RemoteError as error:
            raise InvalidRecord(f"pk: {error}") from None
        if bytes(owner) != key.removeprefix(b"/pk/"):
            raise InvalidRecord("pk: the key of another peer")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The first."""
        return 0


def peer_id_of(key: bytes, prefix: bytes) -> PeerId:
    """The peer id behind the prefix of a key. Raises InvalidRecord."""
    if not key.startswith(prefix):
        raise InvalidRecord(f"a key begins with {prefix.decode()}")
    try:
        return PeerId.from_bytes(key[len(prefix) :])
    except ProtocolViolation as error:
        raise InvalidRecord(f"no peer id behind {prefix.decode()}: {error}") from None
