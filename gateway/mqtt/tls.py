"""The TLS context of one attempt: versions, authorities, our certificate, all read afresh.

Reading afresh at every connect is how a renewed certificate comes into use.  The broker's certificate and its name are
always checked; there is no switch to turn that off.
"""

import math
import ssl
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from gateway.config import TlsConfig
from gateway.errors import ConfigError


def context(config: TlsConfig) -> ssl.SSLContext:
    """Reads the files, so it blocks.  Raises `ConfigError` with every file that cannot be used, and why."""
    problems: list[str] = []
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3 if config.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    if config.ciphers is not None:
        _choose_ciphers(made, config.ciphers, problems)
    if config.alpn:
        made.set_alpn_protocols(list(config.alpn))
    _load_authorities(made, config.ca, problems)
    if config.certificate is not None:
        _load_certificate(made, config, config.certificate, problems)
    if problems:
        raise ConfigError(problems)
    return made


def expires_s(certificate: Path | None) -> float:
    """Unix time at which a certificate ends; NaN without one, or when it cannot be read."""
    try:
        data = certificate.read_bytes() if certificate else b""
        return x509.load_pem_x509_certificate(data).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return math.nan


def shown_expires_s(shown: Mapping[str, object] | None) -> float:
    """Unix time at which a certificate ends that a peer showed (`SSLSocket.getpeercert`); NaN without one."""
    ends = shown.get("notAfter") if shown else None
    return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else math.nan


def _choose_ciphers(made: ssl.SSLContext, ciphers: str, problems: list[str]) -> None:
    try:
        made.set_ciphers(ciphers)
    except ssl.SSLError:
        problems.append(f"tls.ciphers: no cipher suite of this machine's OpenSSL is named by {ciphers!r}")


def _load_authorities(made: ssl.SSLContext, ca: Path | None, problems: list[str]) -> None:
    if ca is None:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        made.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        problems.append(f"{ca}: no certificate authority can be read from it: {_why(error)}")


def _load_certificate(made: ssl.SSLContext, config: TlsConfig, certificate: Path, problems: list[str]) -> None:
    key = config.key or certificate
    try:
        if key.stat().st_mode & 0o077:
            problems.append(f"{key} holds a private key but others may read it: chmod 600 {key}")
            return
        # Without a password a locked key would ask on the terminal; an empty one makes it an error instead.
        password = config.key_password.read() if config.key_password else ""
        made.load_cert_chain(certificate, key, password)
    except ConfigError as error:
        problems.extend(error.problems)
    except (OSError, ValueError) as error:
        problems.append(f"{certificate} and {key}: our certificate cannot be read from them: {_why(error)}")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
