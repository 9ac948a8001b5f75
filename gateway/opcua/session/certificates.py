"""X.509 certificates for OPC UA (Part 6, 6.2.2): our own, created at the first start, and the content of others.

Functions of certificates and files, without network.  The folder:

    own/certificate.der  own/private_key.pem (0600)    our own
    trusted/ rejected/ issuers/ crl/                   those of servers: `gateway/opcua/session/trust.py`
"""

import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.config.private_files import must_be_file, read_private
from gateway.errors import ConfigError
from gateway.opcua.session.der import without_defaults

UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What unreadable extensions raise; they are parsed lazily and all together."""
DAYS = 3 * 365
KEY_BITS = 2048
"""Every policy allows this size (Basic256Sha256: 2048 to 4096), and small devices can handle it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Our own certificate."""

    certificate: x509.Certificate
    certificate_path: Path
    key_path: Path

    @property
    def application_uri(self) -> str:
        return application_uri_of(self.certificate) or ""


def application_uri_of(certificate: x509.Certificate) -> str | None:
    """The application URI of an OPC UA application: the URI in the subject alternative names.  None: there is none."""
    uris = _alternative_names(certificate, x509.UniformResourceIdentifier)
    return uris[0] if uris else None


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Host names and addresses in the subject alternative names."""
    names = _alternative_names(certificate, x509.DNSName)
    return names + [str(address) for address in _alternative_names(certificate, x509.IPAddress)]


def _alternative_names(
    certificate: x509.Certificate,
    kind: type[x509.UniformResourceIdentifier] | type[x509.DNSName] | type[x509.IPAddress],
) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return []
    return [str(name) for name in names.get_values_for_type(kind)]


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the DER form, by which OPC UA identifies certificates.  It protects nothing."""
    return certificate.fingerprint(hashes.SHA1()).hex()


def common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else "unnamed"


def load(data: bytes) -> x509.Certificate:
    """A certificate from DER or PEM.  Raises `ValueError`."""
    if data.lstrip().startswith(b"-----"):
        return x509.load_pem_x509_certificate(data)
    return x509.load_der_x509_certificate(first_of_chain(data))


def readable(der: bytes) -> tuple[x509.Certificate, bool]:
    """The first certificate of a chain, and whether it could only be read without a fault of its encoding (`der.py`).

    Raises `ValueError`.
    """
    first = first_of_chain(der)
    try:
        return x509.load_der_x509_certificate(first), False
    except ValueError:
        if (mended := without_defaults(first)) == first:
            raise
        return x509.load_der_x509_certificate(mended), True


def first_of_chain(der: bytes) -> bytes:
    """The first of several concatenated DER certificates (Part 6, 6.2.6).  Raises `ValueError`."""
    parts = split_chain(der)
    return parts[0] if parts else der


def split_chain(der: bytes) -> list[bytes]:
    """The certificates of a chain, up to the first bytes that are not a certificate."""
    parts = []
    while len(der) > 4 and der[0] == 0x30 and der[1] == 0x82:
        size = int.from_bytes(der[2:4], "big") + 4
        if size > len(der):
            break
        parts.append(der[:size])
        der = der[size:]
    return parts


def ensure_identity(folder: Path, now: datetime | None = None) -> Identity:
    """Our own certificate, created when there is none.  Raises `ConfigError` when the files cannot be used."""
    found = identity_or_none(folder)
    if found is None:
        try:
            make_identity(folder, now or datetime.now(UTC))
        except OSError as error:
            raise ConfigError([f"cannot use the certificates in {folder}: {error}"]) from error
        found = identity_or_none(folder)
    assert found is not None
    return found


def identity_or_none(folder: Path) -> Identity | None:
    """Our own certificate.  None: there is none yet.  Raises `ConfigError` when the files cannot be used."""
    certificate_path, key_path = folder / "own" / "certificate.der", folder / "own" / "private_key.pem"
    try:
        if not certificate_path.exists():
            return None
        must_be_file(certificate_path, "our certificate")
        identity = Identity(load(certificate_path.read_bytes()), certificate_path, key_path)
        data = read_private(key_path, "a private key")
    except OSError as error:
        raise ConfigError([f"cannot use the certificates in {folder}: {error}"]) from error
    except ValueError as error:
        raise ConfigError([f"{certificate_path} is not a certificate: {error}"]) from error
    try:
        key = serialization.load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
        belongs = key.public_key() == identity.certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError([f"{key_path} is not a usable private key: {error}"]) from error
    if not belongs:
        raise ConfigError([f"{key_path} is not the key of {certificate_path}: gateway cert renew creates both anew"])
    return identity


def make_identity(folder: Path, now: datetime, hosts: Sequence[str] = (), days: int = DAYS) -> None:
    """Write a new key and a self-signed certificate.  Keeps the old ones beside them as `*.old`."""
    host = socket.gethostname() or "localhost"
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    uri = f"urn:{host}:connected-factory:gateway"
    certificate = self_signed(
        key, f"connected-factory gateway@{host}", uri, [*(hosts or (host, "localhost"))], now=now, days=days
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    own = folder / "own"
    own.mkdir(parents=True, exist_ok=True)
    os.chmod(own, 0o700)
    _replace(own / "private_key.pem", private, 0o600)
    _replace(own / "certificate.der", certificate.public_bytes(serialization.Encoding.DER), 0o644)


def self_signed(
    key: rsa.RSAPrivateKey, name: str, uri: str, hosts: Sequence[str], *, now: datetime, days: int
) -> x509.Certificate:
    """An application instance certificate according to Part 6, table 42."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri), *map(_host_name, hosts)]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(both, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole or not at all, never with more permissions than `mode`."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    if path.exists():
        os.replace(path, path.with_name(path.name + ".old"))
    os.replace(fresh, path)


def expires_at(certificate: x509.Certificate) -> float:
    """Unix time at which it ends."""
    return certificate.not_valid_after_utc.timestamp()
