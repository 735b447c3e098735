"""Fields are documented below them, and `help()` shows it."""

import inspect
import pickle
import pydoc
from dataclasses import dataclass, fields

import pytest

import cortexnet
from cortexnet.documented import documented


@documented
@dataclass(frozen=True, slots=True)
class Lamp:
    """Shines.

    Until it is switched off.
    """

    watts: int = 5 * 2
    """How much it takes."""
    colour: str = "white"
    place: str = ""
    """Where it stands:
    a room, or a street.
    """

    def __post_init__(self) -> None:
        """Nothing to do."""


@documented
class Switch:
    def __init__(self) -> None:
        """Begins off."""
        self.is_on = False
        """Whether it was pressed."""
        self.presses: int = 0
        """How often."""
        self._secret = 1


def test_the_docstring_of_a_class_ends_in_its_documented_fields() -> None:
    assert inspect.getdoc(Lamp) == (
        "Shines.\n\nUntil it is switched off.\n\nwatts: int = 5 * 2\n    How much it takes.\n"
        "place: str = ''\n    Where it stands:\n    a room, or a street."
    )
    assert Lamp().__doc__ == Lamp.__doc__


def test_attributes_that_are_set_in_init_are_fields_too() -> None:
    assert inspect.getdoc(Switch) == "is_on\n    Whether it was pressed.\npresses: int\n    How often."


def test_a_documented_class_is_a_class_like_others() -> None:
    assert pickle.loads(pickle.dumps(Lamp(3))) == Lamp(3)
    assert [field.name for field in fields(Lamp)] == ["watts", "colour", "place"]


def test_a_class_without_source_keeps_its_docstring() -> None:
    namespace: dict[str, type] = {}
    exec('class Made:\n    """Of nothing."""\n    size: int = 1\n    """Unseen."""\n', {"__name__": "nowhere"}, namespace)
    assert documented(namespace["Made"]).__doc__ == "Of nothing."


@pytest.mark.parametrize("name", sorted({"Config", "Limits", "Message", "PeerInfo", "PerfResult", "Receipt", "Request"}))
def test_help_shows_the_fields_of_what_is_public(name: str) -> None:
    owner = vars(cortexnet).get(name) or cortexnet.__getattr__(name)
    assert isinstance(owner, type)
    text = pydoc.plain(pydoc.render_doc(owner))
    for line in inspect.getsource(owner).splitlines():
        if line.startswith('    """') and line.endswith('."""'):
            assert line.strip().strip('"') in text


def test_help_is_there_for_every_public_name() -> None:
    for name in set(cortexnet.__all__) - {"__version__"}:
        assert len(pydoc.plain(pydoc.render_doc(cortexnet.__getattr__(name)))) > 100
    assert "asyncio-native" in pydoc.plain(pydoc.render_doc(cortexnet))
