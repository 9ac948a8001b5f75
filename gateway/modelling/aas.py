"""An Asset Administration Shell 3.0 of the gateway, as JSON and as an AASX package.

| submodel | template | content |
| --- | --- | --- |
| Nameplate | IDTA 02006-2-0 | of the gateway itself; it knows no manufacturers of machines |
| TechnicalData | IDTA 02003-1-2 | for each machine its variables: type, unit, range, description |
| TimeSeries | IDTA 02008-1-1 | a linked segment for each topic: broker and topic |
| AssetInterfacesDescription | IDTA 02017-1-0 | an MQTT interface for each broker, with the variables of each topic |
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from gateway.config import BrokerConfig
from gateway.modelling.description import Description, Point, Told, Topic
from gateway.modelling.names import Names
from gateway.modelling.pieces import MARK, elements, text_of, whole, with_pieces
from gateway.modelling.units import unit_of
from gateway.modelling.value_schemas import Schema, type_name
from gateway.payload.choose import format_of

_IDTA = "https://admin-shell.io/idta/"
_AID = f"{_IDTA}AssetInterfacesDescription/1/0/"
_TD = "https://www.w3.org/2019/wot/td#"
_SERIES = f"{_IDTA}TimeSeries/"
_TECHNICAL = "https://admin-shell.io/ZVEI/TechnicalData/"
_FORM = "https://www.w3.org/2019/wot/hypermedia#"
_MOST_TEXT = 1000
_XSD = {1: "xs:boolean", 2: "xs:byte", 3: "xs:unsignedByte", 4: "xs:short", 5: "xs:unsignedShort", 6: "xs:int",
        7: "xs:unsignedInt", 8: "xs:long", 9: "xs:unsignedLong", 10: "xs:float", 11: "xs:double",
        13: "xs:dateTime", 15: "xs:base64Binary"}  # fmt: skip
_JSON_TYPES = {1: "boolean", **dict.fromkeys((2, 3, 4, 5, 6, 7, 19), "integer"), 10: "number", 11: "number"}
_NAME = "connected-factory"


def aas(description: Description, told: Told) -> Iterator[str]:
    """The environment in pieces."""
    root = f"urn:connected-factory:{quote(description.gateway)}"
    writer = _Writer(description, root, told)
    submodels = writer.submodels()
    shell = {
        "modelType": "AssetAdministrationShell", "id": f"{root}:aas",
        "idShort": Names(most=120).of(description.gateway),
        "assetInformation": {"assetKind": "Instance", "globalAssetId": root},
        "submodels": [
            {"type": "ModelReference", "keys": [{"type": "Submodel", "value": f"{root}:{name}"}]}
            for name in ("Nameplate", "TechnicalData", "TimeSeries", "AssetInterfacesDescription")
        ],
    }  # fmt: skip
    yield from with_pieces({"assetAdministrationShells": [shell], "submodels": [MARK]}, [elements(submodels)])


def aasx(description: Description, told: Told) -> Iterator[bytes]:
    """The same in a package (Open Packaging Conventions), in pieces."""
    collected = _Collected()
    with zipfile.ZipFile(collected, "w", zipfile.ZIP_DEFLATED) as package:  # type: ignore[call-overload]  # a writer
        for name, content in _PARTS.items():
            package.writestr(zipfile.ZipInfo(name, _DATE), content)
        info = zipfile.ZipInfo(_ENVIRONMENT, _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED
        with package.open(info, "w", force_zip64=True) as part:
            for piece in aas(description, told):
                part.write(piece.encode())
                yield collected.taken()
    yield collected.taken()


class _Collected:
    """A file that cannot go back, of which what was written is taken away."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def taken(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DATE = (2026, 1, 1, 0, 0, 0)
_ENVIRONMENT = "aasx/environment.aas.json"
_RELATIONS = (
    '<?xml version="1.0" encoding="utf-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Type="http://admin-shell.io/aasx/relationships/{}" Target="/{}" Id="{}"/>'
    "</Relationships>"
)
_PARTS = {
    "[Content_Types].xml": (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="json" ContentType="application/json"/>'
        '<Override PartName="/aasx/aasx-origin" ContentType="text/plain"/></Types>'
    ),
    "_rels/.rels": _RELATIONS.format("aasx-origin", "aasx/aasx-origin", "origin"),
    "aasx/aasx-origin": "Intentionally empty.",
    "aasx/_rels/aasx-origin.rels": _RELATIONS.format("aas-spec", _ENVIRONMENT, "environment"),
}


class _Writer:
    def __init__(self, description: Description, root: str, told: Told) -> None:
        self._description = description
        self._root = root
        self._told = told

    def submodels(self) -> Iterator[Iterable[str]]:
        yield whole(
            self._submodel("Nameplate", "https://admin-shell.io/zvei/nameplate/2/0/Nameplate", self._nameplate())
        )
        yield self._technical_data()
        yield self._time_series()
        yield self._interfaces()

    def _submodel(self, name: str, semantic: str, content: Sequence[object]) -> Schema:
        return {
            "modelType": "Submodel", "id": f"{self._root}:{name}", "idShort": name, "kind": "Instance",
            "semanticId": _semantic(semantic), "submodelElements": list(content),
        }  # fmt: skip

    def _nameplate(self) -> list[Schema]:
        contact = _collection("ContactInformation", f"{_ZVEI}ContactInformation", [
            _texts("Company", "0173-1#02-AAW001#001", _NAME),
        ])  # fmt: skip
        return [
            _property("URIOfTheProduct", "0173-1#02-AAY811#001", self._root),
            _texts("ManufacturerName", "0173-1#02-AAO677#002", _NAME),
            _texts("ManufacturerProductDesignation", "0173-1#02-AAW338#001", "Gateway from OPC UA to MQTT"),
            contact,
            _texts("ManufacturerProductFamily", "0173-1#02-AAU731#001", _NAME),
            _property("SerialNumber", "0173-1#02-AAM556#002", self._description.gateway),
            _property("YearOfConstruction", "0173-1#02-AAP906#001", "2026"),
            _texts("SoftwareVersion", "0173-1#02-AAM737#002", self._description.version),
        ]

    def _technical_data(self) -> Iterator[str]:
        general = _collection("GeneralInformation", f"{_TECHNICAL}GeneralInformation/1/1", [
            _property("ManufacturerName", "0173-1#02-AAO677#002", _NAME),
            _texts("ManufacturerProductDesignation", "0173-1#02-AAW338#001", "Gateway from OPC UA to MQTT"),
            _property("ManufacturerArticleNumber", "0173-1#02-AAO676#003", "gateway"),
            _property("ManufacturerOrderCode", "0173-1#02-AAO227#002", "gateway"),
        ])  # fmt: skip
        values = _collection("TechnicalProperties", f"{_TECHNICAL}TechnicalProperties/1/1", [MARK])
        submodel = self._submodel("TechnicalData", f"{_TECHNICAL}Submodel/1/2", [general, values])
        yield from _filled(submodel, values, self._machines())

    def _machines(self) -> Iterator[Iterable[str]]:
        names = Names(most=120)
        for path, points in self._description.groups:
            machine = _described(_collection(names.of("_".join(path)), "", [MARK]), "/".join(path))
            yield with_pieces(machine, [elements(_variables(points))])

    def _time_series(self) -> Iterator[str]:
        record = _collection("Record", f"{_SERIES}Record/1/1", [
            {**_property("Time", f"{_SERIES}UtcTime/1/1", ""), "valueType": "xs:dateTime"},
        ])  # fmt: skip
        record["value"][0].pop("value")  # type: ignore[index]  # a list
        metadata = _collection("Metadata", f"{_SERIES}Metadata/1/1", [
            _texts("Name", f"{_SERIES}Metadata/Name/1/1", self._description.gateway), record,
        ])  # fmt: skip
        segments = _collection("Segments", f"{_SERIES}Segments/1/1", [MARK])
        submodel = self._submodel("TimeSeries", f"{_SERIES}1/1", [metadata, segments])
        yield from _filled(submodel, segments, self._segments())

    def _segments(self) -> Iterator[Iterable[str]]:
        names, urls = Names(most=120), {broker.name: broker.url for broker in self._description.brokers}
        for topic in self._description.topics:
            for broker in topic.brokers:
                yield whole(_collection(names.of(topic.topic), f"{_SERIES}Segments/LinkedSegment/1/1", [
                    _texts("Name", f"{_SERIES}Segment/Name/1/1", topic.topic),
                    _property("Endpoint", f"{_SERIES}Endpoint/1/1", urls[broker]),
                    _property("Query", f"{_SERIES}Query/1/1", topic.topic),
                ]))  # fmt: skip

    def _interfaces(self) -> Iterator[str]:
        names = Names(most=100)
        interfaces = [(broker, f"InterfaceMQTT_{names.of(broker.name)}") for broker in self._description.brokers]
        content = [self._interface(broker, name) for broker, name in interfaces]
        submodel = self._submodel("AssetInterfacesDescription", f"{_AID}Submodel", content)
        yield from with_pieces(submodel, [elements(self._properties(broker)) for broker, _ in interfaces])

    def _interface(self, broker: BrokerConfig, name: str) -> Schema:
        scheme = "basic" if broker.username is not None else "auto" if broker.tls.certificate is not None else "nosec"
        own = f"{scheme}_sc"
        definition = _collection(
            own, f"{_TD}{scheme.capitalize()}SecurityScheme", [_property("scheme", f"{_TD}scheme", scheme)]
        )
        endpoint = _collection("EndpointMetadata", f"{_AID}EndpointMetadata", [
            _property("base", f"{_TD}baseURI", broker.url),
            _property("contentType", f"{_FORM}forContentType", "application/json"),
            _collection("securityDefinitions", f"{_TD}definesSecurityScheme", [definition]),
        ])  # fmt: skip
        properties = _collection("properties", f"{_TD}PropertyAffordance", [MARK])
        interface = _collection(name, f"{_AID}Interface", [
            _property("title", f"{_TD}title", f"{self._description.gateway} at {broker.name}"),
            endpoint, _collection("InteractionMetadata", f"{_AID}InteractionMetadata", [properties]),
        ])  # fmt: skip
        supplemental = [_semantic("http://www.w3.org/2011/mqtt"), _semantic("https://www.w3.org/2019/wot/td")]
        return {**interface, "supplementalSemanticIds": supplemental}

    def _properties(self, broker: BrokerConfig) -> Iterator[Iterable[str]]:
        names, count = Names(most=120), 0
        for topic in self._description.topics:
            if broker.name in topic.brokers and not topic.is_of_events:
                for point in topic.points:
                    count += 1
                    yield whole(_interaction(names.of("_".join(point.path)), topic, point))
        if not count:
            yield whole(_collection("nothing", "", [_property("title", f"{_TD}title", "no variables")]))


_ZVEI = "https://admin-shell.io/zvei/nameplate/1/0/ContactInformations/"


def _filled(submodel: Schema, holder: Schema, pieces: Iterator[Iterable[str]]) -> Iterator[str]:
    """The submodel with these elements in a collection; without any, the collection has no `value`."""
    first = next(pieces, None)
    if first is None:
        holder.pop("value")
        yield text_of(submodel)
        return

    def every() -> Iterator[Iterable[str]]:
        yield first
        yield from pieces

    yield from with_pieces(submodel, [elements(every())])


def _interaction(name: str, topic: Topic, point: Point) -> Schema:
    kind = _JSON_TYPES.get(point.built_in, "string") if point.is_scalar else "array"
    forms = _collection("forms", f"{_TD}hasForm", [
        _property("href", f"{_FORM}hasTarget", f"/{topic.topic}"),
        _property("contentType", f"{_FORM}forContentType", format_of(topic.payload).content_type),
        _property("mqv_retain", "https://www.w3.org/2019/wot/mqtt#hasRetainFlag", str(topic.is_retained).lower()),
        _property("mqv_controlPacket", "https://www.w3.org/2019/wot/mqtt#ControlPacket", "subscribe"),
        _property("mqv_qos", "https://www.w3.org/2019/wot/mqtt#hasQoSFlag", "1"),
    ])  # fmt: skip
    content: list[object] = [
        _property("key", f"{_AID}key", point.tag.name),
        _property("type", "https://www.w3.org/1999/02/22-rdf-syntax-ns#type", kind),
        _property("title", f"{_TD}title", "/".join(point.path)),
        _property("observable", f"{_TD}isObservable", "true"),
    ]
    if point.tag.unit:
        content.append(_property("unit", "https://schema.org/unitCode", point.tag.unit))
    return _collection(name, f"{_AID}PropertyDefinition", [*content, forms])


def _variables(points: Sequence[Point]) -> Iterator[Iterable[str]]:
    names = Names(most=120)
    for point in points:
        yield whole(_variable(names.of(point.tag.name), point))


def _variable(name: str, point: Point) -> Schema:
    """A range where there is one, else a property without a value; its unit is in the data specification."""
    facts, kind = point.facts, _XSD.get(point.built_in, "xs:string") if point.is_scalar else "xs:string"
    element: Schema = {"modelType": "Property", "idShort": name, "valueType": kind}
    if facts.low is not None and facts.high is not None and point.built_in in range(2, 12) and point.is_scalar:
        is_float = point.built_in in (10, 11)
        low, high = (repr(float(each)) if is_float else str(round(each)) for each in (facts.low, facts.high))
        whole_type = kind if is_float else "xs:integer"
        element = {"modelType": "Range", "idShort": name, "valueType": whole_type, "min": low, "max": high}
    unit = unit_of(facts.unit_code, point.tag.unit)
    content: Schema = {
        "modelType": "DataSpecificationIec61360",
        "preferredName": [{"language": "en", "text": _text(point.tag.name, 255)}],
        "definition": [{"language": "en", "text": _text(f"{type_name(point)}, node {point.tag.node_id}")}],
    }
    if point.tag.unit:
        content["unit"] = _text(point.tag.unit)
    if unit is not None:
        content["unitId"] = _semantic(f"urn:un:unece:uncefact:codelist:rec20:{quote(unit.code)}")
    specification = "https://admin-shell.io/DataSpecificationTemplates/DataSpecificationIec61360/3/0"
    element["embeddedDataSpecifications"] = [
        {"dataSpecification": _semantic(specification), "dataSpecificationContent": content}
    ]
    return _described(element, facts.description) if facts.description else element


def _described(element: Schema, text: str) -> Schema:
    return {**element, "description": [{"language": "en", "text": _text(text, _MOST_TEXT)}]}


def _collection(name: str, semantic: str, content: Sequence[object]) -> Schema:
    found: Schema = {"modelType": "SubmodelElementCollection", "idShort": name, "value": list(content)}
    return {**found, "semanticId": _semantic(semantic)} if semantic else found


def _property(name: str, semantic: str, value: str) -> Schema:
    return {
        "modelType": "Property", "idShort": name, "semanticId": _semantic(semantic), "valueType": "xs:string",
        "value": _text(value),
    }  # fmt: skip


def _texts(name: str, semantic: str, text: str) -> Schema:
    return {
        "modelType": "MultiLanguageProperty", "idShort": name, "semanticId": _semantic(semantic),
        "value": [{"language": "en", "text": _text(text)}],
    }  # fmt: skip


def _semantic(value: str) -> Schema:
    return {"type": "ExternalReference", "keys": [{"type": "GlobalReference", "value": value}]}


def _text(text: str, most: int = _MOST_TEXT) -> str:
    """A text of the metamodel: not empty, and with the characters of XML 1.0 only."""
    return _FORBIDDEN.sub("\ufffd", text)[:most] or "-"
