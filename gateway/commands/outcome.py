"""Outcomes: what became of a request, in words that a program can act on.

| outcome | what it means |
| --- | --- |
| `accepted` | it runs, and takes its time; a final outcome follows |
| `done` | the server did it, or would let it (`dry_run`) |
| `refused` | we refused it, with a reason of `REASONS`: nothing was sent |
| `failed` | the server said no, with a status |
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
    "access_denied": "the server does not let our user do it (UserAccessLevel, UserExecutable)",
    "answer_too_large": "what was read does not fit an answer",
    "busy": "too many commands of this source wait",
    "configuration": "the configuration file has mistakes: the earlier one stays in use",
    "clock": "the clock of the requester or of the gateway is in doubt",
    "deadline_too_far": "the deadline lies further ahead than is allowed",
    "fault": "a fault of the gateway itself, which is in its log",
    "id_reused": "this id was used before, for another request",
    "invalid": "it has not the form of a request",
    "journal_damaged": "what was asked before is not known for certain, until every earlier deadline has passed",
    "journal_full": "the journal has no room, or the disk",
    "no_deadline": "it has no deadline: an expiry of the message, or `deadline`",
    "no_id": "it has no id: `id`, or correlation data",
    "not_allowed": "no rule lets this requester do it, or there is no such thing",
    "not_exact": "a number that JSON may have rounded (beyond 2^53): write it as text",
    "not_finite": "NaN or infinite",
    "not_in_enumeration": "the enumeration has no such member",
    "not_subscribed": "it is not among the tags of the source",
    "not_in_values": "the rule does not list this value",
    "not_writable": "the server does not let it be written or called (AccessLevel, Executable)",
    "off_step": "not a whole step",
    "others_refused": "another write of the same request was refused",
    "out_of_range": "outside of the range of the rule, of the server or of the type",
    "rank": "a scalar for an array, or an array for a scalar, or of another length",
    "requester_unknown": "the configuration does not name this requester",
    "response_topic": "answers do not go to this topic",
    "restarted": "the gateway was restarted before it began",
    "retained": "a retained request is none: it would be done again at every connect",
    "sender": "it names another requester as its sender",
    "source_away": "the server is not connected, or just being taken over",
    "source_unknown": "the configuration has no such source, or takes no commands for it",
    "stopped": "the gateway takes no more commands",
    "too_fast": "more often than the rule allows",
    "too_large": "longer than a request may be",
    "too_long": "more elements or characters than the rule allows",
    "type": "a value of another type than the variable has",
    "type_unsupported": "values of this type cannot be written",
    "unsupported": "this gateway or this server cannot do it",
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
    """What became of one variable of a request, or of one method."""

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
        """As it stands in an answer."""
        found: dict[str, Json] = {"tag": self.tag, "outcome": self.outcome}
        for name in ("reason", "detail", "node", "status"):
            if value := getattr(self, name):
                found[name] = value
        return {**found, **(self.fields or {})}


_GRAVITY: tuple[OutcomeName, ...] = ("unknown", "failed", "expired", "refused", "accepted", "done")


def gravest(results: Sequence[Result]) -> Result:
    """The one that the request as a whole is told by: `unknown` before `failed` before `refused` before `done`."""
    return min(results, key=lambda result: _GRAVITY.index(result.outcome))


def refused(tag: str, error: Refused, node: str = "", rule: int | None = None) -> Result:
    return Result(tag, "refused", error.reason, str(error), node, rule=rule)
