"""Settings of the environment: typed like those of a file, and an error names the variable."""

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.settings.build import parse
from cortexnet.settings.sources import Place, from_environment, from_profile


def test_variables_go_before_the_file() -> None:
    environment = {
        "CORTEXNET_PERF": "true",
        "CORTEXNET_IDENTITY": "5",
        "CORTEXNET_LISTEN": "/ip4/192.0.2.1/tcp/1, /ip4/192.0.2.1/tcp/2,",
        "CORTEXNET_BOOTSTRAP": '["/ip4/192.0.2.9/tcp/1"]',
        "CORTEXNET_LIMITS__DIAL_TIMEOUT": "3",
        "CORTEXNET_KAD__DHT__ALPHA": "4",
        "CORTEXNET_GOSSIP__SCORE": "{ retain = 5 }",
        "CORTEXNET_MANAGER__HIGH": "100",
        "HOME": "/root",
        "CORTEXNET_INTEROP": "required",
    }
    settings = parse(b"[kad.dht]\nalpha = 9\nbeta = 2\n[manager]\nlow = 50", "node.toml", environment)
    assert (settings.config.perf, settings.identity) == (True, "5")
    assert settings.listen == ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2")
    assert settings.bootstrap == ("/ip4/192.0.2.9/tcp/1",)
    assert settings.config.limits.dial_timeout == 3.0
    kad, gossip = settings.config.kad, settings.config.gossip
    assert kad is not None
    assert gossip is not None
    assert gossip.score is not None
    assert (kad.dht.alpha, kad.dht.beta, gossip.score.retain) == (4, 2, 5.0)
    assert (settings.config.manager.low, settings.config.manager.high) == (50, 100)


def test_a_variable_turns_a_part_off_or_on_again() -> None:
    assert parse(b"[kad]\nprefix = '/x'", "node.toml", {"CORTEXNET_KAD": "false"}).config.kad is None
    kad = parse(b"kad = false", "node.toml", {"CORTEXNET_KAD__PREFIX": "/x"}).config.kad
    assert kad is not None
    assert kad.prefix == "/x"
    assert parse(b"", "node.toml", {"CORTEXNET_KAD": "true", "CORTEXNET_KAD__PREFIX": "/x"}).config.kad == kad
    assert parse(b"", "node.toml", {"CORTEXNET_KAD": "{ prefix = '/y' }", "CORTEXNET_KAD__PREFIX": "/x"}).config.kad == kad


@pytest.mark.parametrize("whole", ["CORTEXNET_KAD", "CORTEXNET_KAD__DHT", "CORTEXNET_kad"])
def test_a_variable_that_turns_a_part_off_and_one_that_sets_it_are_no_pair(whole: str) -> None:
    pairs = [(whole, "false"), ("CORTEXNET_KAD__DHT__ALPHA", "4")]
    for environment in (dict(pairs), dict(reversed(pairs))):
        with pytest.raises(ConfigInvalid) as caught:
            parse(b"", "node.toml", environment)
        assert str(caught.value) == (
            f"CORTEXNET_KAD__DHT__ALPHA:kad.dht.alpha: {whole} says false for all of it: leave one of the two out"
        )


def test_an_empty_variable_is_an_empty_list_or_text() -> None:
    settings = parse(b"listen = ['/ip4/192.0.2.1/tcp/1']", "node.toml", {"CORTEXNET_LISTEN": "", "CORTEXNET_IDENTITY": ""})
    assert (settings.listen, settings.identity) == ((), "")


@pytest.mark.parametrize(
    ("variable", "value", "key", "says"),
    [
        ("CORTEXNET_LISSTEN", "", "lissten", "did you mean listen"),
        ("CORTEXNET_PERF", "yes", "perf", 'must be true or false, such as false, not "yes"'),
        ("CORTEXNET_LIMITS__CONNECTIONS", "many", "limits.connections", 'must be a whole number, such as 384, not "many"'),
        ("CORTEXNET_LIMITS__CONECTIONS", "5", "limits.conections", "did you mean connections"),
        ("CORTEXNET_LIMITS__CONNECTIONS__X", "5", "limits.connections", "must be a whole number"),
        ("CORTEXNET_LIMITS__CONNECTIONS", "", "limits.connections", 'must be a whole number, such as 384, not ""'),
        ("CORTEXNET_LIMITS__CONNECTIONS", "-5", "limits.connections", "must not be negative"),
        ("CORTEXNET_LIMITS__CONNECTIONS", "1\n2", "limits.connections", "must be a whole number"),
        ("CORTEXNET_KAD", "5", "kad", "must be a table, or true or false: write [kad]"),
        ("CORTEXNET_KAD", "{ mode = 'leech' }", "kad.mode", "is not one of"),
        ("CORTEXNET_LISTEN", "/ip4/192.0.2.1/tcp/1,here", "listen", "'here' does not begin with a slash"),
        ("CORTEXNET_", "5", "", "no such setting"),
        ("CORTEXNET_LIMITS_CONNECTIONS", "5", "limits_connections", "did you mean CORTEXNET_LIMITS__CONNECTIONS?"),
        ("CORTEXNET_KAD_DHT__ALPHA", "5", "kad_dht.alpha", "did you mean CORTEXNET_KAD__DHT__ALPHA?"),
        ("CORTEXNET_KAD_", "5", "kad_", "did you mean kad?"),
        ("CORTEXNET_PROFILE", "fat", "profile", "'fat' is not one of default, light, server"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, key: str, says: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse(b"\n[limits]\nconnections = 500", "node.toml", {variable: value})
    assert says in str(caught.value)
    assert str(caught.value).startswith(variable)
    assert (caught.value.file, caught.value.line, caught.value.key) == (variable, 0, key)


def test_a_source_knows_where_it_got_what() -> None:
    places = from_environment({"CORTEXNET_KAD": "{ dht = { k = 5 } }"}).places
    assert set(places) == {("kad",), ("kad", "dht"), ("kad", "dht", "k")}
    assert set(map(str, places.values())) == {"CORTEXNET_KAD"}
    assert str(Place("node.toml", 5)) == "node.toml:5"
    assert str(from_profile("light").places["kad", "mode"]) == "profile light"
    assert not from_profile("default").places
