"""What callers name things by, as the bytes that the DHT knows them by: content, values, peers, places."""

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.identity.peer_id import PeerId, peer_of
from cortexnet.kad.messages import KEY_SIZE_LIMIT
from cortexnet.kad.server.server import PROVIDER_KEY_LIMIT
from cortexnet.multiformats.cid import Cid

AnyCid = Cid | str
AnyKey = bytes | str

_NAMED_BY_PEER = ("/pk/", "/ipns/")


def content_key(cid: AnyCid) -> bytes:
    """The multihash of content, the same for every form of its CID. Raises ProtocolViolation for a text that is no CID,
    LocalError for a digest that no peer would take."""
    multihash = (_cid(cid) if isinstance(cid, str) else cid).multihash
    if len(multihash) > PROVIDER_KEY_LIMIT:
        raise LocalError(f"{str(cid)[:128]} has a multihash of {len(multihash)} bytes: peers take up to {PROVIDER_KEY_LIMIT}")
    return multihash


def _cid(text: str) -> Cid:
    try:
        return Cid.parse(text)
    except ProtocolViolation as error:
        raise ProtocolViolation(f"{text[:128]!a} is no whole CID, such as bafy… or Qm…: {error}") from None


def record_key(key: AnyKey) -> bytes:
    """The key of a value. As text, what follows `/pk/` and `/ipns/` is a peer id. Raises LocalError, ProtocolViolation."""
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
    """Anything that lies somewhere: a peer, a CID, the key of a value; bytes are taken as they are.

    Raises ProtocolViolation for a text that is none of them, LocalError.
    """
    if isinstance(key, PeerId):
        return bytes(key)
    if isinstance(key, Cid):
        return content_key(key)
    if isinstance(key, bytes):
        return key
    if key.startswith("/"):
        return record_key(key)
    try:
        return bytes(PeerId.parse(key))
    except ProtocolViolation:
        return content_key(key)
