"""Whether a value is allowed: by the server's access levels and ranges, and by the limits of a rule.  Pure."""

import math
from collections.abc import Iterator, Sequence
from typing import SupportsFloat

from gateway.commands.outcome import Refused
from gateway.commands.shapes import flat, typed
from gateway.commands.values import FLOAT, NUMBERS, name_of, single
from gateway.config.commands import LimitsConfig
from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.operations import READABLE, WRITABLE, Facts
from gateway.values import LocalizedText, Structure, Typed

_STEP_TOLERANCE = 1e-6
"""Of a step: decimal fractions are not exact in binary."""


def value_to_write(facts: Facts, limits: LimitsConfig, value: object) -> Typed:
    """The value as it will be written.  Raises `Refused`."""
    check_access(facts, WRITABLE, "not_writable")
    if not facts.built_in:
        raise Refused("type_unsupported", "the server does not tell the type of the variable")
    wanted = typed(facts.form, facts.rank, value, facts.forms, facts.dimensions)
    check_limits(limits, wanted, facts.ranges, facts.members)
    return wanted


def check_access(facts: Facts, bit: int, reason: str) -> None:
    """Raises `Refused` if the node, or the user of the gateway, does not have this right."""
    if not facts.access & bit:
        raise Refused(reason, "the AccessLevel of the variable does not allow it")
    if not facts.user_access & bit:
        raise Refused("access_denied", "the server does not allow it for the gateway's user (UserAccessLevel)")


def check_readable(facts: Facts) -> None:
    check_access(facts, READABLE, "access_denied")


def check_limits(
    limits: LimitsConfig,
    wanted: Typed,
    ranges: Sequence[tuple[str, float, float]] = (),
    members: Sequence[tuple[int, str]] = (),
) -> None:
    """Raises `Refused` if the rule or a range of the server does not allow the value."""
    built_in = wanted.type & ~(IS_ARRAY | IS_MATRIX)
    elements = flat(wanted.value)
    _check_size(limits, wanted)
    for element in elements:
        if limits.values is not None and not any(_is_listed(each, element, members) for each in limits.values):
            raise Refused("not_in_values", f"the rule allows {', '.join(map(str, limits.values[:20]))}")
        if built_in in NUMBERS:
            assert isinstance(element, SupportsFloat)
            _check_number(limits, element, ranges, built_in)
        elif limits.minimum is not None or limits.maximum is not None or limits.step is not None:
            raise Refused("type", f"the rule has a range for numbers; the variable is a {name_of(built_in)}")


def _check_size(limits: LimitsConfig, wanted: Typed) -> None:
    """Raises `Refused` if an array or a text in it, at any depth, is longer than the rule allows."""
    elements = flat(wanted.value)
    if isinstance(wanted.value, list) and len(elements) > limits.most_elements:
        raise Refused("too_long", f"{len(elements)} elements; the rule allows {limits.most_elements}")
    for element in elements:
        if isinstance(element, Structure):
            for part in element.fields.values():
                _check_size(limits, part)
        elif (size := _length(element)) > limits.most_elements:
            raise Refused("too_long", f"{size} characters; the rule allows {limits.most_elements}")


def _is_listed(listed: object, element: object, members: Sequence[tuple[int, str]]) -> bool:
    if isinstance(element, LocalizedText):
        return listed == element.text
    if isinstance(listed, str) and members:
        return (element, listed) in members
    return listed == element and isinstance(listed, bool) == isinstance(element, bool)


def _length(element: object) -> int:
    if isinstance(element, LocalizedText):
        return len(element.text or "")
    return len(element) if isinstance(element, str | bytes) else 0


def _check_number(
    limits: LimitsConfig, number: SupportsFloat, ranges: Sequence[tuple[str, float, float]], built_in: int
) -> None:
    for who, low, high in (*_own_range(limits), *ranges):
        if built_in == FLOAT:  # 1.1 differs in 32 and 64 bits: the bounds are rounded like the value
            low, high = single(low), single(high)
        if not low <= number <= high:  # type: ignore[operator]  # an int or a float: compared exactly
            raise Refused("out_of_range", f"{who} goes from {low:g} to {high:g}")
    if limits.step is not None:
        steps = (float(number) - (limits.minimum or 0.0)) / limits.step
        if abs(steps - round(steps)) > max(_STEP_TOLERANCE, abs(steps) * 1e-12):
            raise Refused("off_step", f"the rule allows steps of {limits.step:g} from {limits.minimum or 0.0:g}")


def _own_range(limits: LimitsConfig) -> Iterator[tuple[str, float, float]]:
    if limits.minimum is not None or limits.maximum is not None:
        low = -math.inf if limits.minimum is None else limits.minimum
        yield "the rule", low, math.inf if limits.maximum is None else limits.maximum
