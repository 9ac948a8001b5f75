"""Checks a configuration on its machine: what cannot work here, and what is probably not intended.

Reads files and folders, creates none, and connects to nothing.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from pydantic import BaseModel

from gateway.cloud_load import groups_of_file, load_on, problems_with_load, with_profiles
from gateway.config import BrokerConfig, Config, Secret, SourceConfig, TlsConfig
from gateway.config.broker import BROKER_SCHEMES
from gateway.config.private_files import rule_for
from gateway.errors import ConfigError
from gateway.loading import Loaded, load_with_lines
from gateway.payload.clouds import warnings_about_clouds
from gateway.run.gateway import client_id_of
from gateway.run.sink_kinds import problems_with_broker
from gateway.urls import parse_url
from gateway.yaml_positions import Place, Problem


def load_ready(path: Path) -> Loaded:
    """Load a configuration that can work here.  Raises `ConfigError` with file and line of every problem."""
    loaded = load_with_lines(path)
    problems = problems_here(loaded.config)
    if problems:
        raise ConfigError(with_lines(loaded, problems))
    return loaded


def with_lines(loaded: Loaded, problems: Sequence[Problem]) -> list[str]:
    """File, line, place and text of each problem, in the order of the file."""
    in_order = sorted(problems, key=lambda problem: loaded.document.line_of(problem[0]))
    return [loaded.document.problem(place, text) for place, text in in_order]


def problems_here(config: Config) -> list[Problem]:
    """Problems with the secrets, keys and authorities on this machine."""
    return [
        *((place + at, text) for place, broker in brokers_of(config) for at, text in problems_with_broker(broker)),
        *((place + at, text) for place, source in _sources_of(config) for at, text in _files_of(source)),
        *((("http", "token"), text) for text in _problems_with(config.http.token)),
        *((("group", "credentials", "file"), text) for text in _problems_with_group(config)),
    ]


def _files_of(source: SourceConfig) -> list[Problem]:
    """Problems with its certificates and secrets.  A source without any is not worth the import of OPC UA."""
    if source.security is None and source.password is None and source.user_certificate is None:
        return []
    from gateway.run.source_unit import problems_with_source

    return problems_with_source(source)


def _problems_with_group(config: Config) -> list[str]:
    if config.group is None or config.group.credentials is None:
        return []
    from gateway import nkeys

    return nkeys.problems_with(config.group.credentials.file)


def _problems_with(secret: Secret | None) -> list[str]:
    try:
        if secret is not None:
            secret.read()
    except ConfigError as error:
        return error.problems
    return []


def problems_with_folders(config: Config) -> list[Problem]:
    """The folders that cannot be written to.  (A starting gateway notices that by writing.)"""
    folders: dict[Path, Place] = {config.outbox.path: ("outbox", "path")}
    for place, source in _sources_of(config):
        if source.security is not None:
            folders.setdefault(source.security.pki, (*place, "security", "pki"))
    return [(place, text) for folder, place in folders.items() if (text := _unusable(folder))]


def rules_applied(config: Config) -> list[Problem]:
    """For each usable file with a secret or key: the rule by which it may be used."""
    told: list[Problem] = []
    for place, path in _private_files(config):
        try:
            told.append((place, f"{path}: {rule_for(path, 'a secret')}"))
        except (ConfigError, OSError):
            continue
    return told


def warnings_about(config: Config) -> list[Problem]:
    """Settings that work, but are probably not intended."""
    brokers = brokers_of(config)
    warnings: list[Problem] = []
    if config.outbox.when_full == "block" and len(brokers) > 1:
        text = "with several brokers, one that is away for long stops the values for all; drop_oldest does not"
        warnings.append((("outbox", "when_full"), text))
    for (_, first), (place, second) in combinations(brokers, 2):
        shared = _addresses(first) & _addresses(second)
        if shared:
            same = _client_id(config, first) == _client_id(config, second)
            throw = ", and they disconnect each other: give each a client_id" if same else ""
            where = "{}:{}".format(*min(shared))
            text = f"{second.name} and {first.name} are the same broker ({where}): everything arrives twice{throw}"
            warnings.append((place, text))
    if "name" not in config.model_fields_set and any(broker.client_id is None for _, broker in brokers):
        text = f"not set, so it is {config.name!r}; gateways with the same name disconnect each other at brokers"
        warnings.append((("name",), text))
    if config.group is not None:
        warnings += [(place, text) for place, source in _sources_of(config) if (text := _stays_behind(source))]
    return warnings + warnings_about_clouds(config) + _too_much_for_clouds(config)


def _stays_behind(source: SourceConfig) -> str:
    """Why another host of the group cannot take over the subscriptions of a source (Part 4, 5.14.7), or what it needs
    for that.  Empty: it can."""
    if source.username is not None or source.user_certificate is not None:
        return ""
    if source.security is None:
        return (
            "another member cannot take over its subscriptions: that needs a username, or security with a shared "
            "certificate; without, the history fills in, or a gap is announced"
        )
    return f"all members need the same certificate in {source.security.pki}, or a username, to take over subscriptions"


def _too_much_for_clouds(config: Config) -> list[Problem]:
    """Rates beyond those of clouds, of the variables that the file names; `gateway profile check` counts all."""
    groups, _ = groups_of_file(config)
    places = {broker.name: place for place, broker in brokers_of(config)}
    return [
        (places[name], text)
        for name, broker in with_profiles(config).items()
        for text in problems_with_load(config, load_on(config, broker, config.routes[name].payload, groups), groups)
    ]


def conflicts_between(first: Config, second: Config) -> list[Problem]:
    """Conflicts between two gateways, with the place in the second file."""
    found: list[Problem] = []
    for place, broker in brokers_of(second):
        for _, other in brokers_of(first):
            client_id = _client_id(second, broker)
            if client_id == _client_id(first, other) and _addresses(broker) & _addresses(other):
                found.append((place, f"both are {client_id!r} at the same broker: they disconnect each other"))
    if second.name == first.name:
        found.append((("name",), f"both are named {second.name!r}: they overwrite each other's presence message"))
    if os.path.realpath(first.outbox.path) == os.path.realpath(second.outbox.path):
        found.append((("outbox", "path"), f"on the same machine both would use {second.outbox.path}"))
    return found


def brokers_of(config: Config) -> list[tuple[Place, BrokerConfig]]:
    """Each broker with its place in the file."""
    if config.broker is not None:
        return [(("broker",), config.broker)]
    return [(("brokers", number), broker) for number, broker in enumerate(config.brokers)]


def _sources_of(config: Config) -> list[tuple[Place, SourceConfig]]:
    return [(("sources", number), source) for number, source in enumerate(config.sources)]


def _client_id(config: Config, broker: BrokerConfig) -> str:
    return broker.client_id or client_id_of(config, broker)


def _addresses(broker: BrokerConfig) -> set[tuple[str, int]]:
    """The hosts and ports of a broker, in one form."""
    urls = [parse_url(text, BROKER_SCHEMES) for text in (broker.url, *broker.fallback)]
    return {("localhost" if url.is_local else url.host.lower().removesuffix("."), url.port) for url in urls}


def _unusable(folder: Path) -> str:
    """Why a folder can be neither used nor created.  Empty: it can."""
    try:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists() or each.is_symlink())
    except OSError as error:
        return f"{folder}: cannot be inspected: {error.strerror}"
    if not there.is_dir():
        return f"{there} is not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{folder}: {there} cannot be written to"
    return ""


def _private_files(config: Config) -> Iterator[tuple[Place, Path]]:
    for place, part in _parts(config, ()):
        match part:
            case Secret(file=Path() as file):
                yield place, file
            case TlsConfig(key=Path() as key):
                yield (*place, "key"), key
            case TlsConfig(certificate=Path() as certificate):
                yield (*place, "certificate"), certificate
            case SourceConfig():
                if part.user_key is not None:
                    yield (*place, "user_key"), part.user_key
                if part.security is not None:
                    yield (*place, "security", "pki"), part.security.pki / "own" / "private_key.pem"


def _parts(part: object, place: Place) -> Iterator[tuple[Place, object]]:
    """All models of a configuration, with their places."""
    if isinstance(part, BaseModel):
        yield place, part
        for name in type(part).model_fields:
            yield from _parts(getattr(part, name), (*place, name))
    elif isinstance(part, Sequence) and not isinstance(part, str | bytes):
        for number, each in enumerate(part):
            yield from _parts(each, (*place, number))
