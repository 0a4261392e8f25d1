"""A certificate authority for one sandbox: it signs Gate's certificate and one client's."""

import ipaddress
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLIENT = "fairlead.example.com"


def make_certificates(folder: Path, now: datetime) -> None:
    """Write ca.pem, server.pem/.key and client.pem/.key, good from an hour before `now` for a week."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _build("sandbox CA", ca_key, None, now).sign(ca_key, hashes.SHA256())
    _write(folder / "ca.pem", ca.public_bytes(serialization.Encoding.PEM))
    for stem, name in (("server", "127.0.0.1"), ("client", CLIENT)):
        key = ec.generate_private_key(ec.SECP256R1())
        signed = _build(name, key, ca, now).sign(ca_key, hashes.SHA256())
        _write(folder / f"{stem}.pem", signed.public_bytes(serialization.Encoding.PEM))
        _write(folder / f"{stem}.key", _private(key))


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS that asks for a certificate of this CA and lets in callers without one, as Gate's x509 port does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _build(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, now: datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = key.public_key() if issuer is None else issuer.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)  # type: ignore[arg-type]
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]),
            critical=False,
        )
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
