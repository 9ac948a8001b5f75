"""The PKI folder of the simulators by command line: requests, trust, and revocation.

    own.der, own.pem     our certificate and key           trusted/   certificates of clients that may connect
    own.csr              a request, for an authority       crl/       revocation lists of authorities
                                                           rejected/  what is not trusted any more

All of it is read anew for every session, so a change needs no restart.
"""

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from simulators.errors import ConfigError
from simulators.server.pki import own_certificate


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate, DER or PEM.  Raises `ConfigError`."""
    data = _read(path)
    try:
        return x509.load_pem_x509_certificate(data) if b"-----BEGIN" in data else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise ConfigError([f"{path}: no certificate (DER or PEM): {error}"]) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from error


def _write(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    os.replace(fresh, path)
    return path


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the certificate in hexadecimal: what OPC UA calls its thumbprint."""
    return certificate.fingerprint(hashes.SHA1()).hex()


def request(pki: Path, application_uri: str) -> Path:
    """Write a signing request for our key, with the names of our certificate.  Returns its path."""
    own, key_path = own_certificate(pki, application_uri)
    key = load_pem_private_key(_read(key_path), None)
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError([f"{key_path}: no RSA key"])
    certificate = read_certificate(own)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    builder = x509.CertificateSigningRequestBuilder().subject_name(certificate.subject)
    made = builder.add_extension(names.value, critical=False).sign(key, hashes.SHA256())
    return _write(pki / "own.csr", made.public_bytes(Encoding.PEM))


def install(pki: Path, path: Path) -> Path:
    """Take a certificate that an authority made for our key.  Raises `ConfigError` when it is for another key."""
    certificate = read_certificate(path)
    key = load_pem_private_key(_read(pki / "own.pem"), None)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    if certificate.public_key().public_bytes(Encoding.DER, form) != key.public_key().public_bytes(Encoding.DER, form):
        raise ConfigError([f"{path}: is not for the key {pki / 'own.pem'}"])
    return _write(pki / "own.der", certificate.public_bytes(Encoding.DER))


def trust(pki: Path, path: Path) -> Path:
    """Let a client, or the clients of an authority, connect."""
    certificate = read_certificate(path)
    name = f"{fingerprint(certificate)}.der"
    (pki / "rejected" / name).unlink(missing_ok=True)
    return _write(pki / "trusted" / name, certificate.public_bytes(Encoding.DER))


def revoke(pki: Path, path: Path) -> Path:
    """Do not let this certificate connect any more.  Raises `ConfigError` when it was not trusted."""
    wanted = fingerprint(read_certificate(path))
    trusted = pki / "trusted"
    found = [each for each in trusted.rglob("*") if each.is_file() and fingerprint(read_certificate(each)) == wanted]
    if not found:
        raise ConfigError([f"{path}: {wanted} is not in {trusted}"])
    kept = _write(pki / "rejected" / f"{wanted}.der", read_certificate(path).public_bytes(Encoding.DER))
    for each in found:
        each.unlink()
    return kept


def revocation_list(pki: Path, path: Path) -> Path:
    """Take a revocation list, DER or PEM.  Raises `ConfigError`, also when no trusted authority has signed it."""
    data = _read(path)
    try:
        crl = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
    except ValueError as error:
        raise ConfigError([f"{path}: no revocation list (DER or PEM): {error}"]) from error
    issuers = [read_certificate(each) for each in (pki / "trusted").rglob("*") if each.is_file()]
    keys = [each.public_key() for each in issuers if each.subject == crl.issuer]
    if not any(crl.is_signature_valid(key) for key in keys):  # type: ignore[arg-type]  # any kind of key may sign
        raise ConfigError([f"{path}: no certificate in {pki / 'trusted'} has signed it: {crl.issuer.rfc4514_string()}"])
    name = crl.issuer.public_bytes().hex()[-40:]
    return _write(pki / "crl" / f"{name}.der", crl.public_bytes(Encoding.DER))
