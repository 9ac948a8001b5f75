"""What follows from a tag table and the rules: names for consumers, rows for aggregates, and the rule of each tag."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gateway.config import ShapingConfig, SourceConfig
from gateway.model import TICKS_PER_SECOND, Tag
from gateway.shaping.deadband import Band, DeadbandRule
from gateway.shaping.sample import Rule
from gateway.shaping.swinging_door import SwingingDoor
from gateway.shaping.window import Window


@dataclass(frozen=True, slots=True)
class Shapes:
    """The rules of one tag table.  `tags` starts with the renamed tags of the source, in their order; the aggregates of
    tag *h* follow at `aggregates[h]`."""

    before: Sequence[Tag]
    tags: Sequence[Tag]
    rules: dict[int, Rule]
    has_rule: NDArray[np.bool_]
    aggregates: dict[int, int]
    scales: NDArray[np.float64]
    offsets: NDArray[np.float64]
    is_scaled: NDArray[np.bool_]


def shape_of(source: SourceConfig, tag: Tag) -> ShapingConfig | None:
    """The rules of a tag: those of its selection, otherwise those of the source.  Events have none."""
    selection = source.select[tag.selection]
    if selection.events is not None:
        return None
    return selection.shape if selection.shape is not None else source.shape


def shapes_of(source: SourceConfig, before: Sequence[Tag]) -> Shapes:
    """The shapes for a new tag table."""
    configs = [shape_of(source, tag) for tag in before]
    tags = [tag if config is None else _named(tag, config) for tag, config in zip(before, configs, strict=True)]
    rules = {
        h: rule for h, config in enumerate(configs) if config is not None and (rule := rule_of(config)) is not None
    }
    aggregates: dict[int, int] = {}
    for handle, config in enumerate(configs):
        if config is not None and config.aggregate is not None:
            aggregates[handle] = len(tags)
            tag = tags[handle]
            tags += [_aggregate(tag, function) for function in config.aggregate.functions]
    scales = np.array([1.0 if config is None else config.scale for config in configs], np.float64)
    offsets = np.array([0.0 if config is None else config.offset for config in configs], np.float64)
    has_rule = np.zeros(len(before), np.bool_)
    has_rule[list(rules)] = True
    unique = _unique(tags)
    # Keep the same table object if no name changes: formats derive data from it once per object.
    shown = before if unique == list(before) else tuple(unique)
    return Shapes(before, shown, rules, has_rule, aggregates, scales, offsets, (scales != 1.0) | (offsets != 0.0))


def rule_of(config: ShapingConfig) -> Rule | None:
    """A new rule state for one tag.  None: its values pass unchanged."""
    if config.aggregate is not None:
        wanted = config.aggregate
        return Window(_ticks(wanted.window), wanted.functions, _ticks(wanted.grace))
    if config.swinging_door is not None:
        return SwingingDoor(config.swinging_door, _ticks(config.at_least or DOOR_HOLD_S))
    band = _band(config)
    if band is None and config.rate_limit is None:
        return None
    return DeadbandRule(band, _ticks(config.rate_limit) if config.rate_limit else 0)


DOOR_HOLD_S = 60.0
"""The longest time that a swinging door holds the newest value, unless `at_least` sets another."""


def _band(config: ShapingConfig) -> Band | None:
    most = _ticks(config.at_least) if config.at_least else None
    if config.deadband is not None:
        return Band(absolute=config.deadband, most_ticks=most)
    if config.deadband_percent is not None and config.range is not None:
        return Band(absolute=config.deadband_percent / 100 * (config.range[1] - config.range[0]), most_ticks=most)
    if config.deadband_percent_of_last is not None:
        return Band(share=config.deadband_percent_of_last / 100, most_ticks=most)
    return None


def _named(tag: Tag, config: ShapingConfig) -> Tag:
    fields = {**tag.fields, **config.fields} if config.fields else tag.fields
    name, unit = config.rename.get(tag.name, tag.name), config.unit or tag.unit
    return replace(tag, name=name, fields=fields, unit=unit)


def _aggregate(tag: Tag, function: str) -> Tag:
    """The tag of one aggregate as consumers see it.  A count has no unit."""
    return replace(tag, name=f"{tag.name}.{function}", unit=None if function == "count" else tag.unit)


def _unique(tags: Sequence[Tag]) -> list[Tag]:
    """Make names unique among tags with the same fields: the second one becomes `name~2`."""
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    made: list[Tag] = []
    for tag in tags:
        fields, name, count = frozenset(tag.fields.items()), tag.name, 1
        while (name, fields) in seen:
            count += 1
            name = f"{tag.name}~{count}"
        seen.add((name, fields))
        made.append(tag if name == tag.name else replace(tag, name=name))
    return made


def _ticks(seconds: float) -> int:
    return max(1, round(seconds * TICKS_PER_SECOND)) if seconds else 0
