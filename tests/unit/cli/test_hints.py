"""Every `gateway …` that a hint, a document or an example prints works as printed: its options exist."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gateway.cli import COMMANDS, cli

ROOT = Path(__file__).parents[3]
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/*.md",
    "docker/prometheus/RUNBOOK.md",
)
CONFIGS = ("config/**/*.yaml", "docker/**/*.yaml", "docker/**/*.service", "docker/**/*.conf")
WORD = r"(?:'[^']*'|\"[^\"]*\"|[^\s`|;'\"\\)&>]+)"
AT = re.compile(rf"(?:`|^\s*(?:\.venv/bin/)?|to trust it: |Next: )gateway ((?:{WORD} ?)+)", re.MULTILINE)
IN_CODE = re.compile(rf"(?:`|: |→ |\")gateway ((?:[a-z]+)(?: {WORD})*)")


def printed() -> Iterator[tuple[str, str]]:
    for pattern in (*DOCUMENTS, *CONFIGS):
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            yield from ((str(path.relative_to(ROOT)), found) for found in AT.findall(text.replace("# ", "")))
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        text = re.sub(r"`?\"\n\s+f?\"", "", path.read_text(encoding="utf-8"))
        yield from ((str(path.relative_to(ROOT)), found) for found in IN_CODE.findall(text))


@cache
def command_of(name: str) -> Any:
    late = next((each for each in COMMANDS if each.name == name), None)
    return None if late is None else late.load()


def problem_of(line: str) -> str:
    """Why this would not work; empty when it would.  What stands for something else (`FILE`, `{x}`, `…`) is a word."""
    words = shlex.split(line.replace("…", "x"), comments=True, posix=True)
    if not words or not re.fullmatch(r"[a-z]+", words[0]):
        return ""
    command = command_of(words[0])
    if command is None:
        return f"there is no command {words[0]}"
    rest = words[1:]
    while hasattr(command, "commands"):
        if not rest or not re.fullmatch(r"[a-z-]+", rest[0]):
            return ""
        if rest[0] not in command.commands:
            return "" if rest[0].startswith("-") else f"{words[0]} has no {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{words[0]} has no option {', '.join(unknown)}" if unknown else ""


def test_every_printed_command_is_one_and_has_its_options() -> None:
    found = list(printed())
    assert len(found) > 100
    commands = set(get_command(cli).commands)  # type: ignore[attr-defined]  # a group
    assert {"run", "init", "cert", "plan"} <= commands
    wrong = []
    for place, line in found:
        try:
            problem = problem_of(line)
        except ValueError:  # a quotation that the line breaks
            continue
        if problem:
            wrong.append(f"{place}: gateway {line.strip()}: {problem}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ("plan my.yaml --all", False),
        ("plna my.yaml", True),
        ("cert trust 12ab --pki x", False),
        ("cert thrust 12", True),
        ("browse opc.tcp://x --rot y", True),
    ],
)
def test_the_check_finds_what_does_not_exist(line: str, is_wrong: bool) -> None:
    assert bool(problem_of(line)) is is_wrong
