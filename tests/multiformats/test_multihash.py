import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import multihash

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "multihash.json").read_text("utf-8"))
FUNCTIONS = {"sha1": 0x11, "sha2-256": 0x12, "sha2-512": 0x13}


@pytest.mark.parametrize(("data", "function", "expected"), VECTORS["valid"])
def test_the_official_vectors_are_wrapped_and_unwrapped(data: str, function: str, expected: str) -> None:
    code, digest = multihash.unwrap(bytes.fromhex(expected))
    assert code == FUNCTIONS[function]
    assert hashlib.new(function.replace("sha2-", "sha"), data.encode()).digest().startswith(digest)
    assert multihash.wrap(code, digest).hex() == expected


@pytest.mark.parametrize("text", VECTORS["cut_short"])
def test_a_shortened_sha2_256_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="32 bytes"):
        multihash.unwrap(bytes.fromhex(text))
    with pytest.raises(LocalError, match="32 bytes"):
        multihash.wrap(multihash.SHA2_256, bytes.fromhex(text)[2:])


def test_sha2_256_hashes_and_wraps() -> None:
    data = b"431fb5d4c9b735ba1a34d0df045118806ae2336f2c"
    assert multihash.sha2_256(data).hex() == "1220ffb31f07aa15348368c90c73a834dbf9f8710365860fa0fd4ddce9ac2782cc17"


@pytest.mark.parametrize(
    "text", ["", "12", "1220", "1220" + "00" * 31, "1220" + "00" * 33, "000161ff", "8000", "008100", "ff" * 12]
)
def test_too_short_too_long_and_not_minimal_are_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        multihash.unwrap(bytes.fromhex(text))


@given(st.binary(max_size=60))
def test_any_bytes_are_unwrapped_whole_or_refused_with_a_typed_error(data: bytes) -> None:
    try:
        code, digest = multihash.unwrap(data)
    except ProtocolViolation:
        return
    assert multihash.wrap(code, digest) == data


@given(st.integers(0, 2**63 - 1).filter(lambda code: code != multihash.SHA2_256), st.binary(max_size=300))
def test_what_is_wrapped_is_unwrapped(code: int, digest: bytes) -> None:
    assert multihash.unwrap(multihash.wrap(code, digest)) == (code, digest)
