"""Values of multiaddr components: their text, their bytes, and what is wrong with either.

`…_to_bytes` read text, `…_to_text` write the form go-multiaddr prints, `check_…` judge bytes of the right size that came from a
peer. Each raises ProtocolViolation; `…_to_text` is for checked bytes and raises nothing.

Spec: multiformats/multiaddr, "protocols"; go-multiaddr for what the specification leaves open.
"""

from base64 import b32decode
from binascii import a2b_hex
from ipaddress import IPv6Address

from cortexnet.errors import ProtocolViolation
from cortexnet.multiformats import multibase, multihash
from cortexnet.multiformats.cid import LIBP2P_KEY, Cid

_MAPPED = bytes(10) + b"\xff\xff"
_UNESCAPED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_FROM_I2P = str.maketrans("-~+", "+/!")
_TO_I2P = str.maketrans("+/", "-~")
_GARLIC64_LEAST = 386
_GARLIC32_PLAIN, _GARLIC32_ENCRYPTED = 32, 35


def _number(text: str, largest: int) -> int:
    # int() would take signs, blanks, underscores and digits of other scripts; 20 digits hold 2^64.
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ProtocolViolation("not a decimal number")
    number = int(text)
    if number > largest:
        raise ProtocolViolation(f"over {largest}")
    return number


def ip4_to_bytes(text: str) -> bytes:
    parts = text.split(".", 4)
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts):
        raise ProtocolViolation("not a dotted quad")
    numbers = [int(part) for part in parts]
    # A leading zero means octal to some readers: whoever writes one does not mean what we would read.
    if max(numbers) > 255 or any(len(part) > 1 and part[0] == "0" for part in parts):
        raise ProtocolViolation("a number of the quad is over 255 or has a leading zero")
    return bytes(numbers)


def ip4_to_text(raw: bytes) -> str:
    return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}"


def ip6_to_bytes(text: str) -> bytes:
    if "%" in text:
        raise ProtocolViolation("a zone belongs into /ip6zone in front")
    try:
        return IPv6Address(text).packed
    except ValueError:
        raise ProtocolViolation("not an IPv6 address") from None


def ip6_to_text(raw: bytes) -> str:
    if raw.startswith(_MAPPED):
        return "::ffff:" + ip4_to_text(raw[12:])
    return str(IPv6Address(raw))


def port_to_bytes(text: str) -> bytes:
    return _number(text, 0xFFFF).to_bytes(2, "big")


def octet_to_bytes(text: str) -> bytes:
    return _number(text, 0xFF).to_bytes(1, "big")


def memory_to_bytes(text: str) -> bytes:
    return _number(text, 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "big")


def number_to_text(raw: bytes) -> str:
    return str(int.from_bytes(raw, "big"))


def utf8_to_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates
        raise ProtocolViolation("not UTF-8") from None


def utf8_to_text(raw: bytes) -> str:
    return raw.decode()


def check_name(raw: bytes) -> None:
    """A host name or zone: UTF-8 that would not end the component in the text form."""
    if b"/" in raw:
        raise ProtocolViolation("a slash inside a name")
    _check_utf8(raw)


def check_path(raw: bytes) -> None:
    if len(raw) < 2 or raw[0] != 0x2F or raw[-1] == 0x2F:
        raise ProtocolViolation("a path begins with a slash, does not end with one, and has something between")
    _check_utf8(raw)


def _check_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation("not UTF-8") from None


def peer_to_bytes(text: str) -> bytes:
    if text.startswith(("Qm", "1")):
        return multibase.base58_decode(text)
    cid = Cid.parse(text)
    if cid.codec != LIBP2P_KEY:
        raise ProtocolViolation(f"a CID of codec {cid.codec:#x} is no peer id")
    return cid.multihash


def check_peer(raw: bytes) -> None:
    try:
        code, _ = multihash.unwrap(raw)
    except ProtocolViolation as error:
        raise ProtocolViolation(f"no whole peer id: {error}") from None
    if code not in (multihash.IDENTITY, multihash.SHA2_256):
        raise ProtocolViolation(f"multihash {code:#x} is no peer id")


def certhash_to_text(raw: bytes) -> str:
    return multibase.encode("base64url", raw)


def check_certhash(raw: bytes) -> None:
    multihash.unwrap(raw)


def onion_to_bytes(text: str) -> bytes:
    return _onion(text, 10)


def onion3_to_bytes(text: str) -> bytes:
    return _onion(text, 35)


def _onion(text: str, size: int) -> bytes:
    host, separator, port = text.partition(":")
    if not separator:
        raise ProtocolViolation("a port is missing")
    raw = multibase.decode("b" + host)
    if len(raw) != size:
        raise ProtocolViolation(f"host of {len(raw)} bytes instead of {size}")
    return raw + port_to_bytes(port)


def onion_to_text(raw: bytes) -> str:
    return f"{multibase.encode('base32', raw[:-2])[1:]}:{number_to_text(raw[-2:])}"


def check_onion(raw: bytes) -> None:
    if raw[-2:] == b"\0\0":
        raise ProtocolViolation("port 0")


def garlic64_to_bytes(text: str) -> bytes:
    return multibase.decode("M" + text.translate(_FROM_I2P))


def garlic64_to_text(raw: bytes) -> str:
    return multibase.encode("base64pad", raw)[1:].translate(_TO_I2P)


def check_garlic64(raw: bytes) -> None:
    if len(raw) < _GARLIC64_LEAST:
        raise ProtocolViolation(f"{len(raw)} bytes are too few")


def garlic32_to_bytes(text: str) -> bytes:
    # Not by our base32: addresses in use have bits left over that are not zero.
    if not text.isascii() or text != text.lower() or "=" in text:
        raise ProtocolViolation("not lower case base32 without padding")
    try:
        return b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:
        raise ProtocolViolation("not base32") from None


def garlic32_to_text(raw: bytes) -> str:
    return multibase.encode("base32", raw)[1:]


def check_garlic32(raw: bytes) -> None:
    if len(raw) != _GARLIC32_PLAIN and len(raw) < _GARLIC32_ENCRYPTED:
        raise ProtocolViolation(f"{len(raw)} bytes are neither {_GARLIC32_PLAIN} nor at least {_GARLIC32_ENCRYPTED}")


def http_path_to_bytes(text: str) -> bytes:
    first, *rest = utf8_to_bytes(text).replace(b"+", b" ").split(b"%")
    pieces = [first]
    for piece in rest:
        try:
            pieces += a2b_hex(piece[:2].ljust(2)), piece[2:]
        except ValueError:
            raise ProtocolViolation("% without two hexadecimal digits") from None
    return b"".join(pieces)


def http_path_to_text(raw: bytes) -> str:
    return "".join([chr(byte) if byte in _UNESCAPED else "+" if byte == 0x20 else f"%{byte:02X}" for byte in raw])
