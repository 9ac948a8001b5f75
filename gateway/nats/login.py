"""Who we are to a NATS server: user and password, token, NKey, or a credentials file.  Read at every connect.

An NKey is an Ed25519 key: the server sends a nonce and gets it back signed, so the seed never leaves this machine.
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

from gateway.config import BrokerConfig
from gateway.config.private_files import read_private
from gateway.errors import ConfigError
from gateway.yaml_positions import Place, Problem

_SEED, _USER = 18 << 3, 20 << 3
"""Prefix bytes of NKeys."""
_PART = r"-----BEGIN {0}-----\s*([A-Za-z0-9+/=_.-]+)\s*------?END {0}------?"


def login_of(config: BrokerConfig, nonce: str) -> dict[str, str]:
    """The fields of a CONNECT that say who we are.  Reads secrets, and blocks.  Raises `ConfigError`."""
    nats = config.nats_or_default
    if nats.credentials is not None:
        jwt, seed = _parts_of(nats.credentials)
        return {"jwt": jwt, "sig": _signed(_key_of(seed, str(nats.credentials)), nonce)}
    if nats.nkey is not None:
        key = _key_of(nats.nkey.read(), "nats.nkey")
        return {"nkey": _public(key), "sig": _signed(key, nonce)}
    if nats.token is not None:
        return {"auth_token": nats.token.read()}
    found = {"user": config.username} if config.username is not None else {}
    return {**found, "pass": config.password.read()} if config.password is not None else found


def problems_with_login(config: BrokerConfig) -> list[Problem]:
    """Secrets that cannot be read or used.  Reads all of them, and blocks."""
    nats = config.nats_or_default
    tries: list[tuple[Place, Callable[[], object]]] = []
    if nats.credentials is not None or nats.nkey is not None or nats.token is not None:
        name = next(each for each in ("credentials", "nkey", "token") if getattr(nats, each) is not None)
        tries.append((("nats", name), lambda: login_of(config, "")))
    elif config.password is not None:
        tries.append((("password",), config.password.read))
    problems: list[Problem] = []
    for place, read in tries:
        try:
            read()
        except ConfigError as error:
            problems += [(place, text) for text in error.problems]
    return problems


def expires_s(config: BrokerConfig) -> float:
    """Unix time at which the login ends: that of the credentials file.  NaN: unlimited, or not readable."""
    if (path := config.nats_or_default.credentials) is None:
        return math.nan
    try:
        jwt, _ = _parts_of(path)
        claims = json.loads(_from_base64(jwt.split(".")[1]))
        return float(claims.get("exp") or math.nan)
    except (ConfigError, ValueError, IndexError, AttributeError, TypeError):
        return math.nan


def _from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parts_of(path: Path) -> tuple[str, str]:
    """JWT and seed of a credentials file."""
    text = read_private(path, "NATS credentials").decode(errors="replace")
    found = [re.search(_PART.format(each), text) for each in ("NATS USER JWT", "USER NKEY SEED")]
    if found[0] is None or found[1] is None:
        raise ConfigError([f"{path} is no credentials file of NATS: it must hold a user JWT and a seed"])
    return found[0][1], found[1][1]


def _key_of(seed: str, where: str) -> Ed25519PrivateKey:
    """The key of a seed such as `SUA…`: base32 of two prefix bytes, 32 bytes, and a CRC-16."""
    try:
        raw = base64.b32decode(seed.strip() + "=" * (-len(seed.strip()) % 8))
    except binascii.Error as error:
        raise ConfigError([f"{where} should hold the seed of an NKey (SU…)"]) from error
    is_user = len(raw) == 36 and raw[0] & 0xF8 == _SEED and (raw[0] & 7) << 5 | raw[1] >> 3 == _USER
    if not is_user or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise ConfigError([f"{where} should hold the seed of a user's NKey (SU…)"])
    return Ed25519PrivateKey.from_private_bytes(raw[2:34])


def _public(key: Ed25519PrivateKey) -> str:
    raw = bytes((_USER,)) + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _signed(key: Ed25519PrivateKey, nonce: str) -> str:
    return base64.urlsafe_b64encode(key.sign(nonce.encode())).decode().rstrip("=")
