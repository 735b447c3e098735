"""Settings from files: right ones are taken, of wrong ones one learns where they are and what would be right."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.cli.settings import Settings, as_toml, load, parse, with_limit
from cortexnet.errors import ConfigInvalid

GOOD = b"""
listen = ["/ip4/127.0.0.1/tcp/4001"]
bootstrap = []          # nobody
identity = "identity.key"
echo = true
perf = true
agent_version = "mine/1.0"

[limits]
connections = 500
dial_timeout = 3        # a whole number is a number

[manager]
high = 100
grace = 30

[websocket]
certificate = "host.pem"
"""


def failure(text: str) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        parse(text.encode(), "node.toml")
    return caught.value


def test_a_file_sets_what_it_names_and_leaves_the_rest() -> None:
    settings = parse(GOOD, "node.toml")
    assert settings.listen == ("/ip4/127.0.0.1/tcp/4001",)
    assert (settings.identity, settings.echo, settings.bootstrap) == ("identity.key", True, ())
    assert (settings.config.perf, settings.config.agent_version) == (True, "mine/1.0")
    assert (settings.config.limits.connections, settings.config.limits.dial_timeout) == (500, 3.0)
    manager = settings.config.manager
    assert (manager.low, manager.high, manager.grace) == (None, 100, 30.0)
    assert (settings.config.websocket.certificate, settings.config.websocket.verify) == ("host.pem", True)
    assert settings.config.limits.streams_inbound == Settings().config.limits.streams_inbound


def test_the_dht_has_a_table_of_its_own_and_can_be_off() -> None:
    file = b"""
        [kad]
        prefix = "/cortex"
        loopback = true
        bootstrap = ["/dnsaddr/example.org"]
    """
    kad = parse(file, "node.toml").config.kad
    assert kad is not None
    assert (kad.protocol, kad.loopback, kad.bootstrap) == ("/cortex/kad/1.0.0", True, ("/dnsaddr/example.org",))
    without = parse(b"kad = false", "node.toml")
    assert without.config.kad is None
    assert parse(as_toml(without).encode(), "printed") == without
    assert "table" in str(failure("kad = true"))
    assert "kad.mode" in str(failure('[kad]\nmode = "leech"'))


def test_an_empty_file_means_all_defaults() -> None:
    assert parse(b"", "node.toml") == Settings()


def test_a_file_is_read_from_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(GOOD)
    assert load(str(path)) == parse(GOOD, "node.toml")


def test_what_is_printed_can_be_read_back() -> None:
    settings = parse(GOOD, "node.toml")
    assert parse(as_toml(settings).encode(), "again.toml") == settings


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("perf = true\nlissten = []", 2, "lissten", "did you mean listen?"),
        ("xyz = 1", 1, "xyz", "Known are agent_version, announce, bootstrap,"),
        ("[limits]\n\nconections = 5", 3, "limits.conections", "did you mean connections"),
        ("[limits]\nxyz = 5", 2, "limits.xyz", "`cortexnet run --show-config` lists them all"),
        ("limits.xyz = 5", 1, "limits.xyz", "no such limit"),
        ("limits = {xyz = 5}", 1, "limits.xyz", "no such limit"),
        ("limits = 5", 1, "limits", "must be a table"),
        ("manager = 5", 1, "manager", "must be a table: write [manager]"),
        ("[manager]\n\nhihg = 5", 3, "manager.hihg", "no such setting; did you mean high"),
        ('[manager]\nlow = "few"', 2, "manager.low", "must be a whole number"),
        ("[manager]\nlow = 7\nhigh = 6", 2, "manager.low", "must not be above manager.high"),
        ("[manager]\nhigh = 5_000", 2, "manager.high", "which limits.connections, 384, never lets it reach"),
        ("[websocket]\ncertificate = 5", 2, "websocket.certificate", "must be a text in quotes"),
        ("[websocket]\nserver_context = 5", 2, "websocket.server_context", "no such setting"),
        ('listen = "/ip4/127.0.0.1/tcp/1"', 1, "listen", 'must be a list of texts, such as ["/ip4/0.0.0.0/tcp/0"], not "/ip4'),
        ("listen = [1]", 1, "listen", "must be a list of texts"),
        ('listen = ["127.0.0.1:80"]', 1, "listen", "does not begin with a slash and a protocol; write it like /ip4/"),
        ('bootstrap = ["/ip4/1.2.3/tcp/1"]', 1, "bootstrap", "/ip4 cannot be '1.2.3'"),
        ('perf = "yes"', 1, "perf", 'must be true or false, such as false, not "yes"'),
        ("echo = 1", 1, "echo", "must be true or false"),
        ("identity = 5", 1, "identity", "must be a text in quotes, not 5"),
        ("state_directory = 5", 1, "state_directory", "must be a text in quotes, not 5"),
        ('state_directory = ""', 1, "state_directory", "must be the name of a folder"),
        ('[limits]\nconnections = "many"', 2, "limits.connections", 'must be a whole number, such as 384, not "many"'),
        ("[limits]\nconnections = true", 2, "limits.connections", "must be a whole number"),
        ("[limits]\nconnections = 1.5", 2, "limits.connections", "must be a whole number"),
        ("[limits]\nconnections = -1", 2, "limits.connections", "must not be negative"),
        ("[limits]\ndial_timeout = 0", 2, "limits.dial_timeout", "must be a positive number"),
        ("[limits]\ndial_timeout = 1979-05-27", 2, "limits.dial_timeout", "must be a number"),
        ("[limits]\nfile_descriptors = []", 2, "limits.file_descriptors", "must be a whole number"),
        ('security = ["rot13"]', 1, "security", "'rot13' is not one of noise"),
        ("muxers = []", 1, "muxers", "needs at least one entry"),
        ("perf = true\nperf = false", 2, "", "not TOML"),
        ("perf = ", 1, "", "not TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place_and_what_would_be_right(text: str, line: int, key: str, says: str) -> None:
    error = failure(text)
    assert (error.file, error.line, error.key) == ("node.toml", line, key)
    assert says in str(error)
    assert str(error).startswith(f"node.toml:{line}:")


def test_a_file_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match=r"node\.toml: not UTF-8"):
        parse(b"\xff", "node.toml")


def test_a_limit_can_be_set_by_itself() -> None:
    settings = with_limit(with_limit(Settings(), "connections=500"), "dial_timeout = 2.5")
    assert (settings.config.limits.connections, settings.config.limits.dial_timeout) == (500, 2.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("connections", "is set by NAME=VALUE"),
        ("connection=5", "did you mean connections"),
        ("connections=many", 'not "many"'),
        ("connections=-5", "must not be negative"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says):
        with_limit(Settings(), text)


@given(st.binary(max_size=200))
def test_any_file_is_settings_or_a_config_error(data: bytes) -> None:
    with contextlib.suppress(ConfigInvalid):
        parse(data, "node.toml")


_KEYS = st.sampled_from(
    [
        "listen",
        "perf",
        "limits",
        "manager",
        "manager.high",
        "limits.connections",
        "limits.dial_timeout",
        "security",
        "identity",
        "x",
    ]
)
_VALUES = st.sampled_from(
    ["1", "-1", "nan", "inf", "true", '""', "[]", '["noise"]', "{}", "[[]]", "1979-05-27", "{connections=1}"]
)


@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=4))
def test_any_value_of_any_key_is_settings_or_a_config_error(lines: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{key} = {value}" for key, value in lines)
    with contextlib.suppress(ConfigInvalid):
        parse(text.encode(), "node.toml")
