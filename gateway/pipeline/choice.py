"""Chooses the values of a source for a route that does not want all of them.

The chosen part of a batch is a batch with its own table of the chosen tags.  So tag lists, metadata and key frames
describe exactly what their readers get.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gateway.config import TagsConfig
from gateway.model import Batch, Gap, Tag
from gateway.patterns import is_chosen, pattern


def applies(wish: TagsConfig, source: str, tag: Tag) -> bool:
    """Whether every condition of `wish` holds for a tag."""
    return (
        (wish.sources is None or source in wish.sources)
        and (wish.priorities is None or tag.priority.name.lower() in wish.priorities)
        and all(name in tag.fields and pattern(text).fullmatch(tag.fields[name]) for name, text in wish.fields.items())
        and is_chosen(tag.name, wish.include, wish.exclude)
    )


class Choice:
    """The values of one source that a route wants.  Caches what follows from the tag table until the table changes."""

    def __init__(self, wishes: Sequence[TagsConfig], source: str) -> None:
        self._wishes = wishes
        self._source = source
        self._tags: Sequence[Tag] = ()
        self._chosen: Sequence[Tag] = ()
        self._new_handle: NDArray[np.int64] = np.zeros(0, np.int64)
        """By handle: the index among the chosen tags, -1 for the others."""

    def of(self, batch: Batch) -> Batch | None:
        """The chosen part of a batch.  None: it is empty."""
        if batch.tags is not self._tags:
            self._derive(batch.tags)
        if len(self._chosen) == len(self._tags):
            return batch
        handles = self._new_handle[batch.handles]
        rows = np.flatnonzero(handles >= 0)
        gaps = tuple(gap for each in batch.gaps if (gap := self._gap(each)) is not None) if self._chosen else ()
        if not len(rows) and not gaps:
            return None
        return replace(batch.rows(rows), tags=self._chosen, handles=handles[rows].astype(np.uint32), gaps=gaps)

    def _derive(self, tags: Sequence[Tag]) -> None:
        chosen = [handle for handle, tag in enumerate(tags) if any(applies(w, self._source, tag) for w in self._wishes)]
        self._tags, self._chosen = tags, [tags[handle] for handle in chosen]
        self._new_handle = np.full(len(tags), -1, np.int64)
        self._new_handle[chosen] = np.arange(len(chosen))

    def _gap(self, gap: Gap) -> Gap | None:
        """The gap in terms of the chosen tags.  None: it affects only other tags."""
        if not gap.handles:
            return gap
        handles = tuple(new for handle in gap.handles if (new := int(self._new_handle[handle])) >= 0)
        return replace(gap, handles=handles) if handles else None
