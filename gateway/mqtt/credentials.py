"""Values derived from secrets: the query of a web socket address, and the end of a password that is a token."""

import math
import random
import re
import string
import time
from dataclasses import replace
from urllib.parse import parse_qs

from gateway.config import BrokerConfig, CredentialsConfig, Secret
from gateway.errors import ConfigError
from gateway.profiles import Profile, signing
from gateway.profiles.names import Credentials, credentials_of

_QUERY = re.compile(r"[!$-~]+")
"""The characters allowed after `?` (RFC 3986, 3.4): no spaces, no line ends, no `#`."""


def query_of(secret: Secret) -> str:
    """The query of a web socket address.  Raises `ConfigError`."""
    query = secret.read().removeprefix("?")
    if not _QUERY.fullmatch(query):
        raise ConfigError(["the secret for query contains a character that is not allowed in an address"])
    return query


def expires_s(password: Secret | None) -> float:
    """Unix time at which a password or token ends.  NaN: there is none, it cannot be read, or it states no end."""
    try:
        return token_expires_s(password.read()) if password else math.nan
    except ConfigError:
        return math.nan


def key_of(config: CredentialsConfig, device: str) -> str | None:
    """The device's key, also where it follows from that of its group, or its token.  None: it shows a certificate.

    Raises `ConfigError`.
    """
    for secret in (config.key, config.token):
        if secret is not None:
            return secret.read()
    if config.group_key is None:
        return None
    try:
        return signing.device_key(config.group_key.read(), device)
    except ValueError as error:
        raise ConfigError([f"credentials.group_key: {error}"]) from error


def login_of(config: BrokerConfig, profile: Profile, device: str, password: str | None) -> Credentials:
    """What a CONNECT says now.  `password`: the configured one.  Reads secrets, and raises `ConfigError`."""
    who = config.who(device)
    secret, lifetime_s = password, None
    if config.credentials is not None:
        secret, lifetime_s = key_of(config.credentials, who.device), config.credentials.lifetime
    nonce = "".join(random.choices(string.ascii_lowercase + string.digits, k=6))
    try:
        made = credentials_of(profile, who, secret, time.time(), nonce=nonce, lifetime_s=lifetime_s)
    except ValueError as error:
        raise ConfigError([f"credentials.key: {error}"]) from error
    if config.credentials is None:
        ends_s = token_expires_s(password) if password is not None else math.nan
        made = replace(made, password=password, ends_s=ends_s)
    client_id = config.client_id if config.client_id and profile.login.client_id == "{device}" else made.client_id
    method = ""
    if config.credentials is not None and config.credentials.token is not None:
        method = config.credentials.method or profile.login.methods[0]
        made = replace(made, ends_s=token_expires_s(made.password or ""))
    return replace(made, client_id=client_id, username=config.username or made.username, method=method)


def token_expires_s(token: str) -> float:
    """`exp` of a JSON Web Token (RFC 7519, 4.1.4), or `se` of a shared access signature.  NaN for other texts."""
    if token.startswith("SharedAccessSignature "):
        said: object = next(iter(parse_qs(token.partition(" ")[2]).get("se", [])), None)
    else:
        said = signing.claims_of(token).get("exp")
    try:
        return float(said) if isinstance(said, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return math.nan
