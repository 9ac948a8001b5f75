"""The configuration: one frozen tree, decoded strictly, checked before any I/O.

Every key is documented where it is declared; the reference and the JSON Schema are generated from here.  Reading a
file and pointing at the line of a mistake is `gateway/yaml_positions.py`'s, what concerns formats is looked after in
`gateway/payload/checks.py`, and `gateway/loading.py` does it all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.config.broker import BrokerConfig, PresenceConfig, ReplayConfig, TlsConfig
from gateway.config.commands import CommandRule, CommandsConfig
from gateway.config.payload import CloudEventsConfig, PayloadConfig, PubSubConfig
from gateway.config.quantities import Bytes, Host, Name, Seconds, Strict
from gateway.config.routes import Route, TagsConfig, routes_of
from gateway.config.secret import Secret
from gateway.config.selection import AggregateConfig, Selection, ShapingConfig
from gateway.config.source import SecurityConfig, SourceConfig

__all__ = [
    "AggregateConfig", "BackoffConfig", "BrokerConfig", "CloudEventsConfig", "CommandRule", "CommandsConfig", "Config",
    "HttpConfig", "OutboxConfig",
    "PayloadConfig", "PresenceConfig", "PubSubConfig", "ReplayConfig", "Route", "Secret", "SecurityConfig", "Selection",
    "ShapingConfig", "SourceConfig", "TagsConfig", "TlsConfig",
]  # fmt: skip


class OutboxConfig(Strict):
    """The buffer on disk between the servers and the brokers."""

    path: Path = Path("var/outbox")
    """A folder of its own."""
    max_bytes: Bytes = 2**30
    """How much disk it may take."""
    segment_bytes: Bytes = 8 * 2**20
    """Size of one file: what is dropped or freed at once."""
    commit: Literal["fdatasync", "os"] = "fdatasync"
    """`fdatasync`: acknowledged means on the disk.  `os`: survives a crash of the gateway, not a power cut."""
    when_full: Literal["drop_oldest", "block"] = "drop_oldest"
    """Drop the oldest values and announce it, or stop taking values from the servers until there is room."""
    max_age: Seconds | None = None
    """Drop what has waited longer than this, and announce it.  Whole files at once, so it may wait a little longer."""
    min_free: Bytes = 64 * 2**20
    """How much of the disk always stays free for others: below that the outbox counts as full."""
    compress: Literal["none", "zlib"] = "none"
    """`zlib` packs each message on the disk: less disk for more processor."""


class HttpConfig(Strict):
    """Metrics and health."""

    host: Host = "127.0.0.1"
    """Address to listen on: this machine only, unless you say otherwise."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Port to listen on; 0 takes a free one."""
    hosts: tuple[Host, ...] = ()
    """Names by which requests may call this gateway (their `Host`), beside addresses, `host`, this machine's own name
    and names that only local networks know (`gateway`, `*.local`, `*.internal`, `*.svc`)."""
    max_sources: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How many sources have histograms of their own on `/metrics` (about 35 lines each, and 20 for each further
    broker); the others share those of a source named `other`."""
    max_tags: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many tags `/metrics/tags` shows at most, of all sources together (about 150 bytes and 10 µs each)."""


class BackoffConfig(Strict):
    """How long to wait before connecting again: a random time up to a ceiling that doubles from `first` to `most`."""

    first: Seconds = 0.5
    """Ceiling of the first wait."""
    most: Seconds = 30.0
    """Ceiling of all later waits."""


class Config(Strict):
    """The whole configuration of one gateway."""

    name: Name = "gateway"
    """The gateway's name, in streams, logs and metrics."""
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    """The OPC UA servers to read from."""
    broker: BrokerConfig | None = None
    """The MQTT broker to deliver to."""
    brokers: tuple[BrokerConfig, ...] = ()
    """Several brokers instead of one: each gets everything, or what it asks for with `payload` and `tags`, and one that
    is away does not hold up the others."""
    outbox: OutboxConfig = OutboxConfig()
    """The buffer on disk between them."""
    payload: PayloadConfig = PayloadConfig()
    """What messages look like and where they go, for all brokers that have no `payload` of their own."""
    http: HttpConfig = HttpConfig()
    """Where metrics and health are shown."""
    reconnect: BackoffConfig = BackoffConfig()
    """How long to wait before connecting again."""
    commands: CommandsConfig | None = None
    """Who may read, write and call what, by way of the brokers (default: nobody anything)."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    stop_grace: Seconds = 5.0
    """After SIGTERM: how long to go on delivering what is in the outbox before leaving.  The rest stays on disk."""

    @property
    def all_brokers(self) -> tuple[BrokerConfig, ...]:
        """The one, or the several."""
        return self.brokers or ((self.broker,) if self.broker else ())

    @property
    def routes(self) -> Mapping[str, Route]:
        """What each broker gets, by its name."""
        return routes_of(self.payload, ((each.name, each.payload, each.tags) for each in self.all_brokers))

    @property
    def distinct_routes(self) -> tuple[Route, ...]:
        """Each of them once, in the order of the brokers."""
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
