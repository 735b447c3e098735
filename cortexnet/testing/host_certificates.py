"""Certificates of a host, for tests and demonstrations of `/wss`: signed by themselves, for this machine alone."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cortexnet.transport.websocket_config import WebSocketConfig


def make_host_certificate(folder: Path, *, names: Sequence[str] = ("localhost",), days: int = 30) -> WebSocketConfig:
    """Write a certificate for `names` and the loopback addresses, and its key; the settings to listen with it and to trust it.

    It is valid from yesterday on for `days` days.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a host of a test")])
    begin = datetime.now(UTC) - timedelta(days=1)
    hosts: list[x509.GeneralName] = [x509.DNSName(host) for host in names]
    hosts += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, form, lock = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(pem))
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(pem, form, lock))
    return WebSocketConfig(certificate=str(certificate_file), private_key=str(key_file), trusted=str(certificate_file))
