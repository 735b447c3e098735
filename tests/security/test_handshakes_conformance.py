"""Noise and TLS do what every secure channel does."""

import pytest

from cortexnet.security.channels import secure_channels
from tests.conformance.handshakes import CHECKS, Check, Subject
from tests.support.certificates import NOW
from tests.support.tls import what_counts


def subject(name: str) -> Subject:
    return Subject(
        lambda key, muxers: secure_channels([name], key, muxers, now=lambda: NOW)[0], what_counts if name == "tls" else bytes
    )


SUBJECTS = {name: subject(name) for name in ("noise", "tls")}


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_shakes_hands(check: Check, name: str) -> None:
    check(SUBJECTS[name])
