"""Multibase: text that names the base it is written in by its first character.

Bases of a whole number of bits a character cost linear time. Bases 10, 36 and 58 are one big number, which in the long run
costs quadratic time, so they are capped at 1,024 bytes, where it does not show yet.

Spec: multiformats/multibase, "Multibase Table"; RFC 4648.
"""

from typing import Protocol, final

from cortexnet.errors import LocalError, ProtocolViolation

MAX_NUMBER_BYTES = 1024
"""What bases 10, 36 and 58 encode at most: a peer id has 39 bytes, a multiaddr at most as many as this."""
_MAX_NUMBER_DIGITS = 2 * MAX_NUMBER_BYTES + 512  # base 10, the longest, takes 2.41 digits a byte
# Digits taken at once, so that a tenth of the steps is as long as the whole number. Written digit by digit, base 58 of 38 bytes
# took 5.0 µs instead of 6.3, and of 1,024 bytes 900 instead of 280.
_STRIDE = 10

_DIGITS = "0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
_RFC_HEX = _DIGITS + _LOWER[:22]
_RFC_32 = _LOWER + "234567"
_RFC_64 = _UPPER + _LOWER + _DIGITS
_BITCOIN = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_FLICKR = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
# One code point a byte, in the order of the byte it stands for.
_EMOJI = (
    "🚀🪐☄🛰🌌🌑🌒🌓🌔🌕🌖🌗🌘🌍🌏🌎🐉☀💻🖥💾💿😂❤😍🤣😊🙏💕😭😘👍😅👏😁🔥🥰💔💖💙😢🤔😆🙄💪😉☺👌🤗💜😔😎😇🌹🤦🎉💞✌✨🤷😱😌🌸🙌"
    "😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣😜💋👀😪😑💥🙋😞😩😡🤪👊🥳😥🤤👉💃😳✋😚😝😴🌟😬🙃🍀🌷😻😓⭐✅🥺🌈😈🤘💦✔😣🏃💐☹🎊💘😠☝"
    "😕🌺🎂🌻😐🖕💝🙊😹🗣💫💀👑🎵🤞😛🔴😤🌼😫⚽🤙☕🏆🤫👈😮🙆🍻🍃🐶💁😲🌿🧡🎁⚡🌞🎈❌✊👋😰🤨😶🤝🚶💰🍓💢🤟🙁🚨💨🤬✈🎀🍺🤓😙💟🌱😖👶"
    "🥴▶➡❓💎💸⬇😨🌚🦋😷🕺⚠🙅😟😵👎🤲🤠🤧📌🔵💅🧐🐾🍒😗🤑🌊🤯🐷☎💧😯💆👆🎤🙇🍑❄🌴💣🐸💌📍🥀🤢👅💡💩👐📸👻🤐🤮🎼🥵🚩🍎🍊👼💍📣🥂"
)


class _Base(Protocol):
    def encode(self, data: bytes) -> str: ...
    def decode(self, text: str) -> bytes: ...


@final
class _Bits:
    """n bits a character: RFC 4648 and its like. Bits left over must be zero, so that no two texts mean the same bytes."""

    def __init__(self, alphabet: str, bits: int, *, padded: bool = False, any_case: bool = False) -> None:
        self._bits = bits
        self._group = {1: 1, 3: 8, 4: 2, 5: 8, 6: 4}[bits] if padded else 1
        self._encoding = {format(value, f"0{bits}b"): character for value, character in enumerate(alphabet)}
        self._decoding = {character: digits for digits, character in self._encoding.items()}
        if any_case:
            self._decoding |= {character.swapcase(): digits for character, digits in self._decoding.items()}

    def encode(self, data: bytes) -> str:
        width, bits = 8 * len(data), self._bits
        if not width:
            return ""
        spare = -width % bits
        digits = format(int.from_bytes(data, "big") << spare, f"0{width + spare}b")
        encoding = self._encoding
        text = "".join([encoding[digits[at : at + bits]] for at in range(0, width + spare, bits)])
        return text + "=" * (-len(text) % self._group)

    def decode(self, text: str) -> bytes:
        body = text.rstrip("=") if self._group > 1 else text
        if -len(body) % self._group != len(text) - len(body):
            raise ProtocolViolation("wrong padding")
        try:
            digits = "".join([self._decoding[character] for character in body])
        except KeyError as error:
            raise _stranger(error.args[0]) from None
        spare = len(digits) % 8
        value = int(digits or "0", 2)
        if spare >= self._bits or value & ((1 << spare) - 1):
            raise ProtocolViolation("the last character says more than whole bytes")
        return (value >> spare).to_bytes(len(digits) // 8, "big")


@final
class _Number:
    """The bytes as one big number; a zero byte at the start is a zero digit at the start."""

    def __init__(self, alphabet: str, *, any_case: bool = False) -> None:
        self._alphabet = alphabet
        self._radix = len(alphabet)
        self._stride = self._radix**_STRIDE
        self._values = {character: value for value, character in enumerate(alphabet)}
        if any_case:
            self._values |= {character.swapcase(): value for character, value in self._values.items()}

    def encode(self, data: bytes) -> str:
        if len(data) > MAX_NUMBER_BYTES:
            raise LocalError(f"base {self._radix} is for at most {MAX_NUMBER_BYTES} bytes, not {len(data)}")
        body = data.lstrip(b"\0")
        value, alphabet, radix = int.from_bytes(body, "big"), self._alphabet, self._radix
        digits: list[str] = []
        while value:
            value, part = divmod(value, self._stride)
            for _ in range(_STRIDE):
                part, digit = divmod(part, radix)
                digits.append(alphabet[digit])
        return alphabet[0] * (len(data) - len(body)) + "".join(reversed(digits)).lstrip(alphabet[0])

    def decode(self, text: str) -> bytes:
        if len(text) > _MAX_NUMBER_DIGITS:
            raise ProtocolViolation(f"text of {len(text)} characters in base {self._radix} is too long")
        body = text.lstrip(self._alphabet[0])
        value, values, radix = 0, self._values, self._radix
        try:
            for at in range(0, len(body), _STRIDE):
                part, piece = 0, body[at : at + _STRIDE]
                for character in piece:
                    part = part * radix + values[character]
                value = value * radix ** len(piece) + part
        except KeyError as error:
            raise _stranger(error.args[0]) from None
        size = len(text) - len(body) + (value.bit_length() + 7) // 8
        if size > MAX_NUMBER_BYTES:
            raise ProtocolViolation(f"{size} bytes in base {self._radix} are over the limit of {MAX_NUMBER_BYTES}")
        return value.to_bytes(size, "big")


@final
class _Symbols:
    """One character a byte."""

    def __init__(self, alphabet: str) -> None:
        self._alphabet = alphabet
        self._values = {character: value for value, character in enumerate(alphabet)}

    def encode(self, data: bytes) -> str:
        return "".join([self._alphabet[value] for value in data])

    def decode(self, text: str) -> bytes:
        try:
            return bytes([self._values[character] for character in text])
        except KeyError as error:
            raise _stranger(error.args[0]) from None


def _stranger(character: str) -> ProtocolViolation:
    return ProtocolViolation(f"character {character!a} does not belong to the base")


_BASE58 = _Number(_BITCOIN)
_BASES: dict[str, tuple[str, _Base]] = {
    "base2": ("0", _Bits("01", 1)),
    "base8": ("7", _Bits(_DIGITS[:8], 3)),
    "base10": ("9", _Number(_DIGITS)),
    "base16": ("f", _Bits(_RFC_HEX[:16], 4, any_case=True)),
    "base16upper": ("F", _Bits(_RFC_HEX[:16].upper(), 4, any_case=True)),
    "base32": ("b", _Bits(_RFC_32, 5, any_case=True)),
    "base32upper": ("B", _Bits(_RFC_32.upper(), 5, any_case=True)),
    "base32pad": ("c", _Bits(_RFC_32, 5, padded=True, any_case=True)),
    "base32padupper": ("C", _Bits(_RFC_32.upper(), 5, padded=True, any_case=True)),
    "base32hex": ("v", _Bits(_RFC_HEX, 5, any_case=True)),
    "base32hexupper": ("V", _Bits(_RFC_HEX.upper(), 5, any_case=True)),
    "base32hexpad": ("t", _Bits(_RFC_HEX, 5, padded=True, any_case=True)),
    "base32hexpadupper": ("T", _Bits(_RFC_HEX.upper(), 5, padded=True, any_case=True)),
    "base32z": ("h", _Bits("ybndrfg8ejkmcpqxot1uwisza345h769", 5)),
    "base36": ("k", _Number(_DIGITS + _LOWER, any_case=True)),
    "base36upper": ("K", _Number(_DIGITS + _UPPER, any_case=True)),
    "base58btc": ("z", _BASE58),
    "base58flickr": ("Z", _Number(_FLICKR)),
    "base64": ("m", _Bits(_RFC_64 + "+/", 6)),
    "base64pad": ("M", _Bits(_RFC_64 + "+/", 6, padded=True)),
    "base64url": ("u", _Bits(_RFC_64 + "-_", 6)),
    "base64urlpad": ("U", _Bits(_RFC_64 + "-_", 6, padded=True)),
    "base256emoji": ("\N{ROCKET}", _Symbols(_EMOJI)),
}
_BY_PREFIX = dict(_BASES.values())

NAMES = tuple(_BASES)
"""Every base `encode` knows, as the specification's table names them."""


def encode(name: str, data: bytes) -> str:
    """`data` in the named base, prefix first. Raises LocalError for a base that is not in NAMES, or too much data for it."""
    if name not in _BASES:
        raise LocalError(f"there is no multibase {name!r}")
    prefix, base = _BASES[name]
    return prefix + base.encode(data)


def decode(text: str) -> bytes:
    """The bytes of a text in any base of NAMES. Raises ProtocolViolation."""
    base = _BY_PREFIX.get(text[:1])
    if base is None:
        raise ProtocolViolation(f"multibase prefix {text[:1]!a} is unknown" if text else "multibase text is empty")
    return base.decode(text[1:])


def base58_encode(data: bytes) -> str:
    """Bitcoin's base 58 without a prefix, as peer ids and CIDv0 are written. Raises LocalError above 1,024 bytes."""
    return _BASE58.encode(data)


def base58_decode(text: str) -> bytes:
    """The bytes of an unprefixed base 58 text. Raises ProtocolViolation."""
    return _BASE58.decode(text)
