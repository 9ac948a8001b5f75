"""A value is of exactly the variable's type and allowed by rule and server, or it is refused with a reason."""

import math
import uuid
from dataclasses import replace

import pytest

from gateway.commands.limits import value_to_write
from gateway.commands.outcome import Refused
from gateway.commands.rate import Buckets
from gateway.commands.shapes import typed
from gateway.commands.values import same
from gateway.config.commands import RateConfig, WriteConfig
from gateway.operations import Facts, FieldForm, Form
from gateway.values import LocalizedText, Structure, Typed
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
        (facts(11, rank=2), {}, [1.0], "rank"),
        (facts(11, rank=2), {}, [[1.0], [1.0, 2.0]], "rank"),
        (facts(11, rank=2), {}, [[1.0], 2.0], "rank"),
        (facts(11, rank=2), {}, [[[1.0]]], "rank"),
        (facts(11, rank=2, dimensions=(2, 2)), {}, [[1.0], [2.0]], "rank"),
        (facts(11, rank=2), {"most_elements": 3}, [[1.0, 2.0], [3.0, 4.0]], "too_long"),
        (facts(11, rank=2), {"maximum": 3}, [[1.0, 2.0], [3.0, 4.0]], "out_of_range"),
        (facts(11, rank=0), {}, 1.0, "rank"),
        (facts(11, rank=-3), {}, [[1.0]], "rank"),
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
        (facts(11, rank=2), {"maximum": 4}, [[1.0, 2.0], [3.0, 4.0]]),
        (facts(11, rank=2, dimensions=(0, 2)), {}, [[1.0, 2.0]]),
        (facts(11, rank=0), {}, [[[1.0]]]),
        (facts(11, rank=-2), {}, [[1.0]]),
    ],
)
def test_limits_apply_in_the_precision_of_the_type(shown: Facts, limits: dict[str, object], value: object) -> None:
    value_to_write(shown, WriteConfig.model_validate(limits), value)


STEP = Form(
    22, data_type="s=Step", encoding="s=StepBinary", fields=(FieldForm("Name", "i=12"), FieldForm("Seconds", "i=11"))
)
RECIPE = Form(
    22, data_type="s=Recipe", encoding="s=RecipeBinary", kind=1,
    fields=(
        FieldForm("Id", "i=7"), FieldForm("Note", "i=12", is_optional=True), FieldForm("First", "s=Step"),
        FieldForm("Steps", "s=Step", 1), FieldForm("Grid", "i=6", 2), FieldForm("Limit", "s=Limit"),
        FieldForm("Doors", "s=Doors"), FieldForm("Mode", "s=Mode"),
    ),
)  # fmt: skip
FORMS = {
    "i=6": Form(6), "i=7": Form(7), "i=11": Form(11), "i=12": Form(12), "s=Step": STEP, "s=Recipe": RECIPE,
    "s=Limit": Form(22, data_type="s=Limit", encoding="s=LimitBinary", kind=2,
                    fields=(FieldForm("Celsius", "i=11"), FieldForm("Level", "i=6"))),
    "s=Doors": Form(3, options=((0, "Front"), (3, "Back"))), "s=Mode": Form(6, members=MODES),
    "s=Unknown": Form(22, data_type="s=Unknown"),
}  # fmt: skip
GOOD: dict[str, object] = {
    "Id": 5, "First": {"Name": "heat", "Seconds": 1.5}, "Steps": [{"Name": "a", "Seconds": 1}],
    "Grid": [[1, 2], [3, 4]], "Limit": {"Level": 7}, "Doors": ["Front", "Back"], "Mode": "On",
}  # fmt: skip


def structured(data_type: str, rank: int = -1) -> Facts:
    return facts(FORMS[data_type].built_in, None, rank=rank, data_type=data_type, forms=FORMS)


def test_a_structure_is_made_by_its_definition() -> None:
    found = value_to_write(structured("s=Recipe"), ANY, GOOD).value
    assert isinstance(found, Structure)
    assert found.type_id == "s=Recipe"
    step = {"Name": Typed(12, "a"), "Seconds": Typed(11, 1.0)}
    assert found.fields["Steps"] == Typed(22 | 0x80, [Structure("s=Step", step)])
    assert found.fields["Grid"] == Typed(6 | 0xC0, [[1, 2], [3, 4]])
    assert found.fields["Limit"].value == Structure("s=Limit", {"Level": Typed(6, 7)})
    assert (found.fields["Doors"], found.fields["Mode"]) == (Typed(3, 0b1001), Typed(6, 1))
    assert "Note" not in found.fields
    assert same(Typed(22, found), value_to_write(structured("s=Recipe"), ANY, GOOD))
    other = value_to_write(structured("s=Recipe"), ANY, {**GOOD, "Note": "x"})
    assert not same(Typed(22, found), other)


@pytest.mark.parametrize(
    ("data_type", "value", "reason"),
    [
        ("s=Recipe", {**GOOD, "More": 1}, "type"),
        ("s=Recipe", {name: part for name, part in GOOD.items() if name != "First"}, "type"),
        ("s=Recipe", {**GOOD, "Id": -1}, "out_of_range"),
        ("s=Recipe", {**GOOD, "Note": None}, "type"),
        ("s=Recipe", {**GOOD, "First": [["Name", "heat"]]}, "rank"),
        ("s=Recipe", {**GOOD, "Steps": [{"Name": "a"}]}, "type"),
        ("s=Recipe", {**GOOD, "Steps": {"Name": "a", "Seconds": 1}}, "rank"),
        ("s=Recipe", {**GOOD, "Grid": [[1], [2, 3]]}, "rank"),
        ("s=Recipe", {**GOOD, "Limit": {"Level": 7, "Celsius": 1.0}}, "type"),
        ("s=Recipe", {**GOOD, "Limit": {}}, "type"),
        ("s=Recipe", {**GOOD, "Doors": ["Roof"]}, "not_in_enumeration"),
        ("s=Recipe", {**GOOD, "Doors": 2}, "not_in_enumeration"),
        ("s=Recipe", {**GOOD, "Mode": "Half"}, "not_in_enumeration"),
        ("s=Recipe", {**GOOD, "Note": "x" * 1001}, "too_long"),
        ("s=Recipe", "5", "type"),
        ("s=Unknown", {}, "type_unsupported"),
        ("s=Doors", ["Front", "Front"], "not_in_enumeration"),
        ("s=Doors", 256, "out_of_range"),
        ("s=Doors", [1], "rank"),
    ],
)
def test_what_is_not_as_the_definition_says_is_refused(data_type: str, value: object, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        value_to_write(structured(data_type), ANY, value)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("rank", "value", "wanted"),
    [(-1, [], 0), (-1, ["Back"], 8), (-1, 9, 9), (1, [["Front"], [], 8], [1, 0, 8]), (1, [], []), (-2, ["Back"], 8)],
)
def test_an_option_set_is_the_names_of_its_bits_or_their_number(rank: int, value: object, wanted: object) -> None:
    assert value_to_write(structured("s=Doors", rank), ANY, value).value == wanted


def test_a_value_read_back_is_compared_in_the_type_of_the_node() -> None:
    wanted = typed(Form(10), -1, 1.1)
    assert same(wanted, Typed(10, SINGLE))
    assert not same(wanted, Typed(11, 1.1))
    assert not same(wanted, None)
    assert same(typed(Form(11), -1, -0.0), Typed(11, 0.0))
    assert not same(typed(Form(6), -1, 1), Typed(1, True))
    assert not same(typed(Form(11), 1, [1.0]), Typed(11 | 0x80, [1.0, 2.0]))
    assert same(typed(Form(21), -1, "x"), Typed(21, LocalizedText("de", "x")))
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
