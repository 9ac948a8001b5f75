"""A fleet is shown as it is: what is wrong with each gateway, and whatever anybody publishes on the topics."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.config.broker import PRESENCE_TOPIC
from gateway.errors import ConfigError
from gateway.fleet import Fleet, Level, Watched
from gateway.payload.health import Health
from gateway.payload.presence import GatewayPresence

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
FINE = Health(sources=(4, 4), brokers=(1, 1))


def presence(name: str, health: Health | None = FINE, sent: datetime = NOW) -> GatewayPresence:
    return GatewayPresence(
        f"gateways/{name}/presence", 30.0, name, "1.4.2", lambda: "sha256:5f0c", now=lambda: sent, health=lambda: health
    )


def see(fleet: Fleet, *told: GatewayPresence, retained: bool = True) -> Fleet:
    for each in told:
        fleet.see(each.topic, bytes(each.birth(NOW).payload), retained=retained, now_s=NOW_S)
    return fleet


def fleet_of(*told: GatewayPresence, expected: int = 0) -> Fleet:
    return see(Fleet(Watched(PRESENCE_TOPIC), expected), *told)


def texts(fleet: Fleet, now_s: float = NOW_S) -> dict[str, list[str]]:
    return {row.told.name: [fault.text for fault in faults] for row, faults in fleet.ordered(now_s)}


@pytest.mark.parametrize(
    ("health", "level", "text"),
    [
        (FINE, Level.GOOD, ""),
        (None, Level.GOOD, ""),
        (replace(FINE, sources=(3, 4)), Level.WARNING, "1 of 4 sources away"),
        (replace(FINE, sources=(0, 4)), Level.BAD, "no source is connected"),
        (replace(FINE, brokers=(1, 2)), Level.WARNING, "1 of 2 brokers away"),
        (replace(FINE, backlog_values=900, backlog_age_s=7200.0), Level.WARNING, "2 h behind"),
        (replace(FINE, lost_values=3), Level.WARNING, "3 values lost since its start"),
        (replace(FINE, gap=("2026-05-01T11:58:00Z", "press", "overflow")), Level.WARNING, "a gap in press: overflow"),
        (replace(FINE, gap=("2026-05-01T08:00:00Z", "press", "overflow")), Level.GOOD, ""),
        (replace(FINE, refused=("2026-05-01T08:00:00Z", "no")), Level.BAD, "a configuration is refused: no"),
        (replace(FINE, trouble="disk full"), Level.BAD, "nothing can be stored: disk full"),
    ],
)  # fmt: skip
def test_what_a_gateway_tells_of_itself_is_judged(health: Health | None, level: Level, text: str) -> None:
    fleet = fleet_of(presence("munich", health))
    assert texts(fleet)["munich"] == ([text] if text else [])
    assert fleet.verdict(NOW_S).level is level


def test_the_worst_come_first_and_an_offline_gateway_says_why() -> None:
    fleet = fleet_of(presence("a"), presence("b", replace(FINE, sources=(3, 4))), presence("c"), presence("d"))
    for name, message in (("c", presence("c").will(NOW)), ("d", presence("d").goodbye(NOW))):
        fleet.see(f"gateways/{name}/presence", bytes(message.payload), retained=False, now_s=NOW_S)
    assert list(texts(fleet).items()) == [
        ("c", ["offline: lost"]), ("d", ["offline: stopped"]), ("b", ["1 of 4 sources away"]), ("a", []),
    ]  # fmt: skip
    assert fleet.verdict(NOW_S).text == "4 gateways, 1 fine; 2 bad; 1 not well"


def test_a_gateway_that_is_not_heard_for_two_heartbeats_is_silent() -> None:
    late = presence("late", sent=NOW - timedelta(seconds=200))
    fleet = fleet_of(presence("munich"), late)
    assert texts(fleet) == {"late": ["silent for 3 min"], "munich": []}
    assert texts(fleet, NOW_S + 70)["munich"] == ["silent for 70 s"]


def test_a_wrong_clock_is_told_and_makes_nobody_silent() -> None:
    fleet = see(Fleet(Watched(PRESENCE_TOPIC)), presence("slow", sent=NOW - timedelta(hours=1)), retained=False)
    assert texts(fleet) == {"slow": ["its clock is 60 min behind"]}


def test_missing_gateways_are_counted_and_a_removed_one_is_gone() -> None:
    fleet = fleet_of(presence("a"), presence("b"), expected=2)
    assert fleet.verdict(NOW_S) == (Level.GOOD, "2 gateways, 2 fine")
    fleet.see("gateways/b/presence", b"", retained=False, now_s=NOW_S)
    assert fleet.verdict(NOW_S) == (Level.BAD, "1 gateway, 1 fine; 1 of 2 missing")


GOOD = {"gateway": "x", "state": "online", "time": "2026-05-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\x00", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'"online"', "not_presence"),
        (b"{}", "not_presence"),
        (b'{"gateway": "x", "state": "online"' + b" " * 2**20 + b"}", "too_large"),
        *(
            (json.dumps(GOOD | wrong).encode(), "not_presence")
            for wrong in (
                {"state": "fine"}, {"gateway": 7}, {"gateway": ""}, {"time": "yesterday"}, {"heartbeat_s": "soon"},
                {"heartbeat_s": True}, {"heartbeat_s": -1}, {"health": [1]}, {"health": {"sources": 4}},
                {"health": {"sources": {"up": "4", "all": 4}}}, {"health": {"gap": {"time": 12}}},
                {"time": "0001-01-01T00:00:00+23:59"},
            )
        ),
        (json.dumps(GOOD | {"gateway": "another"}).encode(), "other_name"),
    ],
)  # fmt: skip
def test_what_is_no_presence_is_counted_and_shown_and_replaces_nothing(payload: bytes, reason: str) -> None:
    fleet = fleet_of(presence("munich"), presence("x"))
    for topic in ("gateways/x/presence", "gateways/new/presence"):
        fleet.see(topic, payload, retained=True, now_s=NOW_S)
    assert fleet.rejected == {reason: 2}
    assert list(fleet.problems) == ["gateways/new/presence"]
    shown = texts(fleet)
    assert shown["munich"] == []
    assert shown["x"][0].startswith("what its topic says now is no presence")
    assert fleet.verdict(NOW_S).level is Level.BAD
    see(fleet, presence("x"))
    assert texts(fleet)["x"] == []


def test_nobody_can_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.fleet.fleet.MOST_GATEWAYS", 2)
    fleet = fleet_of(*(presence(f"g{number}") for number in range(4)))
    for number in range(200):
        fleet.see(f"gateways/h{number}/presence", b"?", retained=False, now_s=NOW_S)
    assert set(texts(fleet)) == {"g0", "g1"}
    assert (len(fleet.problems), fleet.rejected["too_many"]) == (50, 2)


def test_texts_cannot_command_a_terminal_and_are_cut() -> None:
    fleet = fleet_of(presence("a", replace(FINE, refused=("2026-05-01T08:00:00Z", "\x1b[2J\x07" + "x" * 5000))))
    (text,) = texts(fleet)["a"]
    assert text.isprintable()
    assert len(text) < 400


def test_presence_of_other_formats_and_older_gateways_is_read() -> None:
    fleet = Fleet(Watched("opcua/json/status/{gateway}"))
    for name, status in (("up", 2), ("gone", 3), ("left", 0)):
        body = {"MessageType": "ua-status", "PublisherId": name, "Status": status, "IsCyclic": False}
        fleet.see(f"opcua/json/status/{name}", json.dumps(body).encode(), retained=True, now_s=NOW_S)
    assert texts(fleet) == {"gone": ["offline: lost"], "left": ["offline: stopped"], "up": []}
    old = fleet_of(presence("old", None))
    rows = old.state(NOW_S)["gateways"]
    assert isinstance(rows, list)
    assert (rows[0]["version"], rows[0]["configuration"], "sources" in rows[0]) == ("1.4.2", "sha256:5f0c", False)


def test_a_topic_needs_a_place_for_the_name() -> None:
    assert Watched("acme/{gateway}/state").filter == "acme/+/state"
    with pytest.raises(ConfigError, match="is missing"):
        Watched("acme/state")


def test_health_is_small_and_has_news_only_when_something_has_changed() -> None:
    full = Health(
        (118, 122), (1, 2), 10**7, 86_400.0, 5, ("2026-05-01T11:58:00Z", "s" * 64, "overflow"),
        ("g" * 64, "m" * 64, 122), ("2026-05-01T08:00:00Z", "w" * 9999), ("sha256:77aa", "refused"),
    )  # fmt: skip
    assert len(json.dumps(dict(full.body))) < 1000
    assert replace(FINE, backlog_values=9, backlog_age_s=3.0).news == FINE.news
    assert (
        replace(FINE, backlog_values=9, backlog_age_s=700.0).news
        == replace(FINE, backlog_age_s=900.0).news
        != FINE.news
    )
    assert replace(full, lost_values=6).news == full.news != replace(full, sources=(117, 122)).news
