"""Where a key of a TOML document stands."""

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.settings.places import Path, lines_of

DOCUMENT = '''# a comment with = and [brackets]
a = 1
"b.c" = "a # no comment"  # one
[ t . 'u v' ]
d.e.f = [
  1.5,       # half
  { g = 2, "h" = [ 3,
      -inf, ], i = {} },
  [], [[4], 1979-05-27 07:32:00],
]
j = """ " \\""" [x]
k = 5
""""
l = \'\'\'
\'\'\'\'
m = 'z'
[[n]]
o = true
[[n]]
'''


def test_each_key_and_each_element_has_its_line() -> None:
    lines = lines_of(DOCUMENT)
    tomllib.loads(DOCUMENT)
    assert lines == {
        ("a",): 2,
        ("b.c",): 3,
        ("t",): 4,
        ("t", "u v"): 4,
        ("t", "u v", "d"): 5,
        ("t", "u v", "d", "e"): 5,
        ("t", "u v", "d", "e", "f"): 5,
        ("t", "u v", "d", "e", "f", 0): 6,
        ("t", "u v", "d", "e", "f", 1): 7,
        ("t", "u v", "d", "e", "f", 1, "g"): 7,
        ("t", "u v", "d", "e", "f", 1, "h"): 7,
        ("t", "u v", "d", "e", "f", 1, "h", 0): 7,
        ("t", "u v", "d", "e", "f", 1, "h", 1): 8,
        ("t", "u v", "d", "e", "f", 1, "i"): 8,
        ("t", "u v", "d", "e", "f", 2): 9,
        ("t", "u v", "d", "e", "f", 3): 9,
        ("t", "u v", "d", "e", "f", 3, 0): 9,
        ("t", "u v", "d", "e", "f", 3, 0, 0): 9,
        ("t", "u v", "d", "e", "f", 3, 1): 9,
        ("t", "u v", "j"): 11,
        ("t", "u v", "l"): 14,
        ("t", "u v", "m"): 16,
        ("n",): 17,
        ("n", "o"): 18,
    }


NAMES = st.sampled_from(["a", "b-c", "1", '"d e"', "'f'", '"\\u00e9"', '""', '"#"', '"="'])
GAPS = st.sampled_from(["", " ", "\t", "  "])
BREAKS = st.sampled_from(["", " ", "\n", " # ]}, = \" '\n", "\n\n\t"])
SCALARS = st.sampled_from(
    ["1", "-1.5e3", "nan", "0x1F", '"x"', '"a\\"]"', "'b\\'", '"""\n"q" ] """', "'''it's\n'''", '""', "1979-05-27T07:32:00Z"]
)


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(inner, max_size=3))
    text = "".join(draw(BREAKS) + item + draw(BREAKS) + "," for item in items)
    return f"[{text}{draw(BREAKS)}]"


@st.composite
def tables(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    names = draw(st.lists(NAMES, max_size=2, unique=True))
    pairs = [f"{draw(GAPS)}{name}{draw(GAPS)}={draw(GAPS)}{draw(inner)}{draw(GAPS)}" for name in names]
    return "{" + ",".join(pairs) + "}"


VALUES = st.recursive(SCALARS, lambda inner: lists(inner) | tables(inner), max_leaves=6)


@st.composite
def statements(draw: st.DrawFn) -> str:
    parts = draw(st.lists(NAMES, min_size=1, max_size=3))
    key = f"{draw(GAPS)}.{draw(GAPS)}".join(parts)
    if draw(st.booleans()):
        return f"{draw(GAPS)}[{draw(GAPS)}{key}{draw(GAPS)}]{draw(GAPS)}"
    return f"{draw(GAPS)}{key}{draw(GAPS)}={draw(GAPS)}{draw(VALUES)}{draw(GAPS)}# ]"


@given(st.lists(statements(), max_size=6).map("\n".join))
def test_nothing_that_the_parser_finds_is_missed_and_nothing_else_is_found(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # the same key twice
        return
    lines = lines_of(text)
    assert set(lines) == set(paths(document, ()))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
    for path, line in lines.items():
        if isinstance(path[-1], str):
            shown = "\\u00e9" if path[-1] == "é" else path[-1]
            assert shown in text.split("\n")[line - 1]


def paths(value: Any, path: Path) -> Iterator[Path]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield (*path, name)
        yield from paths(inner, (*path, name))
