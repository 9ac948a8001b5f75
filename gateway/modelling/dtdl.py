"""DTDL v3, the models of Azure Digital Twins: an interface for each machine, and one with all of them as components.

Values become Telemetry.  Names have letters, digits and `_`, so `displayName` keeps the original.  Units are those
of the extension quantitativeTypes; other units are told in `comment`.  DTDL has no ranges, no nulls and no status.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gateway.model import DataType
from gateway.modelling.description import Description, Point, Told
from gateway.modelling.names import Names
from gateway.modelling.pieces import MARK, elements, whole, with_pieces
from gateway.modelling.units import unit_of
from gateway.modelling.value_schemas import Schema, type_name, type_of_field

_CONTEXT = ["dtmi:dtdl:context;3", "dtmi:dtdl:extension:quantitativeTypes;1"]
MOST_CONTENTS = 300
"""Contents of one interface.  The standard allows more, but also limits an interface to 1 MiB of text."""
MOST_DEPTH = 5
MOST_MEMBERS = 100
_TEXT = 500
_SCHEMAS = {
    1: "boolean", 2: "integer", 3: "integer", 4: "integer", 5: "integer", 6: "integer", 7: "long", 8: "long",
    9: "long", 10: "float", 11: "double", 13: "dateTime", 19: "long",
}  # fmt: skip
UNITS: Mapping[str, tuple[str, str]] = {
    "CEL": ("Temperature", "degreeCelsius"), "KEL": ("Temperature", "kelvin"),
    "FAH": ("Temperature", "degreeFahrenheit"), "MTS": ("Velocity", "metrePerSecond"),
    "KMH": ("Velocity", "kilometrePerHour"), "BAR": ("Pressure", "bar"), "MBR": ("Pressure", "millibar"),
    "PAL": ("Pressure", "pascal"), "KPA": ("Pressure", "kilopascal"), "AMP": ("Current", "ampere"),
    "4K": ("Current", "milliampere"), "VLT": ("Voltage", "volt"), "2Z": ("Voltage", "millivolt"),
    "KVT": ("Voltage", "kilovolt"), "WTT": ("Power", "watt"), "KWT": ("Power", "kilowatt"),
    "MAW": ("Power", "megawatt"), "JOU": ("Energy", "joule"), "KJO": ("Energy", "kilojoule"),
    "3B": ("Energy", "megajoule"), "GV": ("Energy", "gigajoule"), "KWH": ("Energy", "kilowattHour"),
    "RPM": ("AngularVelocity", "revolutionPerMinute"), "HTZ": ("Frequency", "hertz"),
    "KHZ": ("Frequency", "kilohertz"), "MHZ": ("Frequency", "megahertz"), "MMT": ("Length", "millimetre"),
    "CMT": ("Length", "centimetre"), "MTR": ("Length", "metre"), "KMT": ("Length", "kilometre"),
    "4H": ("Length", "micrometre"), "NEW": ("Force", "newton"), "NU": ("Torque", "newtonMetre"),
    "KGM": ("Mass", "kilogram"), "GRM": ("Mass", "gram"), "TNE": ("Mass", "tonne"), "SEC": ("TimeSpan", "second"),
    "MIN": ("TimeSpan", "minute"), "HUR": ("TimeSpan", "hour"), "DAY": ("TimeSpan", "day"),
    "C26": ("TimeSpan", "millisecond"), "LTR": ("Volume", "litre"), "MLT": ("Volume", "millilitre"),
    "MTQ": ("Volume", "cubicMetre"), "OHM": ("Resistance", "ohm"), "LUX": ("Illuminance", "lux"),
}  # fmt: skip
"""By UNECE code: the semantic type and the unit of quantitativeTypes."""
_NUMBERS = ("integer", "long", "float", "double")


def dtdl(description: Description, told: Told) -> Iterator[str]:
    """An array of interfaces, in pieces."""
    writer = _Writer(description, told)
    yield from with_pieces([MARK], [elements(writer.interfaces())])


class _Writer:
    def __init__(self, description: Description, told: Told) -> None:
        self._description = description
        self._told = told
        self._root = f"dtmi:connected_factory:{Names(most=60).of(description.gateway)}"
        self._ids = Names(most=60)

    def interfaces(self) -> Iterator[Iterable[str]]:
        components: list[Schema] = []
        for path, points in self._description.groups:
            for number, start in enumerate(range(0, len(points), MOST_CONTENTS)):
                some = points[start : start + MOST_CONTENTS]
                name = self._ids.of("_".join(path) + (f"_part_{number + 1}" if number else ""))
                title = "/".join(path)[:_TEXT]
                own = f"{self._root}:{name};1"
                contents = [*self._telemetry(some)]
                yield whole({
                    "@context": _CONTEXT, "@id": own, "@type": "Interface", "displayName": title, "contents": contents,
                })  # fmt: skip
                components.append({"@type": "Component", "name": name, "schema": own, "displayName": title})
        yield from self._roots(components)

    def _roots(self, components: Sequence[Schema]) -> Iterator[Iterable[str]]:
        """The interface of the gateway; where there are many machines, one for each few hundred."""
        for number, start in enumerate(range(0, len(components) or 1, MOST_CONTENTS)):
            some = components[start : start + MOST_CONTENTS]
            ending = f":part_{number + 1}" if number else ""
            yield whole({
                "@context": _CONTEXT, "@id": f"{self._root}{ending};1", "@type": "Interface",
                "displayName": self._description.gateway, "contents": list(some),
            })  # fmt: skip

    def _telemetry(self, points: Sequence[Point]) -> Iterator[Schema]:
        names = Names(most=64)
        for point in points:
            content: Schema = {
                "@type": "Telemetry", "name": names.of(point.tag.name), "displayName": point.tag.name[:_TEXT],
                "schema": self._schema(point),
            }  # fmt: skip
            if point.facts.description:
                content["description"] = point.facts.description[:_TEXT]
            content["comment"] = self._comment(point)[:_TEXT]
            self._add_unit(content, point)
            yield content

    def _comment(self, point: Point) -> str:
        facts = point.facts
        unit = f", {point.tag.unit}" if point.tag.unit else ""
        span = f", {facts.low:g} to {facts.high:g}" if facts.low is not None and facts.high is not None else ""
        return f"{type_name(point)}{unit}{span}, node {point.tag.node_id}"

    def _add_unit(self, content: Schema, point: Point) -> None:
        unit = unit_of(point.facts.unit_code, point.tag.unit)
        known = UNITS.get(unit.code) if unit is not None else None
        if known is not None and content["schema"] in _NUMBERS:
            content["@type"], content["unit"] = ["Telemetry", known[0]], known[1]
        elif point.tag.unit:
            self._told.add("DTDL has no such unit, so it is in the comment", f"{point.tag.unit} of {point.tag.name}")

    def _schema(self, point: Point) -> object:
        known = {each.type_id: each for each in point.tag.variable_type.types} if point.tag.variable_type else {}
        return self._of_rank(self._element(point.data_type, known, (), point.tag.name), point.rank, point.tag.name, 1)

    def _of_rank(self, element: object, rank: int, name: str, depth: int) -> object:
        if rank in (-1, -2, -3):
            return element
        if depth + max(1, rank) > MOST_DEPTH:
            self._told.add("DTDL allows no deeper structures, so it is a text", name)
            return "string"
        for _ in range(max(1, rank)):
            element = {"@type": "Array", "elementSchema": element}
        return element

    def _element(
        self, data_type: DataType | None, known: Mapping[str, DataType], above: tuple[str, ...], name: str
    ) -> object:
        if data_type is None:
            return "string"
        if data_type.members and len(data_type.members) <= MOST_MEMBERS:
            names = Names(most=64)
            values = [
                {"name": names.of(text), "displayName": text[:_TEXT] or str(number), "enumValue": number}
                for number, text in dict(data_type.members).items()
            ]
            return {"@type": "Enum", "valueSchema": "integer", "enumValues": values}
        if data_type.fields:
            return self._structure(data_type, known, above, name)
        return _SCHEMAS.get(data_type.built_in, "string")

    def _structure(
        self, data_type: DataType, known: Mapping[str, DataType], above: tuple[str, ...], name: str
    ) -> object:
        if data_type.type_id in above or len(above) + 1 >= MOST_DEPTH:
            self._told.add("DTDL allows no deeper structures, so it is a text", f"{data_type.name} of {name}")
            return "string"
        names, inside = Names(most=64), (*above, data_type.type_id)
        fields = []
        for field in data_type.fields:
            element = self._element(type_of_field(field, known), known, inside, name)
            schema = self._of_rank(element, field.rank, name, len(inside) + 1)
            fields.append({"name": names.of(field.name), "displayName": field.name[:_TEXT], "schema": schema})
        return {"@type": "Object", "fields": fields}
