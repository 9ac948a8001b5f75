"""A group: several gateways with one configuration, on NATS JetStream."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.config.broker import TlsConfig
from gateway.config.quantities import Bytes, Name, Seconds, Strict, url_of

SHORTEST_PRESENCE_S = 12.0
"""An election of the log's leader takes 4 to 9 s, in which no member can be seen."""
GROUP_SCHEMES = ("nats", "tls")


class GroupCredentials(Strict):
    """What a member logs in to NATS with."""

    file: Path
    """A credentials file of NATS (`nsc generate creds`), which other users must not be able to read."""


class GroupConfig(Strict):
    """The group that this gateway is a member of.  All members have the same configuration."""

    name: Name
    """The group's name, in the names of its streams."""
    servers: Annotated[tuple[Annotated[str, url_of(*GROUP_SCHEMES)], ...], Field(min_length=1)]
    """The NATS servers: `nats://host:4222`, or `tls://host:4222` with TLS.  Version 2.11 or newer, with JetStream and
    `sync_interval: always`."""
    credentials: GroupCredentials | None = None
    """The login.  Without it: that of the TLS certificate, or none."""
    tls: TlsConfig | None = None
    """Authorities and client certificate for `tls://`."""
    replicas: Literal[1, 3, 5] = 3
    """How many NATS servers keep each record.  With 3, one of them may fail; with 1, none."""
    presence: Annotated[Seconds, Field(ge=SHORTEST_PRESENCE_S)] = 15.0
    """A member that has not been heard of for so long is replaced.  Less than 12 s is shorter than an election of the
    log's leader, in which nobody is heard of."""
    handover: Seconds = 5.0
    """How long a member that shall hand something over may take to end it in order."""
    rebalance_after: Seconds = 60.0
    """How long the group waits before members that are there share their work anew, after one came."""
    max_bytes: Bytes = 10 * 2**30
    """The most that the log may take on each NATS server.  Full, it stops the reading of sources."""
    member: Name | None = None
    """This member's name (default: that of its host).  `gateway run --member` sets it, for several on one host."""
    weight: Annotated[float, Field(ge=0.1, le=100)] = 1.0
    """How much this member does, relative to the others."""
    monitoring: Annotated[int, Field(ge=0, le=65535)] = 8222
    """The monitoring port of the NATS servers, where each is asked whether it syncs before it acknowledges.  0: nobody
    is asked, and a power cut of several servers may cost acknowledged values."""
