"""The configuration: one frozen tree, decoded strictly, checked before any I/O.

Every key is documented where it is declared; the JSON Schema is generated from these declarations.
`gateway/yaml_positions.py` reads a file and knows the lines, `gateway/payload/checks.py` checks what concerns formats,
and `gateway/loading.py` does all of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.broker import BrokerConfig, CredentialsConfig, PresenceConfig, ReplayConfig, TlsConfig
from gateway.config.commands import CommandRule, CommandsConfig
from gateway.config.fitting import fitted
from gateway.config.group import GroupConfig, GroupCredentials
from gateway.config.opentelemetry import OpenTelemetryConfig
from gateway.config.payload import CloudEventsConfig, PayloadConfig, PubSubConfig
from gateway.config.quantities import Bytes, Host, Name, Seconds, Strict
from gateway.config.routes import Route, TagsConfig, routes_of
from gateway.config.secret import Secret
from gateway.config.selection import AggregateConfig, Selection, ShapingConfig
from gateway.config.source import SecurityConfig, SourceConfig
from gateway.urls import Url

__all__ = [
    "AggregateConfig", "BackoffConfig", "BrokerConfig", "CloudEventsConfig", "CommandRule", "CommandsConfig", "Config",
    "CredentialsConfig", "GroupConfig", "GroupCredentials", "HttpConfig", "OpenTelemetryConfig", "OutboxConfig",
    "PayloadConfig", "PresenceConfig", "PubSubConfig", "ReplayConfig", "Route", "Secret", "SecurityConfig", "Selection",
    "ShapingConfig", "SourceConfig", "TagsConfig", "TlsConfig",
]  # fmt: skip


class OutboxConfig(Strict):
    """The buffer on the disk between servers and brokers."""

    path: Path = Path("var/outbox")
    """Its folder, used for nothing else."""
    max_bytes: Bytes = 2**30
    """The largest disk space it may take."""
    segment_bytes: Bytes = 8 * 2**20
    """The size of one file, which is also the amount dropped or freed at once."""
    commit: Literal["fdatasync", "os"] = "fdatasync"
    """`fdatasync`: acknowledged means on the disk.  `os`: survives a crash of the gateway, but not a power cut."""
    when_full: Literal["drop_oldest", "block"] = "drop_oldest"
    """`drop_oldest` drops the oldest values and announces it; `block` stops reading from the servers until there is
    room."""
    max_age: Seconds | None = None
    """Drop messages that have waited longer, and announce it.

    Whole files are dropped, so it may take a little longer.
    """
    min_free: Bytes = 64 * 2**20
    """The disk space that stays free for other programs.  Below it the outbox counts as full."""
    compress: Literal["none", "zlib"] = "none"
    """`zlib` compresses each message on the disk: less disk space, more CPU time."""


class HttpConfig(Strict):
    """Metrics, health and the live page."""

    host: Host = "127.0.0.1"
    """Address to listen on; the default is reachable from this machine only."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Port to listen on; 0: any free one."""
    hosts: tuple[Host, ...] = ()
    """Additional names that requests may use for this gateway in their `Host` header.  Always allowed are addresses,
    `host`, this machine's own name, and names that only local networks know (`gateway`, `*.local`, `*.internal`,
    `*.svc`)."""
    page: Literal["off", "token", "open"] | None = None
    """Who may read the live page at `/` and the API below `/api/v1`: nobody, who knows `token`, or whoever reaches the
    port.  Default: `open` where `host` is this machine's own address (loopback), elsewhere `token`; without a token
    that is nobody."""
    token: Secret | None = None
    """Who knows it may act on the live page: trust a certificate, reload, offer refused messages again.  Without it
    the page is read-only."""
    max_sources: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How many sources have their own histograms on `/metrics` (about 35 lines each, and 20 for each further broker).
    The others share those of a source named `other`."""
    max_tags: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """The largest number of tags on `/metrics/tags`, over all sources (about 150 bytes and 10 µs each)."""

    @property
    def who_may_look(self) -> Literal["off", "token", "open"]:
        """Who may read page and API."""
        wanted = self.page or ("open" if Url("http", self.host, 80).is_local else "token")
        return "off" if wanted == "token" and self.token is None else wanted

    @model_validator(mode="after")
    def _token_for_page(self) -> Self:
        if self.page == "token" and self.token is None:
            raise ValueError("page: token needs a token")
        return self


class BackoffConfig(Strict):
    """How long to wait before reconnecting: a random time below a ceiling that doubles from `first` to `most`."""

    first: Seconds = 0.5
    """Ceiling of the first wait."""
    most: Seconds = 30.0
    """The highest ceiling."""


class Config(Strict):
    """The whole configuration of one gateway."""

    name: Name = "gateway"
    """The gateway's name, in streams, logs and metrics."""
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    """The OPC UA servers to read from."""
    broker: BrokerConfig | None = None
    """The MQTT broker to deliver to."""
    brokers: tuple[BrokerConfig, ...] = ()
    """Several brokers instead of one.  Each gets everything, or what its `payload` and `tags` ask for.  One that is
    away does not hold up the others."""
    outbox: OutboxConfig = OutboxConfig()
    """The buffer on the disk."""
    payload: PayloadConfig = PayloadConfig()
    """Form and topics of messages, for all brokers without a `payload` of their own."""
    http: HttpConfig = HttpConfig()
    """The HTTP server for metrics, health and the live page."""
    reconnect: BackoffConfig = BackoffConfig()
    """How long to wait before reconnecting."""
    commands: CommandsConfig | None = None
    """Who may read, write and call what through the brokers (default: nobody)."""
    group: GroupConfig | None = None
    """Several gateways as one: sources and brokers are shared among them, and who fails is replaced (default: this
    gateway is alone)."""
    opentelemetry: OpenTelemetryConfig | None = None
    """Where to send the gateway's own metrics, logs and traces (default: nowhere)."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged."""
    stop_grace: Seconds = 5.0
    """After SIGTERM: how long to continue to deliver from the outbox.  The rest stays on the disk."""

    @property
    def all_brokers(self) -> tuple[BrokerConfig, ...]:
        """All brokers, from `broker` or `brokers`."""
        return self.brokers or ((self.broker,) if self.broker else ())

    @property
    def routes(self) -> Mapping[str, Route]:
        """The route of each broker, by its name."""
        wishes = ((each.name, fitted(each, each.payload or self.payload), each.tags) for each in self.all_brokers)
        return routes_of(self.payload, wishes)

    @property
    def distinct_routes(self) -> tuple[Route, ...]:
        """Each route once, in the order of the brokers."""
        return tuple({route.name: route for route in self.routes.values()}.values())

    @model_validator(mode="after")
    def _broker_or_brokers(self) -> Self:
        if (self.broker is None) == (not self.brokers):
            raise ValueError("name either broker (one) or brokers (a list of them)")
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        for kind, names in (
            ("sources", [s.name for s in self.sources]),
            ("brokers", [b.name for b in self.all_brokers]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two {kind} are named {name!r}: names must differ")
        return self
