"""yamux does what every muxer does."""

import pytest

from cortexnet.mux.yamux import Yamux
from tests.conformance.muxers import CHECKS, Check, Subject

SUBJECT = Subject(make=lambda initiator, memory: Yamux(initiator=initiator, memory=memory))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_yamux_is_a_muxer(check: Check) -> None:
    check(SUBJECT)
