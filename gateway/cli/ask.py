"""Questions to a person at a terminal; elsewhere each is answered by its option, by its proposal, or is a mistake."""

import sys
from collections.abc import Sequence
from typing import TypeVar, cast

import typer

from gateway.errors import ConfigError

Value = TypeVar("Value")
MOST_SHOWN = 2000
"""Choices offered in one list; a search finds among these."""


def is_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def missing(option: str, why: str) -> ConfigError:
    return ConfigError([f"{option} is missing: {why} (without a terminal nobody can be asked)"], 2)


def tell(text: str = "") -> None:
    typer.echo(text)


def confirmed(question: str, option: str, proposal: bool = False) -> bool:
    """A question for yes or no.  Raises `ConfigError` without a terminal."""
    if not is_terminal():
        raise missing(option, question)
    import questionary

    return bool(questionary.confirm(question, default=proposal).unsafe_ask())


def text(question: str, option: str, proposal: str = "") -> str:
    """A line of text; without a terminal the proposal, if there is one."""
    if not is_terminal():
        if not proposal:
            raise missing(option, question)
        return proposal
    import questionary

    return str(questionary.text(question, default=proposal).unsafe_ask()).strip()


def secret(question: str, option: str) -> str:
    """A password that is not shown."""
    if not is_terminal():
        raise missing(option, question)
    import questionary

    return str(questionary.password(question).unsafe_ask())


def one_of(question: str, option: str, choices: Sequence[tuple[str, Value]]) -> Value:
    """One of several, with arrow keys; without a terminal the first."""
    if not is_terminal():
        return choices[0][1]
    import questionary

    shown = [questionary.Choice(title, value=value) for title, value in choices]
    return cast(Value, questionary.select(question, shown).unsafe_ask())


def some_of(question: str, option: str, choices: Sequence[tuple[str, Value]]) -> list[Value]:
    """At least one of many: arrow keys move, space marks, letters search, Enter ends."""
    if not is_terminal():
        raise missing(option, question)
    import questionary

    shown = [questionary.Choice(title, value=value) for title, value in choices[:MOST_SHOWN]]
    if len(choices) > MOST_SHOWN:
        tell(f"the first {MOST_SHOWN} of {len(choices)} are shown: {option} takes any")
    asked = questionary.checkbox(
        question,
        shown,
        use_search_filter=True,
        use_jk_keys=False,
        instruction="(arrows move, space marks, letters search, Enter ends)",
        validate=lambda marked: bool(marked) or "mark at least one, with space",
    )
    return cast(list[Value], asked.unsafe_ask())
