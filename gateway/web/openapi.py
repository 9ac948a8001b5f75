"""The endpoints of the API as a table, and the OpenAPI 3.1 document that follows from it."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic.json_schema import models_json_schema

from gateway.web.models import Done, Gaps, History, Problem, State, Tags, Tapped, Told

BASE = "/api/v1"
MOST_TAGS = 200
"""The largest number of tags in one answer."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an endpoint."""

    name: str
    where: Literal["path", "query"]
    says: str
    schema: dict[str, object] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint below `BASE`."""

    id: str
    method: Literal["get", "post"]
    path: str
    says: str
    answer: type[Told]
    parameters: tuple[Parameter, ...] = ()
    is_stream: bool = False

    @property
    def acts(self) -> bool:
        """Whether it changes something, so that it needs the token in any case."""
        return self.method == "post"


_THUMBPRINT = Parameter("thumbprint", "path", "SHA-1 of the certificate, in hexadecimal.")

ENDPOINTS = (
    Endpoint("state", "get", "/state", "Everything at a glance.", State),
    Endpoint(
        "stream",
        "get",
        "/stream",
        "Server-sent events named `state`, each with a `State` as its data: once a second, less often when a state is "
        "longer than 64 KiB.  All viewers get the same bytes.",
        State,
        is_stream=True,
    ),
    Endpoint("history", "get", "/history", "Ten minutes of delivered values and of values on the disk.", History),
    Endpoint("gaps", "get", "/gaps", "What was not delivered in the last 24 hours, newest first.", Gaps),
    Endpoint(
        "tags",
        "get",
        "/tags",
        "Search for tags.  Tags without a known value are read from the server once.",
        Tags,
        (
            Parameter("search", "query", "Words; each must be in source, name, node or topic."),
            Parameter(
                "severity",
                "query",
                "Only tags of this severity.",
                {"type": "string", "enum": ["", "good", "uncertain", "bad", "unknown"]},
            ),
            Parameter(
                "limit",
                "query",
                "The largest number of tags in the answer.",
                {"type": "integer", "minimum": 1, "maximum": MOST_TAGS, "default": 50},
            ),
        ),
    ),
    Endpoint(
        "tap",
        "get",
        "/tap",
        "Server-sent events named `tapped`, each with a `Tapped` as its data: what passes inside from now on, at least "
        "one event a second.  At most 8 at a time.",
        Tapped,
        (
            Parameter(
                "stage",
                "query",
                "Only after this stage.",
                {"type": "string", "enum": ["", "decode", "shape", "encode"]},
            ),
            Parameter("source", "query", "Only of this source."),
            Parameter("tag", "query", "Only tags of such a name, `source/name` or node, and messages on their topics."),
            Parameter("stream", "query", "Only messages of such streams."),
        ),
        is_stream=True,
    ),
    Endpoint("trust", "post", "/certificates/{thumbprint}/trust", "Trust a waiting certificate.", Done, (_THUMBPRINT,)),
    Endpoint(
        "reject", "post", "/certificates/{thumbprint}/reject", "Refuse a waiting certificate.", Done, (_THUMBPRINT,)
    ),
    Endpoint(
        "release",
        "post",
        "/brokers/{broker}/release",
        "Offer the refused messages of a broker again now.",
        Done,
        (Parameter("broker", "path", "Name of the broker."),),
    ),
    Endpoint("reload", "post", "/reload", "Take the configuration file anew.", Done),
)


def openapi(version: str) -> dict[str, object]:
    """The OpenAPI document of the API, for this version of the gateway."""
    answers = {endpoint.answer: None for endpoint in ENDPOINTS}
    models = [(model, "serialization") for model in (*answers, Problem)]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    paths: dict[str, dict[str, object]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(f"{BASE}{endpoint.path}", {})[endpoint.method] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Connected Factory gateway",
            "version": version,
            "description": "What the live page shows, and what may be done there.  The figures are those of /metrics.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`http.token`"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, object]:
    answer: dict[str, object] = {"schema": {"$ref": f"#/components/schemas/{endpoint.answer.__name__}"}}
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    content = stream if endpoint.is_stream else {"application/json": answer}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "operationId": endpoint.id,
        "summary": endpoint.says,
        "parameters": [
            {
                "name": each.name, "in": each.where, "required": each.where == "path", "description": each.says,
                "schema": each.schema,
            }
            for each in endpoint.parameters
        ],
        "security": [{"token": []}] if endpoint.acts else [{}, {"token": []}],
        "responses": {
            "200": {"description": "Done." if endpoint.acts else endpoint.says, "content": content},
            "4XX": {"description": "Why not.", "content": problem},
            "5XX": {"description": "Why not now.", "content": problem},
        },
    }  # fmt: skip
