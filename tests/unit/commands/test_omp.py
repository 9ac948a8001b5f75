"""What users of the Open Manufacturing Platform's connector sent is understood, ruled and answered as they read it."""

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.codecs.omp_commands import COMMANDS
from gateway.commands.outcome import Refused
from gateway.commands.shapes import from_text, typed
from gateway.operations import Form
from tests.support.commands import FakeServer, Office, commands, facts, press
from tests.unit.commands.test_desk import ALL, run
from tests.unit.commands.test_looking import Self

TOPIC = "gateways/edge/omp/mes/commands"
OPEN = commands(ALL, codecs=[{"format": "omp"}], verify_within="50ms", slow_after="60s")
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
MES = {"id": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "name": "mes", "type": "application"}
US = {"id": "9e107d9d-372b-4bd8-a0aa-1d6b3f1c5d0e", "name": "edge gateway", "type": "gateway"}


def envelope(*requests: Mapping[str, Any], **more: object) -> dict[str, Any]:
    changes: dict[str, Any] = {"endpoint": "opc.tcp://shop:4840", "age_s": 0, "metadata": {}, **more}
    at_s = time.time() - changes["age_s"]
    return {
        "id": changes.get("id", ID), "namespace": changes.get("namespace", "iot.models.messages.commands.request"),
        "$schema": "https://example.org/schemas/request.json",
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.0000000Z", time.gmtime(at_s)), "correlationIds": ["c1"],
            "senderIdentifier": MES, "destinationIdentifiers": [US], **changes["metadata"],
        },
        "payload": {"requestTarget": {"endpointUrl": changes["endpoint"]}, "requests": list(requests)},
    }  # fmt: skip


async def ask(at: Office, body: dict[str, object], parts: int = 1, **more: Any) -> list[Any]:
    number = len(at.got)
    await at.take(body, topic=TOPIC, **{"expiry_s": None, **more})
    return [await at.answer(number + n) for n in range(parts)]


def responses(told: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told["payload"]["responses"]
    return found


def test_reads_writes_and_calls_are_answered_in_the_envelope(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        requests: list[dict[str, object]] = [
            {"commandType": "read", "nodeId": "s=press/Speed"},
            {"commandType": "read", "nodeId": "Mode"},
            {"commandType": "write", "nodeId": "Speed", "value": "1.5"},
            {"commandType": "write", "nodeId": "Row", "value": ["3", "4.5"]},
            {"commandType": "call", "nodeId": "Start", "arguments": [{"key": "Factor", "value": "2.5"}]},
        ]
        told = await ask(at, envelope(*requests), 3)
        assert [each["payload"]["responseStatus"] for each in told] == ["Good"] * 3
        assert [each["metadata"]["sequence"] for each in told] == [{"id": n, "count": 3} for n in (1, 2, 3)]
        for each in told:
            assert each["metadata"]["correlationIds"] == ["c1", ID]
            assert each["metadata"]["senderIdentifier"] == US
            assert each["metadata"]["destinationIdentifiers"] == [MES]
            assert each["payload"]["responseSource"]["endpointUrl"] == "opc.tcp://shop:4840"
        assert [(r["nodeId"], r["dataType"], r["value"]) for r in responses(told[0])] == [
            ("s=press/Speed", "Double", 1.0), ("Mode", "Int32", 0)
        ]  # fmt: skip
        assert at.server.written == [("s=press/Speed", 1.5), ("s=press/Row", [3.0, 4.5])]
        assert (responses(told[2])[0]["arguments"], at.server.called) == (
            [{"key": "Result", "value": 2.5, "dataType": "Double"}], [("s=press/Start", (2.5,))]
        )  # fmt: skip
        assert {message.topic for message in at.got} == {"gateways/edge/omp/mes/responses"}
        again = await ask(at, envelope(*requests), 3)
        assert sorted(map(str, again)) == sorted(map(str, told))  # a repeat gets the same answers
        assert (len(at.server.written), len(at.server.called)) == (2, 1)

    run(tmp_path, body, OPEN)


def test_browsing_tells_nodes_with_their_children(tmp_path: Path) -> None:
    rule: dict[str, object] = {"source": "shop", "node": "s=press", "name": "place", "browse": {}}

    async def body(at: Office) -> None:
        [told] = await ask(at, envelope({"commandType": "browseChildNodes", "nodeId": "place", "browseDepth": "2"}))
        assert told["payload"]["responseStatus"] == "Good"
        [child, *_] = responses(told)[0]["node"]["childNodes"]
        assert (child["nodeId"], child["nodeClass"], child["childNodes"]) == ("s=press/Count", "Variable", [])
        [told] = await ask(at, envelope({"commandType": "browse", "nodeId": "place"}, id=str(uuid.uuid4())))
        node = responses(told)[0]["node"]
        assert (node["nodeId"], node["browseName"], node["nodeClass"]) == ("s=press", "place", 1)
        assert len(node["childNodes"]) == 6

    run(tmp_path, body, commands(rule, codecs=[{"format": "omp"}]))


OF_ALL = {"removeAllSubscriptions", "restoreSubscriptions", "removeAllAlarmSubscriptions", "restoreAlarmSubscriptions"}


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_each_of_the_sixteen_command_types_is_answered(kind: str, tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        request: dict[str, object] = {
            "commandType": kind, "nodeId": "hidden", "value": "1", "browseDepth": 1,
            "monitoredItems": [{"nodeId": "hidden", "samplingInterval": "100", "publishingInterval": "1000"}],
            "alarmMonitoredItems": [{"nodeId": "hidden", "publishingInterval": "1000"}],
            "alarmEventActions": [{"sourceNodeId": "hidden", "eventId": "AQ==", "comment": "", "action": "Confirm"}],
        }  # fmt: skip
        [told] = await ask(at, envelope(request))
        [response] = responses(told)
        assert response["commandType"] == kind
        if kind in OF_ALL:  # of what the rules allow there is nothing
            assert (told["payload"]["responseStatus"], response["outcome"]) == ("Good", "done")
        else:
            assert (told["payload"]["responseStatus"], response["outcome"]) == ("Bad", "refused")
            assert response["reason"] == "not_allowed"
        assert (at.server.written, at.server.called) == ([], [])

    assert len(COMMANDS) == 16
    run(tmp_path, body, OPEN)


def test_subscriptions_of_variables_and_alarms_are_made_listed_and_taken_away(tmp_path: Path) -> None:
    itself = Self()
    rules: list[dict[str, object]] = [
        {"source": "shop", "subtree": "s=press", "subscribe": {"fastest": "100ms", "events": True}},
        {"source": "shop", "node": "s=hidden", "name": "theirs", "requesters": ["other"], "subscribe": {}},
    ]

    def items(*nodes: str, key: str = "monitoredItems", **more: str) -> dict[str, object]:
        return {key: [{"nodeId": node, "publishingInterval": "1000", **more} for node in nodes]}

    async def body(at: Office) -> None:
        itself.subscribed.add("s=hidden")
        for kind, sent, told, left in (
            ("createSubscriptions", items("s=press/Speed", "Count", samplingInterval="500", heartbeatInterval="60000"),
             ["s=press/Speed", "Count"], {"s=press/Speed", "s=press/Count"}),
            ("createAlarmSubscriptions", items("s=press", key="alarmMonitoredItems", heartbeatInterval="60000"),
             ["s=press"], {"s=press/Speed", "s=press/Count", "s=press"}),
            ("restoreSubscriptions", {}, ["s=press/Speed", "s=press/Count"],
             {"s=press/Speed", "s=press/Count", "s=press"}),
            ("restoreAlarmSubscriptions", {}, ["s=press"], {"s=press/Speed", "s=press/Count", "s=press"}),
            ("removeSubscriptions", {"monitoredItems": [{"nodeId": "Speed"}]}, ["Speed"], {"s=press/Count", "s=press"}),
            ("removeAllSubscriptions", {}, ["s=press/Count"], {"s=press"}),
            ("removeAlarmSubscriptions", items("press", key="alarmMonitoredItems"), ["press"], set()),
            ("createAlarmSubscriptions", items("press", key="alarmMonitoredItems"), ["press"], {"s=press"}),
            ("removeAllAlarmSubscriptions", {}, ["s=press"], set()),
        ):  # fmt: skip
            [answer] = await ask(at, envelope({"commandType": kind, **sent}, id=str(uuid.uuid4())))
            [response] = responses(answer)
            assert (response["commandType"], response["message"]) == (kind, "Good"), response
            listed = response["alarmMonitoredItems" if "Alarm" in kind else "monitoredItems"]
            assert sorted(each["nodeId"] for each in listed) == sorted(told), kind
            assert {(each["message"], each["statusCode"]) for each in listed} == {("Good", 0)}
            assert itself.subscribed == left | {"s=hidden"}, kind
        first = itself.wanted[0]
        assert (first.publishing_s, first.sampling_s, first.heartbeat_s) == (1.0, 0.5, 60.0)
        assert (itself.wanted[2].target.kind, itself.wanted[2].heartbeat_s) == ("notifier", None)

    run(tmp_path, body, commands(*rules, codecs=[{"format": "omp"}]), itself=itself)


def test_items_of_one_list_with_other_intervals_are_parts_of_their_own(tmp_path: Path) -> None:
    itself = Self()

    async def body(at: Office) -> None:
        listed = [
            {"nodeId": "Speed", "samplingInterval": "500", "publishingInterval": "1000"},
            {"nodeId": "Count", "samplingInterval": "2000", "publishingInterval": "1000"},
            {"nodeId": "Mode", "samplingInterval": "500", "publishingInterval": "1000"},
            {"nodeId": "Fixed", "samplingInterval": "50", "publishingInterval": "1000"},
        ]
        told = await ask(at, envelope({"commandType": "createSubscriptions", "monitoredItems": listed}), 3)
        parts = {each["metadata"]["sequence"]["id"]: responses(each)[0] for each in told}
        assert [[item["nodeId"] for item in parts[n]["monitoredItems"]] for n in (1, 2, 3)] == [
            ["Speed", "Mode"], ["Count"], ["Fixed"]
        ]  # fmt: skip
        assert [parts[n].get("reason", "done") for n in (1, 2, 3)] == ["done", "invalid", "too_fast"]
        assert parts[3]["monitoredItems"][0]["errorSource"] == "gateway"
        assert itself.subscribed == {"s=press/Speed", "s=press/Mode"}

    rule: dict[str, object] = {"source": "shop", "subtree": "s=press", "subscribe": {"fastest": "100ms"}}
    run(tmp_path, body, commands(rule, codecs=[{"format": "omp"}]), itself=itself)


def test_alarms_are_responded_to_one_by_one_by_condition_or_source(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        actions = [
            {"sourceNodeId": "Hot", "eventId": "AQ==", "comment": "seen", "action": "Acknowledge"},
            {"sourceNodeId": "s=press", "eventId": "Ag==", "comment": "", "action": "Confirm"},
            {"sourceNodeId": "Hot", "eventId": "AQ==", "comment": "", "action": "Shelve"},
        ]
        told = await ask(at, envelope({"commandType": "respondToAlarmEvents", "alarmEventActions": actions}), 3)
        parts = {each["metadata"]["sequence"]["id"]: responses(each)[0]["alarmEventActions"] for each in told}
        assert [parts[n][0]["sourceNodeId"] for n in (1, 2, 3)] == ["Hot", "s=press", "Hot"]
        assert [parts[n][0].get("reason", "done") for n in (1, 2, 3)] == ["done", "done", "invalid"]
        assert [(method, arguments[0]) for method, arguments in at.server.called] == [
            ("i=9111", b"\x01"), ("i=9113", b"\x02")
        ]  # fmt: skip

    rule: dict[str, object] = {"source": "shop", "subtree": "s=press", "acknowledge": True, "confirm": True}
    run(tmp_path, body, commands(rule, codecs=[{"format": "omp"}]))


def test_discovery_lists_what_is_below_the_root_as_deep_as_the_rule_allows(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        [told] = await ask(at, envelope({"commandType": "serverDiscovery", "serverDetails": {"name": "shop"}}))
        [response] = responses(told)
        assert [node["nodeId"] for node in response["nodes"]] == ["i=84/a"]
        assert [node["nodeId"] for node in response["nodes"][0]["childNodes"]] == ["i=84/a/b"]

    server = FakeServer({f"i=84/{path}": facts(11, 1.0) for path in ("a", "a/b", "a/b/c")})
    rule: dict[str, object] = {"source": "shop", "node": "i=84", "browse": {"levels": 2}}
    run(tmp_path, body, commands(rule, codecs=[{"format": "omp"}]), server)


WRITE = {"commandType": "write", "nodeId": "Speed", "value": "2.0"}


@pytest.mark.parametrize(
    ("body", "more", "outcome"),
    [
        (envelope(WRITE, metadata={"senderIdentifier": {**MES, "name": "other"}}), {}, "sender"),
        (envelope(WRITE, endpoint="opc.tcp://else:4840"), {}, "source_unknown"),
        (envelope({**WRITE, "nodeId": "s=hidden"}), {}, "not_allowed"),
        (envelope({**WRITE, "value": "1,5"}), {}, "type"),
        (envelope({**WRITE, "value": "9"}), {}, "out_of_range"),
        (envelope({**WRITE, "value": "1e999"}), {}, "not_finite"),
        (envelope(WRITE), {"is_retained": True}, "retained"),
        (envelope(WRITE), {"response_topic": "gateways/edge/omp/other/responses"}, "response_topic"),
        (envelope(WRITE), {"response_topic": "gateways/edge/omp/mes/responses/#"}, "response_topic"),
        (envelope(WRITE), {"response_topic": "$SYS/omp"}, "response_topic"),
        (envelope(WRITE, namespace="other"), {}, "invalid"),
        (envelope(WRITE, id="1"), {}, "invalid"),
        (envelope({"commandType": "format", "nodeId": "x"}), {}, "invalid"),
    ],
)
def test_what_is_not_allowed_is_answered_and_changes_nothing(
    body: dict[str, Any], more: dict[str, Any], outcome: str, tmp_path: Path
) -> None:
    async def scene(at: Office) -> None:
        fresh = envelope(WRITE)["metadata"]["timestamp"]  # that of the body is as old as the collection of tests
        [told] = await ask(at, {**body, "metadata": {**body["metadata"], "timestamp": fresh}}, **more)
        [response] = responses(told)
        assert (response["outcome"], response["reason"]) == ("refused", outcome)
        assert at.got[0].topic == "gateways/edge/omp/mes/responses"
        assert (at.server.written, at.server.called) == ([], [])

    run(tmp_path, scene, OPEN)


def test_what_is_older_than_its_lifetime_has_expired(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        [told] = await ask(at, envelope(WRITE, age_s=90))
        assert responses(told)[0]["outcome"] == "expired"
        assert at.server.written == []

    run(tmp_path, body, OPEN)


def test_a_server_that_says_no_is_named_as_the_source_of_the_error(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        [told] = await ask(at, envelope(WRITE))
        [response] = responses(told)
        assert (response["errorSource"], response["statusCode"]) == ("server", 0x803C_0000)

    server: FakeServer = press()
    server.status = 0x803C_0000
    run(tmp_path, body, OPEN, server)


@pytest.mark.parametrize(
    ("built_in", "text", "value"),
    [(6, "-7", -7), (11, "1.5e1", 15.0), (10, ".5", 0.5), (1, "True", True), (12, "7", "7"), (9, "7", 7),
     (6, "1.0", None), (6, "0x1", None), (6, " 1", None), (11, "NaN", None), (11, "1_0", None), (6, "٣", None),
     (1, "1", None), (6, "", None)],
)  # fmt: skip
def test_a_text_is_a_number_only_if_it_is_exactly_one(built_in: int, text: str, value: object) -> None:
    if value is not None:
        assert typed(Form(built_in), -1, from_text(Form(built_in), text)).value == value
        return
    with pytest.raises(Refused):
        typed(Form(built_in), -1, from_text(Form(built_in), text))
