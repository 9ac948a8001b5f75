"""A table of tags as CSV, for spreadsheets: what `gateway browse --csv` writes, and `gateway import csv` reads.

| column | |
| --- | --- |
| `node` | node id or path; required |
| `name` | for consumers |
| `source`, `url` | for tables of several servers; otherwise `--url` |
| `publishing_interval`, `sampling_interval`, `heartbeat` | seconds, or `250ms` |
| `queue_size`, `discard`, `trigger`, `deadband`, `deadband_percent`, `priority`, `metric` | as in `select` |
| `field.NAME` | a field for topics |
| `type`, `unit`, `value`, `description` | for people; not read |

Separators may be commas, semicolons or tabs.  A cell that a spreadsheet would take for a formula has `'` before it.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.importing.connections import Connections
from gateway.importing.files import text_of
from gateway.importing.imported import Imported, Tree, add_selection, field_name, node_text

COLUMNS = (
    "node", "name", "type", "unit", "publishing_interval", "sampling_interval", "queue_size", "discard", "trigger",
    "deadband", "deadband_percent", "priority", "heartbeat", "metric",
)  # fmt: skip
_WHOLE, _NUMBERS, _FLAGS = ("queue_size",), ("deadband", "deadband_percent"), ("metric",)
_FOR_PEOPLE = ("type", "unit", "value", "description", "status", "source", "url")
_SETTINGS = tuple(name for name in COLUMNS if name not in ("node", "name", *_FOR_PEOPLE))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
MOST_CELL = 100_000


def lines(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """The table, line by line, for the rows of a browse: `node`, `name`, `type`, `unit`."""
    yield ",".join(COLUMNS) + "\r\n"
    for row in rows:
        cells = io.StringIO()
        csv.writer(cells).writerow([_guarded(row.get(name, "")) for name in COLUMNS])
        yield cells.getvalue()


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) or text.startswith("'") else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and (text[1:].startswith(_FORMULA) or text[1:].startswith("'")) else text


def read(path: Path, url: str = "") -> Imported:
    """Read a table.  `url`: of the server, where no column has it.  Raises `ConfigError`."""
    text = text_of(path)
    head = text.partition("\n")[0]
    separator = max(";\t,", key=head.count)
    found = Imported("a table of tags")
    connections = Connections(found.notes)
    csv.field_size_limit(MOST_CELL)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names = {(name or "").strip().casefold(): name for name in rows.fieldnames or ()}
    if "node" not in names:
        raise ConfigError([f"{path}:1: has no column `node`: it has {', '.join(filter(None, names)) or 'none'}"])
    for name in names:
        if name and name not in COLUMNS and name not in _FOR_PEOPLE and not name.startswith("field."):
            found.notes.add(f"{path}:1", f"the column {name} is not known here, and not read")
    try:
        for row in rows:
            cells = {name: _unguarded((row.get(own) or "").strip()) for name, own in names.items() if name}
            _row(cells, f"{path}:{rows.line_num}", url, connections, found)
    except csv.Error as error:
        raise ConfigError([f"{path}:{rows.line_num}: is no CSV: {error}"]) from error
    found.sources = connections.sources
    fields = dict.fromkeys(key for s in found.sources for each, _ in s.select for key in _fields_of(each))
    found.payload = {"format": "json", "topic": "/".join(["tags", "{source}", *(f"{{{name}}}" for name in fields)])}
    _fill(found, fields)
    return found


def _fields_of(selection: Tree) -> Mapping[str, object]:
    fields = selection.get("fields")
    return fields if isinstance(fields, dict) else {}


def _fill(found: Imported, fields: Iterable[str]) -> None:
    """A topic needs all of its fields: those that a row leaves empty are `-`."""
    for source in found.sources:
        for selection, _ in source.select:
            if fields:
                selection["fields"] = {name: _fields_of(selection).get(name, "-") for name in fields}


def _row(cells: Mapping[str, str], where: str, url: str, connections: Connections, found: Imported) -> None:
    if not any(cells.values()):
        return
    address = cells.get("url") or url
    if not address:
        raise ConfigError([f"{where}: the server is not named: add a column `url`, or --url opc.tcp://host:port"])
    source = connections.of({"url": address, "security": {}}, where, cells.get("source", ""))
    selection: Tree = {"node": node_text(cells["node"])}
    if cells.get("name"):
        selection["name"] = cells["name"]
    for name in _SETTINGS:
        if text := cells.get(name, ""):
            selection[name] = _value(name, text, f"{where}: {name}")
    fields = {
        field_name(name.removeprefix("field.")): text
        for name, text in cells.items()
        if name.startswith("field.") and text
    }
    add_selection(source, {**selection, **({"fields": fields} if fields else {})}, where, found.notes)


def _value(name: str, text: str, where: str) -> object:
    if name in _FLAGS:
        if text.casefold() not in ("true", "false", "yes", "no", "1", "0", "x"):
            raise ConfigError([f"{where}: {text!r}: write true or false"])
        return text.casefold() in ("true", "yes", "1", "x")
    if name in ("discard", "trigger", "priority"):
        return text
    try:
        return int(text) if name in _WHOLE else float(text.replace(",", "."))
    except ValueError:
        if name in _NUMBERS or name in _WHOLE:
            raise ConfigError([f"{where}: {text!r} is no number"]) from None
        return text
