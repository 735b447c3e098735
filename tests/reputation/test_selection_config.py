"""Settings of selection: which values there are, and what is said of others."""

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.reputation.selection_config import SelectionConfig


@pytest.mark.parametrize("value", [{"exploration": 0}, {"exploration": 1}, {"hedges": 0}, {"tries": 1}, {"hedge_least": 1e-9}])
def test_values_at_the_edge(value: dict[str, float]) -> None:
    SelectionConfig(**value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"exploration": 1.1}, "from 0 to 1"),
        ({"hedges": -0.1}, "from 0 to 1"),
        ({"hedges": True}, "a number"),
        ({"hedge_least": 0}, "above 0"),
        ({"hedge_default": float("inf")}, "above 0"),
        ({"hedge_default": "1"}, "a number"),
        ({"hedge_burst": 0}, "at least 1"),
        ({"tries": 1.5}, "a whole number"),
        ({"remembered": 0}, "at least 1"),
    ],
)
def test_others_are_refused_by_name(value: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"{next(iter(value))}: must be {expected}"):
        SelectionConfig(**value)  # type: ignore[arg-type]
