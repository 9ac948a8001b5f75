"""Variables, and events, that a requester adds to what a source sends, or takes away again; kept over restart and
reload."""

from collections.abc import Awaitable, Callable, Sequence

from gateway.commands.allowed import Allowed, Permit
from gateway.commands.itself import Itself, Wanted
from gateway.commands.limits import check_readable
from gateway.commands.outcome import Refused, Result, refused
from gateway.commands.request import Request
from gateway.operations import Operations

BeforeSending = Callable[[], Awaitable[None]]
_KINDS = {"variables": "variable", "events": "notifier"}


def subscribed(itself: Itself, allowed: Allowed, requester: str, operation: str, every: str) -> list[Permit]:
    """All of a kind that were subscribed to at run time, by whomever, and that this requester may do it with."""
    found: dict[str, Permit] = {}
    for target in allowed.targets:
        if target.kind != _KINDS[every] or target.node_id in found:
            continue
        try:
            permit = allowed.permit(requester, operation, target.node_id)
        except Refused:
            continue
        if itself.is_subscribed(permit.rule.source or "", target.node_id):
            found[target.node_id] = permit
    return list(found.values())


async def subscribe(
    server: Operations, itself: Itself, requester: str, request: Request, permits: Sequence[Permit | Result],
    before_sending: BeforeSending,
) -> list[Result]:  # fmt: skip
    """All of them or none: one that cannot be read, or faster than its rule allows, refuses the others.

    With `every` nothing changes, since what was subscribed to at run time is continued by itself.
    """
    known = [permit for permit in permits if isinstance(permit, Permit)]
    if request.details.every:
        return [_done(permit) for permit in known]
    variables = [permit.target for permit in known if permit.target.kind == "variable"]
    facts = iter(await server.look(variables) if variables else [])
    results: list[Permit | Result] = []
    for permit in permits:
        if isinstance(permit, Permit):
            try:
                if permit.target.kind == "variable":
                    check_readable(next(facts))
                _check_interval(permit, request)
            except Refused as error:
                results.append(_refused(permit, error))
                continue
        results.append(permit)
    if any(isinstance(each, Result) for each in results):
        return [each if isinstance(each, Result) else _refused(each, Refused("others_refused")) for each in results]
    if not request.dry_run:
        await before_sending()
        try:
            await itself.subscribe([_wanted(permit, requester, request) for permit in known])
        except Refused as error:
            return [_refused(permit, error) for permit in known]
    return [_done(permit) for permit in known]


def _wanted(permit: Permit, requester: str, request: Request) -> Wanted:
    details = request.details
    return Wanted(
        permit.target, permit.rule, requester, details.publishing_s, details.sampling_s, details.heartbeat_s
    )  # fmt: skip


async def unsubscribe(
    itself: Itself, request: Request, permits: Sequence[Permit | Result], before_sending: BeforeSending
) -> list[Result]:
    """What was subscribed to at run time; what the file selects stays."""
    known = [permit for permit in permits if isinstance(permit, Permit)]
    there = [itself.is_subscribed(permit.rule.source or "", permit.target.node_id) for permit in known]
    found = dict(zip((permit.text for permit in known), there, strict=True))
    gone = [permit for permit in known if found[permit.text]]
    problem: Refused | None = None
    if gone and not request.dry_run:
        await before_sending()
        try:
            await itself.unsubscribe(gone[0].rule.source or "", [permit.target.node_id for permit in gone])
        except Refused as error:
            problem = error
    results: list[Result] = []
    for permit in permits:
        if isinstance(permit, Result):
            results.append(permit)
        elif not found[permit.text]:
            results.append(_refused(permit, Refused("not_subscribed", "nobody subscribed to it at run time")))
        else:
            results.append(_refused(permit, problem) if problem is not None else _done(permit))
    return results


def _check_interval(permit: Permit, request: Request) -> None:
    bounds = permit.rule.subscribe
    assert bounds is not None
    for asked_s in (request.details.publishing_s, request.details.sampling_s):
        if asked_s is not None and asked_s < bounds.fastest:
            raise Refused("too_fast", f"every {asked_s:g} s, and the rule allows {bounds.fastest:g} s")


def _done(permit: Permit) -> Result:
    return Result(permit.text, "done", node=permit.target.node_id, rule=permit.number)


def _refused(permit: Permit, error: Refused) -> Result:
    return refused(permit.text, error, permit.target.node_id, permit.number)
