"""From a file to a checked configuration, as far as the file alone can show."""

from dataclasses import dataclass
from pathlib import Path

from gateway.config import CommandsConfig, Config
from gateway.config.commands import problems_with_codecs, problems_with_commands
from gateway.payload.checks import problems_with_payload
from gateway.payload.choose import format_of
from gateway.payload.clouds import problems_with_clouds
from gateway.sound_parts import sound_parts
from gateway.yaml_models import validated
from gateway.yaml_positions import Document, Problem, read_yaml

JOURNALS = 2
"""How often the journal of commands must fit the log of a group: it is repeated there from time to time."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and its document."""

    config: Config
    document: Document


def load(path: Path) -> Config:
    """Read and check a configuration file.  Raises `ConfigError` with file and line of every problem."""
    return load_with_lines(path).config


def load_with_lines(path: Path) -> Loaded:
    """The same, together with the lines for later checks."""
    document = read_yaml(path)
    return Loaded(validated(Config, document, _problems, sound_parts), document)


def _problems(config: Config) -> list[Problem]:
    """What does not fit together."""
    found = problems_with_payload(config) + problems_with_clouds(config)
    if config.commands is not None:
        names = [source.name for source in config.sources], [broker.name for broker in config.all_brokers]
        found += problems_with_commands(config.commands, *names)
        found += problems_with_codecs(
            config.commands, [format_of(route.payload).codec for route in config.distinct_routes]
        )
        found += problems_with_requests(config, config.commands)
    return found + problems_with_group(config)


def _problems_with_commands(commands: CommandsConfig) -> list[Problem]:
    """What a group keeps nowhere."""
    text = (
        "what is added at run time is kept on one host, and a group reads what its file says: add it there, and ask "
        "for a reload"
    )
    return [
        (("commands", "rules", at, "subscribe"), text)
        for at, rule in enumerate(commands.rules)
        if rule.subscribe is not None
    ]


def problems_with_requests(config: Config, commands: CommandsConfig) -> list[Problem]:
    """Brokers that commands are to come from, and that bring none."""
    return [
        (
            ("commands", "brokers"),
            f"commands come by MQTT, and {broker.name} is at {broker.url}: name MQTT brokers here",
        )
        for broker in config.all_brokers
        if not broker.is_mqtt and (commands.brokers is None or broker.name in commands.brokers)
    ]


def problems_with_group(config: Config) -> list[Problem]:
    """What a group cannot do: better refused than done by halves."""
    if config.group is None:
        return []
    found: list[Problem] = []
    if config.commands is not None:
        found += _problems_with_commands(config.commands)
        if config.group.max_bytes < JOURNALS * config.commands.journal_bytes:
            text = f"the log also keeps the journal of commands: at least {JOURNALS} times commands.journal_bytes"
            found.append((("group", "max_bytes"), text))
    if config.outbox.max_age is not None:
        found.append((("outbox", "max_age"), "nothing expires in the log of a group: group.max_bytes is its bound"))
    brokers = [("broker",)] if config.broker is not None else [("brokers", at) for at in range(len(config.brokers))]
    for place, broker in zip(brokers, config.all_brokers, strict=True):
        payload = config.routes[broker.name].payload
        if text := format_of(payload).problem_in_group(payload, [source.name for source in config.sources]):
            found.append(((*place, "payload") if broker.payload is not None else ("payload", "format"), text))
    return found
