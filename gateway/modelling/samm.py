"""A SAMM 2.2 aspect model (Eclipse Semantic Modeling Framework) in Turtle.

The aspect is what the gateway knows of the plant, with a property for each machine: an entity with the variables of the
machine as properties, all of them optional, since a message has what changed.  Units are those of SAMM's catalogue by
their UNECE code; others are defined in the model.  EURange is a range constraint, the only place that SAMM has for it.
A method that commands may call is an operation.

Characteristics are shared: by type, unit and range.  They are written where they are first used.
"""

from collections.abc import Iterable, Iterator, Mapping

from gateway.model import DataField, DataType
from gateway.modelling.description import Description, Point, Told
from gateway.modelling.names import Names, camel
from gateway.modelling.pieces import text_of
from gateway.modelling.units import Unit, unit_of
from gateway.modelling.value_schemas import type_of_field

_HEAD = """@prefix samm: <urn:samm:org.eclipse.esmf.samm:meta-model:2.2.0#> .
@prefix samm-c: <urn:samm:org.eclipse.esmf.samm:characteristic:2.2.0#> .
@prefix unit: <urn:samm:org.eclipse.esmf.samm:unit:2.2.0#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix : <urn:samm:{}:1.0.0#> .

"""
_SCALARS = {
    1: "boolean", 2: "byte", 3: "unsignedByte", 4: "short", 5: "unsignedShort", 6: "int", 7: "unsignedInt", 8: "long",
    9: "unsignedLong", 10: "float", 11: "double", 13: "dateTime", 15: "base64Binary", 19: "unsignedInt",
}  # fmt: skip
_NUMBERS = range(2, 12)
_FLOATS = (10, 11)
_WHOLE = {2: (-128, 127), 3: (0, 255), 4: (-(2**15), 2**15 - 1), 5: (0, 2**16 - 1), 6: (-(2**31), 2**31 - 1),
          7: (0, 2**32 - 1), 8: (-(2**63), 2**63 - 1), 9: (0, 2**64 - 1)}  # fmt: skip
MOST_DEPTH = 6


def samm(description: Description, told: Told) -> Iterator[str]:
    """The model in pieces."""
    yield _HEAD.format(f"connected.factory.{Names(most=60).of(description.gateway).lower()}")
    yield from _Writer(description, told).model()


class _Writer:
    def __init__(self, description: Description, told: Told) -> None:
        self._description = description
        self._told = told
        self._types = Names(r"[^A-Za-z0-9]", most=100, first="N")
        """Of the aspect, entities and characteristics."""
        self._properties = self._types
        """SAMM folds nothing, but all elements share one namespace, and file systems fold."""
        self._shared: dict[object, str] = {}
        """Characteristics and units by what they are."""
        self._new: list[str] = []
        """What has to be written before what uses it."""

    def model(self) -> Iterator[str]:
        machines = [(path, points, self._name(*path)) for path, points in self._description.groups]
        properties = [self._property_name(*path) for path, _, _ in machines]
        operations = [
            (target, self._property_name(target.name))
            for table in self._description.sources
            for target in table.commands
            if target.is_method
        ]
        yield from _element(
            self._name(self._description.gateway, "plant"), "samm:Aspect",
            **_told(self._description.gateway, "What the gateway reads of the plant."),
            samm__properties=_list(f":{name}" for name in properties),
            samm__operations=_list(f":{name}" for _, name in operations), samm__events=_list(()),
        )  # fmt: skip
        for (path, points, entity), name in zip(machines, properties, strict=True):
            single = self._name(entity, "one")
            yield from _element(name, "samm:Property", **_told("/".join(path)), samm__characteristic=f":{single}")
            yield from _element(single, "samm-c:SingleEntity", **_told("/".join(path)), samm__dataType=f":{entity}")
            yield from self._entity(entity, path, points)
        for target, name in operations:
            inputs = [(self._property_name(target.name, each.name), each) for each in target.inputs]
            for own, each in inputs:
                is_known = 0 < each.form.built_in < 26
                kind = self._of_type(
                    DataType("", "", each.form.built_in) if is_known else None, {}, (), each.rank, each.name
                )
                yield from self._waiting()
                yield from _element(own, "samm:Property", **_told(each.name), samm__characteristic=f":{kind}")
            yield from _element(
                name, "samm:Operation", **_told(target.name, f"A method, for {', '.join(target.requesters)}."),
                samm__input=_list(f":{own}" for own, _ in inputs),
            )  # fmt: skip

    def _entity(self, entity: str, path: tuple[str, ...], points: list[Point]) -> Iterator[str]:
        named = [(self._property_name(*path, point.tag.name), point) for point in points]
        payload = Names(r"[^A-Za-z0-9_]", most=100)
        references = (
            f"[ samm:property :{name} ; samm:optional true ; samm:payloadName {text_of(payload.of(point.tag.name))} ]"
            for name, point in named
        )
        yield from _element(entity, "samm:Entity", **_told("/".join(path)), samm__properties=_list(references))
        for name, point in named:
            kind = self._characteristic(point)
            yield from self._waiting()
            about = "; ".join(filter(None, (point.facts.description, f"node {point.tag.node_id}")))
            yield from _element(name, "samm:Property", **_told(point.tag.name, about), samm__characteristic=f":{kind}")

    def _waiting(self) -> Iterator[str]:
        yield from self._new
        self._new.clear()

    # -- characteristics ----------------------------------------------------------------------------------------------

    def _characteristic(self, point: Point) -> str:
        known = {each.type_id: each for each in point.tag.variable_type.types} if point.tag.variable_type else {}
        unit = unit_of(point.facts.unit_code, point.tag.unit)
        is_number = point.built_in in _NUMBERS and not (point.data_type and point.data_type.members)
        if not is_number or not point.is_scalar:
            if point.tag.unit and not point.is_scalar:
                self._told.add("a unit of an array is told nowhere in SAMM", f"{point.tag.unit} of {point.tag.name}")
            return self._of_type(point.data_type, known, (), point.rank, point.tag.name)
        kind = _SCALARS[point.built_in]
        base = self._quantity(kind, unit, point.tag.unit)
        low, high = (_within(each, point.built_in) for each in (point.facts.low, point.facts.high))
        return base if low is None or high is None else self._ranged(base, kind, low, high)

    def _quantity(self, kind: str, unit: Unit | None, text: str | None) -> str:
        """A number, with its unit if it has one."""
        said = unit or (Unit("", text, text) if text else None)
        more = {"samm_c__unit": self._unit(said)} if said is not None else {}
        name = said.name if said is not None else "number"
        title = f"{kind} in {name}" if said is not None else kind
        of_kind = "samm-c:Measurement" if said is not None else "samm:Characteristic"
        return self._once((kind, said), title, of_kind, samm__dataType=f"xsd:{kind}", **more)

    def _ranged(self, base: str, kind: str, low: str, high: str) -> str:
        constraint = (
            f'[ a samm-c:RangeConstraint ; samm-c:minValue "{low}"^^xsd:{kind} ; '
            f'samm-c:maxValue "{high}"^^xsd:{kind} ; samm-c:lowerBoundDefinition samm-c:AT_LEAST ; '
            "samm-c:upperBoundDefinition samm-c:AT_MOST ]"
        )
        return self._once(
            (base, low, high), f"{base} from {low} to {high}", "samm-c:Trait",
            samm_c__baseCharacteristic=f":{base}", samm_c__constraint=constraint,
        )  # fmt: skip

    def _unit(self, unit: Unit) -> str:
        if unit.samm:
            return f"unit:{unit.samm}"
        code = {"samm__commonCode": text_of(unit.code)} if unit.code else {}
        if not code:
            self._told.add("no UNECE code is known for the unit, so the model defines it", unit.symbol)
        more = {"samm__symbol": text_of(unit.symbol), **code}
        return ":" + self._once(("unit", unit), f"unit {unit.name}", "samm:Unit", **more)

    def _of_type(
        self, data_type: DataType | None, known: Mapping[str, DataType], above: tuple[str, ...], rank: int, name: str
    ) -> str:
        element, entity = self._element_of(data_type, known, above, name)
        if rank in (-1, -2, -3):
            return element
        for _ in range(min(max(1, rank), MOST_DEPTH)):
            element = self._once(
                ("list", element), f"list of {element}", "samm-c:List",
                samm__dataType=entity, samm_c__elementCharacteristic=f":{element}",
            )  # fmt: skip
        return element

    def _element_of(
        self, data_type: DataType | None, known: Mapping[str, DataType], above: tuple[str, ...], name: str
    ) -> tuple[str, str]:
        """The characteristic of one value, and its data type."""
        if data_type is not None and data_type.members:
            return self._enumeration(data_type), "xsd:int"
        if data_type is not None and data_type.fields:
            if data_type.type_id not in above and len(above) < MOST_DEPTH:
                return self._structure(data_type, known, above, name)
            self._told.add("a structure that contains itself is a text there", f"{data_type.name} of {name}")
        kind = _SCALARS.get(data_type.built_in if data_type is not None else 0, "string")
        return self._once(kind, f"{kind} value", "samm:Characteristic", samm__dataType=f"xsd:{kind}"), f"xsd:{kind}"

    def _enumeration(self, data_type: DataType) -> str:
        values = _list(f'"{number}"^^xsd:int' for number in dict(data_type.members))
        about = ", ".join(f"{number} {text}" for number, text in data_type.members)
        return self._once(
            data_type, data_type.name, "samm-c:Enumeration", about, samm__dataType="xsd:int", samm_c__values=values
        )

    def _structure(
        self, data_type: DataType, known: Mapping[str, DataType], above: tuple[str, ...], name: str
    ) -> tuple[str, str]:
        key = ("entity", data_type, above)
        if key not in self._shared:
            fields = [(self._field(each, known, (*above, data_type.type_id), name), each) for each in data_type.fields]
            payload = Names(r"[^A-Za-z0-9_]", most=100)
            listed = _list(
                f"[ samm:property :{own} ; samm:optional true ; samm:payloadName {text_of(payload.of(each.name))} ]"
                for own, each in fields
            )
            self._once(key, data_type.name, "samm:Entity", samm__properties=listed)
        entity = f":{self._shared[key]}"
        single = self._once(("one", key), f"{data_type.name} value", "samm-c:SingleEntity", samm__dataType=entity)
        return single, entity

    def _field(self, field: DataField, known: Mapping[str, DataType], above: tuple[str, ...], name: str) -> str:
        kind = self._of_type(type_of_field(field, known), known, above, field.rank, name)
        own = self._property_name(field.name)
        self._new += _element(own, "samm:Property", **_told(field.name), samm__characteristic=f":{kind}")
        return own

    def _once(self, key: object, title: str, kind: str, about: str = "", /, **more: str) -> str:
        """The name of an element that is the same for all that are alike."""
        if key not in self._shared:
            name = self._shared[key] = self._name(title)
            self._new += _element(name, kind, **_told(title, about), **more)
        return self._shared[key]

    def _name(self, *texts: str) -> str:
        return self._types.of("".join(camel(text) or "X" for text in texts))

    def _property_name(self, *texts: str) -> str:
        text = "".join(camel(text) or "X" for text in texts)
        return self._properties.of("p" + text if not text[:1].isalpha() else text[0].lower() + text[1:])


def _within(value: float | None, built_in: int) -> str | None:
    """The end of a range as a literal of this type; None where it has none, or the type cannot hold it."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    if built_in in _FLOATS:
        return repr(float(value))
    low, high = _WHOLE[built_in]
    return str(min(high, max(low, round(value))))


def _told(title: str, about: str = "") -> dict[str, str]:
    """Name and description for people."""
    found = {"samm__preferredName": f"{text_of(title)}@en"}
    return {**found, "samm__description": f"{text_of(about)}@en"} if about else found


def _list(items: Iterable[str]) -> str:
    return f"( {' '.join(items)} )"


def _element(name: str, kind: str, /, **more: str) -> Iterator[str]:
    """`:name a kind ; …`; a keyword `samm_c__unit` is the predicate `samm-c:unit`."""
    said = "".join(f" ;\n   {key.replace('__', ':').replace('_', '-')} {value}" for key, value in more.items())
    yield f":{name} a {kind}{said} .\n\n"
