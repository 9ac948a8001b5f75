"""`gateway import`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import OutOption

FORMATS = {
    "opc-publisher": "published_nodes.json of OPC Publisher",
    "thingsboard": "opcua.json of ThingsBoard's gateway",
    "telegraf": "inputs.opcua, opcua_listener of Telegraf (TOML)",
    "benthos-umh": "input opcua of benthos-umh (YAML)",
    "node-red": "flows.json of Node-RED, with node-red-contrib-opcua",
    "csv": "a table of tags, as of `gateway browse --csv`",
}
"""Each with what it is; a test holds that these are all."""
FORMATS_TOLD = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())


def _formats(incomplete: str) -> list[tuple[str, str]]:
    return [(name, about) for name, about in FORMATS.items() if name.startswith(incomplete)]


def import_file(
    form: Annotated[
        str, typer.Argument(metavar="FORMAT", autocompletion=_formats, help=f"The form of the file.  {FORMATS_TOLD}.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of the other program.")],
    output: OutOption = None,
    name: Annotated[str, typer.Option(help="Name of the gateway.", show_default=True)] = "edge-1",
    broker: Annotated[str, typer.Option(metavar="URL", help="The MQTT broker.")] = "mqtt://127.0.0.1:1883",
    url: Annotated[str, typer.Option(metavar="URL", help="The server, for files without one.")] = "",
) -> None:
    """Write a commented configuration made of the file of another program.

    What has no meaning here is told on standard error and in comments, with its place. Passwords are not copied.
    Connects to nothing; `gateway plan` then asks the servers. Exit code 78 when the file cannot be read, or has
    nothing to read from a server.
    """

    from gateway.cli.importing import import_file as work

    work(form, file, output, name, broker, url)
