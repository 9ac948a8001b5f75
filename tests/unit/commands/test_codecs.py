"""Each codec asks for what its users know, gets no further than the rules, and answers where its requester may read."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.commands.arrival import hall_of, read
from gateway.commands.codecs.choose import CODECS as CODECS_BY_NAME
from gateway.commands.forms import Told, answer_of
from gateway.config import CommandsConfig
from gateway.config.commands import OF_CLOUDS, problems_with_codecs
from gateway.delivery import Packet
from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from gateway.operations import PastValue
from gateway.values import Typed
from tests.support.commands import Office, commands, press
from tests.unit.commands.test_desk import ALL, in_every_codec, run

CODECS: list[dict[str, object]] = [{"format": "opc-publisher"}, {"format": "opcua-actions"}]
OPEN = commands(ALL, codecs=CODECS, verify_within="50ms", slow_after="60s")
PUBLISHER = "gateways/edge/opc-publisher/mes/methods"
ACTIONS = "opcua/json/action-request/edge/mes"
CONNECTION = {"endpoint": {"url": "opc.tcp://SHOP:4840/", "securityMode": "None"}}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def method(request: Mapping[str, object], endpoint: object = CONNECTION) -> dict[str, object]:
    return {"connection": endpoint, "request": request}


def action(*messages: tuple[int, dict[str, object]], **more: object) -> dict[str, object]:
    return {
        "MessageId": "m1", "MessageType": "ua-action-request", "PublisherId": "edge", "Timestamp": now(),
        "TimeoutHint": 20_000,
        "Messages": [
            {"DataSetWriterName": "shop", "ActionTargetId": target, "RequestId": number, "Payload": payload}
            for number, (target, payload) in enumerate(messages, 7)
        ],
        **more,
    }  # fmt: skip


async def answers(at: Office, topic: str, *bodies: dict[str, object], **more: Any) -> list[Any]:
    """The next answers of the desk, as many as there are bodies."""
    number = _told(at)
    for count, body in enumerate(bodies, 1):
        await at.take(body, topic=topic, **({"correlation": b"c%d" % (number + count)} | more))
        while _told(at) < number + count:
            await at.answer(len(at.got))
    return [await at.answer(n) for n in range(len(at.got)) if not at.got[n].retain][number:]


def _told(at: Office) -> int:
    return sum(not message.retain for message in at.got)


def test_opc_publisher_reads_writes_and_calls(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        [read] = await answers(at, f"{PUBLISHER}/ValueRead_V2", method({"nodeId": "s=press/Speed"}))
        assert read == {"value": 1.0, "dataType": "Double"}
        assert (at.got[-1].topic, at.got[-1].properties) == (
            "gateways/edge/opc-publisher/mes/responses", (("StatusCode", "200"),)
        )  # fmt: skip
        assert at.got[-1].correlation == b"c1"
        [wrote] = await answers(at, f"{PUBLISHER}/valuewrite", method({"nodeId": "Speed", "value": 2.0}))
        assert (wrote, at.server.written) == ({}, [("s=press/Speed", 2.0)])
        call = method({"methodId": "Start", "objectId": "i=1", "arguments": [{"value": 1.5, "dataType": "Double"}]})
        [called] = await answers(at, f"{PUBLISHER}/MethodCall_V2", call)
        assert (called, at.server.called) == ({"results": [{"value": 1.5}]}, [("s=press/Start", (1.5,))])
        [failed] = await answers(at, f"{PUBLISHER}/ValueWrite_V2", method({"nodeId": "Speed", "value": 9}))
        assert (failed["status"], failed["title"]) == (400, "out_of_range")
        await at.take(method({"nodeId": "Speed"}), topic=f"{PUBLISHER}/ValueRead/?$rid=0123abcd")
        await at.answer(len(at.got))
        assert at.got[-1].topic == "gateways/edge/opc-publisher/mes/responses/200/?$rid=0123abcd"

    run(tmp_path, body, OPEN)


def test_actions_are_told_with_their_state_and_numbers(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        await at.take(
            action((3, {"Tags": ["Speed"], "Values": [2.0]}), (4, {"Method": "Start", "Arguments": {"Factor": 1.5}}),
                   ResponseAddress="opcua/json/action-response/edge/mes/a",
                   CorrelationData=base64.b64encode(b"cc").decode()),
            topic=ACTIONS, expiry_s=None,
        )  # fmt: skip
        while _told(at) < 2:
            await at.answer(len(at.got))
        told = [(at.got[n], await at.answer(n)) for n in range(len(at.got))]
        metadata = [each for message, each in told if message.retain]
        assert [(each["MessageType"], each["DataSetWriterName"]) for each in metadata] == [
            ("ua-action-metadata", "shop")
        ]
        finals: list[Any] = [each["Messages"][0] for message, each in told if not message.retain]  # type: ignore[index]
        assert [(m["RequestId"], m["ActionState"], m["Status"]) for m in finals] == [(7, 2, 0), (8, 2, 0)]
        assert finals[1]["Payload"]["Results"][0]["outputs"] == {"Result": 1.5}
        assert {(m.topic, m.correlation) for m, _ in told if not m.retain} == {
            ("opcua/json/action-response/edge/mes/a", b"cc")
        }
        assert (at.server.written, len(at.server.called)) == ([("s=press/Speed", 2.0)], 1)

    run(tmp_path, body, OPEN)


SPAN = {"Start": "2026-11-30T00:00:00Z", "End": "2026-11-30T01:00:00Z"}


def past(node: str, **more: object) -> dict[str, object]:
    return method({"nodeId": node, "details": {"startTime": SPAN["Start"], "endTime": SPAN["End"], **more}})


def test_both_page_through_the_history(tmp_path: Path) -> None:
    begin = UNIX_EPOCH_TICKS + 1_795_996_800 * TICKS_PER_SECOND  # 2026-11-30T00:00:00Z
    server = press()
    server.past = [PastValue(begin + n, Typed(6, n), 0x4000_0000 if n == 1 else 0) for n in range(5)]
    rule: dict[str, object] = {"source": "shop", "subtree": "s=press", "history": {}}

    async def body(at: Office) -> None:
        [told] = await answers(at, f"{PUBLISHER}/HistoryReadValues_V2", past("Speed", numValues=2))
        assert [each["value"] for each in told["history"]] == [0, 1]
        assert told["history"][1]["status"] == {"statusCode": 0x4000_0000}
        seen = 2
        while token := told.get("continuationToken"):
            [told] = await answers(at, f"{PUBLISHER}/HistoryReadValuesNext", method({"continuationToken": token}))
            seen += len(told["history"])
        assert seen == 5
        mean = {"aggregateType": "i=11285#AggregateFunction_Average", "processingInterval": 60_000}
        [told] = await answers(at, f"{PUBLISHER}/HistoryReadProcessedValues_V2", past("Speed", **mean))
        assert (len(told["history"]), at.server.asked_past[-1].aggregate) == (5, "Average")
        assert at.server.asked_past[-1].interval_s == 60.0
        after, seen = "", 0
        while seen < 5:
            asked = {"Tag": "Speed", **SPAN, "Limit": 3, **({"After": after} if after else {})}
            [told] = await answers(at, ACTIONS, action((2, asked), MessageId=f"m{seen}"), expiry_s=None)
            [result] = told["Messages"][0]["Payload"]["Results"]
            seen, after = seen + len(result["values"]), result.get("next", "")

    run(tmp_path, body, commands(rule, codecs=CODECS, slow_after="60s"), server)


SPEED = {"nodeId": "Speed", "value": 2.0}
WRITE = (3, {"Tags": ["Speed"], "Values": [2.0]})


@pytest.mark.parametrize(
    ("topic", "body", "more", "reason"),
    [
        (f"{PUBLISHER}/ValueWrite", method(SPEED), {"response_topic": "gateways/edge/replies/other"}, "response_topic"),
        (f"{PUBLISHER}/ValueWrite", method(SPEED), {"response_topic": "$SYS/x"}, "response_topic"),
        (f"{PUBLISHER}/ValueWrite", method(SPEED), {"response_topic": f"{PUBLISHER}/ValueWrite"}, "response_topic"),
        (f"{PUBLISHER}/ValueWrite", method(SPEED), {"is_retained": True}, "retained"),
        (f"{PUBLISHER}/ValueWrite", method(SPEED), {"expiry_s": None}, "no_deadline"),
        (f"{PUBLISHER}/ValueWrite", method(SPEED), {"correlation": b""}, "no_id"),
        (f"{PUBLISHER}/ValueWrite/?$rid=1", method(SPEED), {}, "no_id"),
        (f"{PUBLISHER}/ValueWrite", method(SPEED, {"endpoint": {"url": "opc.tcp://else:1"}}), {}, "source_unknown"),
        (f"{PUBLISHER}/ValueWrite", method({"nodeId": "s=hidden", "value": 1.0}), {}, "not_allowed"),
        (f"{PUBLISHER}/ValueWrite", method({"nodeId": "i=1#s=hidden", "value": 1.0}), {}, "not_allowed"),
        (f"{PUBLISHER}/ValueWrite", method({**SPEED, "indexRange": "0"}), {}, "unsupported"),
        (f"{PUBLISHER}/PublishNodes_V1", method(SPEED), {}, "unsupported"),
        (PUBLISHER.replace("mes", "nobody") + "/ValueWrite", method(SPEED), {}, "requester_unknown"),
        (ACTIONS, action(WRITE, RequestorId="other"), {}, "sender"),
        (ACTIONS, action(WRITE, ResponseAddress="opcua/json/action-response/edge/mes/+"), {}, "response_topic"),
        (ACTIONS, action(WRITE, ResponseAddress="opcua/json/data/edge"), {}, "response_topic"),
        (ACTIONS, action(WRITE, CorrelationData="!"), {}, "invalid"),
        (ACTIONS, action(WRITE, PublisherId="else"), {}, "source_unknown"),
        (ACTIONS, action((5, {})), {}, "unsupported"),
        (ACTIONS, action((2, {"Tag": "Speed", "Start": "2026-11-30T00:00:00Z"})), {}, "invalid"),
        (ACTIONS, action((2, {"Tag": "hidden", **SPAN})), {}, "not_allowed"),
        (f"{PUBLISHER}/HistoryReadValues_V2", past("hidden"), {}, "not_allowed"),
        (f"{PUBLISHER}/HistoryReadValues_V2", past("Speed", returnBounds=True), {}, "unsupported"),
        (f"{PUBLISHER}/HistoryReadProcessedValues", past("Speed", aggregateType="Mode"), {}, "unsupported"),
        (f"{PUBLISHER}/HistoryReadValuesNext", method({"continuationToken": "AAAA"}), {}, "invalid"),
        (ACTIONS, action((3, {"Tags": ["hidden"], "Values": [1.0]})), {}, "not_allowed"),
        (ACTIONS, action(WRITE, TimeoutHint=1e6), {"expiry_s": None}, "deadline_too_far"),
        (ACTIONS.replace("mes", "nobody"), action(WRITE), {}, "requester_unknown"),
    ],
)  # fmt: skip
def test_no_codec_is_a_way_around_what_is_allowed(
    topic: str, body: dict[str, object], more: dict[str, object], reason: str, tmp_path: Path
) -> None:
    async def scene(at: Office) -> None:
        current = {**body, "Timestamp": now()} if "Timestamp" in body else body  # that of the table is from collection
        [told] = await answers(at, topic, current, **more)
        found = told.get("title") or told["Messages"][0]["Payload"]["Reason"]
        assert found == reason
        home = "gateways/edge/opc-publisher/" if "publisher" in topic else "opcua/json/action-response/edge/"
        assert [m.topic for m in at.got if not m.retain][-1].startswith(home)
        assert (at.server.written, at.server.called) == ([], [])

    run(tmp_path, scene, OPEN)


def test_a_topic_without_requester_is_of_the_one_that_is_named(tmp_path: Path) -> None:
    config = commands(
        {**ALL, "requesters": ["mes"]},
        codecs=[{"format": "opc-publisher", "topic": "pub/methods/{method}", "replies": "pub/res", "requester": "other",
                 "lifetime": "10s"}],
    )  # fmt: skip

    async def body(at: Office) -> None:
        [told] = await answers(at, "pub/methods/ValueRead", method({"nodeId": "Speed"}), expiry_s=None)
        assert (told["title"], at.got[-1].topic) == ("not_allowed", "pub/res")

    run(tmp_path, body, config)


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        ({"format": "opc-publisher", "topic": "a/{method}"}, "the key `requester`"),
        ({"format": "opc-publisher", "topic": "a/{requester}"}, "needs a level {method}"),
        ({"format": "opc-publisher", "topic": "a/{requester}/{method}", "requester": "mes"}, "the key `requester`"),
        ({"format": "opc-publisher", "requester": "mes"}, "set a topic without it"),
        ({"format": "opc-publisher", "replies": "a/b"}, "would read the answers"),
        ({"format": "opc-publisher", "topic": "a", "requester": "nobody"}, "no requester"),
        ({"format": "opcua-actions"}, "needs a broker with values"),
    ],
)
def test_a_codec_that_does_not_fit_is_told_before_anything_runs(codec: dict[str, object], words: str) -> None:
    config: CommandsConfig = commands(ALL, codecs=[codec])
    assert any(words in text for _, text in problems_with_codecs(config, [""]))


def test_the_answer_of_a_codec_survives_the_process(tmp_path: Path) -> None:
    write = method(SPEED)

    async def first(at: Office) -> None:
        at.is_there = False
        await at.take(write, topic=f"{PUBLISHER}/ValueWrite", correlation=b"1")
        async with asyncio.timeout(10):
            while not at.journal.untold:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)

    async def second(at: Office) -> None:
        assert await at.answer(0) == {}
        assert at.got[0].properties == (("StatusCode", "200"),)
        assert at.server.written == []

    config = commands(ALL, codecs=CODECS[:1])
    run(tmp_path, first, config)
    run(tmp_path, second, config)


BIG, DEEP, LONE = 10**30, {"x": [1, {"y": None}]}, "\ud800"
ODD = [BIG, DEEP, LONE, [1, [2]], None, True, 1e308, "x" * 5000]
ODD_BODIES = [
    b"", b"[]", b"{}", b"nonsense",
    b'{"state": 5, "execution": 7, "services": [1], "params": 4, "method": 3, "id": 3}',
]  # fmt: skip


@pytest.mark.parametrize("name", sorted({*OF_CLOUDS}))
def test_nothing_that_a_cloud_sends_is_more_than_a_refusal(name: str) -> None:
    """A codec that raises would end each session that gets the message."""
    config = commands(ALL, codecs=[{"format": name, "requester": "mes"}])
    hall = hall_of("edge", config, {"shop": ("shop",)})
    topic, body = in_every_codec("Speed")[name]
    text = json.dumps(body)
    bodies = [*ODD_BODIES, *(text.replace("1.0", json.dumps(odd)).encode() for odd in ODD)]
    for payload in bodies:
        for arrival in read(Packet(topic, payload), hall, "broker", time.time_ns(), lambda: {"shop": ["Speed"]}):
            assert arrival.asked.codec == name
            told = answer_of(arrival.asked, "edge", Told("refused", "invalid"), time.time_ns())
            assert orjson.dumps(CODECS_BY_NAME[name].encode(told, arrival.asked.context).body)
