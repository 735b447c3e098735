"""What can be set: all that has a text."""

from dataclasses import fields
from typing import Any

from cortexnet.config import Config
from cortexnet.settings.schema import Setting, settable, top_level
from cortexnet.settings.settings import Settings

# Functions and objects of a program: nothing else may be left out of files.
IN_PROGRAMS_ALONE = {
    "memory_network",
    "server_context",
    "client_context",
    "validators",
    "message_id",
    "topic_message_ids",
    "accept_topic",
    "app_score",
}


def left_out(owner: type[Any]) -> set[str]:
    known = settable(owner)
    found = {field.name for field in fields(owner)} - set(known)
    return found.union(*(left_out(setting.part) for setting in known.values() if setting.part is not None))


def test_all_can_be_set_but_what_has_no_text() -> None:
    assert left_out(Settings) == IN_PROGRAMS_ALONE


def test_settings_of_both_kinds_stand_side_by_side() -> None:
    names = set(top_level())
    assert {"listen", "profile", "limits", "kad", "perf"} <= names
    assert "config" not in names
    assert not set(settable(Settings)) & set(settable(Config))


def test_kinds_are_read_off_the_declarations() -> None:
    config = settable(Config)
    assert config["perf"] == Setting("flag", False)
    assert (config["state_directory"].kind, config["state_directory"].can_be_off) == ("text", True)
    assert (config["kad"].kind, config["kad"].can_be_off) == ("part", True)
    assert (config["limits"].kind, config["limits"].can_be_off) == ("part", False)
    kad = config["kad"].part
    assert kad is not None
    of_kad = settable(kad)
    kinds = [of_kad[name].kind for name in ("mode", "loopback", "bootstrap", "requests", "stream_idle")]
    assert kinds == ["text", "flag", "texts", "count", "number"]
