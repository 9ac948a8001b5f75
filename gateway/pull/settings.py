"""The file of a gateway that pulls its configuration: where from, how often, and who takes it first.

configuration:
  from: https://hq.example/gateways/munich.yaml
  token: {file: /etc/gateway/token}
"""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.config import Secret, TlsConfig
from gateway.config.group import GroupCredentials
from gateway.config.quantities import Bytes, Name, Seconds, Strict, checked_url
from gateway.urls import parse_url
from gateway.yaml_models import validated
from gateway.yaml_positions import read_yaml

SCHEMES = ("https", "nats-kv")
MOST_BYTES = 65_536
_NAMES_IT = re.compile(rb"\bconfiguration[\"']?[ \t]*:")


class PullConfig(Strict):
    """Where the configuration comes from."""

    origin: Annotated[str, Field(alias="from", min_length=1)]
    """`https://host/path`, `nats-kv://host:4222/bucket/key`, or a path: a file, or a folder with `gateway.yaml`."""
    every: Annotated[Seconds, Field(ge=0.1)] = 60.0
    """How often it is looked at; SIGHUP looks at once."""
    keep: Path = Path("var/configuration")
    """Folder for the last good one, with which the gateway starts without a network."""
    token: Secret | None = None
    """Sent to HTTPS servers as `Authorization: Bearer …`."""
    tls: TlsConfig | None = None
    """Authorities and client certificate, for HTTPS and for NATS by TLS (default for HTTPS: those of the system)."""
    credentials: GroupCredentials | None = None
    """The login at NATS."""
    timeout: Seconds = 10.0
    """How long one look may take."""
    max_bytes: Annotated[Bytes, Field(le=8 * 2**20)] = 4 * 2**20
    """The largest configuration that is accepted."""
    canary: tuple[Name, ...] = ()
    """Gateways (by `name`, or by the name of their host) that take a new configuration first.  All others wait until
    its revision is in the list beside it: the same address with `.approved` behind it."""

    @property
    def is_remote(self) -> bool:
        """Whether it is an address and not a path."""
        return "://" in self.origin

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.is_remote:
            checked_url(self.origin, SCHEMES)
            url = parse_url(self.origin, SCHEMES)
            if url.scheme == "nats-kv" and url.path.count("/") != 2:
                raise ValueError("from: write nats-kv://host:4222/bucket/key")
        return self


class PullFile(Strict):
    """The whole file."""

    configuration: PullConfig
    """Where the configuration comes from."""
    name: Name | None = None
    """The name of this gateway, in place of that in the configuration: so many can have the same."""


def load_pull(path: Path) -> PullFile | None:
    """The file, if it is one that says where the configuration is.  Raises `ConfigError` with every mistake."""
    try:
        with path.open("rb") as file:
            if not _NAMES_IT.search(file.read(MOST_BYTES)):  # a configuration, which may be long, is parsed once
                return None
    except OSError:
        return None  # whoever loads it says why
    document = read_yaml(path)
    is_one = isinstance(document.value, dict) and "configuration" in document.value
    return validated(PullFile, document) if is_one else None
