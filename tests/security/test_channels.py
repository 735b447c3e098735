"""The channels of a node: made by name, and TLS only where it is needed."""

import subprocess
import sys
from datetime import datetime

import pytest

from cortexnet.identity.keys import PrivateKey
from cortexnet.security import tls
from cortexnet.security.channels import TLS, certificate_of, secure_channels
from cortexnet.testing.handshakes import run_pair
from tests.support.certificates import NOW

ANNA, BERT = PrivateKey.generate(), PrivateKey.generate()


def test_they_come_in_the_order_in_which_they_are_named() -> None:
    for names in (["tls", "noise"], ["noise", "tls"], ["noise"], ["tls"]):
        channels = secure_channels(names, ANNA, [], now=lambda: NOW)
        assert [channel.name for channel in channels] == [{"tls": TLS, "noise": "/noise"}[name] for name in names]
    assert TLS == tls.NAME


def test_a_node_makes_its_certificate_once() -> None:
    dates = [NOW, NOW, NOW]  # one is for the certificate
    channel = secure_channels(["tls"], ANNA, [], now=dates.pop)[0]
    other = secure_channels(["tls"], BERT, [], now=lambda: NOW)[0]
    for handshakes in ((channel.initiate(None), other.respond()), (other.initiate(None), channel.respond())):
        one, two = run_pair(*handshakes)
        assert one.result is not None
        assert two.result is not None
    assert dates == []


@pytest.mark.parametrize("names", [["noise"], ["noise", "tls"], ["tls"]])
def test_openssl_is_loaded_for_the_first_handshake(names: list[str]) -> None:
    """It takes 40 ms, which nobody should pay who never needs it."""
    code = f"""
import sys
from datetime import datetime
from cortexnet.identity.keys import PrivateKey
from cortexnet.security.channels import secure_channels
from datetime import datetime, UTC
channels = secure_channels({names!r}, PrivateKey.generate(), [], now=lambda: datetime.now(UTC))
before = "OpenSSL" in sys.modules
for channel in channels:
    channel.initiate(None)
print(before, "OpenSSL" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", str("tls" in names)]


def test_a_node_has_one_certificate_made_when_it_is_first_asked_for() -> None:
    asked: list[datetime] = []

    def now() -> datetime:
        asked.append(NOW)
        return NOW

    certificate = certificate_of(ANNA, now)
    assert asked == []
    assert certificate() is certificate()
    assert asked == [NOW]
