"""A release of aioquic without something we build on is told by name, before the first connection."""

from datetime import UTC, datetime

import aioquic
import pytest

from cortexnet.errors import LocalError
from cortexnet.identity.identity import Identity
from cortexnet.quic.aioquic_hooks import HOOKS, check_hooks, present
from cortexnet.quic.engine import QuicConfig
from cortexnet.security.certificate import create_certificate
from cortexnet.transport import quic

ALL = [(kind, name) for kind, names in HOOKS.items() for name in names]
INSTALLED = present()


def test_the_installed_release_has_all() -> None:
    check_hooks()


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_each_that_is_gone_is_named_with_the_release(kind: str, name: str) -> None:
    found = {**INSTALLED, kind: [each for each in INSTALLED[kind] if each != name]}
    with pytest.raises(LocalError, match=rf"aioquic {aioquic.__version__} has no {kind}\.{name} any more"):
        check_hooks(lambda: found)


def test_a_release_that_is_built_otherwise_is_told_too() -> None:
    def look():
        raise AttributeError("no _loss")

    with pytest.raises(LocalError, match=f"aioquic {aioquic.__version__} is not built as QUIC here needs it: no _loss"):
        check_hooks(look)


def test_it_is_looked_at_before_the_first_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise LocalError("gone")

    monkeypatch.setattr(quic, "check_hooks", gone)
    with pytest.raises(LocalError, match="gone"):
        quic.aioquic_engines(create_certificate(Identity.generate().private_key, now=datetime.now(UTC)), QuicConfig())
