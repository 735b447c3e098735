"""The three messages of Noise XX: both engines against each other, golden transcripts, and hostile bytes."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import HandshakeFailed
from cortexnet.security.noise_xx import OVERHEAD, XX, LeanXX, NoiseprotocolXX

Maker = Callable[[X25519PrivateKey, bool, X25519PrivateKey], XX]

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "noise.json").read_text())["handshakes"]
STATIC = X25519PrivateKey.from_private_bytes(b"\x05" * 32), X25519PrivateKey.from_private_bytes(b"\x06" * 32)
EPHEMERAL = X25519PrivateKey.from_private_bytes(b"\x07" * 32), X25519PrivateKey.from_private_bytes(b"\x08" * 32)
SMALL_ORDER = [
    bytes(32),
    bytes([1, *bytes(31)]),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def lean(static: X25519PrivateKey, initiator: bool, ephemeral: X25519PrivateKey) -> XX:
    return LeanXX(static, initiator, ephemeral=ephemeral)


def package(static: X25519PrivateKey, initiator: bool, ephemeral: X25519PrivateKey) -> XX:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns of fixed ephemeral keys, with reason
        return NoiseprotocolXX(static, initiator, ephemeral=ephemeral)


MAKERS = pytest.mark.parametrize("make", [lean, package])
ENGINES = pytest.mark.parametrize("engine", [LeanXX, NoiseprotocolXX])


def talk(initiator: XX, responder: XX, payloads: tuple[bytes, bytes, bytes]) -> Iterator[bytes]:
    """The messages of a handshake, each checked to deliver its payload."""
    sides = initiator, responder
    for number, payload in enumerate(payloads):
        writer, reader = sides[number % 2], sides[(number + 1) % 2]
        message = writer.write_message(payload)
        assert reader.read_message(message) == payload
        yield message


def private(hex_bytes: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(hex_bytes))


@MAKERS
@pytest.mark.parametrize("golden", GOLDEN)
def test_a_handshake_with_golden_keys_gives_the_golden_bytes(make: Maker, golden: dict[str, str]) -> None:
    frames = [bytes.fromhex(frame.split()[1])[2:] for frame in golden["frames"]]
    initiator = make(private(golden["initiator_static"]), True, private(golden["initiator_ephemeral"]))
    responder = make(private(golden["responder_static"]), False, private(golden["responder_ephemeral"]))
    payloads = b"", bytes.fromhex(golden["responder_payload"]), bytes.fromhex(golden["initiator_payload"])
    assert list(talk(initiator, responder, payloads)) == frames[:3]
    assert initiator.remote_static == private(golden["responder_static"]).public_key().public_bytes_raw()
    assert responder.remote_static == private(golden["initiator_static"]).public_key().public_bytes_raw()
    (sending, receiving), (answering, hearing) = initiator.split(), responder.split()
    assert sending.encrypt(bytes(12), b"hello", None) == frames[3]
    assert hearing.decrypt(bytes(12), frames[3], None) == b"hello"
    assert answering.encrypt(bytes(12), b"world", None) == frames[4]
    assert receiving.decrypt(bytes(12), frames[4], None) == b"world"


@given(st.tuples(st.binary(max_size=50), st.binary(max_size=300), st.binary(max_size=300)))
def test_both_engines_write_the_same_bytes_and_read_each_other(payloads: tuple[bytes, bytes, bytes]) -> None:
    transcripts, ciphertexts = [], []
    for first, second in ((lean, lean), (package, package), (lean, package), (package, lean)):
        initiator, responder = first(STATIC[0], True, EPHEMERAL[0]), second(STATIC[1], False, EPHEMERAL[1])
        transcripts.append(list(talk(initiator, responder, payloads)))
        ciphers = *initiator.split(), *responder.split()
        ciphertexts.append([cipher.encrypt(bytes(12), b"data", None) for cipher in ciphers])
        assert ciphertexts[-1][0] == ciphertexts[-1][3] != ciphertexts[-1][1] == ciphertexts[-1][2]
    assert transcripts[0] == transcripts[1] == transcripts[2] == transcripts[3]
    assert ciphertexts[0] == ciphertexts[1] == ciphertexts[2] == ciphertexts[3]


@ENGINES
def test_every_handshake_draws_an_ephemeral_key_of_its_own(engine: type[LeanXX] | type[NoiseprotocolXX]) -> None:
    first, second = (engine(STATIC[0], True).write_message(b"") for _ in range(2))
    assert len(first) == len(second) == OVERHEAD[0]
    assert first != second


@ENGINES
def test_messages_are_as_long_as_their_overhead_and_payload(engine: type[LeanXX] | type[NoiseprotocolXX]) -> None:
    messages = talk(engine(STATIC[0], True), engine(STATIC[1], False), (b"", b"12345", b"123"))
    assert [len(message) for message in messages] == [OVERHEAD[0], OVERHEAD[1] + 5, OVERHEAD[2] + 3]


def before_message(number: int, make: Maker) -> tuple[XX, XX]:
    """Initiator and responder when message 0, 1 or 2 is to be written."""
    initiator, responder = make(STATIC[0], True, EPHEMERAL[0]), make(STATIC[1], False, EPHEMERAL[1])
    conversation = talk(initiator, responder, (b"", b"payload", b"payload"))
    for _ in range(number):
        next(conversation)
    return (responder, initiator) if number == 1 else (initiator, responder)


@MAKERS
@pytest.mark.parametrize("number", [1, 2])
def test_any_flipped_bit_of_an_encrypted_message_is_found(make: Maker, number: int) -> None:
    writer, _ = before_message(number, make)
    message = writer.write_message(b"payload")
    for position in range(0, len(message), 9):
        _, reader = before_message(number, make)
        damaged = bytearray(message)
        damaged[position] ^= 1 << position % 7
        with pytest.raises(HandshakeFailed):
            reader.read_message(bytes(damaged))


@MAKERS
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_message_cut_short_is_refused_at_every_length(make: Maker, number: int) -> None:
    writer, _ = before_message(number, make)
    message = writer.write_message(b"")
    for size in range(0, len(message), 5):
        _, reader = before_message(number, make)
        with pytest.raises(HandshakeFailed):
            reader.read_message(message[:size])


@MAKERS
@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_key_that_forces_the_shared_secret_to_zero_is_refused(make: Maker, key: bytes) -> None:
    responder = make(STATIC[1], False, EPHEMERAL[1])
    responder.read_message(key)
    # A responder multiplies only when it answers; the peer is to blame nevertheless.
    with pytest.raises(HandshakeFailed):
        responder.write_message(b"")
    initiator = make(STATIC[0], True, EPHEMERAL[0])
    initiator.write_message(b"")
    with pytest.raises(HandshakeFailed):
        initiator.read_message(key + bytes(200))


@given(st.sampled_from([lean, package]), st.integers(0, 2), st.binary(max_size=300))
def test_no_bytes_cause_another_error(make: Maker, number: int, data: bytes) -> None:
    _, reader = before_message(number, make)
    try:
        reader.read_message(data)
    except HandshakeFailed:
        return
    assert number == 0  # nothing is encrypted in the first message: any key and payload will do


def test_the_package_is_loaded_only_when_its_engine_is_used() -> None:
    code = "import sys; import cortexnet.security.noise; sys.exit('noise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
