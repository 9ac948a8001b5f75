"""The difference between two configurations: which peers end, start, reconnect or change in place, and what must wait.

A pure comparison.  A `Snapshot` is a configuration together with the content of the files it names, so a new password
or certificate in the same file is a change, too.  A peer that no `Change` names is not touched.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from gateway.config import BrokerConfig, Config, PayloadConfig, Route, SourceConfig
from gateway.payload.choose import describes_types, format_of
from gateway.run.added import Added, added_to

_FIXED: Mapping[tuple[str, ...], str] = {
    ("name",): "every stream's name contains it",
    ("reconnect",): "waiting connections use it",
    ("opentelemetry",): "what looks at batches is put in at the start",
    ("outbox", "path"): "the outbox is open there",
    ("outbox", "commit"): "the outbox is open",
    ("outbox", "compress"): "the outbox is open",
}
"""The keys that need a restart, and why."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests of everything that one source or broker depends on."""

    connection: str
    """When it changes, a new connection is needed."""
    rules: str = ""
    """When it changes, the connection stays."""
    added: tuple[str, ...] = ()
    """Selections made at run time.  For more of them the connection stays; for fewer a new one is needed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A configuration, and the fingerprints of each source and broker."""

    config: Config | None
    sources: Mapping[str, Fingerprint]
    brokers: Mapping[str, Fingerprint]


NOTHING = Snapshot(None, {}, {})
"""The state before the start."""


@dataclass(frozen=True, slots=True)
class Change:
    """The changes of the sources, or of the brokers, by name."""

    ended: tuple[str, ...]
    begun: tuple[str, ...]
    connected_again: tuple[str, ...]
    changed: tuple[str, ...]
    """Changed in place; the connection stays."""


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes from one snapshot to another."""

    sources: Change
    brokers: Change
    settings: tuple[str, ...]
    """The other keys of the configuration that differ."""

    @property
    def told(self) -> dict[str, list[str]]:
        """The changes for the log, by kind.  Empty: nothing has changed."""
        named = {
            f"{kind}_{what}": list(getattr(change, what))
            for kind, change in (("sources", self.sources), ("brokers", self.brokers))
            for what in ("ended", "begun", "connected_again", "changed")
        }
        return {kind: names for kind, names in {**named, "settings": list(self.settings)}.items() if names}


def snapshot_of(config: Config, added: Sequence[Added] = ()) -> Snapshot:
    """Take a snapshot; `added` has joined the selections already.

    Reads the files that the configuration names; an unreadable file counts as empty.
    """
    brokers = {}
    for broker in config.all_brokers:
        fingerprint = _fingerprint_of_broker(broker, config.routes[broker.name])
        told = " commands" if _takes_commands(config, broker) else ""
        brokers[broker.name] = replace(fingerprint, connection=fingerprint.connection + told)
    return Snapshot(config, {source.name: _fingerprint_of(config, source, added) for source in config.sources}, brokers)


def owned_of(snapshot: Snapshot, owns: Callable[[str], bool]) -> Snapshot:
    """The part of it that a member of a group runs."""
    return replace(
        snapshot,
        sources={name: each for name, each in snapshot.sources.items() if owns(f"source/{name}")},
        brokers={name: each for name, each in snapshot.brokers.items() if owns(f"broker/{name}")},
    )


def _takes_commands(config: Config, broker: BrokerConfig) -> bool:
    """Whether its sessions subscribe to commands."""
    commands = config.commands
    return commands is not None and (commands.brokers is None or broker.name in commands.brokers)


def changes_between(before: Snapshot, now: Snapshot) -> Changes:
    """The changes from `before` to `now`."""
    peers = ("sources", "broker", "brokers")
    settings = tuple(
        key
        for key in Config.model_fields
        if key not in peers and getattr(before.config, key, None) != getattr(now.config, key)
    )
    return Changes(change_of(before.sources, now.sources), change_of(before.brokers, now.brokers), settings)


def change_of(before: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> Change:
    both = [name for name in now if name in before]
    again = tuple(
        name
        for name in both
        if now[name].connection != before[name].connection or not set(before[name].added) <= set(now[name].added)
    )
    return Change(
        ended=tuple(name for name in before if name not in now),
        begun=tuple(name for name in now if name not in before),
        connected_again=again,
        changed=tuple(name for name in both if name not in again and now[name] != before[name]),
    )


def in_effect(running: Config, wanted: Config) -> tuple[Config, list[str]]:
    """The part of the wanted configuration that works without a restart; and the keys that need one, with reasons."""
    kept, needs_restart = wanted, []
    for path, reason in _FIXED.items():
        old, new = _at(running, path), _at(wanted, path)
        if old != new:
            kept = _with(kept, path, old)
            needs_restart.append(f"{'.'.join(path)} ({reason})")
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


def _fingerprint_of(config: Config, source: SourceConfig, added: Sequence[Added]) -> Fingerprint:
    """Shaping changes in place.  Of the payload a source only needs to know whether types are described."""
    own = added_to(source.name, added)
    source = source.model_copy(update={"select": source.select[: len(source.select) - len(own)]})
    bare = tuple(
        selection.model_copy(update={"shape": None, "metric": False, "role": None}) for selection in source.select
    )
    connection = source.model_copy(update={"select": bare, "shape": None})
    shown = "".join(f"{int(selection.metric)}{selection.role or ''}," for selection in source.select)
    described = "described" if describes_types(config) else ""
    return Fingerprint(
        _digest(connection) + described,
        _digest(source.shape, *(s.shape for s in source.select)) + shown,
        tuple(each.model_dump_json() for each in own),
    )


def _fingerprint_of_broker(broker: BrokerConfig, route: Route) -> Fingerprint:
    """What a broker gets changes in place, except for the messages at the beginning of a session."""
    session = broker.model_copy(update={"payload": None, "tags": None})
    return Fingerprint(_digest(session) + _presence_of(route.payload), _digest(route.payload, *(route.tags or ())))


def _presence_of(payload: PayloadConfig) -> str:
    """Everything that decides topic and content of the presence message."""
    needs = format_of(payload).why_mqtt_5(payload)
    return needs + (_digest(payload) if format_of(payload).presence is not None else repr(payload.rules))


def _digest(*parts: BaseModel | None) -> str:
    """The digest of configurations and of the files that they name."""
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
