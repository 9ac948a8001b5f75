"""History on request: one variable, one page, within the span that its rule allows.  Nothing changes."""

from gateway.commands.allowed import Permit
from gateway.commands.looking import fitting
from gateway.commands.outcome import Refused, Result, refused
from gateway.commands.request import Request
from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from gateway.operations import Operations, Past, PastPage
from gateway.payload.forms import Json, json_of
from gateway.payload.timestamps import text_of


async def history(server: Operations, permit: Permit, request: Request) -> Result:
    """One page of values, oldest first; `next` says where the following one begins."""
    node = permit.target.node_id
    try:
        wanted = _wanted(permit, request)
    except Refused as error:
        return refused(permit.text, error, node, permit.number)
    if request.dry_run:
        return Result(permit.text, "done", node=node, rule=permit.number)
    page = await server.history(permit.target, wanted)
    if page.status:
        return Result(permit.text, "failed", node=node, status=page.status, rule=permit.number)
    values = fitting([_form(page, number) for number in range(len(page.values))])
    fields: dict[str, Json] = {"values": values}
    if following := _following(wanted, page, len(values), _ticks(request.details.end_s)):
        fields["next"] = following
    return Result(permit.text, "done", node=node, fields=fields, rule=permit.number)


def _wanted(permit: Permit, request: Request) -> Past:
    """Raises `Refused`."""
    bounds, asked = permit.rule.history, request.details
    assert bounds is not None
    start, end = _ticks(asked.start_s), _ticks(asked.end_s)
    if not start < end:
        raise Refused("invalid", "start is not before end")
    if end - start > bounds.span * TICKS_PER_SECOND:
        raise Refused("out_of_range", f"more than {bounds.span:g} s from start to end, which the rule allows")
    limit = min(asked.limit, bounds.values)
    at, skip = (start, 0) if not asked.after else _place(asked.after)
    if not start <= at < end:
        raise Refused("invalid", "after: the `next` of another request")
    if not asked.aggregate:
        return Past(at, end, limit, skip)
    interval = round((asked.interval_s or (end - start) / TICKS_PER_SECOND) * TICKS_PER_SECOND)
    return Past(at, min(end, at + limit * interval), limit, 0, asked.aggregate, interval / TICKS_PER_SECOND)


def _place(after: str) -> tuple[int, int]:
    ticks, _, skip = after.partition(":")
    if not (ticks.isascii() and ticks.isdecimal() and skip.isascii() and skip.isdecimal() and len(after) < 40):
        raise Refused("invalid", "after: not the `next` of an answer")
    return int(ticks), int(skip)


def _following(wanted: Past, page: PastPage, sent: int, end: int) -> str:
    """Where the page after this one begins; empty where there is none."""
    if wanted.aggregate and sent == len(page.values):
        return f"{wanted.end_ticks}:0" if wanted.end_ticks < end else ""
    if sent == len(page.values) and not page.is_more:
        return ""
    if not sent:
        raise Refused("answer_too_large", "one value is more than fits an answer")
    last = page.values[sent - 1].ticks
    if wanted.aggregate:
        return f"{page.values[sent].ticks}:0"
    alike = sum(each.ticks == last for each in page.values[:sent])
    return f"{last}:{alike + (wanted.skip if last == wanted.start_ticks else 0)}"


def _form(page: PastPage, number: int) -> Json:
    each = page.values[number]
    value = json_of(each.value.type, each.value.value) if each.value is not None else None
    form: dict[str, Json] = {"time": text_of(each.ticks), "value": value}
    return {**form, "status": each.status} if each.status else form


def _ticks(at_s: float) -> int:
    return UNIX_EPOCH_TICKS + round(at_s * 1_000_000) * (TICKS_PER_SECOND // 1_000_000)
