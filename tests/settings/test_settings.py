"""Settings that a program makes itself are checked as those of a file."""

from pathlib import Path

import pytest

import cortexnet
from cortexnet.config import Config
from cortexnet.errors import ConfigInvalid
from cortexnet.profiles import PROFILES
from cortexnet.settings.settings import Settings


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("listen", "/ip4/192.0.2.1/tcp/1", "must be a list of texts"),
        ("listen", 5, "must be a list of texts"),
        ("listen", [5], "must be a list of texts, but has 5"),
        ("listen", ["\ud800"], "must be a list of texts"),
        ("bootstrap", ["x"], "write it like /ip4/"),
        ("deny", ["everybody"], "neither a peer id nor"),
        ("allow_only", ["everybody"], "neither a peer id nor"),
        ("identity", None, "must be the name of a file"),
        ("identity", "a\0b", "must be the name of a file"),
        ("ready_file", b"x", "must be the name of a file"),
        ("echo", 1, "must be True or False"),
        ("key_type", "dsa", "must be one of rsa, ed25519, secp256k1, ecdsa"),
        ("log_level", "loud", "must be one of debug, info, warning, error"),
        ("log_format", "xml", "must be one of text, json"),
        ("profile", "fat", "is not one of default, light, server"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_its_name(key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says) as caught:
        Settings(**{key: value})  # type: ignore[arg-type]
    assert caught.value.key == key


def test_nobody_changes_a_list_behind_our_back() -> None:
    listen = ["/ip4/192.0.2.1/tcp/1"]
    settings = Settings(listen=listen)  # type: ignore[arg-type]
    listen.append("x")
    assert settings.listen == ("/ip4/192.0.2.1/tcp/1",)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_a_configuration_that_says_what_it_is_for(name: str) -> None:
    config = Config.profile(name)
    assert PROFILES[name].purpose
    assert (config == Config()) == (name == "default")


def test_the_profiles_do_what_they_are_called_for() -> None:
    light, usual, server = (Config.profile(name) for name in ("light", "default", "server"))
    for read in (
        lambda config: config.limits.connections,
        lambda config: config.limits.memory,
        lambda config: config.limits.peerstore_peers,
        lambda config: config.limits.peerstore_all_addresses,
    ):
        assert read(light) < read(usual) < read(server)
    assert light.kad is not None
    assert server.kad is not None
    assert (light.kad.mode, server.kad.mode) == ("client", "server")


def test_a_profile_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="profile: 'fat' is not one of default, light, server"):
        Config.profile("fat")


def test_a_program_reads_settings_in_one_call(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("perf = true\n")
    settings = cortexnet.load_settings(file, {"CORTEXNET_ECHO": "true"})
    assert settings == cortexnet.Settings(echo=True, config=Config(perf=True))
    assert cortexnet.load_settings() == Settings()
    file.write_text("pref = true\n")
    with pytest.raises(ConfigInvalid, match=r"node\.toml:1:pref: there is no such setting; did you mean perf"):
        cortexnet.load_settings(file)
