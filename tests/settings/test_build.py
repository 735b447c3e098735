"""Settings from files: right ones are taken, of wrong ones one learns where they are and what would be right."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.config import Config
from cortexnet.errors import ConfigInvalid
from cortexnet.settings.build import build, parse, placed
from cortexnet.settings.files import load_settings
from cortexnet.settings.settings import Settings
from cortexnet.settings.sources import from_options, from_toml

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
    assert parse(b"kad = false", "node.toml").config.kad is None
    on = parse(b"kad = true\ngossip.score = true\nmdns = true", "node.toml").config
    assert on.kad == Config().kad
    assert on.gossip is not None
    assert (on.gossip.score is None, on.mdns is None) == (False, False)
    assert "must be a table: write [limits]" in str(failure("limits = true"))
    assert "kad.mode" in str(failure('[kad]\nmode = "leech"'))


def test_a_table_of_numbers_has_names_of_the_users() -> None:
    gossip = parse(b"[gossip.peer_gater.topic_weights]\nblocks = 2\n'a b' = 0.5", "node.toml").config.gossip
    assert gossip is not None
    assert gossip.peer_gater is not None
    assert gossip.peer_gater.topic_weights == {"blocks": 2.0, "a b": 0.5}
    assert "must be a table of numbers" in str(failure("gossip.peer_gater.topic_weights = 5"))
    assert "must be a table of numbers" in str(failure("gossip.peer_gater.topic_weights.blocks = 'x'"))


def test_an_empty_file_means_all_defaults() -> None:
    assert parse(b"", "node.toml") == Settings()


def test_a_file_may_begin_with_the_mark_that_some_editors_put_there() -> None:
    assert parse(b"\xef\xbb\xbfperf = true\r\n", "node.toml").config.perf
    with pytest.raises(ConfigInvalid, match=r"node\.toml:2:perv"):
        parse(b"\xef\xbb\xbf\nperv = true", "node.toml")


def test_a_file_is_read_from_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(GOOD)
    assert load_settings(path) == parse(GOOD, "node.toml")


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("perf = true\nlissten = []", 2, "lissten", "did you mean listen?"),
        ("xyz = 1", 1, "xyz", "Known are agent_version, allow_only, announce, bootstrap,"),
        ("[limits]\n\nconections = 5", 3, "limits.conections", "did you mean connections"),
        ("[limits]\nxyz = 5", 2, "limits.xyz", "`cortexnet config show` lists them all"),
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


def test_a_table_that_is_off_by_default_is_on_where_it_is_given() -> None:
    file = b"""
        [gossip.score]
        retain = 60
        topics.blocks.topic_weight = 0
        [gossip.score.topics."a/b c"]
        topic_weight = 0.5
        allow_silence = true
        [gossip.score.thresholds]
        graylist = -200
    """
    gossip = parse(file, "node.toml").config.gossip
    assert gossip is not None
    assert gossip.score is not None
    assert (gossip.score.retain, gossip.score.thresholds.graylist) == (60.0, -200.0)
    assert {name: topic.topic_weight for name, topic in gossip.score.topics.items()} == {"blocks": 0.0, "a/b c": 0.5}
    off = parse(b"[gossip]\nscore = false", "node.toml").config.gossip
    assert off is not None
    assert off.score is None


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("bootstrap = [  # some\n  # of\n  '/ip4/192.0.2.1/tcp/1',\n  'example.org', # here\n]\nperf = true", 4, "bootstrap"),
        ("announce = [\n'/ip4/192.0.2.1/tcp/1',\n'/ip4/1.2/tcp/1']", 3, "announce"),
        ("kad.bootstrap = [\n'/dnsaddr/example.org',\n'/ip4/192.0.2.1/tcp/1']", 3, "kad.bootstrap"),
        ("transports = ['tcp',\n\n'smoke']", 3, "transports"),
        ("deny = [\n'192.0.2.1',\n'everybody']", 3, "deny"),
        ("listen = [\n'/ip4/192.0.2.1/tcp/1',\n5]", 3, "listen"),
        ("perf = true\nkad.dht.alpha = 'x'", 2, "kad.dht.alpha"),
        ("[kad]\n\ndht = { beta = 2, alpha = 0 }", 3, "kad.dht.alpha"),
        ("[kad]\n[kad.store]\nvalues = 0", 3, "kad.store.values"),
        ("[ kad . 'store' ]\n\"values\" = 0", 2, "kad.store.values"),
        ("[kad.dht]\nk = 5", 2, "kad.dht.k"),
        ("[gossip.score]\nretain = -1", 2, "gossip.score.retain"),
        ("[gossip.score.thresholds]\ngossip = 1", 2, "gossip.score.thresholds.gossip"),
        ("[gossip.score.topics.blocks]\n\ninvalid_weight = 1", 3, "gossip.score.topics.blocks.invalid_weight"),
        ("[gossip]\nscore = 1", 2, "gossip.score"),
        ("[gossip.score.topics]\n\nblocks = 5", 3, "gossip.score.topics.blocks"),
        ("[gossip.score]\ntopics = 5", 2, "gossip.score.topics"),
        ("[gossip]\nmain_topic = 5", 2, "gossip.main_topic"),
        ("agent_version = '''\nx'''\nperf = 5", 3, "perf"),
        ("profile = 'heavy'", 1, "profile"),
        ("log_level = 'loud'", 1, "log_level"),
        ("[[kad]]\n[[kad]]", 1, "kad"),
    ],
)
def test_the_line_is_right_wherever_a_setting_stands(text: str, line: int, key: str) -> None:
    error = failure(text)
    assert (error.line, error.key) == (line, key)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1" + "0" * 5000, "that can be read"),
        ("x = " + "[" * 100_000, "TOML"),
        ("[" + "a." * 10_000 + "a]\nx = 1", "tables lie within tables"),
        ("a" + ".a" * 20 + " = 1", "tables lie within tables"),
    ],
)
def test_a_file_without_measure_is_refused(text: str, says: str) -> None:
    assert says in str(failure(text))


def test_a_long_wrong_value_is_cut() -> None:
    assert len(str(failure(f"perf = '{'x' * 5000}'"))) < 300
    assert "…" in str(failure("perf = " + "[" * 50 + "]" * 50))


def test_a_profile_changes_the_defaults_and_what_is_set_goes_before_it() -> None:
    settings = parse(b"profile = 'light'\n[limits]\nconnections = 70", "node.toml")
    light = Config.profile("light")
    assert settings.config.kad == light.kad
    assert settings.config.limits.connections_outbound == light.limits.connections_outbound
    assert settings.config.limits.connections == 70


def test_options_go_before_the_file_and_their_faults_name_them() -> None:
    file = from_toml(b"perf = true\n[limits]\nconnections = 5\n", "node.toml")
    said = {("limits", "connections"): "500", ("perf",): False, ("deny",): ["192.0.2.1"]}
    settings = build([file, from_options(said, dict.fromkeys(said, "--x"))])
    assert (settings.config.limits.connections, settings.config.perf, settings.deny) == (500, False, ("192.0.2.1",))
    wrong = from_options({("limits", "conections"): "500"}, {("limits", "conections"): "--limit"})
    with pytest.raises(ConfigInvalid, match="did you mean connections") as caught:
        build([file, wrong])
    assert (caught.value.file, caught.value.line, caught.value.key) == ("--limit", 0, "limits.conections")


def test_what_two_settings_disagree_about_is_told_of_the_one_that_was_set() -> None:
    error = failure("[manager]\nlow = 300\n[limits]\nconnections = 200")
    assert (error.line, error.key) == (2, "manager.low")


def test_what_is_wrong_with_a_setting_that_nobody_has_set_is_told_of_its_table() -> None:
    error = failure("perf = true\n[reputation]\nlatency_weight = 40")
    assert (error.line, error.key) == (2, "reputation.reliability_weight")


def test_what_is_missing_is_told_of_the_file() -> None:
    error = failure("\ntransports = ['memory']")
    assert (error.file, error.line, error.key) == ("node.toml", 0, "memory_network")


def test_what_is_wrong_with_the_defaults_has_no_place() -> None:
    light = Config.profile("light")
    assert light.limits.connections < 100  # or the next line means nothing
    error = failure("profile = 'light'\n[manager]\nhigh = 100")
    assert (error.line, error.key) == (3, "manager.high")


@given(st.binary(max_size=200))
def test_any_file_is_settings_or_a_config_error(data: bytes) -> None:
    with contextlib.suppress(ConfigInvalid):
        parse(data, "node.toml")


_NAMES = st.sampled_from(
    [
        *(
            "listen",
            "perf",
            "limits",
            "manager",
            "high",
            "connections",
            "dial_timeout",
            "security",
            "identity",
            "kad",
            "dht",
            "x",
        ),
        *(
            "store",
            "alpha",
            "values",
            "gossip",
            "score",
            "topics",
            "main_topic",
            "thresholds",
            "discovery",
            "namespace",
            "profile",
        ),
        *("deny", "log_level", "state_directory", "agent_version", "websocket", "certificate", "card", "metadata", "reputation"),
    ]
)
_KEYS = st.lists(_NAMES | st.just('"a b"') | st.just("''"), min_size=1, max_size=4).map(".".join)
_SCALARS = st.sampled_from(
    [
        *("1", "-1", "nan", "-inf", "1e400", "0x10", "true", "false", "1979-05-27", "07:32:00"),
        *('""', '"light"', '"\\u0000"', '"\\t"', "'''a\nb'''", '"/ip4/1.2.3.4/tcp/1"', '"noise"'),
    ]
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{chr(10).join(item + ',' for item in items)}]")
        | st.lists(st.tuples(_NAMES, inner), max_size=2).map(lambda pairs: "{" + ", ".join(f"{k} = {v}" for k, v in pairs) + "}")
    ),
    max_leaves=5,
)
_LINES = st.tuples(_KEYS, _VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}") | _KEYS.map(lambda key: f"[{key}]")


@given(st.lists(_LINES, max_size=5))
def test_any_value_of_any_key_is_settings_or_a_config_error(lines: list[str]) -> None:
    with contextlib.suppress(ConfigInvalid):
        parse("\n".join(lines).encode(), "node.toml")


@given(st.dictionaries(_NAMES, st.text(max_size=20), max_size=3))
def test_any_environment_is_settings_or_a_config_error(values: dict[str, str]) -> None:
    with contextlib.suppress(ConfigInvalid):
        parse(b"", "node.toml", {f"CORTEXNET_{name.upper()}": value for name, value in values.items()})


def test_what_shows_only_at_the_start_is_told_with_its_place() -> None:
    sources = [from_toml(b'profile = "light"\n\n[websocket]\ncertificate = "none.pem"\n', "node.toml")]
    error = placed(ConfigInvalid("is no file", key="websocket.certificate"), sources)
    assert (error.file, error.line, error.key) == ("node.toml", 4, "websocket.certificate")
    assert str(error) == "node.toml:4:websocket.certificate: is no file"
    elsewhere = placed(ConfigInvalid("is no file", key="websocket.key"), sources)
    assert (elsewhere.line, elsewhere.key) == (3, "websocket.key"), "where its table stands"
