"""A certificate for the broker, by an authority of the stack's own.

    make_certificate.py AUTHORITY BROKER OWNER CLIENT...

    AUTHORITY/ca.key              root's
    AUTHORITY/ca.crt              what clients trust; also in the folders of the broker and of each client
    BROKER/broker.crt, .key       what the broker shows; the key is OWNER's

Created at the first start.  At every later start the broker gets a new certificate if less than `RENEW` is left.  The
authority stays, so clients need no change.  A running broker uses the new certificate after a restart.
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("mosquitto", "localhost")
ADDRESSES = ("127.0.0.1", "::1")
AUTHORITY_LASTS = timedelta(days=3650)
LASTS = timedelta(days=365)
RENEW = timedelta(days=60)


def make(authority: Path, broker: Path, owner: int, clients: Sequence[Path] = ()) -> None:
    """Make what is missing, and renew what ends soon."""
    if not (authority / "ca.crt").exists():
        _make_authority(authority)
    shown = broker / "broker.crt"
    if not shown.exists() or _left(shown) < RENEW:
        _make_broker(authority, broker, owner)
    for folder in {broker, *clients} - {authority}:
        _write(folder / "ca.crt", (authority / "ca.crt").read_bytes(), 0o644, os.getuid())


def _left(path: Path) -> timedelta:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc - datetime.now(UTC)


def _make_authority(folder: Path) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), _named("connected-factory stack")
    certificate = (
        _beginning(name, name, key.public_key(), AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(folder / "ca.key", key, os.getuid())
    _write(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644, os.getuid())


def _make_broker(vouching: Path, folder: Path, owner: int) -> None:
    authority = x509.load_pem_x509_certificate((vouching / "ca.crt").read_bytes())
    signing = serialization.load_pem_private_key((vouching / "ca.key").read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = [*map(x509.DNSName, NAMES), *(x509.IPAddress(ip_address(address)) for address in ADDRESSES)]
    certificate = (
        _beginning(_named(NAMES[0]), authority.subject, key.public_key(), LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, hashes.SHA256())
    )
    (folder / "broker.crt").unlink(missing_ok=True)  # if interrupted here, the next start begins again
    _write_key(folder / "broker.key", key, owner)
    _write(folder / "broker.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644, owner)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _beginning(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # tolerates clock differences
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, owner: int) -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, key.private_bytes(*form), 0o600, owner)


def _write(path: Path, content: bytes, mode: int, owner: int) -> None:
    """Write a file whole or not at all, never with more permissions than `mode`."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.chmod(mode)
    os.chown(fresh, owner, -1)
    fresh.rename(path)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), [Path(each) for each in sys.argv[4:]])
