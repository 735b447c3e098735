"""Whatever a program gives a setting: it is taken, or refused as ConfigInvalid with its key; no other error, now or later."""

from collections.abc import Iterator
from typing import Any

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.kad.config import KadConfig
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.settings.schema import Part, settable
from cortexnet.settings.settings import Settings

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**70, 0.5, float("nan"), float("inf"), float("-inf"), -0.5, 1e308),
    *("", "x", "half a \ud800", "\0", "x" * 5_000, b"x", object(), lambda: 5),
    *([], (), ["x"], ["half a \ud800"], [5], [None], ["\0"], [["x"]]),
    *({}, {"x": "y"}, {"x": 5}, {5: "x"}, {"\ud800": 5}, {"x": None}),
]


def settings_of(owner: Part, path: str = "") -> Iterator[tuple[str, Part, str]]:
    for name, setting in settable(owner).items():
        if setting.part is None:  # what else they are is for the type checker to see
            yield f"{path}{name}", owner, name
        else:
            yield from settings_of(setting.part, "" if owner is Settings else f"{path}{name}.")


@pytest.mark.parametrize(("owner", "name"), [pytest.param(owner, name, id=path) for path, owner, name in settings_of(Settings)])
def test_any_value_is_taken_or_refused_by_its_name(owner: Part, name: str) -> None:
    refused = []
    for value in VALUES:
        try:
            part = owner(**{name: value})
            repr(KadConfig(prefix="/x", dht=part) if owner is DhtConfig else part)  # which is checked by the one it is a part of
        except ConfigInvalid as error:
            refused.append(error.key)
    assert refused
    assert all(refused)
