"""What a hostile peer might send, by name: bytes that break multistream-select, Noise, TLS, a muxer, or only look as if.

Each catalogue maps a name (good as the id of a test) to the bytes of a whole connection in one direction. None may make a
decoder raise anything but a RemoteError, keep it from ending, or make it hold more than its limits; not all are violations.
No core is needed to make them, so they serve other implementations too.
"""

from struct import pack

_HEADER = b"\x13/multistream/1.0.0\n"
_YAMUX_WINDOW = 262_144
_DATA, _WINDOW_UPDATE, _PING, _GO_AWAY = range(4)
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8

_FOREIGN = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "a TLS client hello": bytes.fromhex("16030100fa010000f60303") + bytes(243),
    "an SSH greeting": b"SSH-2.0-OpenSSH_9.6\r\n",
    "zeros": bytes(4_096),
    "ones": b"\xff" * 4_096,
    "nothing": b"",
    "one byte": b"\x00",
}


def hostile_multistream() -> dict[str, bytes]:
    """What an initiator may send that opens a negotiation."""
    return _FOREIGN | {
        "a line of length zero": b"\x00",
        "a line without its newline": b"\x06/noise",
        "a header without its newline": b"\x12/multistream/1.0.0",
        "a header that was cut": _HEADER[:10],
        "a header of another version": b"\x13/multistream/2.0.0\n",
        "a header with a carriage return": b"\x14/multistream/1.0.0\r\n",
        "a header in upper case": _HEADER.upper(),
        "a line that is only a newline": _HEADER + b"\x01\n",
        "a length that is not minimal": b"\x93\x00" + _HEADER[1:],
        "a length of 10 bytes": b"\x80" * 9 + b"\x01",
        "a length that never ends": b"\x80" * 1_000,
        "a length of 2^63 - 1": b"\xff" * 8 + b"\x7f",
        "a length one above the limit": _HEADER + _line(1_025),
        "a length at the limit": _HEADER + _line(1_024),
        "a length of 16,384 and no body": _HEADER + b"\x80\x80\x01",
        "a protocol that is no UTF-8": _HEADER + _text_line(b"/\xff\xfe\xfd"),
        "a protocol with half a character": _HEADER + _text_line(b"/\xc3"),
        "a protocol with a newline inside": _HEADER + _text_line(b"/a\n/b"),
        "a protocol with an escape sequence": _HEADER + _text_line(b"/\x1b]0;owned"),
        "a protocol with a zero byte": _HEADER + _text_line(b"/a\x00b"),
        "a protocol without its slash": _HEADER + _text_line(b"noise"),
        "an answer instead of a proposal": _HEADER + _text_line(b"na"),
        "the old list command": _HEADER + _text_line(b"ls"),
        "the header a thousand times": _HEADER * 1_000,
        "a thousand proposals": _HEADER + b"".join(_text_line(b"/none/%d" % number) for number in range(1_000)),
        "a proposal, then a body that is no line": _HEADER + _text_line(b"/none") + b"\x00\xff" * 100,
        "simultaneous open": _HEADER + _text_line(b"/libp2p/simultaneous-connect") + _text_line(b"select:123"),
    }


def hostile_noise_frames() -> dict[str, bytes]:
    """What an initiator may send as the first bytes of a Noise handshake (two bytes of length in front of each message)."""
    keys = {
        f"an ephemeral key of low order, {name}": pack(">H", 32) + bytes.fromhex(key)
        for name, key in {
            "zero": "00" * 32,
            "one": "01" + "00" * 31,
            "order 8": "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "order 8, the other": "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "p - 1": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "p": "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "p + 1": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        }.items()
    }
    return (
        _FOREIGN
        | keys
        | {
            "an empty frame": b"\x00\x00",
            "a thousand empty frames": b"\x00\x00" * 1_000,
            "half a length": b"\x00",
            "a key that is one byte short": pack(">H", 31) + bytes(range(31)),
            "a key and one byte": pack(">H", 33) + bytes(range(33)),
            "a key that was cut": pack(">H", 32) + bytes(range(20)),
            "a key and a payload": pack(">H", 48) + bytes(range(48)),
            "a frame of the largest length without its body": b"\xff\xff",
            "a frame of the largest length": b"\xff\xff" + bytes(65_535),
            "a key, then a message too short for its tags": _frames(bytes(range(32)), bytes(63)),
            "a key, then a message of zeros": _frames(bytes(range(32)), bytes(200)),
            "a key, then an empty frame": _frames(bytes(range(32)), b""),
            "a key, then the same again": _frames(bytes(range(32)), bytes(range(32))),
            "a key, then the largest message": _frames(bytes(range(32)), bytes(65_535)),
            "a length in little endian": pack("<H", 32) + bytes(range(32)),
        }
    )


def hostile_noise_records() -> dict[str, bytes]:
    """What may come where encrypted records are expected, from somebody who does not have the keys."""
    return _FOREIGN | {
        "an empty record": b"\x00\x00",
        "a record shorter than its tag": pack(">H", 15) + bytes(15),
        "a record of a tag alone": pack(">H", 16) + bytes(16),
        "a record of the largest length": b"\xff\xff" + bytes(65_535),
        "a record of the largest length without its body": b"\xff\xff",
        "half a length": b"\x01",
        "a thousand empty records": b"\x00\x00" * 1_000,
    }


def hostile_tls_records() -> dict[str, bytes]:
    """What may come where records of TLS are expected, in a handshake or behind it, from somebody who does not have the keys."""
    hello = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    kinds = {
        "a change of cipher specs": 20,
        "an alert": 21,
        "a handshake": 22,
        "data": 23,
        "a heartbeat": 24,
        "kind 0": 0,
        "kind 255": 255,
    }
    return (
        _FOREIGN
        | {f"{name}, empty": _tls(kind, b"") for name, kind in kinds.items()}
        | {f"{name}, of nonsense": _tls(kind, bytes(range(60))) for name, kind in kinds.items()}
        | {f"{name}, of the largest length without its body": pack(">BHH", kind, 0x0303, 16_640) for name, kind in kinds.items()}
        | {f"{name}, one byte too long": _tls(kind, bytes(16_641)) for name, kind in kinds.items()}
        | {f"handshake message {number}": _tls(22, pack(">BBH", number, 0, 40) + bytes(40)) for number in range(0, 26)}
        | {
            "half a header": b"\x16\x03",
            "a hello without extensions": _tls(22, b"\x01\x00\x00" + bytes([len(hello)]) + hello),
            "a hello of 16 MiB": _tls(22, b"\x01\xff\xff\xff" + bytes(16_000)) + _tls(22, bytes(16_000)) * 3,
            "a hello, byte by byte": b"".join(_tls(22, bytes([byte])) for byte in b"\x01\x00\x01\x00" + hello * 4),
            "a hello of SSL 2": bytes.fromhex("802e010002001500000010010080") + bytes(35),
            "a farewell": _tls(21, b"\x01\x00"),
            "a thousand warnings": _tls(21, b"\x01\x5a") * 1_000,
            "a thousand changes of cipher specs": _tls(20, b"\x01") * 1_000,
            "a thousand empty records": _tls(23, b"") * 1_000,
            "a change of keys without encryption": _tls(22, b"\x18\x00\x00\x01\x01"),
        }
    )


def _tls(kind: int, body: bytes) -> bytes:
    return pack(">BHH", kind, 0x0303, len(body)) + body


def hostile_yamux() -> dict[str, bytes]:
    """What a dialer may send on a fresh yamux session (its own streams are odd)."""
    return _FOREIGN | _yamux_headers() | _yamux_sequences() | _yamux_floods()


def _yamux_headers() -> dict[str, bytes]:
    """Single frames that are wrong in themselves, or odd."""
    opened = _frame(_WINDOW_UPDATE, _SYN, 1, 0)
    return {
        "half a header": opened[:7],
        "version 1": _frame(_DATA, _SYN, 1, 0, version=1),
        "version 255": _frame(_PING, _SYN, 0, 1, version=255),
        "an unknown type": _frame(4, 0, 1, 0),
        "type 255": _frame(255, 0, 1, 0),
        "every flag at once": _frame(_DATA, 0xFFFF, 1, 0),
        "unknown flags": opened + _frame(_WINDOW_UPDATE, 0xFFF0, 1, 0),
        "data on stream 0": _frame(_DATA, _SYN, 0, 4) + b"data",
        "credit on stream 0": _frame(_WINDOW_UPDATE, 0, 0, 1_000),
        "a stream of our parity": _frame(_WINDOW_UPDATE, _SYN, 2, 0),
        "the last stream id": _frame(_WINDOW_UPDATE, _SYN, 0xFFFF_FFFF, 0),
        "a body of 4 GiB announced": _frame(_DATA, _SYN, 1, 0xFFFF_FFFF),
        "a body one above the window announced": _frame(_DATA, _SYN, 1, _YAMUX_WINDOW + 1),
        "a body as large as the window announced": _frame(_DATA, _SYN, 1, _YAMUX_WINDOW),
        "a body that was cut": _frame(_DATA, _SYN, 1, 1_000) + bytes(999),
        "data on a stream nobody opened": _frame(_DATA, 0, 7, 4) + b"data",
        "credit on a stream nobody opened": _frame(_WINDOW_UPDATE, 0, 7, 1_000),
        "an end on a stream nobody opened": _frame(_WINDOW_UPDATE, _FIN, 7, 0),
        "a reset of a stream nobody opened": _frame(_WINDOW_UPDATE, _RST, 7, 0),
        "an acceptance of a stream nobody opened": _frame(_WINDOW_UPDATE, _ACK, 2, 0),
        "a pong nobody asked for": _frame(_PING, _ACK, 0, 123),
        "a ping that is both": _frame(_PING, _SYN | _ACK, 0, 123),
        "a ping that is neither": _frame(_PING, 0, 0, 123),
        "a ping on a stream": _frame(_PING, _SYN, 1, 123),
        "a farewell": _frame(_GO_AWAY, 0, 0, 0),
        "a farewell with an unknown code": _frame(_GO_AWAY, 0, 0, 0xFFFF_FFFF),
        "a farewell on a stream": _frame(_GO_AWAY, _SYN, 1, 1),
    }


def _yamux_sequences() -> dict[str, bytes]:
    """Frames that are right alone and wrong, or odd, one after another."""
    opened = _frame(_WINDOW_UPDATE, _SYN, 1, 0)
    credit = _frame(_WINDOW_UPDATE, 0, 1, 0xFFFF_FFFF)
    window = _frame(_DATA, 0, 1, _YAMUX_WINDOW) + bytes(_YAMUX_WINDOW)
    return {
        "a stream opened twice": opened * 2,
        "stream ids that go down": _frame(_WINDOW_UPDATE, _SYN, 9, 0) + opened,
        "one byte above the window": opened + window + _frame(_DATA, 0, 1, 1) + b"x",
        "credit that overflows": opened + credit,
        "credit that overflows in two steps": opened + _frame(_WINDOW_UPDATE, 0, 1, 0xFFFF_FFFF - _YAMUX_WINDOW) + credit,
        "data after the end": opened + _frame(_WINDOW_UPDATE, _FIN, 1, 0) + _frame(_DATA, 0, 1, 4) + b"data",
        "the end twice": opened + _frame(_WINDOW_UPDATE, _FIN, 1, 0) * 2,
        "the end with a body": opened + _frame(_DATA, _FIN, 1, 4) + b"data",
        "opened, ended and reset in one": _frame(_DATA, _SYN | _FIN | _RST, 1, 4) + b"data",
        "data after a reset": opened + _frame(_WINDOW_UPDATE, _RST, 1, 0) + _frame(_DATA, 0, 1, 4) + b"data",
        "more than a window after a reset": opened + _frame(_WINDOW_UPDATE, _RST, 1, 0) + window * 2,
        "a stream opened again after a reset": opened + _frame(_WINDOW_UPDATE, _RST, 1, 0) + opened,
        "frames after a farewell": _frame(_GO_AWAY, 0, 0, 0) + opened,
        "an acceptance of the peer's own stream": opened + _frame(_WINDOW_UPDATE, _ACK, 1, 0),
    }


def _yamux_floods() -> dict[str, bytes]:
    """Frames that are right each, and too many."""
    opened = _frame(_WINDOW_UPDATE, _SYN, 1, 0)
    return {
        "ten thousand pings": b"".join(_frame(_PING, _SYN, 0, value) for value in range(10_000)),
        "ten thousand times empty data": opened + _frame(_DATA, 0, 1, 0) * 10_000,
        "ten thousand times no credit": opened + _frame(_WINDOW_UPDATE, 0, 1, 0) * 10_000,
        "ten thousand resets of nothing": b"".join(_frame(_WINDOW_UPDATE, _RST, 2 * n + 1, 0) for n in range(10_000)),
        "a thousand streams": b"".join(_frame(_WINDOW_UPDATE, _SYN, 2 * n + 1, 0) for n in range(1_000)),
        "a thousand streams opened and reset": b"".join(
            _frame(_WINDOW_UPDATE, _SYN, 2 * n + 1, 0) + _frame(_WINDOW_UPDATE, _RST, 2 * n + 1, 0) for n in range(1_000)
        ),
        "a window of single bytes": opened + (_frame(_DATA, 0, 1, 1) + b"x") * 20_000,
        "a hundred farewells": _frame(_GO_AWAY, 0, 0, 0) * 100,
    }


def hostile_mplex() -> dict[str, bytes]:
    """What a dialer may send on a fresh mplex session."""
    opened, data, ended, reset = b"\x08\x011", b"\x0a\x04data", b"\x0c\x00", b"\x0e\x00"
    return _FOREIGN | {
        "flag 7": b"\x0f\x00",
        "half a header": b"\x8a",
        "a header without its length": b"\x0a",
        "a header that is not minimal": b"\x8a\x00\x00",
        "a length that is not minimal": opened + b"\x0a\x84\x00data",
        "a header of 10 bytes": b"\x80" * 9 + b"\x01\x00",
        "a header that never ends": b"\xff" * 1_000,
        "a length that never ends": b"\x0a" + b"\xff" * 1_000,
        "the last stream number": b"\xf8" + b"\xff" * 7 + b"\x7f\x00",
        "a body one above the limit announced": opened + b"\x0a\x81\x80\x40",
        "a body of the limit announced": opened + b"\x0a\x80\x80\x40",
        "a body of 2^63 - 1 announced": opened + b"\x0a" + b"\xff" * 8 + b"\x7f",
        "a name of the limit": b"\x08\x80\x80\x40" + bytes(20_000),
        "a body that was cut": opened + b"\x0a\x7f" + bytes(100),
        "a stream opened twice": opened * 2,
        "stream numbers that go down": b"\x48\x00" + opened,
        "data on a stream nobody opened": data,
        "data of an acceptor nobody asked": b"\x09\x04data",
        "an end of a stream nobody opened": ended,
        "a reset of a stream nobody opened": reset,
        "data after the end": opened + ended + data,
        "the end twice": opened + ended * 2,
        "an end with a body": opened + b"\x0c\x04data",
        "a reset with a body": opened + b"\x0e\x04data",
        "data after a reset": opened + reset + data,
        "a stream opened again after a reset": opened + reset + opened,
        "ten thousand times empty data": opened + b"\x0a\x00" * 10_000,
        "ten thousand resets of nothing": reset * 10_000,
        "ten thousand single bytes": opened + b"\x0a\x01x" * 10_000,
        "a thousand streams": b"".join(bytes([8 * n & 0x7F | 0x80, 8 * n >> 7, 0]) for n in range(16, 1_016)),
        "a thousand times opened and reset": (opened + reset) * 1_000,
    }


def _frame(kind: int, flags: int, stream_id: int, length: int, *, version: int = 0) -> bytes:
    return pack(">BBHII", version, kind, flags, stream_id, length)


def _frames(*messages: bytes) -> bytes:
    return b"".join(pack(">H", len(message)) + message for message in messages)


def _line(size: int) -> bytes:
    """A well-formed proposal whose line has `size` bytes, newline included; 128 to 16,383."""
    return bytes([size & 0x7F | 0x80, size >> 7]) + b"/".ljust(size - 1, b"x") + b"\n"


def _text_line(text: bytes) -> bytes:
    return bytes([len(text) + 1]) + text + b"\n"
