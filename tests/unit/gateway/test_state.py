"""What people are told in a sentence, and the command that helps them with an event."""

import logging

import pytest

from gateway.happened import Happened, command_for
from gateway.run.state import owner_of, span, verdict_of
from gateway.web.models import BrokerState, RefusedTopic, SourceState

PEER = {"name": "x", "address": "", "reason": "", "advice": "", "since": "", "for_s": 1.0, "connects": 1}


def source(state: str = "up", bad: int = 0) -> SourceState:
    tags = {"total": 9, "good": 9 - bad, "uncertain": 0, "bad": bad, "refused": 0}
    counts = {"received_values": 0, "gaps_24h": 0, "held_values": 0, "filtered_values": 0, "is_polled": False}
    unknown = dict.fromkeys(("values_per_second", "newest", "newest_age_s"))
    return SourceState.model_validate({**PEER, **counts, **unknown, "state": state, "tags": tags})


def broker(state: str = "up", stored: int = 0, age_s: float = 0.0, **more: object) -> BrokerState:
    counts = {"stored_messages": 0, "in_flight": 0, "delivered_values": 0, "refused_messages": 0, "dead_letters": 0}
    plain = {"dropped_values": {}, "imbalance_values": 0, "refused_topics": [], "route": "", "values_per_second": None}
    own = {"state": state, "stored_values": stored, "oldest_age_s": age_s}
    return BrokerState.model_validate({**PEER, **counts, **plain, **own, **more})


REFUSED = [RefusedTopic(topic="x", reason="no")]


@pytest.mark.parametrize(
    ("sources", "brokers", "level", "text"),
    [
        ([source()], [broker()], "good", "the source is connected; nothing is lost; 0 s behind"),
        ([source()] * 39 + [source("down")], [broker()], "warning",
         "1 of 40 sources is away; nothing is lost; 0 s behind"),
        ([source(bad=2)] * 2, [broker()], "warning",
         "all 2 sources are connected; 4 tags are bad; nothing is lost; 0 s behind"),
        ([source()], [broker("down", 5, 7200.0)], "bad",
         "the source is connected; the broker is away; nothing is lost; 2 h behind"),
        ([source()], [broker(), broker("down", 5, 41.0)], "warning",
         "the source is connected; 1 of 2 brokers is away; nothing is lost; 41 s behind"),
        ([source()], [broker(stored=3, age_s=70.0, refused_topics=REFUSED)], "warning",
         "the source is connected; 1 topic is refused; nothing is lost; 70 s behind"),
        ([source()], [broker(dropped_values={"outbox_full": 1})], "bad",
         "the source is connected; 1 value was lost since the start (outbox_full); 0 s behind"),
        ([source()], [broker(imbalance_values=-3)], "bad",
         "the source is connected; 3 values are missing in the books; 0 s behind"),
    ],
)  # fmt: skip
def test_the_verdict_says_what_matters(
    sources: list[SourceState], brokers: list[BrokerState], level: str, text: str
) -> None:
    verdict = verdict_of(sources, brokers)
    assert (verdict.level, verdict.text) == (level, text)


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ({"event": "not connected", "source": "a", "address": "opc.tcp://a:1", "reason": "gone"},
         "gateway browse opc.tcp://a:1"),
        ({"event": "not connected", "peer": "b", "address": "mqtt://b:1", "reason": "gone"},
         "gateway watch mqtt://b:1"),
        ({"event": "not connected", "peer": "a", "address": "opc.tcp://a:1",
          "reason": "x" * 2000 + "; to trust it: gateway cert trust 0123 --pki var/other"},
         "gateway cert trust 0123 --pki var/other"),
        ({"event": "not connected", "peer": "a", "address": "opc.tcp://a:1", "reason": "BadSecurityChecksFailed"},
         "gateway cert export our-certificate.der"),
        ({"event": "refused for good", "broker": "b", "reason": "too large"},
         "gateway outbox peek var/o/dead-letters/b"),
        ({"event": "the new configuration is refused, the earlier one stays in use", "problems": ["x"]},
         "gateway validate g.yaml"),
        ({"event": "connected", "peer": "b", "address": "mqtt://b:1"}, ""),
    ],
)  # fmt: skip
def test_an_event_comes_with_the_command_that_helps(said: dict[str, object], command: str) -> None:
    happened = Happened()
    level = logging.INFO if said["event"] == "connected" else logging.WARNING
    record = logging.LogRecord("gateway.link", level, __file__, 1, said, None, None)
    happened.handle(record)
    happened.handle(logging.LogRecord("asyncio", level, __file__, 1, "something else", None, None))
    [line] = happened.lines
    assert command_for(line, file="g.yaml", outbox="var/o") == command


def test_durations_have_one_unit() -> None:
    assert [span(s) for s in (0.2, 41, 119, 120, 7200, 200_000)] == ["0 s", "41 s", "119 s", "2 min", "2 h", "2 d"]


def test_a_work_belongs_to_the_member_that_took_it_last() -> None:
    members: dict[str, dict[str, object]] = {
        "a": {"holds": {"source/press": 3}, "since": {"source/press": 10.0}},
        "b": {"holds": {"source/press": 4, "broker/cloud": 1}, "since": {"source/press": 20.0}},
        "c": {},
    }
    assert owner_of("source/press", members) == ("b", "1970-01-01T00:00:20.000Z")
    assert owner_of("broker/cloud", members) == ("b", None)
    assert owner_of("source/oven", members) == ("", None)
