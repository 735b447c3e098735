import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import varint

# multiformats/unsigned-varint, "Spec" and go-varint's bounds.
VECTORS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (255, "ff01"),
    (300, "ac02"),
    (16384, "808001"),
    (2**63 - 1, "ff" * 8 + "7f"),
]


@pytest.mark.parametrize(("value", "text"), VECTORS)
def test_the_vectors_are_written_and_read(value: int, text: str) -> None:
    assert varint.encode(value).hex() == text
    assert varint.decode(bytes.fromhex(text)) == (value, len(text) // 2)


@pytest.mark.parametrize("value", [-1, 2**63])
def test_what_does_not_fit_is_the_callers_fault(value: int) -> None:
    with pytest.raises(LocalError, match="2\\^63"):
        varint.encode(value)


@pytest.mark.parametrize("text", ["8000", "8100", "ff8000", "80" * 8 + "00"])
def test_a_form_that_is_not_minimal_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="minimal"):
        varint.decode(bytes.fromhex(text))


def test_more_than_nine_bytes_are_refused_without_waiting_for_the_tenth() -> None:
    with pytest.raises(ProtocolViolation, match="longer than 9"):
        varint.decode_partial(b"\xff" * 9)


@pytest.mark.parametrize("text", ["", "80", "ff" * 8])
def test_a_cut_varint_is_refused_or_waited_for(text: str) -> None:
    data = bytes.fromhex(text)
    assert varint.decode_partial(data) is None
    with pytest.raises(ProtocolViolation, match="cut short"):
        varint.decode(data)


@given(st.integers(0, varint.MAX_VALUE), st.binary(max_size=4), st.binary(max_size=4))
def test_what_is_written_is_read_back_anywhere(value: int, before: bytes, after: bytes) -> None:
    written = varint.encode(value)
    for kind in (bytes, bytearray, memoryview):
        data = kind(before + written + after)
        assert varint.decode(data, len(before)) == varint.decode_partial(data, len(before)) == (value, len(before + written))


@given(st.binary(max_size=12))
def test_any_bytes_are_read_or_refused_and_every_cut_agrees(data: bytes) -> None:
    def outcome(size: int) -> tuple[int, int] | str | None:
        try:
            return varint.decode_partial(data[:size])
        except ProtocolViolation as error:
            return str(error)

    whole = outcome(len(data))
    for size in range(len(data) + 1):
        assert outcome(size) in (None, whole)
    if isinstance(whole, tuple):
        assert varint.encode(whole[0]) == data[: whole[1]]
