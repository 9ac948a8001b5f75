"""NKeys and credentials files, with which NATS knows its users.

An NKey is an Ed25519 key: the server sends a nonce and gets it back signed, so the seed never leaves this machine.  A
credentials file holds a token that an account has signed for such a key, and the key's seed.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.config.private_files import read_private
from gateway.errors import ConfigError

_SEED, _USER = 18 << 3, 20 << 3
"""Prefix bytes of NKeys."""
_PART = r"-----BEGIN {0}-----\s*([A-Za-z0-9+/=_.-]+)\s*------?END {0}------?"


def credentials_in(path: Path, nonce: str) -> tuple[str, str]:
    """The token of a credentials file, and the signed nonce.  Blocks.  Raises `ConfigError`."""
    jwt, seed = _parts_of(path)
    return jwt, signed(key_of(seed, str(path)), nonce)


def callbacks(path: Path | None) -> tuple[Callable[[], bytes] | None, Callable[[str], bytes] | None]:
    """What gives nats-py the token and the signature, at each connect anew; without a file: nothing.

    They raise `OSError` for a file that cannot be used: after that the client tries again.
    """
    if path is None:
        return None, None

    def read(nonce: str) -> tuple[str, str]:
        try:
            return credentials_in(path, nonce)
        except ConfigError as error:
            raise OSError("; ".join(error.problems)) from error

    def token() -> bytes:
        return read("")[0].encode()

    return token, lambda nonce: read(nonce)[1].encode()


def problems_with(path: Path) -> list[str]:
    """Why a credentials file cannot be used.  Reads it, and blocks."""
    try:
        credentials_in(path, "")
    except ConfigError as error:
        return list(error.problems)
    return []


def expires_s(path: Path) -> float:
    """Unix time at which a credentials file ends.  NaN: never, or not readable."""
    try:
        jwt, _ = _parts_of(path)
        claims = json.loads(_from_base64(jwt.split(".")[1]))
        return float(claims.get("exp") or math.nan)
    except (ConfigError, ValueError, IndexError, AttributeError, TypeError):
        return math.nan


def key_of(seed: str, where: str) -> Ed25519PrivateKey:
    """The key of a seed such as `SUA…`: base32 of two prefix bytes, 32 bytes, and a CRC-16.  Raises `ConfigError`."""
    try:
        raw = base64.b32decode(seed.strip() + "=" * (-len(seed.strip()) % 8))
    except binascii.Error as error:
        raise ConfigError([f"{where} should hold the seed of an NKey (SU…)"]) from error
    is_user = len(raw) == 36 and raw[0] & 0xF8 == _SEED and (raw[0] & 7) << 5 | raw[1] >> 3 == _USER
    if not is_user or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise ConfigError([f"{where} should hold the seed of a user's NKey (SU…)"])
    return Ed25519PrivateKey.from_private_bytes(raw[2:34])


def public(key: Ed25519PrivateKey) -> str:
    """The NKey of a user (`U…`)."""
    raw = bytes((_USER,)) + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def signed(key: Ed25519PrivateKey, nonce: str) -> str:
    """A nonce of the server, signed, as it stands in a CONNECT."""
    return base64.urlsafe_b64encode(key.sign(nonce.encode())).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parts_of(path: Path) -> tuple[str, str]:
    """JWT and seed of a credentials file."""
    text = read_private(path, "NATS credentials").decode(errors="replace")
    found = [re.search(_PART.format(each), text) for each in ("NATS USER JWT", "USER NKEY SEED")]
    if found[0] is None or found[1] is None:
        raise ConfigError([f"{path} is no credentials file of NATS: it must hold a user JWT and a seed"])
    return found[0][1], found[1][1]
