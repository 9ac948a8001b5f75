"""Telemetry and alarms have the form that the users of the connector know."""

import json

from gateway.model import Priority, Tag
from gateway.payload.choose import encoder_for
from gateway.values import Structure, Typed
from tests.support.payloads import Counting, batch_of
from tests.unit.payload.test_priorities import config

TAGS = (Tag("T", "nsu=urn:x;s=T", {"line": "l1"}), Tag("Alarms", "i=3", {"line": "l1"}, priority=Priority.EVENT))
NESTED = Structure("i=9", {"Low": Typed(11, 0.5), "Range": Typed(22, Structure("i=8", {"On": Typed(1, True)}))})


def test_one_message_tells_one_value_with_its_source() -> None:
    counting = Counting()
    batch = batch_of([(22, NESTED), (22, Structure("i=2041", {"Severity": Typed(5, 500)}))], tags=TAGS)
    messages = counting.append(encoder_for(config("omp"), "s", "gw.e1").encode(batch, counting.next_seq))
    telemetry, alarm = (json.loads(message.payload) for message in messages)
    assert telemetry["payload"]["dataSource"]["endpointUrl"] == "opc.tcp://x:1"
    data = telemetry["payload"]["data"]
    assert (data["key"], data["name"], data["status"], data["dataType"]) == ("nsu=urn:x;s=T", "T", 0, "ExtensionObject")
    assert data["value"] == [
        {"key": "Low", "dataType": "Double", "value": 0.5},
        {"key": "Range", "dataType": "ExtensionObject", "value": [{"key": "On", "dataType": "Boolean", "value": True}]},
    ]
    assert alarm["namespace"] == "iot.models.messages.alarm"
    assert alarm["payload"]["data"]["eventProperties"] == [{"key": "Severity", "dataType": "UInt16", "value": 500}]
    assert [message.topic for message in messages] == ["f/l1", "f/l1/events"]
