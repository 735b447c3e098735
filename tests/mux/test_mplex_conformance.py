"""mplex does what every muxer does, but for what it has no frames for."""

import pytest

from cortexnet.mux.mplex import Mplex
from tests.conformance.muxers import CHECKS, Check, Subject

SUBJECT = Subject(
    make=lambda initiator, memory: Mplex(initiator=initiator, memory=memory),
    has_windows=False,
    has_codes=False,
    has_farewell=False,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_mplex_is_a_muxer(check: Check) -> None:
    check(SUBJECT)
