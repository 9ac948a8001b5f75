"""Passwords that are signatures.  Pure: the clock and what is random come as arguments.

Each function raises `ValueError` for a key that cannot be one.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from urllib.parse import quote


def sas_token(resource: str, key: str, expiry_s: int, policy: str = "") -> str:
    """A shared access signature of Azure for a resource such as `HUB/devices/DEVICE`, until a Unix time.

    `key` is the device's key in base64.  `policy`: `registration` at DPS, nothing for a device at its hub.
    """
    place = quote(resource, safe="")
    signature = base64.b64encode(_hmac(_decoded(key), f"{place}\n{expiry_s}")).decode()
    token = f"SharedAccessSignature sr={place}&sig={quote(signature, safe='')}&se={expiry_s}"
    return f"{token}&skn={policy}" if policy else token


def device_key(group_key: str, registration: str) -> str:
    """The key of one device, derived from the key of its enrolment group (Azure DPS)."""
    return base64.b64encode(_hmac(_decoded(group_key), registration)).decode()


def huawei_password(secret: str, hour: str) -> str:
    """`hour` is the hour of the login in UTC, `2026113008`, and stands in the client id as well."""
    return _hmac(hour.encode(), secret).hex()


def tencent_password(psk: str, username: str) -> str:
    """`psk` is the device's key in base64; the user name holds product, device, and when the login ends."""
    return f"{_hmac(_decoded(psk), username).hex()};hmacsha256"


def alibaba_password(secret: str, client: str, device: str, product: str, millis: str) -> str:
    """Names and values, in the order of the names."""
    text = f"clientId{client}deviceName{device}productKey{product}timestamp{millis}"
    return _hmac(secret.encode(), text).hex()


def web_token(claims: Mapping[str, object], key: str) -> str:
    """A JSON Web Token that is signed with HMAC-SHA256 (RFC 7519), as emulated clouds take it."""
    parts = [json.dumps(each, separators=(",", ":")).encode() for each in ({"alg": "HS256", "typ": "JWT"}, claims)]
    text = ".".join(map(_url_safe, parts))
    return f"{text}.{_url_safe(_hmac(key.encode(), text))}"


def is_signed_with(token: str, key: str) -> bool:
    """Whether a JSON Web Token has this key's HMAC-SHA256."""
    text, _, signature = token.rpartition(".")
    return hmac.compare_digest(_url_safe(_hmac(key.encode(), text)).encode(), signature.encode())


def claims_of(token: str) -> Mapping[str, object]:
    """The claims of a JSON Web Token, without a check of its signature.  Empty: it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the key is not base64: copy it whole from the cloud's console") from error
