"""`config/reference.md`: every key of the configuration, from its declarations.

    python -m release.reference > config/reference.md

Examples are values of the files in `config/`; where none has a key, its default shows the form.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from gateway.config import Config
from gateway.shipped import examples

Json = dict[str, Any]
HEAD = """# Every key of the configuration

Written by `python -m release.reference` from the declarations in `gateway/config`; `gateway schema config` has the same
for editors, and `gateway validate` says what is wrong in a file. `a[].b` is the key `b` of each item of the list `a`.
Durations are seconds or texts such as `250ms`, `5min`; sizes are bytes or texts such as `1GiB`.
"""


def text() -> str:
    """The whole file."""
    schema = Config.model_json_schema()
    known = dict(_known())
    parts = [HEAD]
    for title, about, rows in _sections(schema):
        parts.append(f"\n## {title}\n\n{_one_line(about)}\n\n| key | type | default | meaning | example |")
        parts.append("| --- | --- | --- | --- | --- |")
        parts += [_row(path, spec, required, schema, known) for path, spec, required in rows]
    return "\n".join(parts) + "\n"


def _sections(schema: Json) -> Iterator[tuple[str, str, list[tuple[str, Json, bool]]]]:
    """Each model once, where it is met first, with its keys."""
    waiting, met = [("", schema)], set[str]()
    while waiting:
        path, model = waiting.pop(0)
        rows = []
        for key, spec in model["properties"].items():
            at = f"{path}.{key}" if path else key
            rows.append((at, spec, key in model.get("required", ())))
            for name, suffix in _models_in(spec, schema):
                if name not in met:
                    met.add(name)
                    waiting.append((at + suffix, schema["$defs"][name]))
        yield path or "the file", model.get("description", ""), rows


def _models_in(spec: Json, schema: Json) -> Iterator[tuple[str, str]]:
    """The models that a value may be, and what follows the key: `[]` in a list."""
    for each in (spec, *spec.get("anyOf", ()), *spec.get("allOf", ()), *spec.get("oneOf", ())):
        if "$ref" in each and "properties" in schema["$defs"][name := each["$ref"].rsplit("/", 1)[1]]:
            yield name, ""
        if isinstance(items := each.get("items"), dict):
            yield from ((name, f"[]{suffix}") for name, suffix in _models_in(items, schema))
        if each is not spec:
            yield from (pair for pair in _models_in(each, schema) if "$ref" not in each)


def _row(path: str, spec: Json, required: bool, schema: Json, known: Mapping[str, object]) -> str:
    default = "required" if required else _value(spec.get("default")) if "default" in spec else ""
    shown = _value(known[path]) if path in known else ""
    cells = (f"`{path}`", _type(spec, schema), default, _one_line(spec.get("description", "")), shown)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(spec: Json, schema: Json) -> str:
    if "$ref" in spec:
        name = spec["$ref"].rsplit("/", 1)[1]
        model = schema["$defs"][name]
        return f"keys of {name}" if "properties" in model else _type(model, schema)
    if "enum" in spec:
        return " or ".join(f"`{each}`" for each in spec["enum"])
    if "const" in spec:
        return f"`{spec['const']}`"
    if options := spec.get("anyOf") or spec.get("oneOf") or spec.get("allOf"):
        return " or ".join(dict.fromkeys(_type(each, schema) for each in options if each.get("type") != "null"))
    if spec.get("type") == "array":
        return f"list of {_type(spec.get('items', {}), schema)}"
    if spec.get("type") == "object":
        return "map"
    least, most = spec.get("minimum", spec.get("exclusiveMinimum")), spec.get("maximum")
    bounds = "" if least is None and most is None else f" ({'' if least is None else f'{least:g}'} …{_most(most)})"
    kind = str(spec.get("type", "any"))
    return {"boolean": "true or false", "string": "text"}.get(kind, kind) + bounds


def _most(most: float | None) -> str:
    return "" if most is None else f" {most:g}"


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping) and value:
        return ""
    shown = json.dumps(value, ensure_ascii=False)
    return f"`{shown if len(shown) <= 60 else f'{shown[:59]}…'}`"


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _known() -> Iterator[tuple[str, object]]:
    """The values in the examples, by key; of the first file that has it."""
    seen = set[str]()
    for path in examples().values():
        for key, value in _leaves("", yaml.safe_load(path.read_text(encoding="utf-8"))):
            if key not in seen:
                seen.add(key)
                yield key, value


def _leaves(path: str, tree: object) -> Iterator[tuple[str, object]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            at = f"{path}.{key}" if path else str(key)
            yield at, value
            yield from _leaves(at, value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _leaves(f"{path}[]", value)


if __name__ == "__main__":
    sys.stdout.write(text())
