"""The list of all formats that can be imported: the only place that knows them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.importing import benthos, csv_tags, node_red, opc_publisher, telegraf, thingsboard
from gateway.importing.imported import Imported


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """One format of another program."""

    about: str
    """What it is, for `--help` and the reference."""
    read: Callable[[Path, str], Imported]
    """Reads a file, given the address of the server for those that have none.  Raises `ConfigError`."""


IMPORT_FORMATS: Mapping[str, ImportFormat] = {
    "opc-publisher": ImportFormat("published_nodes.json of OPC Publisher", lambda path, url: opc_publisher.read(path)),
    "thingsboard": ImportFormat("opcua.json of ThingsBoard's gateway", lambda path, url: thingsboard.read(path)),
    "telegraf": ImportFormat("inputs.opcua, opcua_listener of Telegraf (TOML)", lambda path, url: telegraf.read(path)),
    "benthos-umh": ImportFormat("input opcua of benthos-umh (YAML)", lambda path, url: benthos.read(path)),
    "node-red": ImportFormat(
        "flows.json of Node-RED, with node-red-contrib-opcua", lambda path, url: node_red.read(path)
    ),
    "csv": ImportFormat("a table of tags, as of `gateway browse --csv`", csv_tags.read),
}
