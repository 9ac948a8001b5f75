"""The answer to a requester, and the line of the audit.  Pure."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.commands.codec import Context
from gateway.commands.outcome import OutcomeName, Result, gravest
from gateway.commands.request import Request


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as received, with its requester."""

    broker: str
    requester: str
    source: str
    id: str
    topic: str
    """The topic of the answer."""
    correlation: bytes
    received_ns: int
    deadline_ns: int
    """0: it has none."""
    request: Request | None
    """None: the message is not a valid request."""
    codec: str = "native"
    """The name of the codec of request and answer."""
    context: Context = field(default_factory=dict)

    @property
    def operation(self) -> str:
        return self.request.operation if self.request is not None else "none"


@dataclass(frozen=True, slots=True)
class Told:
    """The outcome of a request."""

    outcome: OutcomeName
    reason: str = ""
    detail: str = ""
    status: int = 0
    results: Sequence[Result] = ()


def told_of(results: Sequence[Result]) -> Told:
    """The outcome of a whole request: that of its gravest part."""
    if not results:
        return Told("done")
    worst = gravest(results)
    return Told(worst.outcome, worst.reason, worst.detail, worst.status, results)


def answer_of(asked: Asked, gateway: str, told: Told, now_ns: int) -> dict[str, object]:
    """The published form."""
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
    """The line of the audit: the answer, and facts that the requester does not get."""
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
