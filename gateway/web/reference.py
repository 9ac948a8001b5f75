"""The API for people: `docs/api.md`, written from the OpenAPI document (`make generated`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.web.openapi import openapi

Schema = Mapping[str, Any]
HEAD = """# The API of the live page

Generated from the OpenAPI document, which a running gateway serves at `/api/v1/openapi.json` and `gateway schema api`
prints.  Who may look says `http.page`; who acts sends `http.token`:

    curl http://127.0.0.1:9464/api/v1/state
    curl -N http://127.0.0.1:9464/api/v1/stream
    curl -X POST -H "Authorization: Bearer $TOKEN" http://127.0.0.1:9464/api/v1/reload

An answer that is not 200 is a `Problem`: 400 for a parameter that makes no sense, 401 for a missing or wrong token, 403
where the gateway has none, 404 for what does not exist, 409 for what cannot be done, 421 for a foreign host name, 503
for what cannot be done now.  Every act has two lines in the audit (`gateway audit show`).
"""


def reference(document: Schema) -> str:
    """The page for an OpenAPI document of ours."""
    return "\n".join([HEAD, "## Endpoints", "", *_endpoints(document), "## Answers", "", *_answers(document)])


def _endpoints(document: Schema) -> Iterator[str]:
    yield "| request | answer | what |"
    yield "| --- | --- | --- |"
    parameters = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation["responses"]["200"]["content"]
            answer = next(iter(content.values()))["schema"]
            told = _link(answer["$ref"]) if "$ref" in answer else "events"
            token = " Needs the token." if operation["security"] == [{"token": []}] else ""
            yield f"| `{method.upper()} {path}` | {told} | {operation['summary']}{token} |"
            parameters += [(path, each) for each in operation["parameters"] if each["in"] == "query"]
    yield ""
    for path, each in parameters:
        schema = each["schema"]
        values = ", ".join(f"`{value}`" for value in schema.get("enum", ()) if value)
        bounds = f"1 to {schema['maximum']}" if "maximum" in schema else values
        most = f" ({bounds})" if bounds else ""
        yield f"- `{path}?{each['name']}=`: {each['description']}{most}"
    yield ""


def _answers(document: Schema) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        yield f"### {name}"
        yield ""
        yield _line(schema.get("description", ""))
        yield ""
        yield "| field | type | what |"
        yield "| --- | --- | --- |"
        for field, said in schema["properties"].items():
            yield f"| `{field}` | {_type(said)} | {_line(said.get('description', ''))} |"
        yield ""


def _type(said: Schema) -> str:
    if "$ref" in said:
        return _link(said["$ref"])
    if "anyOf" in said:
        return " or ".join(_type(each) for each in said["anyOf"])
    if "enum" in said:
        return ", ".join(f"`{value}`" for value in said["enum"])
    if said["type"] == "array":
        return f"list of {_type(said['items'])}"
    if said["type"] == "object":
        return f"{_type(said['additionalProperties'])} by name"
    return str(said["type"])


def _link(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{name}](#{name.lower()})"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(openapi("")), end="")
