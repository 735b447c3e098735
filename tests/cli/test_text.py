"""Text for people."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.cli.text import PEER_TEXT_LIMIT, duration, escaped, parse_size, peer_text, rate, size, table


@given(st.text(alphabet=st.characters(), max_size=300))
def test_whatever_a_peer_calls_itself_has_only_characters_that_are_safe_to_print(text: str) -> None:
    shown = peer_text(text)
    assert shown.isprintable()
    assert len(shown) <= 10 * PEER_TEXT_LIMIT + 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("go-libp2p/v0.51.0", "go-libp2p/v0.51.0"),
        ("Grüße", "Grüße"),
        ("\x1b[2Jboo", "\\x1b[2Jboo"),
        ("a\nb", "a\\nb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_long_text_is_cut_and_shows_it() -> None:
    assert escaped("x" * 11, 10) == "x" * 10 + "..."
    assert escaped("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_peer_that_says_nothing_of_itself_is_a_dash(nothing: str | None) -> None:
    assert peer_text(nothing) == "-"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 19, "2.5 MiB"), (3 << 30, "3.0 GiB")]
)
def test_sizes_are_shown_in_powers_of_1024(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("count", "seconds", "text"),
    [
        (10, 1, "10 B/s"),
        (15_000, 1, "15.0 kB/s"),
        (112e6, 1, "112 MB/s"),
        (5e6, 2, "2.5 MB/s"),
        (3e9, 1, "3.0 GB/s"),
        (1, 0, "-"),
    ],
)
def test_speeds_are_shown_in_powers_of_1000(count: float, seconds: float, text: str) -> None:
    assert rate(count, seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.000412, "0.412 ms"),
        (0.0381, "38.1 ms"),
        (2.5, "2.50 s"),
        (200, "3 min 20 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_times_are_shown_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("500", 500),
        ("64k", 65536),
        ("10 MiB", 10 << 20),
        ("10MB", 10**7),
        ("1.5kB", 1500),
        ("2G", 2 << 30),
        ("7b", 7),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "k", "-1", "1e9", "10 parsecs", "1..5", "1_000", "9" * 16, "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@given(st.text(max_size=30))
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_size(text) >= 0


def test_the_columns_of_a_table_stand_under_each_other() -> None:
    assert table([("a", "1"), ("bcd", "22")], right=(1,), indent="  ") == ["  a     1", "  bcd  22"]
