"""`gateway init`: a configuration to begin with, from a server and a broker as they are, or from an example."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.common import problems_told
from gateway.errors import EXIT_CANNOT_WRITE, ConfigError
from gateway.shipped import about, example_text, examples

if TYPE_CHECKING:
    from gateway.cli.init_steps import Choices
    from gateway.cli.init_text import Answers, Tree


def init(
    url: str | None,
    output: Path | None,
    *,
    force: bool,
    example: str | None,
    listed: bool,
    name: str,
    source: str | None,
    trust: str | None,
    insecure: bool,
    pki: Path,
    username: str | None,
    password_file: Path | None,
    password_env: str | None,
    wait: float | None,
    everything: bool,
    objects: list[str] | None,
    variables: list[str] | None,
    types: list[str] | None,
    broker: str | None,
    broker_username: str | None,
    broker_password_file: Path | None,
    broker_password_env: str | None,
    broker_ca: Path | None,
    topic: str | None,
) -> None:
    """Write a configuration to begin with."""
    with problems_told():
        if example is not None and not listed:
            _write(example_text(example), output, force)
            return
        if url is not None and not listed:
            from gateway.cli.init_steps import Choices
            from gateway.cli.init_text import Answers

            answers = Answers(name, source or "", url, str(pki), insecure, username)
            answers.password = _secret(password_file, password_env)
            answers.broker = {} if broker_username is None else {"username": broker_username}
            if (kept := _secret(broker_password_file, broker_password_env)) is not None:
                answers.broker["password"] = kept
            if broker_ca is not None:
                answers.broker["tls"] = {"ca": str(broker_ca)}
            choices = Choices(everything, tuple(objects or ()), tuple(variables or ()), tuple(types or ()))
            given = Given(output or Path("my-gateway.yaml"), force, trust, wait, broker, topic)
            _begin(answers, choices, given)
            return
    for known, path in examples().items():
        typer.echo(f"{known:22} {about(path)}")


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says of single steps; None: a person is asked."""

    output: Path
    force: bool
    trust: str | None
    wait_s: float | None
    broker: str | None
    topic: str | None

    @property
    def patience_s(self) -> float:
        """How long the server may take until it trusts us."""
        from gateway.cli.ask import is_terminal

        return self.wait_s if self.wait_s is not None else float("inf") if is_terminal() else 0.0


def _begin(answers: "Answers", choices: "Choices", given: Given) -> None:
    """Ask, try and write, step by step."""
    from gateway.cli import init_steps as steps
    from gateway.cli.init_text import written
    from gateway.loading import load

    output = given.output
    _must_be_free(output, given.force)
    is_named, answers.source = bool(answers.source), answers.source or "server"
    server = steps.met(answers, given.trust)
    if not is_named:
        answers.source = steps.name_from(server.name.partition("@")[0], "server")
    answers.facts = server.described
    steps.logged_in(answers, server, output.parent)
    found = steps.tree_of(answers, given.patience_s)
    answers.select = steps.chosen(found, choices)
    steps.first_broker(answers, output.parent, given.broker)
    steps.broker_tried(answers, output.parent, given.broker is not None)
    steps.topic_chosen(answers, found, given.topic)
    steps.publish_tried(answers, found)
    _write(written(answers), output, given.force)
    load(output)
    typer.echo(f"wrote {output}\nNext: gateway plan {output}\n      gateway run {output}")


def _secret(file: Path | None, env: str | None) -> "Tree | None":
    return {"file": str(file)} if file is not None else {"env": env} if env is not None else None


def _must_be_free(output: Path, force: bool) -> None:
    if output.exists() and not force:
        raise ConfigError([f"{output}: there is such a file already; --force overwrites it"], 2)


def _write(text: str, output: Path | None, force: bool) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    _must_be_free(output, force)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"cannot write {output}: {error.strerror}"], EXIT_CANNOT_WRITE) from error
