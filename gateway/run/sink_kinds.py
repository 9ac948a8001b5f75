"""The kinds of sink, by URL scheme.  No other module imports their packages."""

from collections.abc import Mapping, Sequence

from gateway import kafka, mqtt, nats
from gateway.config import BrokerConfig
from gateway.delivery import SinkKind
from gateway.errors import ConfigError
from gateway.yaml_positions import Problem, dotted

SINK_KINDS: Mapping[str, SinkKind] = {
    **dict.fromkeys(("mqtt", "mqtts", "ws", "wss"), mqtt),
    **dict.fromkeys(("nats", "tls"), nats),
    **dict.fromkeys(("kafka", "kafkas"), kafka),
}
"""One line per kind.  `gateway/config/broker.py` accepts the same schemes."""


def kind_of(config: BrokerConfig) -> SinkKind:
    """The kind of sink for this broker."""
    return _kind_at(config.url)


def _kind_at(url: str) -> SinkKind:
    return SINK_KINDS[url.partition(":")[0]]


def problems_with_broker(config: BrokerConfig) -> list[Problem]:
    """Unusable files and secrets of its sessions, each with its place within `config`.  Reads files."""
    problems: list[Problem] = [
        (("fallback",), f"{url} is another kind of sink than {config.url}")
        for url in config.fallback
        if _kind_at(url) is not kind_of(config)
    ]
    return problems + list(kind_of(config).problems_with(config))


def check_sinks(configs: Sequence[BrokerConfig]) -> None:
    """Read every file and secret that their sessions need.  Raises `ConfigError` with every problem found."""
    problems = [
        f"{config.name}: {dotted(place)}: {text}" for config in configs for place, text in problems_with_broker(config)
    ]
    if problems:
        raise ConfigError(problems)
