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
from gateway.config.private_files import rule_for
from gateway.errors import ConfigError
from gateway.yaml_positions import Place, Problem


def context(config: TlsConfig) -> ssl.SSLContext:
    """Reads the files, so it blocks.  Raises `ConfigError` with every file that cannot be used, and why."""
    made, problems = _made(config)
    if problems:
        raise ConfigError([text for _, text in problems])
    return made


def problems_with(config: TlsConfig) -> list[Problem]:
    """Every file that cannot be used, with its key, and why.  Reads the files, so it blocks."""
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
    if config.certificate is not None:
        _load_certificate(made, config, config.certificate, problems)
    return made, problems


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
    try:
        return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else math.nan
    except ValueError:
        return math.nan


def _choose_ciphers(made: ssl.SSLContext, ciphers: str, problems: list[Problem]) -> None:
    try:
        made.set_ciphers(ciphers)
    except ssl.SSLError:
        problems.append((("ciphers",), f"no cipher suite of this machine's OpenSSL is named by {ciphers!r}"))


def _load_authorities(made: ssl.SSLContext, ca: Path | None, problems: list[Problem]) -> None:
    if ca is None:
        made.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        made.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        problems.append((("ca",), f"{ca}: no certificate authority can be read from it: {_why(error)}"))


def _load_certificate(made: ssl.SSLContext, config: TlsConfig, certificate: Path, problems: list[Problem]) -> None:
    key = config.key or certificate
    key_place: Place = ("certificate",) if config.key is None else ("key",)
    try:
        rule_for(key, "a private key")
    except (ConfigError, OSError) as error:
        told = error.problems if isinstance(error, ConfigError) else [f"{key}: cannot be read: {error.strerror}"]
        problems.extend((key_place, text) for text in told)
        return
    try:
        # Without a password a locked key would ask on the terminal; an empty one makes it an error instead.
        password = config.key_password.read() if config.key_password else ""
    except ConfigError as error:
        problems.extend((("key_password",), text) for text in error.problems)
        return
    try:
        made.load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:
        problems.append(
            (("certificate",), f"{certificate} and {key}: our certificate cannot be read from them: {_why(error)}")
        )


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
