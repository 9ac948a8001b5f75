"""The broker that `gateway command` asks by."""

import os
from pathlib import Path

from pydantic import ValidationError

from gateway.cli.words import PASSWORD
from gateway.config import BrokerConfig, Secret, TlsConfig
from gateway.errors import ConfigError


def broker_of(url: str, username: str | None, ca: Path | None) -> BrokerConfig:
    """Raises `ConfigError`."""
    password = Secret(env=PASSWORD) if username and os.environ.get(PASSWORD) else None
    try:
        return BrokerConfig(url=url, username=username, password=password, tls=TlsConfig(ca=ca))
    except ValidationError as error:
        raise ConfigError([e["msg"].removeprefix("Value error, ") for e in error.errors()]) from error
