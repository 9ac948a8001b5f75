"""A Sparkplug host that judges an edge node.  It reads with Eclipse Tahu's JavaScript, and never with our own code.

Each finding names the assertion of the specification (`tck-id-…`) that is violated.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.node import PEERS, node_for
from tests.support.sparkplug_structures import Finding, in_definition, in_value, is_definition, plain

Json = dict[str, Any]
WITH_SEQ = ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH")


class Tahu:
    """Eclipse Tahu's reader in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def read(self, topic: str, payload: bytes) -> Json:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{topic}\t{base64.b64encode(payload).decode()}\n")
        self._process.stdin.flush()
        found: Json = json.loads(self._process.stdout.readline())
        assert "error" not in found, found
        return found


@contextmanager
def tahu() -> Iterator[Tahu]:
    """The reader, ready.  Skips the test where it is not installed."""
    command = [node_for("sparkplug-payload"), str(PEERS / "sparkplug_read.mjs")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        yield Tahu(process)
    finally:
        process.kill()
        process.wait(60)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


class Change(NamedTuple):
    """One value of a metric."""

    ms: int
    value: object
    historical: bool
    verb: str


@dataclass
class SparkplugHost:
    """What a host knows of one edge node, and what is wrong with what it was sent."""

    reader: Tahu
    violations: list[str] = field(default_factory=list)
    verbs: list[str] = field(default_factory=list)
    births: list[Json] = field(default_factory=list)
    """Every NBIRTH."""
    devices: dict[str, dict[int, Json]] = field(default_factory=dict)
    """The metrics of each device that is born, by alias."""
    values: dict[str, list[Change]] = field(default_factory=dict)
    """By device/metric, births included."""
    templates: dict[str, Json] = field(default_factory=dict)
    """The definitions in the latest NBIRTH, by name."""
    deaths: list[str] = field(default_factory=list)
    """Devices that died."""
    bd_seq: int | None = None
    is_online: bool = False
    is_rebirth: bool = False
    _seq: int = -1
    _has_data: bool = False

    @property
    def is_known(self) -> bool:
        """Whether a birth of the node was seen since this host came."""
        return self._seq >= 0

    def forget(self) -> None:
        """The host comes anew: it knows nothing until the next birth."""
        self._seq, self.is_online = -1, False
        self.devices.clear()

    def see(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> Json:
        levels = topic.split("/")
        verb, device = levels[2], levels[4] if len(levels) == 5 else ""
        body = self.reader.read(topic, payload)
        self.verbs.append(verb)
        self._check(levels[0] == "spBv1.0", "topic-structure-namespace-a", topic)
        wanted = verb.startswith("D")
        kind = "" if wanted else "non-"
        self._check(
            bool(device) == wanted, f"topic-structure-namespace-device-id-{kind}associated-message-types", topic
        )
        if verb != "NDEATH":
            self._check((qos, retain) == (0, False), f"topics-{verb.lower()}-mqtt", f"{topic}: QoS {qos}, {retain=}")
        self._check(body["timestamp"] is not None, f"payloads-{verb.lower()}-timestamp", topic)
        if verb in WITH_SEQ:
            self._number(verb, body)
        getattr(self, f"_{verb.lower()}")(device, body)
        return body

    def _check(self, holds: bool, tck_id: str, what: object) -> None:
        if not holds:
            self.violations.append(f"tck-id-{tck_id}: {what}")

    def _report(self, findings: Iterator[Finding]) -> None:
        self.violations += [f"tck-id-{tck_id}: {what}" for tck_id, what in findings]

    def _number(self, verb: str, body: Json) -> None:
        seq = body["seq"]
        self._check(seq is not None, "payloads-sequence-num-always-included", verb)
        expected = 0 if verb == "NBIRTH" else (self._seq + 1) % 256
        tck_id = "topics-nbirth-seq-num" if verb == "NBIRTH" else "payloads-sequence-num-incrementing"
        self._check(seq == expected, tck_id, f"{verb} has {seq}, expected {expected}")
        self._seq = int(seq)

    def _nbirth(self, device: str, body: Json) -> None:
        by_name = {metric["name"]: metric for metric in body["metrics"]}
        self._check("bdSeq" in by_name, "payloads-nbirth-bdseq", sorted(by_name))
        self._check(
            by_name["bdSeq"]["type"] == "Int64", "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq", body
        )
        rebirth = by_name.get("Node Control/Rebirth")
        self._check(rebirth is not None and rebirth["value"] is False, "payloads-nbirth-rebirth-req", rebirth)
        if rebirth is not None:
            self._check(rebirth["type"] == "Boolean", "operational-behavior-data-commands-rebirth-datatype", rebirth)
            self._check(
                "alias" not in rebirth["fields"], "operational-behavior-data-commands-rebirth-name-aliases", rebirth
            )
        number = int(by_name["bdSeq"]["value"])
        if self.is_online and self.births:
            self._check(number == self.bd_seq, "operational-behavior-data-commands-rebirth-action-3", number)
        self.bd_seq, self.is_online, self._has_data = number, True, False
        self.devices.clear()
        self.births.append(body)
        self.templates = {metric["name"]: metric for metric in body["metrics"] if is_definition(metric)}
        for metric in self.templates.values():
            self._report(in_definition(metric, self.templates))
        self._born("", {**body, "metrics": [metric for metric in body["metrics"] if not is_definition(metric)]})
        for metric in self.templates.values():
            self._check("alias" in metric["fields"], "payloads-alias-birth-requirement", metric)
            self._check(int(metric["alias"]) not in self.devices[""], "payloads-alias-uniqueness", metric)
            self.devices[""][int(metric["alias"])] = metric

    def _ndeath(self, device: str, body: Json) -> None:
        names = [metric["name"] for metric in body["metrics"]]
        self._check(names == ["bdSeq"], "topics-ndeath-payload", names)
        self._check(body["seq"] is None, "payloads-ndeath-seq", body)
        if int(body["metrics"][0]["value"]) == self.bd_seq:
            self.is_online = False
            self.devices.clear()

    def _dbirth(self, device: str, body: Json) -> None:
        self._check(self.is_online, "message-flow-device-birth-publish-nbirth-wait", device)
        self._born(device, body)

    def _born(self, device: str, body: Json) -> None:
        known = {alias for other, metrics in self.devices.items() if other != device for alias in metrics}
        lower = [metric["name"].lower() for metric in body["metrics"]]
        self._check(len(set(lower)) == len(lower), "case-sensitivity-metric-names", device)
        metrics: dict[int, Json] = {}
        for metric in body["metrics"]:
            fields = metric["fields"]
            self._check("name" in fields, "payloads-name-requirement", metric)
            self._check("datatype" in fields and 1 <= metric["datatype"] <= 34, "payloads-metric-datatype-req", metric)
            self._check("timestamp" in fields, "payloads-name-birth-data-requirement", metric)
            if metric["name"] == "Node Control/Rebirth":
                continue
            alias = int(metric.get("alias", -1))
            self._check("alias" in fields, "payloads-alias-birth-requirement", metric)
            self._check(alias not in known and alias not in metrics, "payloads-alias-uniqueness", metric)
            self._value(device, metric, "birth")
            metrics[alias] = metric
        self._chronological(body, "operational-behavior-data-publish-dbirth-order")
        self.devices[device] = metrics

    def _ndata(self, device: str, body: Json) -> None:
        self._check(self.is_online, "topics-ndata-payload", body)
        self._data(device, body, "operational-behavior-data-publish-nbirth-change")

    def _ddata(self, device: str, body: Json) -> None:
        self._has_data = True
        self._check(self.is_online and device in self.devices, "payloads-ddata-order", device)
        self._data(device, body, "operational-behavior-data-publish-dbirth")

    def _data(self, device: str, body: Json, tck_id: str) -> None:
        for metric in body["metrics"]:
            fields, alias = metric["fields"], int(metric.get("alias", -1))
            known = self.devices.get(device, {}).get(alias)
            self._check("name" not in fields and "alias" in fields, "payloads-alias-data-cmd-requirement", metric)
            self._check("datatype" not in fields, "payloads-metric-datatype-not-req", metric)
            self._check("timestamp" in fields, "payloads-name-birth-data-requirement", metric)
            self._check(known is not None, tck_id, f"{device}: alias {alias}")
            if known is not None:
                self._value(device, {**metric, "name": known["name"]}, "data")
        order = "operational-behavior-data-publish-dbirth-order" if device else "payloads-ndata-order"
        self._chronological(body, order)

    def _ddeath(self, device: str, body: Json) -> None:
        self._check(device in self.devices, "operational-behavior-device-ddeath", f"{device} was not born")
        self.devices.pop(device, None)
        self.deaths.append(device)

    def _value(self, device: str, metric: Json, verb: str) -> None:
        fields = metric["fields"]
        is_null = "isNull" in fields
        has_value = any(name.endswith("Value") for name in fields)
        self._check(is_null != has_value, "operational-behavior-data-publish-dbirth-values", metric)
        self._properties(metric.get("properties") or {})
        self._report(in_value(metric, self.templates, verb))
        change = Change(int(metric["timestamp"]), plain(metric), bool(metric.get("isHistorical")), verb)
        self.values.setdefault(f"{device}/{metric['name']}", []).append(change)

    def _properties(self, properties: Json) -> None:
        quality = properties.get("Quality") or properties.get("quality")
        if quality is not None:
            self._check(quality["type"] == "Int32", "payloads-propertyset-quality-value-type", quality)
            self._check(quality["value"] in (0, 192, 500), "payloads-propertyset-quality-value-value", quality)

    def _chronological(self, body: Json, tck_id: str) -> None:
        times = [int(metric["timestamp"]) for metric in body["metrics"] if not metric.get("isHistorical")]
        self._check(times == sorted(times), tck_id, times[:20])
