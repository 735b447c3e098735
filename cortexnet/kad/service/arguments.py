"""What callers name things by, as the bytes that the DHT knows them by: content, values, peers, places."""

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.identity.peer_id import PeerId, peer_of
from cortexnet.kad.messages import KEY_SIZE_LIMIT
from cortexnet.kad.server.server import PROVIDER_KEY_LIMIT
from cortexnet.multiformats.cid import Cid
from cortexnet.texts import check_bytes

AnyCid = Cid | str
AnyKey = bytes | str
AnyValue = bytes | bytearray | memoryview

_NAMED_BY_PEER = ("/pk/", "/ipns/")


def content_key(cid: AnyCid) -> bytes:
    """The multihash of content, the same for every form of its CID. Raises LocalError for what is no CID, and for a digest that
    no peer would take."""
    multihash = _cid(cid).multihash
    if len(multihash) > PROVIDER_KEY_LIMIT:
        raise LocalError(f"{str(cid)[:128]} has a multihash of {len(multihash)} bytes: peers take up to {PROVIDER_KEY_LIMIT}")
    return multihash


def _cid(cid: AnyCid) -> Cid:
    if isinstance(cid, Cid):
        return cid
    if not isinstance(cid, str):
        raise LocalError(
            f"content is named by its Cid or the text of it, not by a {type(cid).__name__}: `Cid.for_data` names a block of data"
        )
    try:
        return Cid.parse(cid)
    except ProtocolViolation as error:
        raise LocalError(f"{cid[:128]!a} is no whole CID, such as bafy… or Qm…: {error}") from None


def check_multihash(key: bytes) -> None:
    """Raises LocalError for what is not bytes: it would be kept, and told to who asks."""
    check_bytes("a multihash", key)


def value_of(value: AnyValue) -> bytes:
    """A value to be kept, as bytes that nobody changes any more. Raises LocalError for a text and whatever else is not bytes."""
    check_bytes("a value", value)
    return bytes(value)


def record_key(key: AnyKey) -> bytes:
    """The key of a value. As text, what follows `/pk/` and `/ipns/` is a peer id. Raises LocalError."""
    if not isinstance(key, str | bytes | bytearray | memoryview):  # of a number, `bytes` makes so many zeros
        raise LocalError(f"a key is text or bytes, such as /namespace/name, not a {type(key).__name__}")
    data = _record_key(key) if isinstance(key, str) else bytes(key)
    namespace, slash, rest = data[1:].partition(b"/")
    if data[:1] != b"/" or not namespace or not slash or not rest or len(data) > KEY_SIZE_LIMIT:
        raise LocalError(f"a key is like /namespace/name, of at most {KEY_SIZE_LIMIT} bytes, and not {key[:128]!r}")
    return data


def _record_key(text: str) -> bytes:
    for prefix in _NAMED_BY_PEER:
        if text.startswith(prefix):
            return prefix.encode() + bytes(peer_of(text[len(prefix) :]))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LocalError(f"a key is text or bytes, and {text[:128]!a} is neither") from None


def place_of(key: "AnyKey | PeerId | Cid") -> bytes:
    """Anything that lies somewhere: a peer, a CID, the key of a value; bytes are taken as they are. Raises LocalError."""
    if isinstance(key, PeerId):
        return bytes(key)
    if isinstance(key, Cid):
        return content_key(key)
    if isinstance(key, bytes | bytearray | memoryview):
        return bytes(key)
    if not isinstance(key, str):
        raise LocalError(f"a place is named by a PeerId, a Cid, or the key of a value, not a {type(key).__name__}")
    if key.startswith("/"):
        return record_key(key)
    try:
        return bytes(PeerId.parse(key))
    except ProtocolViolation:
        return content_key(key)
