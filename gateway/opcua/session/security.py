"""The security of a channel: endpoint, certificates, user.

    GetEndpoints (unencrypted) ─► choose ─► trust store ─► secure channel ─► CreateSession repeats the endpoints
                                                                                └─► a stronger one: forged answer

Unencrypted answers are not believed.  The certificate must be trusted, the endpoints are compared again inside the
channel, and `auto` never accepts less security than before (`strongest.json`).
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
from asyncua import Client, ua
from asyncua.crypto import security_policies as policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from gateway.config import SecurityConfig, SourceConfig
from gateway.config.private_files import must_be_file, read_private
from gateway.errors import ConfigError, Rejected, Unavailable
from gateway.in_thread import in_thread
from gateway.metrics import SourceMetrics
from gateway.opcua.session.asyncua_edge import server_endpoints
from gateway.opcua.session.certificates import (
    Identity,
    ensure_identity,
    expires_at,
    first_of_chain,
    identity_or_none,
    load,
    readable,
)
from gateway.opcua.session.fitness import Blemish
from gateway.opcua.session.trust import TrustStore
from gateway.urls import parse_url
from gateway.yaml_positions import Place, Problem, dotted

POLICIES: dict[str, type[policies.SecurityPolicy]] = {
    "Basic256Sha256": policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": policies.SecurityPolicyAes256Sha256RsaPss,
}
"""From weak to strong, without deprecated ones."""
_MODES = {"Sign": ua.MessageSecurityMode.Sign, "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt}
INSECURE_URI = "urn:connected-factory:gateway"


@dataclass(frozen=True, slots=True, order=True)
class Level:
    """How secure an endpoint is.  Encryption counts more than the policy."""

    mode: int
    policy: int

    @property
    def text(self) -> str:
        return f"{list(POLICIES)[self.policy]}, {list(_MODES)[self.mode]}"


def level_of(endpoint: ua.EndpointDescription) -> Level | None:
    """The level of an endpoint.  None: not supported (SecurityPolicy None, deprecated or unknown ones)."""
    policy = (endpoint.SecurityPolicyUri or "").rpartition("#")[2]
    modes = list(_MODES.values())
    if policy not in POLICIES or endpoint.SecurityMode not in modes:
        return None
    if not (endpoint.EndpointUrl or "").startswith("opc.tcp://"):
        return None
    return Level(modes.index(endpoint.SecurityMode), list(POLICIES).index(policy))


def strongest(
    endpoints: Sequence[ua.EndpointDescription], security: SecurityConfig
) -> tuple[Level, ua.EndpointDescription] | None:
    """The most secure endpoint that the configuration allows.  None: there is none."""
    allowed = []
    for endpoint in endpoints:
        level = level_of(endpoint)
        if level is None:
            continue
        fits_policy = security.policy in ("auto", list(POLICIES)[level.policy])
        if fits_policy and security.mode in ("auto", list(_MODES)[level.mode]):
            allowed.append((level, endpoint))
    return max(allowed, key=lambda pair: pair[0], default=None)


def check(config: SourceConfig) -> None:
    """Read every secret and key that a session needs, and create the certificate at the first start.

    Raises `ConfigError` with every problem.  Problems that appear later are retried.
    """
    problems = [f"{config.name}: {dotted(place)}: {text}" for place, text in problems_with(config)]
    if not problems and config.security is not None:
        ensure_identity(config.security.pki)
    if problems:
        raise ConfigError(problems)


def problems_with(config: SourceConfig) -> list[Problem]:
    """Files and secrets that a session needs and cannot use, each with its place within `config`.  Creates no files."""
    reads: list[tuple[Place, Callable[[], object]]] = [(("user_certificate",), partial(_user_certificate, config))]
    if config.password is not None:
        reads.append((("password",), config.password.read))
    if config.security is not None:
        reads.append((("security", "pki"), partial(_look_into, config.security)))
    problems: list[Problem] = []
    for place, read in reads:
        try:
            read()
        except ConfigError as error:
            problems += [(place, text) for text in error.problems]
    return problems


def _look_into(security: SecurityConfig) -> None:
    identity_or_none(security.pki)
    _remembered(security)


@contextmanager
def own_files(where: str) -> Iterator[None]:
    """Turn a problem with our own files while the gateway runs into `Unavailable`, so that it is retried."""
    try:
        yield
    except ConfigError as error:
        raise Unavailable(f"cannot connect to {where}: {'; '.join(error.problems)}") from error


def credentials(config: SourceConfig) -> tuple[str | None, str | None]:
    """User name and password, read now.  None: there is none.  Raises `ConfigError`."""
    if config.username is None or config.password is None:
        return None, None
    return config.username, config.password.read()


async def secure(client: Client, config: SourceConfig, metrics: SourceMetrics) -> Level | None:
    """Prepare the client for the channel and the user of this source.  Returns the level; None: insecure.

    Raises `Unavailable` when the server offers no allowed endpoint or is not trusted, `ConfigError` when our own files
    cannot be used.
    """
    user = await in_thread(partial(_user_certificate, config), f"user certificate of {config.name}")
    client.user_certificate, client.user_private_key = user or (None, None)
    if config.security is None or config.security.policy == "None":
        client.application_uri = INSECURE_URI
        return None
    security = config.security
    identity, secured = await in_thread(partial(_own, security), f"our certificate for {config.name}")
    client.application_uri = identity.application_uri
    metrics.own_certificate_expires.set(expires_at(identity.certificate))
    endpoints = await server_endpoints(client, config.request_timeout)
    chosen = strongest(endpoints, security)
    if chosen is None:
        offered = ", ".join(sorted({_named(endpoint) for endpoint in endpoints})) or "nothing"
        wanted = f"policy {security.policy}, mode {security.mode}"
        without = "; insecure (browse: --insecure) connects without security" if offered == "None None" else ""
        raise Unavailable(f"{config.url} offers no endpoint that is allowed ({wanted}): it offers {offered}{without}")
    level, endpoint = chosen
    certificate, accepted = await in_thread(
        partial(_believed, endpoint, config, security, level), f"trusted certificates for {config.name}"
    )
    readable_form = readable(certificate)[0]
    metrics.server_certificate_expires.set(expires_at(readable_form))
    tell_accepted(config, accepted, metrics)
    policy, mode = list(POLICIES.values())[level.policy], list(_MODES.values())[level.mode]
    shown = CertProperties(readable_form.public_bytes(serialization.Encoding.DER), "der")
    await client.set_security(policy, *secured, server_certificate=shown, mode=mode)
    client.security_policy.peer_certificate = certificate  # what the server shows and compares
    return level


def tell_accepted(config: SourceConfig, accepted: Sequence[Blemish], metrics: SourceMetrics) -> None:
    """Log and count the accepted faults, at every connect, so that they are not forgotten."""
    log = structlog.get_logger("gateway.opcua").bind(source=config.name)
    for each in accepted:
        metrics.blemishes_accepted[each.name].inc()
        log.warning("accepted although it is wrong, as the configuration says", accept=each.name, what=each.text)


def _own(security: SecurityConfig) -> tuple[Identity, tuple[CertProperties, CertProperties]]:
    """Our identity, and our certificate and key in asyncua's form."""
    identity = ensure_identity(security.pki)
    certificate, key = identity.certificate_path.read_bytes(), identity.key_path.read_bytes()
    return identity, (CertProperties(certificate, "der"), CertProperties(key, "pem"))


def _believed(
    endpoint: ua.EndpointDescription, config: SourceConfig, security: SecurityConfig, level: Level
) -> tuple[bytes, list[Blemish]]:
    """The trusted certificate of an endpoint, which must not be weaker than before."""
    _refuse_weaker(config, security, level)
    return check_server(endpoint, config, security)


def now() -> datetime:
    return datetime.now(UTC)


def check_server(
    endpoint: ua.EndpointDescription, config: SourceConfig, security: SecurityConfig
) -> tuple[bytes, list[Blemish]]:
    """The server's certificate (DER), if it is trusted, and its accepted faults.

    Raises `Unavailable` with the remedy.
    """
    host = parse_url(config.url, ["opc.tcp"]).host if security.check_host else None
    shown = endpoint.ServerCertificate or b""
    uri = endpoint.Server.ApplicationUri or ""
    needs_crl = security.missing_crl == "refuse"
    try:
        _, accepted = TrustStore(security.pki).check(
            shown, uri, host, now(), accept=security.accept, needs_crl=needs_crl
        )
    except Rejected as error:
        raise Unavailable(f"{config.url} is refused: {error}", "tls") from error
    except OSError as error:
        raise ConfigError([f"cannot use the certificates in {security.pki}: {error}"]) from error
    return first_of_chain(shown), accepted


def prefer_encrypted_tokens(created: ua.CreateSessionResult) -> None:
    """Sort the user token policies, so that asyncua, which takes the first, uses the one that encrypts best."""

    def strength(token: ua.UserTokenPolicy) -> int:
        policy = (token.SecurityPolicyUri or "").rpartition("#")[2]
        return list(POLICIES).index(policy) if policy in POLICIES else -1

    for endpoint in created.ServerEndpoints or []:
        if endpoint.UserIdentityTokens:
            endpoint.UserIdentityTokens.sort(key=strength, reverse=True)


def confirm(created: ua.CreateSessionResult, config: SourceConfig, level: Level | None) -> list[Blemish]:
    """Compare the endpoints inside the channel with those received unencrypted, and remember the level.

    Returns the accepted faults of a certificate that is seen only now.  Raises `Unavailable` when a stronger endpoint
    was withheld.
    """
    if config.security is None:
        return []
    if level is None:
        return _trust_whom_the_password_is_for(created, config, config.security)
    best = strongest(created.ServerEndpoints or [], config.security)
    if best is not None and best[0] > level:
        raise Unavailable(
            f"{config.url} offers {best[0].text} inside the channel but {level.text} outside: "
            "somebody on the way changes its answers"
        )
    if config.security.policy == "auto" or config.security.mode == "auto":
        _remember(config, config.security, level)
    return []


def _trust_whom_the_password_is_for(
    created: ua.CreateSessionResult, config: SourceConfig, security: SecurityConfig
) -> list[Blemish]:
    """Check the session's certificate, which encrypts the password if the channel is not secure."""
    endpoint = next((each for each in created.ServerEndpoints or [] if each.Server is not None), None)
    if endpoint is None:
        raise Unavailable(f"{config.url} does not say who it is")
    endpoint.ServerCertificate = created.ServerCertificate
    return check_server(endpoint, config, security)[1]


def protects_password(client: Client) -> bool:
    """Whether a password would be encrypted: by the channel, or by the policy of the user token."""
    policy = client.server_policy(ua.UserTokenType.UserName)
    encrypted = client.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
    return encrypted or (policy.SecurityPolicyUri or "").rpartition("#")[2] in POLICIES


def _user_certificate(config: SourceConfig) -> tuple[x509.Certificate, PrivateKeyTypes] | None:
    certificate, key = config.user_certificate, config.user_key
    if certificate is None or key is None:
        return None
    try:
        must_be_file(certificate, "the user certificate")
        user = load(certificate.read_bytes()), _private_key(read_private(key, "a private key"))
        belongs = user[0].public_key() == user[1].public_key()
    except OSError as error:
        raise ConfigError([f"cannot use the user certificate {certificate}: {error}"]) from error
    except TypeError as error:  # what cryptography says of a password that is not given
        raise ConfigError([
            f"{key} is locked with a password, which the gateway does not take here: unlock a copy "
            f"(openssl pkey -in {key} -out …), which others must not be able to read"
        ]) from error  # fmt: skip
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError([f"cannot use the user certificate {certificate} and {key}: {error}"]) from error
    if not belongs:
        raise ConfigError([f"{key} is not the key of the user certificate {certificate}"])
    return user


def _private_key(data: bytes) -> PrivateKeyTypes:
    if data.lstrip().startswith(b"-----"):
        return serialization.load_pem_private_key(data, None)
    return serialization.load_der_private_key(data, None)


def _named(endpoint: ua.EndpointDescription) -> str:
    policy = (endpoint.SecurityPolicyUri or "").rpartition("#")[2]
    return f"{policy} {ua.MessageSecurityMode(endpoint.SecurityMode).name.rstrip('_')}"


# -- the memory of `auto` --------------------------------------------------------------------------------------------


def _memory(security: SecurityConfig) -> Path:
    return security.pki / "strongest.json"


def _remembered(security: SecurityConfig) -> dict[str, Level]:
    """The remembered levels by URL; empty at first.  Raises `ConfigError` when the file cannot be read."""
    path = _memory(security)
    try:
        memory = json.loads(path.read_text(encoding="utf-8"))
        return {str(url): Level(*(int(each) for each in level)) for url, level in memory.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError([
            f"{path} cannot be read ({error}), so nobody can tell whether a server is weaker than it was: restore it, "
            "or remove it if all servers may be met anew"
        ]) from error  # fmt: skip


def _refuse_weaker(config: SourceConfig, security: SecurityConfig, level: Level) -> None:
    before = _remembered(security).get(config.url)
    if before is not None and level < before:
        raise Unavailable(
            f"{config.url} now offers no more than {level.text}, but offered {before.text} before: "
            f"if this is intended, set policy and mode in the configuration, or remove it from {_memory(security)}",
            "tls",
        )


def _remember(config: SourceConfig, security: SecurityConfig, level: Level) -> None:
    """Remember the level durably: half a file would be refused from then on.  Other sources share the folder."""
    path = _memory(security)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        memory = _remembered(security)
        if memory.get(config.url) == level:
            return
        levels = {url: [each.mode, each.policy] for url, each in (memory | {config.url: level}).items()}
        fresh = path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(json.dumps(levels, indent=1))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
