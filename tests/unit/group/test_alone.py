"""A gateway that is alone: nothing of a group is there."""

import subprocess
import sys
from typing import Any

import pytest

from gateway.cli.group import works_of
from gateway.config import Config
from gateway.group.plan import ITSELF
from gateway.loading import problems_with_group
from gateway.run.readiness import warnings_about

MINIMAL: dict[str, Any] = {
    "sources": [{"name": "s", "url": "opc.tcp://127.0.0.1:4840", "insecure": True, "select": [{"node": "i=2258"}]}],
    "broker": {"url": "mqtt://127.0.0.1:1883"},
}
COMMANDS: dict[str, Any] = {"requesters": ["mes"], "rules": [{"source": "s", "node": "i=2258", "read": True}]}
GROUP = {"group": {"name": "hall", "servers": ["nats://127.0.0.1:4222"]}}


def test_the_gateway_imports_nothing_of_nats() -> None:
    never = {"nats", "gateway.group", "gateway.metrics.group", "gateway.commands.group_desk"}
    program = f"import sys, gateway.run.app, gateway.cli.running; print({never} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (
            {"commands": {**COMMANDS, "rules": [{**COMMANDS["rules"][0], "subscribe": {}}, {"reload": True}]}},
            ("commands", "rules", 0, "subscribe"),
        ),
        ({"outbox": {"max_age": "1h"}}, ("outbox", "max_age")),
        (
            {
                "sources": [*MINIMAL["sources"], MINIMAL["sources"][0] | {"name": "t"}],
                "payload": {"format": "sparkplug", "sparkplug": {"device": "{machine}"}},
            },
            ("payload", "format"),
        ),
    ],
)
def test_what_a_group_cannot_do_yet_is_refused_at_its_place(more: dict[str, object], place: tuple[str, ...]) -> None:
    config = Config.model_validate({**MINIMAL, **more})
    assert problems_with_group(config) == []
    alike = config.model_copy(update={"group": Config.model_validate(MINIMAL | GROUP).group})
    assert [found for found, _ in problems_with_group(alike)] == [place]


def test_people_can_see_and_move_what_the_gateway_itself_is_asked_for() -> None:
    plain = {"source/s", "broker/broker"}
    assert set(works_of(Config.model_validate(MINIMAL | {"commands": COMMANDS}))) == plain
    itself = {**COMMANDS, "rules": [{"reload": True}]}
    assert set(works_of(Config.model_validate(MINIMAL | {"commands": itself}))) == {*plain, ITSELF}


def test_a_log_that_the_journal_of_commands_would_fill_is_refused() -> None:
    small = {"group": {**GROUP["group"], "max_bytes": "20MiB"}, "commands": COMMANDS}
    assert [found for found, _ in problems_with_group(Config.model_validate(MINIMAL | small))] == [
        ("group", "max_bytes")
    ]


def test_validate_says_whose_subscriptions_another_host_cannot_take_over() -> None:
    alone, grouped = Config.model_validate(MINIMAL), Config.model_validate(MINIMAL | GROUP)
    assert not [text for _, text in warnings_about(alone) if "take over" in text]
    assert [place for place, text in warnings_about(grouped) if "take over" in text] == [("sources", 0)]
    user = {
        **MINIMAL["sources"][0],
        "insecure": False,
        "security": {"policy": "None"},
        "username": "eve",
        "password": {"env": "P"},
    }
    assert not [text for _, text in warnings_about(Config.model_validate({**MINIMAL, **GROUP, "sources": [user]}))
                if "take over" in text]  # fmt: skip
