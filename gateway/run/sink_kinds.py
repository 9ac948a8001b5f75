"""The kinds of sink that there are, by the scheme of their URL.  Nothing else imports their packages."""

from collections.abc import Mapping, Sequence

from gateway import mqtt
from gateway.config import BrokerConfig
from gateway.delivery import SinkKind
from gateway.errors import ConfigError

SINK_KINDS: Mapping[str, SinkKind] = {
    **dict.fromkeys(("mqtt", "mqtts", "ws", "wss"), mqtt),
}
"""One line for each kind; the schemes are those that `gateway/config/broker.py` takes."""


def kind_of(config: BrokerConfig) -> SinkKind:
    """What speaks to this broker."""
    return _kind_at(config.url)


def _kind_at(url: str) -> SinkKind:
    return SINK_KINDS[url.partition(":")[0]]


def check_sinks(configs: Sequence[BrokerConfig]) -> None:
    """Read every file and secret that their sessions need.  Raises `ConfigError` with every problem found."""
    problems = [
        f"{config.name}: {url} is another kind of broker than {config.url}"
        for config in configs
        for url in config.fallback
        if _kind_at(url) is not kind_of(config)
    ]
    kinds = {id(kind): kind for kind in map(kind_of, configs)}
    for kind in kinds.values():
        try:
            kind.check([config for config in configs if kind_of(config) is kind])
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
