"""A value is of exactly the variable's type and allowed by rule and server, or it is refused with a reason."""

import math
import uuid
from dataclasses import replace

import pytest

from gateway.commands.limits import value_to_write
from gateway.commands.outcome import Refused
from gateway.commands.rate import Buckets
from gateway.commands.values import same, typed
from gateway.config.commands import RateConfig, WriteConfig
from gateway.operations import Facts
from gateway.values import LocalizedText, Typed
from tests.support.commands import facts

MODES = ((0, "Off"), (1, "On"))
SINGLE = 1.100000023841858
ANY = WriteConfig()


@pytest.mark.parametrize(
    ("built_in", "value", "wanted"),
    [
        (1, True, True), (3, 255, 255), (6, -5, -5), (8, 2**53, 2**53), (8, "-9223372036854775808", -(2**63)),
        (9, "18446744073709551615", 2**64 - 1), (10, 1.1, SINGLE), (11, 1, 1.0), (11, -0.0, -0.0), (12, "ä", "ä"),
        (13, "1601-01-01T00:00:01Z", 10_000_000), (15, "AAE=", b"\0\1"), (21, "x", LocalizedText(None, "x")),
        (14, "72962b91-fa75-4ae6-8d28-b404dc7daf63", uuid.UUID("72962b91-fa75-4ae6-8d28-b404dc7daf63")),
        (21, {"locale": "de", "text": "x"}, LocalizedText("de", "x")),
    ],
)  # fmt: skip
def test_a_value_of_the_right_type_is_accepted(built_in: int, value: object, wanted: object) -> None:
    found = value_to_write(facts(built_in), ANY, value)
    assert found == Typed(built_in, wanted)
    assert math.copysign(1, found.value) == math.copysign(1, wanted) if built_in == 11 else True  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "limits", "value", "reason"),
    [
        (facts(6), {}, 1.0, "type"),
        (facts(6), {}, True, "type"),
        (facts(6), {}, "1", "type"),
        (facts(6), {}, None, "type"),
        (facts(3), {}, 256, "out_of_range"),
        (facts(3), {}, -1, "out_of_range"),
        (facts(2), {}, 128, "out_of_range"),
        (facts(8), {}, 2**53 + 1, "not_exact"),
        (facts(8), {}, str(2**63), "out_of_range"),
        (facts(8), {}, "1.0", "type"),
        (facts(9), {}, "-1", "out_of_range"),
        (facts(9), {}, "٣", "type"),
        (facts(11), {}, 2**53 + 1, "not_exact"),
        (facts(11), {}, "1.0", "type"),
        (facts(11), {}, "NaN", "not_finite"),
        (facts(11), {}, "-Infinity", "not_finite"),
        (facts(10), {}, 1e39, "out_of_range"),
        (facts(1), {}, 1, "type"),
        (facts(12), {}, 1, "type"),
        (facts(13), {}, "yesterday", "type"),
        (facts(13), {}, "2026-01-01T00:00:00", "type"),
        (facts(14), {}, "x", "type"),
        (facts(15), {}, "%", "type"),
        (facts(22), {}, {}, "type_unsupported"),
        (facts(0), {}, 1, "type_unsupported"),
        (facts(11), {}, [1.0], "rank"),
        (facts(11, rank=1), {}, 1.0, "rank"),
        (facts(11, rank=2), {}, [[1.0]], "type_unsupported"),
        (facts(11, rank=1, dimensions=(2,)), {}, [1.0], "rank"),
        (facts(11, rank=1), {}, [1.0, "x"], "type"),
        (facts(11, rank=1), {"most_elements": 2}, [1.0] * 3, "too_long"),
        (facts(12), {"most_elements": 2}, "abc", "too_long"),
        (facts(6, members=MODES), {}, 2, "not_in_enumeration"),
        (facts(6, members=MODES), {}, "Half", "not_in_enumeration"),
        (facts(6, members=MODES), {}, True, "type"),
        (facts(6, members=MODES), {"values": ["Off"]}, "On", "not_in_values"),
        (facts(11), {"minimum": 0.5}, 0.4, "out_of_range"),
        (facts(11), {"maximum": 2.0}, 2.1, "out_of_range"),
        (facts(11, rank=1), {"maximum": 2.0}, [1.0, 2.1], "out_of_range"),
        (facts(11), {"step": 0.1}, 0.25, "off_step"),
        (facts(11), {"minimum": 0.05, "step": 0.1}, 0.1, "off_step"),
        (facts(11), {"values": [1, 2]}, 3.0, "not_in_values"),
        (facts(1), {"values": [1]}, True, "not_in_values"),
        (facts(12), {"maximum": 1}, "x", "type"),
        (facts(11, ranges=(("EURange", 0.0, 3.0),)), {}, 3.5, "out_of_range"),
        (facts(11, ranges=(("InstrumentRange", 0.0, 3.0),)), {"maximum": 9}, -1.0, "out_of_range"),
        (facts(8), {"maximum": 2**53}, str(2**53 + 1), "out_of_range"),
        (facts(11, access=1), {}, 1.0, "not_writable"),
        (facts(11, user_access=1), {}, 1.0, "access_denied"),
    ],
)
def test_a_value_of_another_type_is_refused(
    shown: Facts, limits: dict[str, object], value: object, reason: str
) -> None:
    with pytest.raises(Refused) as refusal:
        value_to_write(shown, WriteConfig.model_validate(limits), value)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("shown", "limits", "value"),
    [
        (facts(10), {"maximum": 1.1}, 1.1),
        (facts(10), {"minimum": 0.5, "step": 0.05}, 1.1),
        (facts(11), {"step": 0.1}, 0.3),
        (facts(6, members=MODES), {"values": ["On"]}, 1),
        (facts(11), {"minimum": 0}, -0.0),
        (facts(11, rank=-2), {}, [1.0]),
        (facts(11, rank=-3), {}, 1.0),
        (facts(11), {"values": [1]}, 1.0),
    ],
)
def test_limits_apply_in_the_precision_of_the_type(shown: Facts, limits: dict[str, object], value: object) -> None:
    value_to_write(shown, WriteConfig.model_validate(limits), value)


def test_a_value_read_back_is_compared_in_the_type_of_the_node() -> None:
    wanted = typed(10, -1, 1.1)
    assert same(wanted, Typed(10, SINGLE))
    assert not same(wanted, Typed(11, 1.1))
    assert not same(wanted, None)
    assert same(typed(11, -1, -0.0), Typed(11, 0.0))
    assert not same(typed(6, -1, 1), Typed(1, True))
    assert not same(typed(11, 1, [1.0]), Typed(11 | 0x80, [1.0, 2.0]))
    assert same(typed(21, -1, "x"), Typed(21, LocalizedText("de", "x")))
    assert replace(facts(6), rank=1) == facts(6, rank=1)


def test_a_rate_limit_allows_a_burst_and_recovers() -> None:
    buckets, rate = Buckets(), RateConfig(times=2, within=10.0)
    buckets.take("a", rate, 0.0)
    buckets.take("a", rate, 0.0)
    buckets.take("b", rate, 0.0)
    for at_s in (0.0, 4.9):
        with pytest.raises(Refused):
            buckets.take("a", rate, at_s)
    buckets.take("a", rate, 5.0)
    with pytest.raises(Refused):
        buckets.take("a", rate, 5.0)
