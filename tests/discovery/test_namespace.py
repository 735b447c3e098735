"""A namespace is the content that go's routing discovery makes of it."""

import pytest

from cortexnet.discovery.namespace import SIZE_LIMIT, cid_of, key_of
from cortexnet.errors import LocalError


@pytest.mark.parametrize(
    ("namespace", "cid"),
    [
        ("my-app", "bafkreicmtj24zjyx563izblpe25ieudtp5congangmmtzfh2bohjzv3brq"),
        ("floodsub:test", "bafkreib7vngn3xgmdcubbcpw6xoknwwotllhw2gom7chqiwxscphehr5hy"),
        ("/libp2p/relay", "bafkreibel3v5edjm2tebwxkkyj6hg5dcph2dnvrph32syrjkg2pg555wca"),
    ],
)
def test_names_have_the_cids_that_go_computes(namespace: str, cid: str) -> None:
    assert str(cid_of(namespace)) == cid


def test_the_key_is_the_multihash_alone() -> None:
    assert key_of("my-app").hex() == "12204c9a75cca717efb68c856f26ba8250737f44e6980d33193c94fa0b8e9cd7618c"


@pytest.mark.parametrize("namespace", ["", "\ud800", "x" * (SIZE_LIMIT + 1)])
def test_what_is_no_text_or_too_much_is_no_namespace(namespace: str) -> None:
    with pytest.raises(LocalError):
        key_of(namespace)


def test_the_longest_namespace_is_one() -> None:
    assert key_of("x" * SIZE_LIMIT)


def test_bytes_are_no_namespace() -> None:
    with pytest.raises(LocalError, match="a namespace is a text, not bytes"):
        key_of(b"my-app")  # type: ignore[arg-type]
