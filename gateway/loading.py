"""From a file to a checked configuration, as far as the file alone can show."""

from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config
from gateway.config.commands import problems_with_codecs, problems_with_commands
from gateway.payload.checks import problems_with_payload
from gateway.payload.choose import format_of
from gateway.payload.clouds import problems_with_clouds
from gateway.sound_parts import sound_parts
from gateway.yaml_models import validated
from gateway.yaml_positions import Document, Problem, read_yaml


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
    return found
