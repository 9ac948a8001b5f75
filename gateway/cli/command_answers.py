"""Answers of `gateway command` for people."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

Row = tuple[str, ...]


def lines(answer: Mapping[str, object]) -> Iterator[str]:
    """The answer: one line for the whole, a row for each of its parts, and what was found below them."""
    detail = f": {answer['detail']}" if answer.get("detail") else ""
    reason = f" ({answer['reason']})" if answer.get("reason") else ""
    dry = ", dry run" if answer.get("dry_run") else ""
    yield f"{answer.get('outcome')}{reason}{dry}{detail}"
    results = answer.get("results")
    every = [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    yield from _table([_row(result) for result in every])
    for result in every:
        yield from _below(result)


def _table(rows: Sequence[Row], indent: str = "  ") -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        yield indent + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _below(result: Mapping[str, object]) -> Iterator[str]:
    """Nodes, and the state of a gateway."""
    nodes = result.get("nodes")
    if isinstance(nodes, list):
        yield from _table(
            [tuple(str(node.get(key, "")) for key in ("path", "class", "node")) for node in nodes], "    "
        )
    values = result.get("values")
    if isinstance(values, list):
        yield from _table([(str(each["time"]), _text(each["value"]), _status(each)) for each in values], "    ")
    if isinstance(result.get("value"), dict) and result.get("tag") == "_gateway":
        yield from _tree(result["value"], "    ")
    if result.get("next"):
        yield f"    … more: --after {result['next']!r}"


def _status(each: Mapping[str, object]) -> str:
    return f"status 0x{int(str(each['status'])):08X}" if each.get("status") else ""


def _tree(value: object, indent: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if isinstance(inner, dict) and any(isinstance(each, dict) for each in inner.values()):
            yield f"{indent}{key}"
            yield from _tree(inner, f"{indent}  ")
        elif isinstance(inner, dict):
            yield f"{indent}{key}: {', '.join(f'{name} {_text(each)}' for name, each in inner.items())}"
        else:
            yield f"{indent}{key}: {_text(inner)}"


def _row(result: Mapping[str, object]) -> Row:
    told = " ".join(str(result[key]) for key in ("reason", "detail") if result.get(key))
    if "status" in result:
        told = f"status 0x{int(str(result['status'])):08X} {told}".rstrip()
    return str(result.get("tag")), str(result.get("outcome")), _shown(result), told


def _shown(result: Mapping[str, object]) -> str:
    if "before" in result:
        now = f", now {_text(result['value'])}" if "value" in result else ""
        check = {True: ", verified", False: ", not verified"}.get(result.get("verified"), "")  # type: ignore[call-overload]
        return f"{_text(result['before'])} to {_text(result.get('wanted'))}{now}{check}"
    if outputs := result.get("outputs"):
        return _text(outputs)
    return _text(result["value"]) if "value" in result and result.get("tag") != "_gateway" else ""


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
