"""What an entry says: a contestant, what it is pointed at, and the command that comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[4]
"""The checkout that is measured."""
SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Setting:
    """What a contestant is pointed at."""

    folder: Path
    """Its own, empty."""
    opcua_ports: tuple[int, ...]
    mqtt_port: int
    http_port: int
    """For its own use."""
    variables: int
    """Of each server."""
    interval_ms: int = 100
    pki: Path | None = None
    """With it: SignAndEncrypt, with client.der and client.pem from there, and server.der to trust."""
    broker: Mapping[str, object] = field(default_factory=dict)
    """More about the broker in the gateway's configuration."""

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.opcua_ports[0]}"


@dataclass(frozen=True)
class Command:
    """How to run a contestant."""

    words: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """One program, in one way of using it."""

    name: str
    title: str
    format: str
    """A reader of `formats.py`."""
    command: Callable[[Setting], Command]
    needs: tuple[str, ...] = ()
    """Names in `install.py`."""
    can: frozenset[str] = frozenset()
    """What its entry knows how to do beside the plain work: `many` servers, `secure` channels, a `backlog` on disk."""
    checkout: Path | None = None
    """For the gateway: where its code is."""
