"""Hypothesis strategies for everything that goes over the wire. The only module here that needs hypothesis (extra `testing`).

What is drawn is well-formed unless the name says otherwise, and shrinks to the simplest of its kind. Keys come from small pools
that are made once a process: of the RSA pool on the first use of a strategy that may draw from it, which takes a moment. But
for RSA and for the random part of ECDSA signatures, the same draws give the same bytes in every process.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from itertools import pairwise
from struct import pack
from typing import get_args

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cortexnet.host.identify_message import IdentifyMessage
from cortexnet.identity.envelope import PEER_RECORD, Envelope, PeerRecord, Purpose
from cortexnet.identity.keys import KeyType, PrivateKey, PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats import multihash, varint
from cortexnet.multiformats.cid import DAG_PB, LIBP2P_KEY, RAW, Cid
from cortexnet.multiformats.multiaddr import MAX_BYTES, Multiaddr
from cortexnet.multiformats.multiaddr_protocols import BY_NAME, PROTOCOLS
from cortexnet.protobuf import field_bytes, field_varint
from cortexnet.security.noise_messages import Payload

_POOL_SIZE = 8
_RSA_POOL_SIZE = 2
_KEY_TYPES: tuple[KeyType, ...] = ("ed25519", "secp256k1", "ecdsa", "rsa")


# --- bytes in pieces


@st.composite
def cuts(draw: st.DrawFn, data: bytes, *, max_pieces: int = 40) -> list[bytes]:
    """`data` in 1 to `max_pieces` consecutive pieces, none of them empty; shrinks to one piece. Empty data has no pieces."""
    if not data:
        return []
    size = min(max_pieces, len(data)) - 1
    inner = draw(st.lists(st.integers(1, max(1, len(data) - 1)), max_size=size, unique=True)) if size else []
    edges = [0, *sorted(inner), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


# --- multiformats


def varints() -> SearchStrategy[bytes]:
    """Encoded unsigned varints of every length."""
    lengths = st.integers(0, varint.MAX_BYTES - 1)
    return lengths.flatmap(lambda length: st.integers(0, (1 << 7 * (length + 1)) - 1)).map(varint.encode)


def broken_varints() -> SearchStrategy[bytes]:
    """Bytes that are no varint: cut short, not minimal, or too long."""
    continued = st.integers(0x80, 0xFF)
    return st.one_of(
        st.lists(continued, max_size=varint.MAX_BYTES - 1).map(bytes),
        st.lists(continued, min_size=1, max_size=varint.MAX_BYTES - 1).map(lambda data: bytes(data) + b"\0"),
        st.lists(continued, min_size=varint.MAX_BYTES, max_size=2 * varint.MAX_BYTES).map(bytes),
    )


def multihashes() -> SearchStrategy[bytes]:
    """sha2-256 and identity multihashes mostly, and some of functions that we do not know."""
    others = st.tuples(st.integers(0x13, 1 << 20), st.binary(max_size=64))
    return st.one_of(
        st.binary(max_size=40).map(multihash.sha2_256),
        st.binary(max_size=40).map(lambda digest: multihash.wrap(multihash.IDENTITY, digest)),
        others.map(lambda pair: multihash.wrap(*pair)),
    )


def cids() -> SearchStrategy[Cid]:
    """Both versions; of version 1 any codec and multihash."""
    codecs = st.sampled_from([RAW, DAG_PB, LIBP2P_KEY]) | st.integers(0, varint.MAX_VALUE)
    return st.one_of(
        st.binary(max_size=40).map(lambda data: Cid(0, DAG_PB, multihash.sha2_256(data))),
        st.builds(Cid, st.just(1), codecs, multihashes()),
    )


# --- identity


def private_keys(*key_types: KeyType) -> SearchStrategy[PrivateKey]:
    """Key pairs of the given types, all four without any; `.public_key` is the other half."""
    return st.one_of([st.sampled_from(_key_pool(key_type)) for key_type in key_types or _KEY_TYPES])


def public_keys(*key_types: KeyType) -> SearchStrategy[PublicKey]:
    """Public keys whose private ones `private_keys` may draw."""
    return private_keys(*key_types).map(lambda key: key.public_key)


def peer_ids(*key_types: KeyType) -> SearchStrategy[PeerId]:
    """Ids of keys of the given types; without any also ids that nobody has the key of (and no RSA key is made)."""
    if key_types:
        return public_keys(*key_types).map(PeerId.from_public_key)
    keyed = public_keys("ed25519", "secp256k1", "ecdsa").map(PeerId.from_public_key)
    return keyed | st.binary(max_size=8).map(multihash.sha2_256).map(PeerId.from_bytes)


def envelopes(*purposes: Purpose) -> SearchStrategy[Envelope]:
    """Sealed envelopes for one of `purposes` (that of a peer record without any), with arbitrary payloads."""
    keys = private_keys("ed25519", "secp256k1", "ecdsa")
    return st.builds(Envelope.seal, keys, st.sampled_from(purposes or (PEER_RECORD,)), st.binary(max_size=100))


@st.composite
def peer_records(draw: st.DrawFn, key: PrivateKey | None = None) -> PeerRecord:
    """Records of the holder of `key`, or of anybody; addresses as `dialable_multiaddrs` draws them, without the peer id."""
    owner = PeerId.from_public_key(key.public_key) if key is not None else draw(peer_ids())
    addresses = draw(st.lists(dialable_multiaddrs(), max_size=5, unique=True))
    return PeerRecord(owner, draw(st.integers(0, (1 << 64) - 1)), tuple(addresses))


@st.composite
def signed_peer_records(draw: st.DrawFn) -> tuple[PeerRecord, bytes]:
    """A record, and the bytes of the envelope that its own key has sealed."""
    key = draw(private_keys("ed25519", "secp256k1", "ecdsa"))
    record = draw(peer_records(key))
    return record, record.seal(key)


@cache
def _key_pool(key_type: KeyType) -> Sequence[PrivateKey]:
    if key_type == "rsa":
        return [PrivateKey.generate("rsa") for _ in range(_RSA_POOL_SIZE)]
    return [_derive_key(key_type, sha256(f"{key_type} {number}".encode()).digest()) for number in range(_POOL_SIZE)]


def _derive_key(key_type: KeyType, secret: bytes) -> PrivateKey:
    if key_type == "ed25519":
        content = secret + Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    elif key_type == "secp256k1":
        content = secret
    else:
        key = ec.derive_private_key(int.from_bytes(secret) >> 1, ec.SECP256R1())
        content = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    number: int = get_args(KeyType).index(key_type)
    return PrivateKey.unmarshal(field_varint(1, number) + field_bytes(2, content))


# --- addresses


def domain_names() -> SearchStrategy[str]:
    """Host names of one to four labels."""
    label = st.from_regex(r"\A[a-z]([a-z0-9-]{0,10}[a-z0-9])?\Z")
    return st.lists(label, min_size=1, max_size=4).map(".".join)


@st.composite
def dialable_multiaddrs(draw: st.DrawFn) -> Multiaddr:
    """Addresses as nodes announce them: a host, and TCP, WebSocket or QUIC; no peer id behind, no relay."""
    host = draw(
        st.one_of(
            st.ip_addresses(v=4).map(lambda ip: f"/ip4/{ip}"),
            st.ip_addresses(v=6).map(lambda ip: f"/ip6/{ip}"),
            st.tuples(st.sampled_from(["dns", "dns4", "dns6"]), domain_names()).map(lambda pair: f"/{pair[0]}/{pair[1]}"),
        )
    )
    port = draw(st.integers(1, 65_535))
    rest = draw(st.sampled_from([f"/tcp/{port}", f"/tcp/{port}/ws", f"/tcp/{port}/tls/ws", f"/udp/{port}/quic-v1"]))
    return Multiaddr.parse(host + rest)


def multiaddrs(*, max_components: int = 6) -> SearchStrategy[Multiaddr]:
    """Any components in any order, sensible or not: all that the binary form allows."""
    names = [protocol.name for protocol in PROTOCOLS if not protocol.is_path]
    some = st.lists(st.sampled_from(names).flatmap(_components), min_size=1, max_size=max_components - 1).map(b"".join)
    with_path = st.builds(bytes.__add__, some, _components("unix"))
    anything = (some | with_path).filter(lambda data: len(data) <= MAX_BYTES)
    return dialable_multiaddrs() | anything.map(Multiaddr.from_bytes)


def _components(name: str) -> SearchStrategy[bytes]:
    return _component_values(name).map(BY_NAME[name].encode)


@cache
def _component_values(name: str) -> SearchStrategy[bytes]:
    """The bytes a component of that name may have."""
    size = BY_NAME[name].size
    ports = st.integers(1, 65_535).map(lambda port: pack(">H", port))
    # Not surrogates, which are no characters; not a slash, which would end the component.
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=20).map(str.encode)
    special: dict[str, SearchStrategy[bytes]] = {
        "p2p": peer_ids().map(bytes),
        "unix": st.lists(text, min_size=1, max_size=3).map(lambda parts: b"".join(b"/" + part for part in parts)),
        "onion": st.tuples(st.binary(min_size=10, max_size=10), ports).map(b"".join),
        "onion3": st.tuples(st.binary(min_size=35, max_size=35), ports).map(b"".join),
        "garlic64": st.binary(min_size=386, max_size=400),
        "garlic32": st.binary(min_size=32, max_size=32) | st.binary(min_size=35, max_size=40),
        "certhash": multihashes(),
        "http-path": st.binary(min_size=1, max_size=20),
    }
    if name in special:
        return special[name]
    return st.binary(min_size=size, max_size=size) if size >= 0 else text


# --- multistream-select


def protocol_ids() -> SearchStrategy[str]:
    """Names as applications choose them, `/cortex/echo/1.0.0`, and any other that a line can carry."""
    word = st.from_regex(r"\A[a-z][a-z0-9-]{0,10}\Z")
    version = st.tuples(*[st.integers(0, 30)] * 3).map(lambda numbers: ".".join(map(str, numbers)))
    usual = st.tuples(st.lists(word, min_size=1, max_size=3), version).map(lambda pair: "/" + "/".join([*pair[0], pair[1]]))
    other = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=60)
    return usual | other.map(lambda text: "/" + text)


def multistream_lines() -> SearchStrategy[bytes]:
    """One message each: the header, `na`, `ls`, or a protocol."""
    fixed = st.sampled_from(["/multistream/1.0.0", "na", "ls"])
    return (fixed | protocol_ids()).map(lambda text: text.encode() + b"\n").map(lambda line: varint.encode(len(line)) + line)


def multistream_conversations() -> SearchStrategy[bytes]:
    """What one side might say: mostly the header and some lines, at times with bytes behind that are none."""
    lines = st.lists(multistream_lines(), max_size=6).map(b"".join)
    return st.builds(
        lambda *parts: b"".join(parts), st.sampled_from([b"\x13/multistream/1.0.0\n", b""]), lines, st.binary(max_size=20)
    )


# --- noise


def noise_payloads() -> SearchStrategy[Payload]:
    """Handshake payloads that can be decoded; their keys and signatures belong to nobody."""
    muxers = st.lists(st.sampled_from([b"/yamux/1.0.0", b"/mplex/6.7.0"]) | st.binary(max_size=20), max_size=4)
    return st.builds(Payload, st.binary(max_size=40), st.binary(max_size=70), muxers)


def noise_frames() -> SearchStrategy[bytes]:
    """Messages behind their two bytes of length, as they are sent in the handshake and after it."""
    return st.binary(max_size=300).map(lambda message: pack(">H", len(message)) + message)


# --- yamux


def yamux_frames(stream_ids: SearchStrategy[int] | None = None) -> SearchStrategy[bytes]:
    """Whole frames, header and body; ids are small by default, so that frames meet. Legal one by one, if seldom in a row."""
    ids = stream_ids if stream_ids is not None else st.integers(1, 6)
    flags = st.sampled_from([0, 0, 0, 1, 2, 4, 8, 5, 6, 9])
    credit = st.sampled_from([0, 1, 1_000, 262_144, 0xFFFF_FFFF]) | st.integers(0, 0xFFFF_FFFF)
    return st.one_of(
        st.builds(lambda flag, number, body: _yamux(0, flag, number, len(body)) + body, flags, ids, st.binary(max_size=64)),
        st.builds(lambda flag, number, delta: _yamux(1, flag, number, delta), flags, ids, credit),
        st.builds(lambda flag, value: _yamux(2, flag, 0, value), st.sampled_from([1, 2]), st.integers(0, 5)),
        st.builds(lambda code: _yamux(3, 0, 0, code), st.sampled_from([0, 1, 2, 0x1001])),
    )


def yamux_sessions() -> SearchStrategy[bytes]:
    """What a dialer might send: streams opened in order, then frames on them, and now and then bytes that are no frame."""
    opened = st.integers(0, 4).map(lambda count: b"".join(_yamux(1, 1, 2 * number + 1, 0) for number in range(count)))
    frames = st.lists(yamux_frames() | yamux_frames(st.sampled_from([1, 3, 5])), max_size=12).map(b"".join)
    return st.builds(lambda *parts: b"".join(parts), opened, frames, st.just(b"") | st.binary(max_size=30))


def _yamux(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    return pack(">BBHII", 0, kind, flags, stream_id, length)


@st.composite
def identify_messages(draw: st.DrawFn) -> IdentifyMessage:
    """What peers say about themselves: each field there or not, the signed record a valid one of the same key."""
    key = draw(private_keys())
    record = PeerRecord(PeerId.from_public_key(key.public_key), draw(st.integers(0, 2**63 - 1)), ())
    versions = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
    return IdentifyMessage(
        public_key=draw(st.none() | st.just(key.public_key.marshal())),
        addresses=tuple(draw(st.lists(multiaddrs(), max_size=5))),
        protocols=tuple(draw(st.lists(protocol_ids(), max_size=8, unique=True))),
        observed_address=draw(st.none() | multiaddrs()),
        protocol_version=draw(versions),
        agent_version=draw(versions),
        signed_peer_record=draw(st.none() | st.just(record.seal(key))),
    )
