"""Reads NCMD and DCMD: requests for births, and writes to metrics.  Pure.

A DCMD names metrics by alias or name, and leaves their types to the birth.  So it is resolved here, where the tables
are, into JSON for the codec of commands (`gateway/commands/codecs/sparkplug.py`):

    {"source": "line-1", "device": "line-1", "timestamp": 1764500000000,
     "writes": [["nsu=urn:plant;s=SpeedFactor", 1.1]]}

`error` says why there are no writes.
"""

import math
import struct
from dataclasses import replace

import orjson

from gateway.delivery import Packet
from gateway.payload.sparkplug.births import REBIRTH
from gateway.payload.sparkplug.datatypes import Datatype
from gateway.payload.sparkplug.node import Device
from gateway.payload.sparkplug.read import Metric, Payload, read_payload
from gateway.payload.sparkplug.table import Definition
from gateway.payload.sparkplug.wire import MalformedError

MOST_WRITES = 100


def asks_for_rebirth(payload: bytes) -> bool:
    """Whether an NCMD asks for births."""
    try:
        metrics = read_payload(payload).metrics
    except MalformedError:
        return False
    return any(metric.name == REBIRTH and metric.raw == 1 for metric in metrics)


def resolved(packet: Packet, device: Device | None) -> Packet:
    """The DCMD with its writes as JSON."""
    try:
        told = _told(read_payload(packet.payload), device)
    except MalformedError as error:
        told = {"error": f"no Sparkplug payload: {error}"}
    return replace(packet, payload=orjson.dumps(told))


def _told(payload: Payload, device: Device | None) -> dict[str, object]:
    if device is None or device.table is None:
        return {"error": "no device of this name is there"}
    told: dict[str, object] = {"source": device.source, "device": device.id}
    if payload.timestamp is None:
        return {**told, "error": "a command needs its timestamp"}
    if not 1 <= len(payload.metrics) <= MOST_WRITES:
        return {**told, "error": f"1 to {MOST_WRITES} metrics"}
    writes = []
    for metric in payload.metrics:
        known = device.table.by_name.get(metric.name) if metric.name else device.table.by_alias.get(metric.alias or 0)
        if known is None or not known.node_id:
            return {**told, "error": f"the device has no metric {metric.name or metric.alias}"}
        value = _value(known, metric)
        if value is None:
            return {**told, "error": f"{known.name}: no value of its type"}
        writes.append([known.node_id, value])
    return {**told, "timestamp": payload.timestamp, "writes": writes}


def _value(known: Definition, metric: Metric) -> object:
    if known.datatype in (Datatype.TEMPLATE, Datatype.DATASET):
        return None
    value = metric.value_as(known.datatype)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if known.datatype == Datatype.FLOAT and isinstance(value, float):
        return float(f"{struct.unpack('<f', struct.pack('<f', value))[0]:.7g}")
    return value
