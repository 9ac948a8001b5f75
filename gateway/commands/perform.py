"""Execute a request: all checks, then one request to the server, then a read-back.

Nothing is ever sent twice.  A command that was sent but not answered is `unknown`.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.commands.allowed import Allowed, Permit
from gateway.commands.itself import Itself
from gateway.commands.limits import check_limits, check_readable, value_to_write
from gateway.commands.looking import MOST_BYTES, browse
from gateway.commands.outcome import OutcomeName, Refused, Result, refused
from gateway.commands.past import history
from gateway.commands.rate import Buckets
from gateway.commands.request import Request
from gateway.commands.shapes import from_text, typed
from gateway.commands.subscribing import subscribe, subscribed, unsubscribe
from gateway.commands.together import Together
from gateway.commands.values import name_of, same
from gateway.config.commands import LimitsConfig, RateConfig
from gateway.errors import Unavailable
from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.operations import UNSURE_STATUSES, Facts, MethodFacts, Operations, Target, Unsure
from gateway.payload.forms import Json, json_of
from gateway.values import LocalizedText, Typed

BAD = 0x8000_0000
READ_BACK_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""The pauses before each read-back; the last one repeats."""
_ANY = LimitsConfig()
_BYTE_STRING, _LOCALIZED_TEXT = 15, 21
RESPONSES = {"acknowledge": "i=9111", "confirm": "i=9113"}
"""Methods of AcknowledgeableConditionType."""

BeforeSending = Callable[[], Awaitable[None]]
"""Records on disk that the command may be sent from now on.  Raises `Refused`."""


@dataclass(slots=True)
class Performance:
    """One request at one server."""

    requester: str
    request: Request
    server: Operations
    together: Together
    """The same server, for what goes with that of other commands."""
    allowed: Allowed
    buckets: Buckets
    verify_s: float
    within_s: Callable[[], float]
    """Seconds that are left until the deadline."""
    before_sending: BeforeSending
    itself: Itself

    async def perform(self) -> list[Result]:
        """The outcome of each part.  Raises `Refused` or `Unavailable` if nothing was sent."""
        match self.request.operation:
            case "read":
                return await self._read()
            case "write":
                return await self._write()
            case "call":
                return await self._call()
            case "refresh":
                return await self._refresh()
            case "subscribe":
                permits = self._permits("subscribe")
                return await subscribe(
                    self.server, self.itself, self.requester, self.request, permits, self.before_sending
                )
            case "unsubscribe":
                return await unsubscribe(self.itself, self.request, self._permits("unsubscribe"), self.before_sending)
        [permit] = self._permits(self.request.operation)
        if isinstance(permit, Result):
            return [permit]
        match self.request.operation:
            case "browse":
                return [await browse(self.server, permit, self.request)]
            case "history":
                return [await history(self.server, permit, self.request)]
        return [await self._respond(permit)]

    def _permits(self, operation: str) -> list[Permit | Result]:
        if self.request.details.every:
            return [*subscribed(self.itself, self.allowed, self.requester, operation, self.request.details.every)]
        found: list[Permit | Result] = []
        for tag in self.request.tags:
            try:
                found.append(self.allowed.permit(self.requester, operation, tag))
            except Refused as error:
                found.append(refused(tag, error))
        return found

    # -- reading

    async def _read(self) -> list[Result]:
        permits = self._permits("read")
        known = [permit for permit in permits if isinstance(permit, Permit)]
        if self.request.dry_run:
            facts = await self.server.look([permit.target for permit in known]) if known else []
            answers = iter([self._readable(permit, each) for permit, each in zip(known, facts, strict=True)])
        else:
            values = await self.server.values([permit.target for permit in known]) if known else []
            answers = iter([self._value(permit, *each) for permit, each in zip(known, values, strict=True)])
        results = [next(answers) if isinstance(permit, Permit) else permit for permit in permits]
        if len(orjson.dumps([result.form for result in results])) > MOST_BYTES:
            raise Refused("answer_too_large", f"more than {MOST_BYTES} bytes: read less at once")
        return results

    def _readable(self, permit: Permit, facts: Facts) -> Result:
        try:
            check_readable(facts)
        except Refused as error:
            return refused(permit.text, error, permit.target.node_id, permit.number)
        return self._value(permit, None, 0)

    def _value(self, permit: Permit, value: Typed | None, status: int) -> Result:
        """A value with a bad status is a result like any other; no value and a bad status is a failure."""
        fields: dict[str, Json] = {} if self.request.dry_run else {"value": _json(value), **_type_of(value)}
        is_lost = value is None and bool(status & BAD)
        return Result(
            permit.text, "failed" if is_lost else "done", node=permit.target.node_id, status=status, fields=fields,
            rule=permit.number,
        )  # fmt: skip

    async def _refresh(self) -> list[Result]:
        permits = self._permits("refresh")
        known = [permit for permit in permits if isinstance(permit, Permit)]
        sent = [True] * len(known)
        if known and not self.request.dry_run:
            sent = await self.server.refresh([permit.target for permit in known])
        answers = iter([_refreshed(permit, is_sent) for permit, is_sent in zip(known, sent, strict=True)])
        return [next(answers) if isinstance(permit, Permit) else permit for permit in permits]

    # -- writing

    async def _write(self) -> list[Result]:
        permits = self._permits("write")
        known = [permit for permit in permits if isinstance(permit, Permit)]
        facts = iter(await self.together.look([permit.target for permit in known]) if known else [])
        wishes = [
            self._wish(permit, next(facts), value) if isinstance(permit, Permit) else permit
            for permit, value in zip(permits, self.request.values, strict=True)
        ]
        _check_each_node_once(wishes)
        if self.request.all_or_nothing and any(isinstance(wish, Result) for wish in wishes):
            return [wish if isinstance(wish, Result) else _not_sent(wish) for wish in wishes]
        ready = [wish for wish in wishes if isinstance(wish, _Wish)]
        if ready and not self.request.dry_run:
            await self._send(ready)
        return [wish if isinstance(wish, Result) else wish.result(self.request) for wish in wishes]

    def _wish(self, permit: Permit, facts: Facts, value: object) -> "_Wish | Result":
        limits = permit.rule.write
        assert limits is not None
        if not facts.built_in and facts.status & BAD:
            return Result(permit.text, "failed", "", "", permit.target.node_id, facts.status, rule=permit.number)
        try:
            given = from_text(facts.form, value, facts.forms) if self.request.as_text else value
            wanted = value_to_write(facts, limits, given)
            self._check_rate(permit, limits.rate)
        except Refused as error:
            return refused(permit.text, error, permit.target.node_id, permit.number)
        return _Wish(permit, facts, wanted)

    def _check_rate(self, permit: Permit, rate: RateConfig | None) -> None:
        self.buckets.check((permit.number, permit.target.node_id), rate, time.monotonic())

    def _take_rate(self, permit: Permit, rate: RateConfig | None) -> None:
        self.buckets.take((permit.number, permit.target.node_id), rate, time.monotonic())

    async def _send(self, wishes: "Sequence[_Wish]") -> None:
        for wish in wishes:
            assert wish.permit.rule.write is not None
            self._take_rate(wish.permit, wish.permit.rule.write.rate)
        await self.before_sending()
        if not self.server.is_open:
            raise Unavailable("the connection to the server is closed")
        try:
            statuses = await self.together.write([(w.permit.target, w.wanted) for w in wishes], self.within_s())
        except Unsure as error:
            for wish in wishes:
                wish.lost = str(error)
        else:
            for wish, status in zip(wishes, statuses, strict=True):
                wish.status = status
        await self._read_back([wish for wish in wishes if not wish.status & BAD])

    async def _read_back(self, wishes: "Sequence[_Wish]") -> None:
        """Read until the server shows the written value, for a bounded time."""
        until_s, looks = time.monotonic() + self.verify_s, 0
        while wishes and self.server.is_open:
            await asyncio.sleep(READ_BACK_S[min(looks, len(READ_BACK_S) - 1)])
            looks += 1
            try:
                async with asyncio.timeout(max(self.verify_s, 0.1)):
                    found = await self.together.values([wish.permit.target for wish in wishes])
            except (Unavailable, TimeoutError):
                return
            for wish, (value, _) in zip(wishes, found, strict=True):
                wish.seen, wish.is_verified = value, same(wish.wanted, value)
            wishes = [wish for wish in wishes if not wish.is_verified]
            if time.monotonic() >= until_s:
                return

    # -- calling

    async def _call(self) -> list[Result]:
        [permit] = self._permits("call")
        if isinstance(permit, Result):
            return [permit]
        rule, tag, node = permit.rule.call, permit.text, permit.target.node_id
        assert rule is not None
        facts = await self.server.describe(permit.target)
        try:
            arguments = self._arguments(permit, facts)
            self._check_rate(permit, rule.rate)
        except Refused as error:
            return [refused(tag, error, node, permit.number)]
        fields: dict[str, Json] = {
            "arguments": {a.name: _json(v) for a, v in zip(facts.inputs, arguments, strict=True)}
        }
        if self.request.dry_run:
            return [Result(tag, "done", node=node, fields=fields, rule=permit.number)]
        self._take_rate(permit, rule.rate)
        await self.before_sending()
        if not self.server.is_open:
            raise Unavailable("the connection to the server is closed")
        try:
            called = await self.server.call(permit.target, arguments, self.within_s())
        except Unsure as error:
            return [Result(tag, "unknown", detail=str(error), node=node, fields=fields, rule=permit.number)]
        if called.outputs:
            names = [*facts.outputs, *(f"output{n}" for n in range(len(facts.outputs), len(called.outputs)))]
            outputs = list(zip(names, called.outputs, strict=False))
            fields["outputs"] = {name: _json(value) for name, value in outputs}
            fields["types"] = {name: str(_type_of(value).get("type", "")) for name, value in outputs}
        wrong = [a.name for a, code in zip(facts.inputs, called.inputs, strict=False) if code & BAD]
        detail = f"the server does not accept {', '.join(wrong)}" if wrong else ""
        if len(orjson.dumps(fields)) > MOST_BYTES:
            fields.pop("outputs")
            detail = "the outputs of the method are too long for an answer"
        return [Result(tag, _of_status(called.status), "", detail, node, called.status, fields, permit.number)]

    async def _respond(self, permit: Permit) -> Result:
        """Acknowledge or confirm: a method of the condition, of its type where the instance shows none (Part 9)."""
        tag, node, asked = permit.text, permit.target.node_id, self.request.details
        try:
            event = base64.b64decode(asked.event, validate=True)
        except (binascii.Error, ValueError):
            return refused(tag, Refused("invalid", "event: the EventId in base64, as alarms have it"), node)
        if self.request.dry_run:
            return Result(tag, "done", node=node, rule=permit.number)
        await self.before_sending()
        if not self.server.is_open:
            raise Unavailable("the connection to the server is closed")
        method = Target(tag, RESPONSES[self.request.operation], permit.target.rule, node, "method")
        arguments = (Typed(_BYTE_STRING, event), Typed(_LOCALIZED_TEXT, LocalizedText(None, asked.comment)))
        try:
            called = await self.server.call(method, arguments, self.within_s())
        except Unsure as error:
            return Result(tag, "unknown", detail=str(error), node=node, rule=permit.number)
        return Result(tag, _of_status(called.status), "", "", node, called.status, {}, permit.number)

    def _arguments(self, permit: Permit, facts: MethodFacts) -> list[Typed]:
        """In the order of the method.  Raises `Refused`."""
        rule = permit.rule.call
        assert rule is not None
        if not facts.is_executable:
            raise Refused("access_denied", "the server does not allow it to be called (Executable, UserExecutable)")
        names = [argument.name for argument in facts.inputs]
        given = _by_name(self.request.arguments, names)
        for what, wrong in (
            ("missing", [name for name in names if name not in given]),
            ("unknown", [name for name in given if name not in names]),
            ("in the rule and not in the method", [name for name in rule.arguments if name not in names]),
        ):
            if wrong:
                raise Refused(
                    "argument", f"{what}: {', '.join(wrong)[:200]}; the method has {', '.join(names) or 'none'}"
                )
        found = []
        for argument in facts.inputs:
            sent = given[argument.name]
            sent = from_text(argument.form, sent, argument.forms) if self.request.as_text else sent
            value = typed(argument.form, argument.rank, sent, argument.forms, argument.dimensions)
            check_limits(rule.arguments.get(argument.name, _ANY), value, (), argument.form.members)
            found.append(value)
        return found


def _by_name(given: Mapping[str, object], names: Sequence[str]) -> Mapping[str, object]:
    """Arguments by name, where they came by place: `0`, `1`, …"""
    if not given or "0" in names or given.keys() != {str(place) for place in range(len(given))}:
        return given
    return {names[int(place)] if int(place) < len(names) else place: value for place, value in given.items()}


@dataclass(slots=True)
class _Wish:
    """One permitted write, and its result."""

    permit: Permit
    facts: Facts
    wanted: Typed
    status: int = 0
    lost: str = ""
    """Why no answer came."""
    seen: Typed | None = None
    is_verified: bool = False

    def result(self, request: Request) -> Result:
        fields: dict[str, Json] = {"before": _json(self.facts.value), "wanted": _json(self.wanted)}
        outcome: OutcomeName = "unknown" if self.lost else "done" if request.dry_run else _of_status(self.status)
        if not request.dry_run and outcome != "failed":
            fields |= {"value": _json(self.seen), "verified": self.is_verified}
        tag, target = self.permit.text, self.permit.target
        return Result(tag, outcome, "", self.lost, target.node_id, self.status, fields, self.permit.number)


def _refreshed(permit: Permit, is_sent: bool) -> Result:
    if is_sent:
        return Result(permit.text, "done", node=permit.target.node_id, rule=permit.number)
    error = Refused("not_subscribed", "it is not among the tags of the source, or cannot be read")
    return refused(permit.text, error, permit.target.node_id, permit.number)


def _of_status(status: int) -> OutcomeName:
    if status & 0xFFFF_0000 in UNSURE_STATUSES:
        return "unknown"
    return "failed" if status & BAD else "done"


def _not_sent(wish: _Wish) -> Result:
    return refused(wish.permit.text, Refused("others_refused"), wish.permit.target.node_id, wish.permit.number)


def _check_each_node_once(wishes: Sequence[_Wish | Result]) -> None:
    """Raises `Refused` if two names are of one node: it would be open which value it gets."""
    nodes = [wish.permit.target.node_id for wish in wishes if isinstance(wish, _Wish)]
    if len(set(nodes)) < len(nodes):
        raise Refused("invalid", "two of the tags are the same variable")


def _type_of(value: Typed | None) -> dict[str, Json]:
    return {"type": name_of(value.type & ~(IS_ARRAY | IS_MATRIX))} if value is not None else {}


def _json(value: Typed | None) -> Json:
    return json_of(value.type, value.value) if value is not None else None
