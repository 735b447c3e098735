"""What is in force: each setting with where it came from; what is printed can be read back."""

import tomllib

import pytest

from cortexnet.config import Config
from cortexnet.settings.build import build, parse
from cortexnet.settings.describe import Described, as_toml, changes, described
from cortexnet.settings.settings import Settings
from cortexnet.settings.sources import from_environment, from_toml
from cortexnet.settings.toml import key, written

FILE = b"""
listen = ["/ip4/127.0.0.1/tcp/4001"]
agent_version = "\\u00e9\\u0007\\u007f \\U0001F600 \\"quoted\\" \\\\"
kad = false
[limits]
connections = 500
dial_timeout = 1e-5
[manager]
high = 100
[gossip.score.topics."a b"]
topic_weight = 0
"""


def items_of(data: bytes, environment: dict[str, str] | None = None) -> list[Described]:
    sources = [from_toml(data, "node.toml"), from_environment(environment or {})]
    return described(build(sources), sources)


@pytest.mark.parametrize("data", [b"", FILE, b"profile = 'server'", b"profile = 'light'\n[gossip]\nscore.retain = 5"])
@pytest.mark.parametrize("comments", [True, False])
def test_what_is_printed_can_be_read_back(data: bytes, comments: bool) -> None:
    text = as_toml(items_of(data), comments=comments)
    assert parse(text.encode(), "printed") == parse(data, "node.toml")


def test_each_setting_says_where_it_came_from() -> None:
    items = {
        item.path: item
        for item in items_of(b"profile = 'light'\n[limits]\nconnections = 70\n[kad]", {"CORTEXNET_KAD__DHT__ALPHA": "5"})
    }
    assert str(items["limits", "connections"].place) == "node.toml:3"
    assert str(items["limits", "dials"].place) == "profile light"
    assert str(items["kad", "dht", "alpha"].place) == "CORTEXNET_KAD__DHT__ALPHA"
    assert items["kad", "dht", "beta"].is_default
    assert (items["limits", "connections"].value, items["limits", "connections"].setting.default) == (70, 384)
    assert items["kad", "dht", "beta"].doc.startswith("A lookup ends when")


def test_comments_say_what_it_is_for_where_it_is_from_and_what_it_would_be() -> None:
    text = as_toml(items_of(FILE))
    assert "\nconnections = 500  # node.toml:6; by default 384\n" in text
    assert "\n# How peers are scored. None: they are not" in text
    assert "\nhigh = 100  # node.toml:9; by default not set\n" in text
    assert "\nkad = false  # node.toml:4\n" in text
    assert "\n# low = (not set)\n" in text
    assert max(len(line) for line in text.split("\n") if line.startswith("#")) <= 102


def test_every_setting_says_what_it_is_for() -> None:
    assert [item.path for item in items_of(FILE) if not item.doc] == []


def test_what_has_changed_is_told_by_its_key() -> None:
    assert changes(Settings(), Settings()) == []
    assert changes(Settings(), parse(b"[limits]\nconnections = 5\n[kad.dht]\nalpha = 2\n", "x")) == [
        "limits.connections",
        "kad.dht.alpha",
    ]
    assert {"kad", "kad.mode", "gossip.score", "gossip.score.retain"} <= set(changes(Settings(), parse(FILE, "node.toml")))
    assert changes(Settings(config=Config.profile("light")), Settings(config=Config.profile("light"), echo=True)) == ["echo"]


VALUES = ["", "é\x00\x1f\x7f\U0001f600", True, 5, -1.5, 1e300, 1e-7, [], ["a", "b"], {}, {"a b": "c", "d": "e"}]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_written_such_that_it_can_be_read(value: object) -> None:
    assert tomllib.loads(f"x = {written(value)}")["x"] == value


def test_a_key_has_quotes_where_it_needs_them() -> None:
    assert key("a", "b c", "d-e_1", "") == 'a."b c".d-e_1.""'
