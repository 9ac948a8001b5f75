"""Outcomes of a request, for programs.

| outcome | meaning |
| --- | --- |
| `accepted` | it is running and takes longer; a final outcome follows |
| `done` | the server did it; with `dry_run`, all checks passed |
| `refused` | the gateway refused it, with a reason of `REASONS`: nothing was sent |
| `failed` | the server refused it, with a status |
| `expired` | its deadline passed before it began: nothing was sent |
| `unknown` | it was sent and no answer came: it may have happened |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.payload.forms import Json

OutcomeName = Literal["accepted", "done", "refused", "failed", "expired", "unknown"]
FINAL: tuple[OutcomeName, ...] = ("done", "refused", "failed", "expired", "unknown")

REASONS: Mapping[str, str] = {
    "ambiguous": "two nodes have this name: use the node id",
    "argument": "the arguments are not those of the method",
    "access_denied": "the server does not allow it for the gateway's user (UserAccessLevel, UserExecutable)",
    "answer_too_large": "the values read are too large for an answer",
    "busy": "too many commands of this source are waiting",
    "configuration": "the configuration file has mistakes; the earlier one stays in use",
    "clock": "the clock of the requester or of the gateway is in doubt",
    "deadline_too_far": "the deadline is further ahead than allowed",
    "fault": "a fault of the gateway itself; see its log",
    "id_reused": "this id was used before for a different request",
    "invalid": "the message is not a valid request",
    "journal_damaged": "the journal was damaged: commands are refused until every earlier deadline has passed",
    "journal_full": "the journal or its disk is full",
    "no_deadline": "the request has no deadline: set the message expiry, or `deadline`",
    "no_id": "the request has no id: set `id`, or correlation data",
    "not_allowed": "no rule allows this requester to do it, or it does not exist",
    "not_exact": "the number may have been rounded by JSON (beyond 2^53): write it as text",
    "not_finite": "the number is NaN or infinite",
    "not_in_enumeration": "the enumeration has no such member",
    "not_subscribed": "the variable is not a tag of the source",
    "not_in_values": "the rule does not list this value",
    "not_writable": "the server does not allow it to be written or called (AccessLevel, Executable)",
    "off_step": "the value is not a whole number of steps",
    "others_refused": "another write of the same request was refused",
    "out_of_range": "the value is outside the range of the rule, of the server or of the type",
    "rank": "a scalar for an array, an array for a scalar, or an array of the wrong length",
    "requester_unknown": "the configuration does not name this requester",
    "response_topic": "answers may not be sent to this topic",
    "restarted": "the gateway was restarted before the command began",
    "retained": "retained requests are refused: they would be executed again at every connect",
    "sender": "the request names another requester as its sender",
    "source_away": "the server is not connected, or its connection is still being set up",
    "source_unknown": "the configuration has no such source, or no rule for it",
    "stopped": "the gateway accepts no commands from this broker",
    "too_fast": "the rule allows it less often",
    "too_large": "the request is too long",
    "too_long": "more elements or characters than the rule allows",
    "too_many": "the configuration allows fewer",
    "type": "the value does not have the type of the variable",
    "type_unsupported": "values of this type cannot be written",
    "unsupported": "this gateway or this server does not support it",
}  # fmt: skip
"""Why a request is refused: the values of the `reason` label."""


class Refused(Exception):  # noqa: N818 - a verdict, not a mistake of ours
    """Nothing was sent.  `reason` is one of `REASONS`; the message is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        assert reason in REASONS, reason
        super().__init__(detail or REASONS[reason])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one variable of a request, or of one method."""

    tag: str
    outcome: OutcomeName
    reason: str = ""
    detail: str = ""
    node: str = ""
    status: int = 0
    fields: Mapping[str, Json] | None = None
    """`before`, `wanted`, `value`, `verified`, `outputs`, `nodes`, `next` …, as the operation has them."""
    rule: int | None = None

    @property
    def form(self) -> dict[str, Json]:
        """Its form in an answer."""
        found: dict[str, Json] = {"tag": self.tag, "outcome": self.outcome}
        for name in ("reason", "detail", "node", "status"):
            if value := getattr(self, name):
                found[name] = value
        return {**found, **(self.fields or {})}


_GRAVITY: tuple[OutcomeName, ...] = ("unknown", "failed", "expired", "refused", "accepted", "done")


def gravest(results: Sequence[Result]) -> Result:
    """The result that decides for the whole request: `unknown` before `failed` before `refused` before `done`."""
    return min(results, key=lambda result: _GRAVITY.index(result.outcome))


def refused(tag: str, error: Refused, node: str = "", rule: int | None = None) -> Result:
    return Result(tag, "refused", error.reason, str(error), node, rule=rule)
