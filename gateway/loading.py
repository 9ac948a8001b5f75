"""From a file to a configuration that can work, as far as the file alone tells."""

from pathlib import Path

from gateway.config import Config
from gateway.payload.checks import problems_with_payload
from gateway.sound_parts import sound_parts
from gateway.yaml_models import validated
from gateway.yaml_positions import read_yaml


def load(path: Path) -> Config:
    """Read and check a configuration file.  Raises `ConfigError` with every problem, each with file and line."""
    return validated(Config, read_yaml(path), problems_with_payload, sound_parts)
