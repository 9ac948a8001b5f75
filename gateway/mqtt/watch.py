"""A subscriber for people: shows what arrives, and checks every stream's numbering as any consumer can.

It is not part of the data path.  It reads the `json` format; other payloads are shown by their size.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiomqtt
import orjson

from gateway.errors import Unavailable
from gateway.mqtt.dial import parse

CONNECT_S = 10.0
SHOWN_VALUES = 4


@dataclass(slots=True)
class Numbering:
    """What has been seen of every stream.  `seq` rises by one; what is not above the last is a repeat."""

    last: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    values: int = 0
    repeats: int = 0
    missing: int = 0

    def check(self, stream: str, seq: int, values: int) -> str:
        """Account for one message; what is odd about it, or nothing."""
        self.messages += 1
        last = self.last.get(stream)
        if last is not None and seq <= last:
            self.repeats += 1
            return "repeat"
        self.values += values
        self.last[stream] = seq
        if last is not None and seq > last + 1:
            self.missing += seq - last - 1
            return f"missing {last + 1} to {seq - 1}"
        return ""


async def watch(url: str, topic: str, numbering: Numbering) -> AsyncIterator[str]:
    """One line of text per message, for ever.  Raises `Unavailable` when the broker is lost."""
    address = parse(url)
    try:
        async with aiomqtt.Client(
            address.host, address.port, timeout=CONNECT_S, protocol=aiomqtt.ProtocolVersion.V5
        ) as client:
            await client.subscribe(topic, qos=1)
            async for message in client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                yield line_of(str(message.topic), payload, numbering)
    except aiomqtt.MqttError as error:
        raise Unavailable(f"{url} is lost: {error}") from error


def line_of(topic: str, payload: bytes, numbering: Numbering) -> str:
    """A message in one line: topic, number, the first values, and what is odd about its number."""
    try:
        body = orjson.loads(payload)
        stream, seq, rows = str(body["stream"]), int(body["seq"]), list(body["values"])
        shown = "  ".join(f"{row['name']} {_short(row['value'])}" for row in rows[:SHOWN_VALUES])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return f"{topic}  {len(payload)} bytes"
    more = f"  (+{len(rows) - SHOWN_VALUES})" if len(rows) > SHOWN_VALUES else ""
    gaps = "".join(f"  GAP {gap['cause']}: {gap['detail']}" for gap in body.get("gaps") or ())
    odd = numbering.check(stream, seq, len(rows))
    return f"{topic}  #{seq}  {shown}{more}{gaps}" + (f"  {odd.upper()}" if odd else "")


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
