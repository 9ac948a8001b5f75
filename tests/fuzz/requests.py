"""What a stranger sends as a command, on any topic and with any properties: a request or a refusal, and an answer."""

from contextlib import suppress

import orjson

from gateway.commands.arrival import check_time, lies_below, read
from gateway.commands.forms import Told, answer_of, audit_of
from gateway.commands.limits import value_to_write
from gateway.commands.outcome import Refused
from gateway.commands.request import digest_of
from gateway.config.commands import CommandsConfig, WriteConfig
from gateway.delivery import Packet
from gateway.operations import Facts
from gateway.values import Typed

_CONFIG = CommandsConfig.model_validate(
    {"requesters": ["mes"], "rules": [{"source": "shop", "node": "i=1", "read": True}]}
)
_HOME = "gateways/edge/replies/mes"
_NOW_NS = 1_795_996_800_000_000_000
_KINDS = [Facts(n, rank, (), 3, 3, Typed(n, None)) for n in range(27) for rank in (-1, 1, -2)]


def run(data: bytes) -> None:
    """The first byte chooses what the payload comes with."""
    how, payload = data[0] if data else 0, data[1:]
    topic, length = "gateways/edge/commands/mes/shop", payload[:1][0] if payload else 0
    response = payload[1 : 1 + length].decode("utf-8", "replace") if how & 1 else ""
    packet = Packet(
        topic if not how & 2 else f"gateways/edge/commands/{response or 'x'}/y", payload, response_topic=response,
        correlation=payload[:300] if how & 4 else b"", expiry_s=length if how & 8 else None,
    )  # fmt: skip
    arrival = read(packet, "edge", "broker", _CONFIG, _NOW_NS)
    asked = arrival.asked
    assert asked.requester != "mes" or lies_below(asked.topic, _HOME)
    told = Told("refused", arrival.error.reason, str(arrival.error)) if arrival.error else Told("done")
    orjson.dumps(answer_of(asked, "edge", told, _NOW_NS))
    orjson.dumps(audit_of(asked, "edge", told, _NOW_NS, 1))
    if asked.request is None:
        return
    digest_of(asked.source, asked.request)
    with suppress(Refused):
        check_time(asked, _CONFIG, _NOW_NS, _NOW_NS)
    for value in asked.request.values:
        for facts in _KINDS:
            with suppress(Refused):
                value_to_write(facts, WriteConfig(minimum=0.5, step=0.1) if how & 16 else WriteConfig(), value)


def seeds() -> list[bytes]:
    bodies: list[dict[str, object]] = [
        {"id": "a", "operation": "read", "tags": ["x"], "deadline": "2026-11-30T00:00:05Z", "respond_to": _HOME},
        {"id": "a", "operation": "write", "writes": [{"tag": "x", "value": v} for v in (1, 1.5, "1", True, [1, 2])]},
        {"operation": "call", "method": "x", "arguments": {"a": {"locale": "de", "text": "x"}}, "dry_run": True},
    ]
    return [bytes([how]) + orjson.dumps(body) for how in (0, 9, 28) for body in bodies] + [b"", b"\x01\xff"]
