"""Batches in two: for what is too much for the outbox at once.  Pure."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.model import Batch, Gap

Halves = tuple[Sequence[Batch], Sequence[Batch]]


def halves(batches: Sequence[Batch]) -> Halves | None:
    """The same values in order, in two parts; None where there is one value, or none."""
    if len(batches) > 1:
        middle = len(batches) // 2
        return batches[:middle], batches[middle:]
    batch, middle = batches[0], len(batches[0]) // 2
    if not middle:
        return None
    return [batch.rows(slice(0, middle))], [replace(batch.rows(slice(middle, None)), gaps=())]


def without_value(batch: Batch, why: str) -> Batch:
    """A batch of one value, or none, that tells of it instead of carrying it.

    The gap concerns the tag of that value; other gaps lose the tags that they name, which may be what is too long.
    """
    told = tuple(replace(gap, handles=()) for gap in batch.gaps)
    if len(batch):
        ticks = int(batch.source_ticks[0])
        told = (*told, Gap("rejected", why, ticks, ticks, len(batch), tuple(batch.handles.tolist())))
    return replace(batch.rows(slice(0, 0)), gaps=told)
