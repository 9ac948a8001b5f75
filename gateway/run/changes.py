"""What a changed configuration asks for: who is ended, begun, connected again, or changed in place, and what must wait.

Pure comparison.  A `Snapshot` is a configuration and what the files it names held when it was taken, so that a new
password or certificate in the same file is a change too.  Whoever is not named in a `Change` is not touched.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from gateway.config import BrokerConfig, Config, PayloadConfig, Route, SourceConfig
from gateway.payload.choose import describes_types, format_of

_FIXED: Mapping[tuple[str, ...], str] = {
    ("name",): "it is part of the name of every stream",
    ("reconnect",): "connections that are being waited for go by it",
    ("outbox", "path"): "the outbox is open there",
    ("outbox", "commit"): "the outbox is open",
    ("outbox", "compress"): "the outbox is open",
}
"""What needs a restart, and why."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one source or broker depends on, as digests."""

    connection: str
    """A change of it needs a new connection."""
    rules: str = ""
    """A change of it does not."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A configuration, and what follows from it and from its files for each source and broker."""

    config: Config | None
    sources: Mapping[str, Fingerprint]
    brokers: Mapping[str, Fingerprint]


NOTHING = Snapshot(None, {}, {})
"""What runs before the start."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the sources, or of the brokers, by name."""

    ended: tuple[str, ...]
    begun: tuple[str, ...]
    connected_again: tuple[str, ...]
    changed: tuple[str, ...]
    """In place: the connection stays."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one snapshot asks for where another runs."""

    sources: Change
    brokers: Change
    settings: tuple[str, ...]
    """The other keys of the configuration that differ."""

    @property
    def told(self) -> dict[str, list[str]]:
        """Whatever there is to say, by kind; nothing when nothing changed."""
        named = {
            f"{kind}_{what}": list(getattr(change, what))
            for kind, change in (("sources", self.sources), ("brokers", self.brokers))
            for what in ("ended", "begun", "connected_again", "changed")
        }
        return {kind: names for kind, names in {**named, "settings": list(self.settings)}.items() if names}


def snapshot_of(config: Config) -> Snapshot:
    """Reads the files that the configuration names; what cannot be read counts as empty."""
    brokers = {}
    for broker in config.all_brokers:
        fingerprint = _fingerprint_of_broker(broker, config.routes[broker.name])
        told = " commands" if _takes_commands(config, broker) else ""
        brokers[broker.name] = replace(fingerprint, connection=fingerprint.connection + told)
    return Snapshot(config, {source.name: _fingerprint_of(config, source) for source in config.sources}, brokers)


def _takes_commands(config: Config, broker: BrokerConfig) -> bool:
    """Whether its sessions subscribe to commands."""
    commands = config.commands
    return commands is not None and (commands.brokers is None or broker.name in commands.brokers)


def changes_between(before: Snapshot, now: Snapshot) -> Changes:
    """What brings the one to the other."""
    peers = ("sources", "broker", "brokers")
    settings = tuple(
        key
        for key in Config.model_fields
        if key not in peers and getattr(before.config, key, None) != getattr(now.config, key)
    )
    return Changes(change_of(before.sources, now.sources), change_of(before.brokers, now.brokers), settings)


def change_of(before: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> Change:
    both = [name for name in now if name in before]
    again = tuple(name for name in both if now[name].connection != before[name].connection)
    return Change(
        ended=tuple(name for name in before if name not in now),
        begun=tuple(name for name in now if name not in before),
        connected_again=again,
        changed=tuple(name for name in both if name not in again and now[name].rules != before[name].rules),
    )


def in_effect(running: Config, wanted: Config, takes_commands: bool = True) -> tuple[Config, list[str]]:
    """The wanted configuration as far as it can be had without a restart; and what needs one, with the reason.

    `takes_commands`: whether their journal is open.
    """
    kept, needs_restart = wanted, []
    for path, reason in _FIXED.items():
        old, new = _at(running, path), _at(wanted, path)
        if old != new:
            kept = _with(kept, path, old)
            needs_restart.append(f"{'.'.join(path)} ({reason})")
    if not takes_commands and wanted.commands is not None:
        kept = kept.model_copy(update={"commands": None})
        needs_restart.append("commands (their journal is opened at the start)")
    return kept, needs_restart


def _at(config: BaseModel, path: tuple[str, ...]) -> object:
    found: object = config
    for name in path:
        found = getattr(found, name)
    return found


def _with(config: Config, path: tuple[str, ...], value: object) -> Config:
    first, *rest = path
    if rest:
        (name,) = rest
        value = getattr(config, first).model_copy(update={name: value})
    return config.model_copy(update={first: value})


def _fingerprint_of(config: Config, source: SourceConfig) -> Fingerprint:
    """Shaping is a rule; of the payload a source knows nothing but whether types have to be described."""
    bare = tuple(selection.model_copy(update={"shape": None, "metric": False}) for selection in source.select)
    connection = source.model_copy(update={"select": bare, "shape": None})
    shown = "".join(str(int(selection.metric)) for selection in source.select)
    described = "described" if describes_types(config) else ""
    return Fingerprint(
        _digest(connection) + described, _digest(source.shape, *(s.shape for s in source.select)) + shown
    )


def _fingerprint_of_broker(broker: BrokerConfig, route: Route) -> Fingerprint:
    """What it gets is a rule, but for what is said when a session begins."""
    session = broker.model_copy(update={"payload": None, "tags": None})
    return Fingerprint(_digest(session) + _presence_of(route.payload), _digest(route.payload, *(route.tags or ())))


def _presence_of(payload: PayloadConfig) -> str:
    """What decides where and how a broker is told that the gateway is there."""
    needs = format_of(payload).why_mqtt_5(payload)
    return needs + (_digest(payload) if format_of(payload).presence is not None else repr(payload.rules))


def _digest(*parts: BaseModel | None) -> str:
    """Of configurations and of what is in the files that they name."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.model_dump_json().encode() if part is not None else b"-")
        for path in sorted(_files_of(part)):
            digest.update(_content(path))
    return digest.hexdigest()


def _files_of(part: object) -> Iterator[Path]:
    if isinstance(part, Path):
        yield part
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _files_of(getattr(part, name))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError:
        return b""
