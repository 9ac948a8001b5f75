"""The judge's eyes for templates and DataSets, as Eclipse Tahu's reader shows them.

Each finding is the assertion that is violated, and what violates it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
Finding = tuple[str, object]
_COLUMN_TYPES = range(1, 15)
_NAMES = {name: number for number, name in enumerate(
    ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean", "String",
     "DateTime", "Text"), 1)}  # fmt: skip


def is_definition(metric: Json) -> bool:
    value = metric.get("value")
    return metric.get("type") == "Template" and isinstance(value, dict) and value.get("isDefinition") is True


def in_definition(metric: Json, known: Mapping[str, Json]) -> Iterator[Finding]:
    """What is wrong with a definition."""
    value = metric["value"]
    if value.get("templateRef"):
        yield "payloads-template-definition-ref", metric
        yield "payloads-template-ref-definition", metric
    if not isinstance(value.get("version", ""), str):
        yield "payloads-template-version", metric
    names = [member["name"] for member in value["metrics"]]
    if not names or len(set(names)) != len(names):
        yield "payloads-template-definition-members", metric
    if value.get("parameters"):
        yield "payloads-template-definition-parameters", metric
    for member in value["metrics"]:
        if member.get("type") == "Template":
            yield from in_value(member, known, "birth")


def in_value(metric: Json, known: Mapping[str, Json], verb: str) -> Iterator[Finding]:
    """What is wrong with the value of a metric that is an instance or a DataSet."""
    value = metric.get("value")
    if metric.get("type") == "DataSet" and isinstance(value, dict):
        yield from _in_dataset(value)
    if metric.get("type") == "Template" and isinstance(value, dict):
        yield from _in_instance(value, known, verb)


def _in_instance(value: Json, known: Mapping[str, Json], verb: str) -> Iterator[Finding]:
    if "isDefinition" not in value:
        yield "payloads-template-is-definition", value
    if value.get("isDefinition"):
        yield "payloads-template-definition-nbirth-only", value
        yield "payloads-template-instance-is-definition", value
        yield "payloads-template-is-definition-instance", value
    definition = known.get(value.get("templateRef", ""))
    if definition is None:
        yield "payloads-template-instance-ref", value
        yield "payloads-template-definition-nbirth", value
        return
    defined = {member["name"]: member.get("type") for member in definition["value"]["metrics"]}
    members = {member["name"]: member.get("type") for member in value["metrics"]}
    if not members.items() <= defined.items():
        yield "payloads-template-instance-members", (members, defined)
    if verb == "birth" and set(members) != set(defined):
        yield "payloads-template-instance-members-birth", (members, defined)
    for member in value["metrics"]:
        yield from in_value(member, known, verb)


def _in_dataset(value: Json) -> Iterator[Finding]:
    columns, types = value["columns"], value["types"]
    if value["numOfColumns"] != len(columns):
        yield "payloads-dataset-column-size", value
    if len(columns) != len(types):
        yield "payloads-dataset-column-num-headers", value
        yield "payloads-dataset-types-num", value
    if not types:
        yield "payloads-dataset-parameter-type-req", value
    numbers = [_NAMES.get(each, each) for each in types]
    if not all(isinstance(each, int) for each in numbers):
        yield "payloads-dataset-types-def", value
        yield "payloads-dataset-types-type", value
    elif not all(each in _COLUMN_TYPES for each in numbers):
        yield "payloads-dataset-types-value", value
    if any(len(row) != len(columns) for row in value["rows"]):
        yield "payloads-template-dataset-value", value


def plain(metric: Json) -> object:
    """The value of a metric, with an instance as its members by name, and a DataSet as its rows."""
    value = metric.get("value")
    if isinstance(value, dict) and metric.get("type") == "Template":
        return {member["name"]: plain(member) for member in value["metrics"]}
    if isinstance(value, dict) and metric.get("type") == "DataSet":
        return value["rows"]
    return value
