"""A node's own identity: a private key, and the file it lives in.

The file holds libp2p's protobuf form of the key, as go-libp2p writes it; Kubo's base64 text is read as well. It is written once
and never again: a file that is there but cannot be used is an error, because replacing it would end an identity.
"""

import base64
import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from typing import final

from cortexnet.errors import LocalError, StorageFailed
from cortexnet.identity.keys import PRIVATE_SIZE_LIMIT, KeyType, PrivateKey, PublicKey
from cortexnet.identity.peer_id import PeerId

log = logging.getLogger(__name__)

_FILE_LIMIT = 2 * PRIVATE_SIZE_LIMIT  # base64 and line ends included
_HAS_MODES = os.name == "posix"  # elsewhere the folder's access list decides, and st_mode says nothing


@final
class Identity:
    """A private key and the peer id that follows from it. Immutable."""

    __slots__ = ("_peer_id", "_private_key")

    def __init__(self, private_key: PrivateKey) -> None:
        self._private_key = private_key
        self._peer_id = PeerId.from_public_key(private_key.public_key)

    @classmethod
    def generate(cls, key_type: KeyType = "ed25519") -> "Identity":
        """A new identity, kept nowhere. Ed25519 is what every stack takes; the others are for networks that ask for them."""
        return cls(PrivateKey.generate(key_type))

    @classmethod
    def load_or_create(cls, path: str | os.PathLike[str], key_type: KeyType = "ed25519") -> "Identity":
        """The identity in the file, or a new one of `key_type`, written to it where there is no file yet.

        A new file is readable by its owner alone, and appears at once and whole; of several processes that create it at the same
        time one wins, and all return its key. Blocks for the disk. Raises StorageFailed if the file is damaged, empty or cannot
        be read, and then leaves it as it is; also if it cannot be written, its folder being missing, say.
        """
        name = os.fspath(path)
        try:
            return cls._load(name)
        except FileNotFoundError:
            identity = cls.generate(key_type)
        with _writing(name):
            return identity if _write_new(name, identity.to_protobuf()) else cls._load(name)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Identity":
        """The identity in the file. Raises StorageFailed if there is none or it cannot be used. Blocks for the disk.

        A file that others may read is used all the same, with a warning in the log: containers often mount secrets like that.
        """
        name = os.fspath(path)
        try:
            return cls._load(name)
        except FileNotFoundError as error:
            raise StorageFailed("there is no such file", path=name) from error

    @classmethod
    def _load(cls, path: str) -> "Identity":
        """As `load`, but FileNotFoundError where there is none."""
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(_FILE_LIMIT + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _storage_failed(path, error) from error
        except ValueError as error:  # a zero byte in the name
            raise StorageFailed(f"no file has such a name: {error}", path=ascii(path)) from error
        if _HAS_MODES and stat.S_IMODE(mode) & 0o077:
            log.warning("others may read the private key in %s (mode %o): chmod 600 it", path, stat.S_IMODE(mode))
        if not data.strip():
            raise StorageFailed("this key file is empty; restore it, or delete it to start with a new identity", path=path)
        try:
            # A protobuf of this kind starts with a control character, base64 never does.
            return cls.from_protobuf(data) if data.strip()[0] < 0x20 else cls.from_base64(data.decode("ascii", "replace"))
        except LocalError as error:
            message = f"this key file is damaged ({error}); restore it, or delete it to start with a new identity"
            raise StorageFailed(message, path=path) from error

    @classmethod
    def from_protobuf(cls, data: bytes) -> "Identity":
        """The identity of a private key in libp2p's protobuf form. Raises LocalError."""
        return cls(PrivateKey.unmarshal(data))

    @classmethod
    def from_base64(cls, text: str) -> "Identity":
        """The identity of a private key as in `Identity.PrivKey` of Kubo's configuration. Raises LocalError."""
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise LocalError(f"not base64: {error}") from None
        return cls.from_protobuf(data)

    def save(self, path: str | os.PathLike[str], *, as_text: bool = False) -> None:
        """Write the private key to a new file, for its owner alone: in libp2p's protobuf form, or `as_text` in Kubo's base64.

        `load` reads both. Blocks for the disk. Raises StorageFailed where there is a file of that name, which is left as it is,
        or where it can't be written.
        """
        name = os.fspath(path)
        with _writing(name):
            is_new = _write_new(name, f"{self.to_base64()}\n".encode() if as_text else self.to_protobuf())
        if not is_new:
            raise StorageFailed("there is such a file already, and keys are never replaced: name another one", path=name)

    def to_protobuf(self) -> bytes:
        """The private key as go-libp2p writes it to files: the secret itself."""
        return self._private_key.marshal()

    def to_base64(self) -> str:
        """The private key as Kubo's configuration holds it: the secret itself."""
        return base64.b64encode(self._private_key.marshal()).decode()

    @property
    def peer_id(self) -> PeerId:
        """Who this is."""
        return self._peer_id

    @property
    def public_key(self) -> PublicKey:
        """What others verify with."""
        return self._private_key.public_key

    @property
    def private_key(self) -> PrivateKey:
        """What signs."""
        return self._private_key

    def sign(self, data: bytes) -> bytes:
        """A signature of `data` that `public_key` verifies."""
        return self._private_key.sign(data)

    def __repr__(self) -> str:
        return f"Identity({self._peer_id})"


def _storage_failed(path: str, error: OSError) -> StorageFailed:
    return StorageFailed(f"the key file cannot be used: {error.strerror or error}", path=path)


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """Say what it means where the block can't make a file."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageFailed("its folder, or what it links to, does not exist; create that first", path=path) from error
    except StorageFailed:
        raise
    except OSError as error:
        raise _storage_failed(path, error) from error


def _write_new(path: str, data: bytes) -> bool:
    """Make the file, whole and safely on disk, unless there is one: then False."""
    temporary = f"{path}.{os.urandom(8).hex()}.tmp"
    try:
        _write(temporary, data)
        try:
            os.link(temporary, path)  # unlike a rename it never replaces what is there
        except FileExistsError:
            return False
        except OSError:
            # No hard links here (FAT, some network folders). Who reads in this very moment finds the file empty or cut short and
            # gets StorageFailed, never another key.
            try:
                _write(path, data)
            except FileExistsError:
                return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    _sync_folder(os.path.dirname(path) or ".")
    return True


def _write(path: str, data: bytes) -> None:
    file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115 (closed below)
    complete = False
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        complete = True
    finally:
        if not complete:
            os.unlink(path)


def _sync_folder(folder: str) -> None:
    """Let the new name survive a power cut, where the system has a way to ask for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
