"""DER: what is read, and that nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.security.der import INTEGER, OCTET_STRING, SEQUENCE, DerReader, one
from tests.support.certificates import element


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535])
def test_elements_of_all_sizes_are_read(size: int) -> None:
    content = bytes(size)
    reader = DerReader(element(OCTET_STRING, content) * 2)
    assert (reader.next_is(OCTET_STRING), reader.next_is(INTEGER)) == (True, False)
    assert reader.take(OCTET_STRING) == content
    assert reader.take_whole(OCTET_STRING) == element(OCTET_STRING, content)
    assert (reader.is_empty, reader.next_is(OCTET_STRING)) == (True, False)
    reader.finish()


@pytest.mark.parametrize(
    "data",
    [
        "",
        "04",
        "0201ff",  # another tag
        "0402ff",  # cut short
        "0480ff0000",  # of no definite length
        "048101ff",  # a length that a shorter form could hold
        "04820001ff",
        "0483000001ff",
        "0484ffffffff",
        "04ff",
        "0482ff",
    ],
)
def test_what_is_not_der_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match="byte"):
        DerReader(bytes.fromhex(data)).take(OCTET_STRING)


def test_bytes_behind_the_last_element_are_refused() -> None:
    assert one(element(SEQUENCE, b"\2\1\5"), SEQUENCE).take(INTEGER) == b"\5"
    with pytest.raises(ValueError, match="1 bytes too many"):
        one(element(SEQUENCE, b"") + b"\0", SEQUENCE)


@given(st.binary(max_size=40), st.lists(st.sampled_from([INTEGER, OCTET_STRING, SEQUENCE]), max_size=5))
def test_whatever_the_bytes_they_are_read_or_refused(data: bytes, tags: list[int]) -> None:
    reader = DerReader(data)
    try:
        taken = [reader.take_whole(tag) for tag in tags]
        reader.finish()
    except ValueError:
        return
    assert b"".join(taken) == data
