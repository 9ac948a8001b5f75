"""What a broker at `nats://` or `tls://` has beside the keys of every broker."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.config.quantities import Strict
from gateway.config.secret import Secret

NATS_SCHEMES = ("nats", "tls")
FORBIDDEN = ".*> "
"""Characters that a token of a subject must not contain; they are escaped in values, and refused in templates."""
MOST_SUBJECT_BYTES = 1024
"""A server reads lines of 4096 bytes; the acknowledgement's subject is in the same line."""


class NatsConfig(Strict):
    """NATS JetStream.  Levels of topics become tokens of subjects; a JetStream stream must take them."""

    stream: Annotated[str, Field(pattern=r"^[^\s.*>/\\]{1,255}$")] | None = None
    """The JetStream stream that must take the messages (default: whichever takes their subjects)."""
    credentials: Path | None = None
    """A credentials file of NATS (`nsc generate creds`) for the login.  Other users must not be able to read it."""
    nkey: Secret | None = None
    """Where the seed of an NKey for the login is stored."""
    token: Secret | None = None
    """Where a token for the login is stored."""
    inbox: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")] = "_INBOX"
    """Below this subject acknowledgements arrive; the login must be allowed to subscribe there."""
    tls_first: bool = False
    """For servers that begin with TLS before they say anything (`handshake_first`)."""
