"""What is told of a request: the answer to its requester, and the line of the audit.  Pure."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.commands.codec import Context
from gateway.commands.outcome import OutcomeName, Result, gravest
from gateway.commands.request import Request


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came, and from whom."""

    broker: str
    requester: str
    source: str
    id: str
    topic: str
    """Where the answer goes."""
    correlation: bytes
    received_ns: int
    deadline_ns: int
    """0 where it has none."""
    request: Request | None
    """None for what is no request."""
    codec: str = "native"
    """In whose form it came and is answered."""
    context: Context = field(default_factory=dict)

    @property
    def operation(self) -> str:
        return self.request.operation if self.request is not None else "none"


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a request."""

    outcome: OutcomeName
    reason: str = ""
    detail: str = ""
    status: int = 0
    results: Sequence[Result] = ()


def told_of(results: Sequence[Result]) -> Told:
    """The request as a whole, by the gravest of its parts."""
    worst = gravest(results)
    return Told(worst.outcome, worst.reason, worst.detail, worst.status, results)


def answer_of(asked: Asked, gateway: str, told: Told, now_ns: int) -> dict[str, object]:
    """As it is published."""
    request = asked.request
    return {
        "id": asked.id,
        "gateway": gateway,
        "source": asked.source,
        "operation": asked.operation,
        "outcome": told.outcome,
        "final": told.outcome != "accepted",
        **{name: value for name in ("reason", "detail", "status") if (value := getattr(told, name))},
        **({"dry_run": True} if request is not None and request.dry_run else {}),
        **({"results": [result.form for result in told.results]} if told.results else {}),
        "received": instant_of(asked.received_ns),
        "time": instant_of(now_ns),
    }


def audit_of(asked: Asked, gateway: str, told: Told, now_ns: int, seq: int) -> Mapping[str, object]:
    """As it is kept: the answer, and what the requester does not have to be told."""
    request = asked.request
    return {
        "seq": seq,
        **answer_of(asked, gateway, told, now_ns),
        "requester": asked.requester,
        "broker": asked.broker,
        "topic": asked.topic,
        **({"codec": asked.codec} if asked.codec != "native" else {}),
        "correlation": base64.b64encode(asked.correlation).decode(),
        "deadline": instant_of(asked.deadline_ns) if asked.deadline_ns else None,
        "asked": list(request.tags) if request is not None else [],
        "rules": [result.rule for result in told.results],
    }


def instant_of(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return str(at_ns)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
