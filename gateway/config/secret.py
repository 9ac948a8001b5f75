"""Where a secret is stored, and how it is read."""

import os
from pathlib import Path
from typing import Self

from pydantic import model_validator

from gateway.config.private_files import read_private
from gateway.config.quantities import Strict
from gateway.errors import ConfigError


class Secret(Strict):
    """Where a secret is stored: never in the configuration itself."""

    file: Path | None = None
    """A file that contains only the secret, as UTF-8 text.  Other users must not be able to read it (0600 or 0640),
    unless it is on a read-only mount or in a credential folder (`/run/secrets`, `$CREDENTIALS_DIRECTORY`)."""
    env: str | None = None
    """The name of an environment variable."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("name one place: file or env")
        return self

    def read(self) -> str:
        """The secret, without a byte order mark and without line ends at its end.

        Raises `ConfigError` that says what is missing or wrong.
        """
        if self.env is not None:
            where, data = f"the environment variable {self.env}", self._from_environment(self.env)
        else:
            assert self.file is not None
            where, data = str(self.file), read_private(self.file, "a secret")
        try:
            text = data.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ConfigError([f"{where} should hold a secret but is not UTF-8 text"]) from error
        if not text:
            raise ConfigError([f"{where} should hold a secret but is empty"])
        return text

    @staticmethod
    def _from_environment(name: str) -> bytes:
        value = os.environ.get(name)
        if value is None:
            raise ConfigError([f"the environment variable {name} is not set: it should hold a secret"])
        return os.fsencode(value)
