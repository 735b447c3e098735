"""What a node says about itself, and the type of its key, can be said in a file and in the environment."""

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.identity.card import CardDetails
from cortexnet.settings.build import parse

FILE = b"""\
key_type = "secp256k1"

[card]
capabilities = ["gpu"]
region = "u33d"

[card.metadata]
"contact person" = "Ann"

[card.limits]
"requests/s" = 5
"""
SAID = CardDetails(capabilities=["gpu"], region="u33d", metadata={"contact person": "Ann"}, limits={"requests/s": 5})


def test_a_card_is_read_from_a_file() -> None:
    settings = parse(FILE, "node.toml")
    assert (settings.key_type, settings.config.card.details) == ("secp256k1", SAID)


def test_the_environment_goes_before_it() -> None:
    environment = {"CORTEXNET_CARD__CAPABILITIES": "store, cpu", "CORTEXNET_CARD__REGION": "", "CORTEXNET_KEY_TYPE": "rsa"}
    settings = parse(FILE, "node.toml", environment)
    assert settings.key_type == "rsa"
    assert (settings.config.card.capabilities, settings.config.card.region) == (("store", "cpu"), "")


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        (b'"gpu"', b'"GPU"', 4, "card.capabilities"),
        (b'"u33d"', b'"U33D"', 5, "card.region"),
        (b'"Ann"', b"5", 7, "card.metadata"),
        (b"= 5", b"= -5", 10, "card.limits"),
        (b'"secp256k1"', b'"dsa"', 1, "key_type"),
    ],
)
def test_a_mistake_is_told_by_its_line(old: bytes, new: bytes, line: int, key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse(FILE.replace(old, new), "node.toml")
    assert (caught.value.file, caught.value.line, caught.value.key) == ("node.toml", line, key)
