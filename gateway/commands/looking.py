"""Browsing below a node, page by page.  It changes nothing."""

from collections.abc import Sequence

import orjson

from gateway import patterns
from gateway.commands.allowed import Permit
from gateway.commands.journal import LARGEST_ANSWER
from gateway.commands.outcome import Refused, Result, refused
from gateway.commands.request import Request
from gateway.operations import Operations, Seen
from gateway.payload.forms import Json, json_of

MOST_BYTES = LARGEST_ANSWER // 3
"""Of the nodes or values in one answer."""


async def browse(server: Operations, permit: Permit, request: Request) -> Result:
    """One page of the nodes below, sorted by path.  Each page browses again, so nothing is kept between two."""
    rule, wanted, node = permit.rule, request.details, permit.target.node_id
    bounds = rule.browse
    assert bounds is not None
    levels = wanted.levels or bounds.levels
    if levels > bounds.levels:
        error = Refused("out_of_range", f"{wanted.levels} levels, and the rule allows {bounds.levels}")
        return refused(permit.text, error, node, permit.number)
    if request.dry_run:
        return Result(permit.text, "done", node=node, rule=permit.number)

    def is_chosen(path: str) -> bool:
        return patterns.is_chosen(path, rule.include, rule.exclude)

    seen, is_cut = await server.browse(permit.target, levels, bounds.nodes, is_chosen)
    left = [each for each in seen if not wanted.after or each.path > wanted.after]
    page = fitting([_form(each) for each in left[: wanted.limit]])
    fields: dict[str, Json] = {"nodes": page}
    if wanted.attributes:
        attributes = await server.attributes(permit.target)
        fields["attributes"] = {name: json_of(each.type, each.value) for name, each in attributes.items()}
    if len(page) < len(left):
        fields["next"] = left[len(page) - 1].path if page else ""
    detail = f"more than {bounds.nodes} nodes: the others were not looked at" if is_cut else ""
    return Result(permit.text, "done", "", detail, node, 0, fields, permit.number)


def _form(seen: Seen) -> Json:
    form: dict[str, Json] = {"path": seen.path, "node": seen.node_id, "class": seen.node_class}
    return {**form, "type": seen.type} if seen.type else form


def fitting(items: Sequence[Json], most_bytes: int = MOST_BYTES) -> list[Json]:
    """The first items, as many as fit into an answer."""
    size, found = 0, list[Json]()
    for item in items:
        size += len(orjson.dumps(item)) + 1
        if size > most_bytes:
            break
        found.append(item)
    return found
