"""The TLS context of one attempt: versions, authorities and our certificate, all read anew.

Reading them at every connect puts a renewed certificate into use.  The broker's certificate and its name are always
checked; no setting turns that off.
"""

import math
import ssl
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from gateway.config import TlsConfig
from gateway.config.private_files import must_be_file, rule_for
from gateway.errors import ConfigError
from gateway.yaml_positions import Place, Problem


def context(config: TlsConfig) -> ssl.SSLContext:
    """Build the context.  Reads files, so it blocks.  Raises `ConfigError` with every unusable file, and why."""
    made, problems = _made(config)
    if problems:
        raise ConfigError([text for _, text in problems])
    return made


def problems_with(config: TlsConfig) -> list[Problem]:
    """Every unusable file with its key, and why.  Reads files, so it blocks."""
    return _made(config)[1]


def _made(config: TlsConfig) -> tuple[ssl.SSLContext, list[Problem]]:
    problems: list[Problem] = []
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3 if config.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    if config.ciphers is not None:
        _choose_ciphers(made, config.ciphers, problems)
    if config.alpn:
        made.set_alpn_protocols(list(config.alpn))
    _load_authorities(made, config.ca, problems)
    if config.crl is not None:
        _load_revocations(made, config.crl, problems)
    if config.certificate is not None:
        _load_certificate(made, config, config.certificate, problems)
    return made, problems


def expires_s(certificate: Path | None) -> float:
    """Unix time at which a certificate ends.  NaN: there is none, or it cannot be read."""
    if certificate is None:
        return math.nan
    try:
        must_be_file(certificate, "a certificate")
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    except (ConfigError, OSError, ValueError):
        return math.nan


def shown_expires_s(shown: Mapping[str, object] | None) -> float:
    """Unix time at which a peer's certificate ends (`SSLSocket.getpeercert`).  NaN: it has none."""
    ends = shown.get("notAfter") if shown else None
    try:
        return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else math.nan
    except ValueError:
        return math.nan


def _choose_ciphers(made: ssl.SSLContext, ciphers: str, problems: list[Problem]) -> None:
    try:
        made.set_ciphers(ciphers)
    except ssl.SSLError:
        problems.append((("ciphers",), f"{ciphers!r} names no cipher suite of this machine's OpenSSL"))


def _load_authorities(made: ssl.SSLContext, ca: Path | None, problems: list[Problem]) -> None:
    if ca is None:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        must_be_file(ca, "certificate authorities")
        made.load_verify_locations(cafile=ca)
    except ConfigError as error:
        problems += [(("ca",), text) for text in error.problems]
    except (OSError, ValueError) as error:
        problems.append((("ca",), f"{ca}: contains no readable certificate authority: {_why(error)}"))


def _load_revocations(made: ssl.SSLContext, crl: Path, problems: list[Problem]) -> None:
    """OpenSSL refuses from then on whoever is listed, and whoever's issuer has no list or one that is out of date."""
    try:
        must_be_file(crl, "revocation lists")
        if b"-----BEGIN X509 CRL-----" not in crl.read_bytes():
            raise ValueError("there is no revocation list in it (PEM)")
        made.load_verify_locations(cafile=crl)
    except ConfigError as error:
        problems += [(("crl",), text) for text in error.problems]
        return
    except (OSError, ValueError) as error:
        problems.append((("crl",), f"{crl}: no revocation list can be read from it: {_why(error)}"))
        return
    made.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


def _load_certificate(made: ssl.SSLContext, config: TlsConfig, certificate: Path, problems: list[Problem]) -> None:
    key = config.key or certificate
    key_place: Place = ("certificate",) if config.key is None else ("key",)
    try:
        must_be_file(certificate, "a certificate")
    except (ConfigError, OSError) as error:
        told = (
            error.problems if isinstance(error, ConfigError) else [f"{certificate}: cannot be read: {error.strerror}"]
        )
        problems.extend((("certificate",), text) for text in told)
        return
    try:
        rule_for(key, "a private key")
    except (ConfigError, OSError) as error:
        told = error.problems if isinstance(error, ConfigError) else [f"{key}: cannot be read: {error.strerror}"]
        problems.extend((key_place, text) for text in told)
        return
    try:
        # For an encrypted key OpenSSL would ask for the password on the terminal; an empty one makes that an error.
        password = config.key_password.read() if config.key_password else ""
    except ConfigError as error:
        problems.extend((("key_password",), text) for text in error.problems)
        return
    try:
        made.load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:
        place, why = _locked(key, password) or (("certificate",), _why(error))
        problems.append((place, f"{certificate} and {key}: cannot read our certificate from them: {why}"))


def _locked(key: Path, password: str) -> tuple[Place, str] | None:
    """The problem with the password of the key, which OpenSSL does not explain.  None: another cause."""
    try:
        data = key.read_bytes()
    except OSError:
        return None
    if b"ENCRYPTED" not in data:
        return None
    try:
        serialization.load_pem_private_key(data, password.encode() or None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        if not password:
            return ("key_password",), "the key is encrypted: tls.key_password must name its password"
        return ("key_password",), "tls.key_password is not the password of the key"
    return None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
