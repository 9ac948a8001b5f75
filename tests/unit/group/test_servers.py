"""Which NATS servers may keep a group's log."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import GroupConfig
from gateway.group.log import Names
from gateway.group.servers import monitoring_url, problem_with, problem_with_version


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"version": "2.10.29"}, "too old"),
        ({"version": "2.9.10", "jetstream": {"config": {"sync_always": True}}}, "too old"),
        ({"version": "2.11.3"}, "not enabled"),
        ({"version": "2.11.3", "jetstream": {"config": {"sync_interval": 120_000_000_000}}}, "sync_interval: always"),
        ({"version": "2.15.1", "jetstream": {"config": {"sync_always": True}}}, ""),
    ],
)
def test_a_server_that_may_lose_what_it_acknowledged_is_refused(answer: dict[str, object], problem: str) -> None:
    found = problem_with("http://n1:8222/varz", answer)
    assert problem in found if problem else not found


def test_a_server_before_its_release_counts_as_that_release() -> None:
    assert not problem_with_version("2.11.0-RC.1")
    assert monitoring_url("tls://n1.plant:4222", 8222) == "http://n1.plant:8222/varz"


def config(**more: Any) -> GroupConfig:
    return GroupConfig.model_validate({"name": "hall-2", "servers": ["nats://n1:4222"], **more})


@pytest.mark.parametrize(
    ("more", "where"),
    [({"presence": "11s"}, "presence"), ({"replicas": 2}, "replicas"), ({"servers": []}, "servers"),
     ({"servers": ["mqtt://n1"]}, "servers"), ({"leader": "me"}, "leader")],
)  # fmt: skip
def test_what_cannot_work_is_refused_at_its_place(more: dict[str, object], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        config(**more)
    assert refused.value.errors()[0]["loc"][0] == where
    assert config().presence == 15.0


def test_names_with_dots_have_subjects_of_one_token_and_come_back() -> None:
    names = Names("hall.2")
    for work in ("source/press.1", "broker/a=b_c-d", "source/plain"):
        subject = names.work(work)
        assert subject.count(".") == 4
        assert names.work_at(subject) == work
