"""Who we are to a NATS server: user and password, token, NKey, or a credentials file.  Read at every connect."""

import math
from collections.abc import Callable

from gateway import nkeys
from gateway.config import BrokerConfig
from gateway.errors import ConfigError
from gateway.yaml_positions import Place, Problem


def login_of(config: BrokerConfig, nonce: str) -> dict[str, str]:
    """The fields of a CONNECT that say who we are.  Reads secrets, and blocks.  Raises `ConfigError`."""
    nats = config.nats_or_default
    if nats.credentials is not None:
        jwt, signature = nkeys.credentials_in(nats.credentials, nonce)
        return {"jwt": jwt, "sig": signature}
    if nats.nkey is not None:
        key = nkeys.key_of(nats.nkey.read(), "nats.nkey")
        return {"nkey": nkeys.public(key), "sig": nkeys.signed(key, nonce)}
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
    path = config.nats_or_default.credentials
    return nkeys.expires_s(path) if path is not None else math.nan
