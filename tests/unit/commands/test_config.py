"""The section `commands` is checked before anything runs, and `gateway plan` tells what it allows."""

import asyncio
from pathlib import Path

import pytest

from gateway.cli.plan_commands import columns, folded, rows_at
from gateway.errors import ConfigError
from gateway.loading import load
from tests.support.commands import commands, press

HEAD = """
sources: [{name: shop, url: "opc.tcp://x", insecure: true, select: [{node: i=1}]}]
broker: {url: "mqtt://x"}
payload: {topic: x}
"""


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("requesters: [mes], rules: []", "rules"),
        ("requesters: [mes/x], rules: [{source: shop, node: i=1, read: true}]", "requesters"),
        ("requesters: [mes], rules: [{source: shop, node: i=1}]", "nothing is allowed"),
        ("requesters: [mes], rules: [{source: shop, read: true}]", "name one of node, subtree and type"),
        ("requesters: [mes], rules: [{source: shop, node: i=1, include: [x], read: true}]", "go with subtree or type"),
        ("requesters: [mes], rules: [{read: true}]", "read needs a source"),
        ("requesters: [mes], rules: [{requesters: [mes]}]", "add source, or diagnostics"),
        ("requesters: [mes], rules: [{source: shop, node: i=1, reload: true}]", "use a rule without source"),
        ("requesters: [mes], rules: [{source: nowhere, node: i=1, read: true}]", "no source is named 'nowhere'"),
        ("requesters: [mes], rules: [{source: shop, node: i=1, requesters: [x], read: true}]", "no requester is named"),
        ("requesters: [mes], brokers: [x], rules: [{source: shop, node: i=1, read: true}]", "no broker is named 'x'"),
        ("requesters: [mes], replies: a/b, rules: [{source: shop, node: i=1, read: true}]", "without {requester}"),
        (
            'requesters: [mes], replies: "gateways/{gateway}/commands/{requester}",'
            " rules: [{source: shop, node: i=1, read: true}]",
            "read as requests",
        ),
        (
            "requesters: [mes], rules: [{source: shop, node: i=1, write: {minimum: 2, maximum: 1}}]",
            "minimum is above maximum",
        ),
        ("requesters: [mes], rules: [{source: shop, node: i=1, write: {min: 2}}]", "min"),
    ],
)
def test_a_mistake_is_reported_with_its_place(section: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"{HEAD}commands: {{{section}}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as mistakes:
        load(path)
    assert any(words in problem and problem.startswith(f"{path}:5: ") for problem in mistakes.value.problems)


def test_plan_shows_allowed_commands_and_those_always_refused() -> None:
    wanted = commands(
        {"source": "shop", "node": "s=press/Speed", "read": True, "write": {"maximum": 2, "step": 0.5}},
        {"source": "shop", "node": "s=press/Fixed", "write": {}, "requesters": ["mes"]},
        {"source": "shop", "node": "s=press/Start", "call": {"arguments": {"Factor": {"minimum": 1}}}},
        {"source": "shop", "node": "s=press/Off", "call": {}},
        {"source": "shop", "node": "s=gone", "read": True},
        {"source": "else", "node": "s=press/Speed", "read": True},
    )
    rows, problems = asyncio.run(rows_at(press(), "shop", wanted))
    assert problems == 3
    assert rows[0] == (
        "press/Speed", "s=press/Speed", "mes, other", "Double EURange 0 to 3", "read; write any to 2 in steps of 0.5"
    )  # fmt: skip
    assert [row[4].split(":")[0] for row in rows[1:]] == ["no write", "call; Factor 1 to any", "no call", ""]
    assert len(list(columns(list(folded(rows))))) == 6
    assert len(list(folded(rows[:1] * 20))) == 4
