"""The steps of `gateway init`: meet the server, be trusted by it, choose from its tree, try the broker."""

import asyncio
import os
import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import ValidationError

from gateway.advice import advice_for, is_distrust
from gateway.cli.ask import confirmed, is_terminal, missing, one_of, secret, some_of, tell, text
from gateway.cli.common import counting, until_interrupted
from gateway.cli.init_text import TOPICS, Answers, Tree, everything, of_objects, of_types, of_variables
from gateway.config import BrokerConfig, Secret, SecurityConfig, Selection, SourceConfig
from gateway.delivery import Outcome, Verdict
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.metrics import Metrics
from gateway.model import Message
from gateway.opcua.explore import Browsed, BrowseOptions, Entry, connected
from gateway.opcua.explore import browse as browse_server
from gateway.opcua.meeting import Met, meet
from gateway.opcua.session.certificates import ensure_identity, thumbprint
from gateway.opcua.session.trust import TrustStore
from gateway.payload.forms import json_of
from gateway.run.sink_kinds import kind_of, problems_with_broker
from gateway.topics import expand

RETRY_S = 2.0
READY_MADE = 5_000
"""Values are read of at most so many variables."""


@dataclass
class Choices:
    """The options of the command that choose from the tree."""

    all: bool = False
    objects: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def are_given(self) -> bool:
        return bool(self.all or self.objects or self.variables or self.types)


def source_of(answers: Answers) -> SourceConfig:
    """Where to connect.  Raises `ConfigError`."""
    try:
        return SourceConfig(
            name=answers.source,
            url=answers.url,
            insecure=answers.insecure,
            security=None if answers.insecure else SecurityConfig(pki=Path(answers.pki)),
            username=answers.username,
            password=Secret.model_validate(answers.password) if answers.password else None,
            select=(Selection(subtree="i=85"),),
        )
    except ValidationError as error:
        raise ConfigError([each["msg"].removeprefix("Value error, ") for each in error.errors()]) from error


def met(answers: Answers, trust: str | None) -> Met:
    """Meet the server, and trust it when a person or the option says so.  Raises `ConfigError`, `Unavailable`."""
    answered = until_interrupted(lambda: meet(source_of(answers)))
    for line in answered.described:
        tell(f"  {line}")
    if answers.insecure:
        return answered
    if answered.certificate is None and answered.is_open:
        tell("This server has no security: anybody on the network can read and change what it sends.")
        if not confirmed("Go on without encryption?", "--insecure"):
            raise ConfigError(["nothing was written"], 1)
        answers.insecure = True
        return answered
    if answered.why_not:
        _trust(answers, answered, trust)
    return answered


def _trust(answers: Answers, answered: Met, trust: str | None) -> None:
    wanted = (trust or "").lower().replace(":", "").replace(" ", "")
    if wanted and not answered.thumbprint.startswith(wanted):
        raise ConfigError([f"--trust: the server shows the certificate {answered.thumbprint}, not {trust}"], 1)
    if not wanted:
        tell("This certificate is not trusted here yet.  Compare its thumbprint with what the server's own pages show.")
        if not confirmed("Trust it?", "--trust THUMBPRINT"):
            raise ConfigError([f"nothing was written; the certificate is in {answers.pki}/rejected"], 1)
    TrustStore(Path(answers.pki)).trust(answered.thumbprint)
    tell(f"trusted: {answered.thumbprint}")


def logged_in(answers: Answers, answered: Met, folder: Path) -> None:
    """Ask for a user where the server lets nobody in without one."""
    if answers.username is None and (not answered.users or "anonymous" in answered.users):
        return
    if answers.username is None:
        answers.username = text("User name at the server:", "--username")
    if answers.password is None:
        answers.password = kept(folder, f"{answers.source}-password", secret("Password:", "--password-file"))


def kept(folder: Path, name: str, value: str) -> Tree:
    """Keep a secret in a file that only its owner may read."""
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    path = secrets / name
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(value)
    tell(f"kept in {path}, which only you may read")
    return {"file": str(path)}


def tree_of(answers: Answers, wait_s: float) -> Browsed:
    """The server's tree.  While the server does not trust us, a person is told what to do there, and it is tried again.

    Raises `Unavailable` when that takes longer than `wait_s`.
    """
    config, began_s, told = source_of(answers), time.monotonic(), False
    while True:
        try:
            return until_interrupted(lambda: _browsed(config))
        except* Unavailable as group:
            error = _first(group)
            if not is_distrust(str(error), error.cause) or time.monotonic() - began_s > wait_s:
                raise error from None
            if not told:
                _tell_ours(answers, error)
                told = True
        until_interrupted(lambda: asyncio.sleep(RETRY_S))


def _first(group: BaseExceptionGroup[Unavailable]) -> Unavailable:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Unavailable)
    return found


def _tell_ours(answers: Answers, error: Unavailable) -> None:
    ours = ensure_identity(Path(answers.pki))
    tell(f"The server refuses us: {error}")
    tell("It does not trust our certificate yet:")
    tell(f"  thumbprint   {thumbprint(ours.certificate)}")
    tell(f"  file         {ours.certificate_path}")
    tell("Trust it there: most servers list it as a rejected, quarantined or untrusted client; or copy the file.")
    tell("Waiting for that; Ctrl-C ends.")


async def _browsed(config: SourceConfig) -> Browsed:
    with counting(f"connecting to {config.url}") as told:
        async with connected(config, Metrics().for_source(config.name)) as session:
            found = await browse_server(session, BrowseOptions(with_values=False), told)
            if found.matching > READY_MADE:
                return found
            return await browse_server(session, BrowseOptions(), told)


def chosen(found: Browsed, choices: Choices) -> list[Tree]:
    """The selections, by the options or by a person.  Raises `ConfigError`."""
    if not found.entries:
        raise ConfigError(["the server shows no variables below its Objects folder"], 1)
    objects, variables = {each.path for each in found.objects}, {each.path for each in found.entries}
    types = Counter((each.type, each.type_id) for each in found.objects)
    tell(f"{len(variables)} variables in {len(objects)} objects")
    if not choices.are_given:
        choices = _asked(found, types)
    unknown = [each for each in choices.objects if each not in objects]
    unknown += [each for each in choices.variables if each not in variables]
    named = dict(types.keys()) | {type_id: type_id for _, type_id in types}
    unknown += [each for each in choices.types if each not in named]
    if unknown:
        raise ConfigError([f"the server has no {each}: `gateway browse` prints paths and types" for each in unknown], 1)
    return [
        *(everything(found.root_id) if choices.all else []),
        *of_objects(found, choices.objects),
        *of_variables(found, choices.variables),
        *of_types([named[each] for each in choices.types]),
    ]


def _asked(found: Browsed, types: Counter[tuple[str, str]]) -> Choices:
    if not is_terminal():
        raise missing("--all, --object, --variable or --type", "what shall be read?")
    below = Counter(
        "/".join(parts[:n]) for each in found.entries for parts in [each.path.split("/")] for n in range(1, len(parts))
    )
    how = one_of(
        "What shall be read?",
        "--all",
        [
            (f"everything: {len(found.entries)} variables", "all"),
            ("some objects of the tree", "objects"),
            ("some variables", "variables"),
            ("all instances of a type", "types"),
        ],
    )
    if how == "objects":
        rows = [(f"{each.path}/  {each.type}  {below[each.path]} variables", each.path) for each in found.objects]
        return Choices(objects=tuple(some_of("Which objects?", "--object", [row for row in rows if below[row[1]]])))
    if how == "variables":
        shown = [(f"{each.path}  {each.type}  {_value(each)}", each.path) for each in found.entries]
        return Choices(variables=tuple(some_of("Which variables?", "--variable", shown)))
    if how == "types":
        kinds = [(f"{name or type_id}  {count} objects", type_id) for (name, type_id), count in types.most_common()]
        return Choices(types=tuple(some_of("Which types?", "--type", kinds)))
    return Choices(all=True)


def _value(entry: Entry) -> str:
    return entry.status or str(json_of(entry.read.type, entry.read.value))[:30]


def example(answers: Answers, found: Browsed) -> tuple[str, str]:
    """A topic, and a message on it, as one of the chosen variables would make them."""
    entry = next((each for each in found.entries if each.read.value is not None), found.entries[0])
    above, _, name = entry.path.rpartition("/")
    fields = {"gateway": answers.name, "source": answers.source, "path": above, "tag": name}
    topic = expand(answers.topic, fields)
    value = {"name": name, "value": json_of(entry.read.type, entry.read.value), "time": "2026-11-30T10:00:00.0000000Z"}
    stream = f"{answers.name}.k3x9q2/{answers.source}/{topic}"
    return topic, orjson.dumps({"stream": stream, "seq": 1, "values": [value]}, default=str).decode()


def topic_chosen(answers: Answers, found: Browsed, given: str | None) -> None:
    """The topic, with an example."""
    if given is None:
        rows = []
        for template, about in TOPICS:
            answers.topic = template
            rows.append((f"{example(answers, found)[0]}  {about}", template))
        given = one_of("On which topics?", "--topic", rows)
    answers.topic = given
    topic, message = example(answers, found)
    tell(f"  {topic}\n  {message}")


def broker_tried(answers: Answers, folder: Path, is_fixed: bool) -> None:
    """Log in at the broker; ask again for what was wrong.  Raises `Unavailable`."""
    while True:
        try:
            tell(until_interrupted(lambda: _try(answers, None)))
            return
        except* (Unavailable, ConfigError) as group:
            problem = _told(group)
            if is_fixed or not is_terminal():
                raise
        tell(problem)
        _ask_broker(answers, folder)


def _told(group: BaseExceptionGroup[BaseException]) -> str:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    advice = advice_for(str(found), found.cause if isinstance(found, Unavailable) else "")
    return f"{found}{': ' if advice else ''}{advice}"


def _ask_broker(answers: Answers, folder: Path) -> None:
    answers.broker["url"] = text("Address of the broker:", "--broker", str(answers.broker["url"]))
    if str(answers.broker["url"]).startswith(("mqtts:", "wss:")):
        before = answers.broker.get("tls")
        proposal = str(before["ca"]) if isinstance(before, dict) else ""
        if ca := text("File with its authority (empty: those of the system):", "--broker-ca", proposal):
            answers.broker["tls"] = {"ca": ca}
    if name := text("User name (empty: none):", "--broker-username", str(answers.broker.get("username", ""))):
        answers.broker["username"] = name
        answers.broker["password"] = kept(folder, "broker-password", secret("Password:", "--broker-password-file"))


def first_broker(answers: Answers, folder: Path, given: str | None) -> None:
    """The address of the broker, with user and authority where a person is asked."""
    answers.broker["url"] = given or "mqtt://127.0.0.1:1883"
    if given is None and is_terminal():
        _ask_broker(answers, folder)


def publish_tried(answers: Answers, found: Browsed) -> None:
    """Publish an empty message where values will go.  Raises `Unavailable` when the broker refuses it."""
    tell(until_interrupted(lambda: _try(answers, example(answers, found)[0])))


def broker_of(answers: Answers) -> BrokerConfig:
    """Raises `ConfigError`."""
    try:
        config = BrokerConfig.model_validate(answers.broker)
    except ValidationError as error:
        raise ConfigError([each["msg"].removeprefix("Value error, ") for each in error.errors()]) from error
    if problems := problems_with_broker(config):
        raise ConfigError([f"broker: {told}" for _, told in problems])
    return config


async def _try(answers: Answers, topic: str | None) -> str:
    """Log in as somebody else than the gateway, which may run; and publish a message without values."""
    config, test_id = broker_of(answers), f"{answers.name}-init-{uuid.uuid4().hex[:6]}"
    stream = f"{test_id}/{answers.source}"
    body = orjson.dumps({"stream": stream, "seq": 1, "values": []})
    async with kind_of(config).open_sink(config, Link("broker", config.url), test_id) as session:
        if topic is None:
            return f"logged in at {config.url}"
        outcome: Outcome = await session.send(Message(topic, body, stream, 1, 0))
        if outcome.verdict is not Verdict.DELIVERED:
            raise Unavailable(f"{config.url} does not take a message on {topic}: {outcome.detail}")
        return f"published a message without values on {topic}"


def name_from(said: str, proposal: str) -> str:
    """A name for a source from what a server calls itself."""
    found = re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")[:40].strip("-")
    return found or proposal
