"""What users of the Open Manufacturing Platform's connector sent is understood, ruled and answered as they read it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.codecs.omp import COMMANDS
from gateway.commands.outcome import Refused
from gateway.commands.values import from_text, typed
from tests.support.commands import FakeServer, Office, commands, press
from tests.unit.commands.test_desk import ALL, run

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
            [{"key": "Result", "value": 2.5}], [("s=press/Start", (2.5,))]
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

    run(tmp_path, body, commands(rule, codecs=[{"format": "omp"}]))


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_each_of_the_sixteen_command_types_is_answered(kind: str, tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        request: dict[str, object] = {
            "commandType": kind, "nodeId": "hidden", "value": "1", "browseDepth": 1,
            "monitoredItems": [{"nodeId": "hidden", "samplingInterval": "100", "publishingInterval": "1000"}],
            "alarmEventActions": [{"sourceNodeId": "hidden", "eventId": "AQ==", "comment": "", "action": "Confirm"}],
        }  # fmt: skip
        [told] = await ask(at, envelope(request))
        [response] = responses(told)
        assert told["payload"]["responseStatus"] == "Bad"
        assert (response["commandType"], response["outcome"]) == (kind, "refused")
        assert response["reason"] == ("not_allowed" if COMMANDS[kind] is not None else "unsupported")
        assert (at.server.written, at.server.called) == ([], [])

    assert len(COMMANDS) == 16
    run(tmp_path, body, OPEN)


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
        assert typed(built_in, -1, from_text(built_in, text)).value == value
        return
    with pytest.raises(Refused):
        typed(built_in, -1, from_text(built_in, text))
