"""Values derived from secrets: the query of a web socket address, and the end of a password that is a token."""

import base64
import binascii
import json
import math
import re
from urllib.parse import parse_qs

from gateway.config import Secret
from gateway.errors import ConfigError

_QUERY = re.compile(r"[!$-~]+")
"""The characters allowed after `?` (RFC 3986, 3.4): no spaces, no line ends, no `#`."""


def query_of(secret: Secret) -> str:
    """The query of a web socket address.  Raises `ConfigError`."""
    query = secret.read().removeprefix("?")
    if not _QUERY.fullmatch(query):
        raise ConfigError(["the secret for query contains a character that is not allowed in an address"])
    return query


def expires_s(password: Secret | None) -> float:
    """Unix time at which the password ends.  NaN: there is none, it cannot be read, or it states no end."""
    try:
        return token_expires_s(password.read()) if password else math.nan
    except ConfigError:
        return math.nan


def token_expires_s(token: str) -> float:
    """`exp` of a JSON Web Token (RFC 7519, 4.1.4), or `se` of a shared access signature.  NaN for other texts."""
    if token.startswith("SharedAccessSignature "):
        said: object = next(iter(parse_qs(token.partition(" ")[2]).get("se", [])), None)
    else:
        said = _claims(token).get("exp")
    try:
        return float(said) if isinstance(said, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _claims(token: str) -> dict[str, object]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
