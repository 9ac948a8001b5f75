"""The simulator's own certificate, made when there is none, and the users it knows.

A PKI folder holds `own.der` and `own.pem` (certificate and private key, readable by the owner only).  If it also holds
`trusted/`, only clients whose certificates are there at that moment, or in a folder below, may connect; none may when
it is empty.  `crl/` holds revocation lists.  A users file is YAML: name and password, or a mapping with `password` and
`role` (`operator`, the default, or `observer`, who may only read).
"""

import os
import socket
from pathlib import Path

import structlog
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from simulators.errors import ConfigError
from simulators.yaml_positions import read_yaml

DAYS = 3650
SUBJECT = {"commonName": "connected-factory simulator", "organizationName": "connected-factory"}


def own_certificate(folder: Path, application_uri: str) -> tuple[Path, Path]:
    """The paths of certificate and private key.  Makes them when missing (self-signed, RSA 2048, ten years)."""
    certificate, key = folder / "own.der", folder / "own.pem"
    if certificate.is_file() and key.is_file():
        return certificate, key
    folder.mkdir(parents=True, exist_ok=True)
    private_key = generate_private_key()
    made = generate_self_signed_app_certificate(
        private_key,
        SUBJECT["commonName"],
        SUBJECT,
        [
            x509.UniformResourceIdentifier(application_uri),
            x509.DNSName(socket.gethostname()),
            x509.DNSName("localhost"),
        ],
        extended=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
        days=DAYS,
    )
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(dump_private_key_as_pem(private_key))
    certificate.write_bytes(made.public_bytes(Encoding.DER))
    structlog.get_logger("simulators").info("own certificate created", certificate=str(certificate))
    return certificate, key


def trusted_folder(folder: Path) -> Path | None:
    """The folder of trusted client certificates, if there is one."""
    trusted = folder / "trusted"
    return trusted if trusted.is_dir() else None


def show_certificate(certificate: Path, copy: Path) -> None:
    """Copy the certificate, never the key, to a place where clients find it.  The copy is written whole or not at all.

    Raises `ConfigError`.
    """
    fresh = copy.with_name(f".{copy.name}.new")
    try:
        fresh.write_bytes(certificate.read_bytes())
        os.replace(fresh, copy)
    except OSError as error:
        raise ConfigError([f"cannot write our certificate to {copy}: {error.strerror or error}"]) from error


ROLES = ("operator", "observer")


def users_of(path: Path | None) -> dict[str, str]:
    """Names and passwords.  Raises `ConfigError` for anything but a mapping of texts."""
    return {name: password for name, (password, _) in _accounts(path).items()}


def observers_of(path: Path | None) -> frozenset[str]:
    """The users who may only read.  Raises `ConfigError`."""
    return frozenset(name for name, (_, role) in _accounts(path).items() if role == "observer")


def _accounts(path: Path | None) -> dict[str, tuple[str, str]]:
    """Password and role of each user."""
    if path is None:
        return {}
    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise ConfigError([document.problem((), "write one user per line, `name: password`")])
    found: dict[str, tuple[str, str]] = {}
    wrong: list[str] = []
    for name, told in document.value.items():
        given = told if isinstance(told, dict) else {"password": told}
        password, role = given.get("password"), given.get("role", "operator")
        if not isinstance(name, str) or not isinstance(password, str):
            wrong.append(document.problem((name,), "name and password must be texts: quote them"))
        elif role not in ROLES or set(given) - {"password", "role"}:
            wrong.append(document.problem((name,), f"has `password` and `role`, which is {' or '.join(ROLES)}"))
        else:
            found[name] = password, role
    if wrong:
        raise ConfigError(wrong)
    return found
