"""`gateway model`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import FileArgument, OutOption, examples

FORMATS = {
    "json-schema": "JSON Schema 2020-12 of the messages, by topic",
    "asyncapi": "AsyncAPI 3.0: brokers, topics, messages, commands, presence",
    "wot": "W3C WoT Thing Description 1.1: properties, events, actions",
    "dtdl": "DTDL v3: an interface for each machine",
    "samm": "SAMM 2.2 aspect model in Turtle, with units of its catalogue",
    "aas": "Asset Administration Shell 3.0 (JSON)",
    "aasx": "the same as an AASX package",
    "nodeset2": "OPC UA NodeSet of the selected variables and their types",
}
"""Each with what it is; a test holds that these are all."""
FORMATS_TOLD = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())


def _formats(incomplete: str) -> list[tuple[str, str]]:
    return [(name, about) for name, about in FORMATS.items() if name.startswith(incomplete)]


model = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Describe what the gateway sends and takes, as models that other systems import.",
    epilog=examples(
        "gateway model export asyncapi my-gateway.yaml -o plant.asyncapi.json",
        "gateway model read my-gateway.yaml -o plant.table",
        "gateway model export json-schema my-gateway.yaml --table plant.table",
    ),
)

TableOption = Annotated[
    Path | None,
    typer.Option(metavar="TABLE", help="A file of `gateway model read`, in place of the servers."),
]


@model.command("export")
def export(
    form: Annotated[
        str,
        typer.Argument(metavar="FORMAT", autocompletion=_formats, help=f"The form of the model.  {FORMATS_TOLD}."),
    ],
    file: FileArgument,
    table: TableOption = None,
    output: OutOption = None,
) -> None:
    """Write a model of what this configuration sends and takes.

    Connects to the servers and asks for types, units, ranges, access levels and descriptions; subscribes to nothing.
    What the format cannot say is told on standard error, once for each kind. Exit code 1 when a server does not tell
    all of its address space, or a selection has no variables.
    """

    from gateway.cli.model import export as work

    work(form, file, table, output)


@model.command("read")
def read_servers(file: FileArgument, output: OutOption = None) -> None:
    """Save what the servers say of the variables, so that models can be made without them (`--table`).

    Exit code 1 when a server does not tell all of its address space, or a selection has no variables.
    """

    from gateway.cli.model import read_servers as work

    work(file, output)
