"""A path may begin with `~`, wherever the setting comes from."""

from pathlib import Path

import pytest

from cortexnet.config import Config
from cortexnet.errors import ConfigInvalid
from cortexnet.settings.files import load_settings
from cortexnet.settings.schema import PATHS, settable, top_level
from cortexnet.settings.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    monkeypatch.setenv("USERPROFILE", f"{tmp_path}/home")
    return f"{tmp_path}/home"


def test_every_path_of_a_file_may_begin_with_the_home(home: str, tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("\n".join(f'{".".join(path)} = "~/{path[-1]}"' for path in PATHS))
    settings = load_settings(file)
    websocket = settings.config.websocket
    assert (settings.identity, settings.ready_file) == (f"{home}/identity", f"{home}/ready_file")
    assert settings.config.state_directory == f"{home}/state_directory"
    assert (websocket.certificate, websocket.private_key) == (f"{home}/certificate", f"{home}/private_key")
    assert websocket.trusted == f"{home}/trusted"


def test_a_path_of_a_variable_may_too(home: str) -> None:
    environment = {"CORTEXNET_STATE_DIRECTORY": "~", "CORTEXNET_WEBSOCKET": "{ trusted = '~/t' }", "CORTEXNET_AGENT_VERSION": "~"}
    config = load_settings(None, environment).config
    assert (config.state_directory, config.websocket.trusted, config.agent_version) == (home, f"{home}/t", "~")


def test_a_tilde_elsewhere_in_a_path_is_left_alone(home: str) -> None:
    assert load_settings(None, {"CORTEXNET_IDENTITY": "./~/key"}).identity == "./~/key"


def test_a_home_that_nobody_knows_is_an_error_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('\nstate_directory = "~nobody-of-that-name/x"')
    with pytest.raises(ConfigInvalid, match="nobody knows the home that '~nobody-of-that-name' stands for") as caught:
        load_settings(file)
    assert (caught.value.file, caught.value.line, caught.value.key) == (str(file), 2, "state_directory")


def test_what_is_no_path_is_refused_as_before(tmp_path: Path) -> None:
    for text in ("websocket = 5", "identity = 5", "websocket = false"):
        (tmp_path / "node.toml").write_text(text)
        with pytest.raises(ConfigInvalid, match="must be a"):
            load_settings(tmp_path / "node.toml")


def test_each_path_is_a_setting_that_is_a_text() -> None:
    for path in PATHS:
        known = top_level() if len(path) == 1 else settable(type(getattr(Config(), path[0])))
        assert known[path[-1]].kind == "text"
    assert Settings().identity == ""
