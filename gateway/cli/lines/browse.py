"""`gateway browse` and `gateway plan`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import FileArgument

MAX_LEVELS = 100
"""That of `gateway.opcua.space.browse`, by a test."""


def browse(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as opc.tcp://127.0.0.1:4840.")],
    root: Annotated[
        str, typer.Option(help="Start node: a node id, a path from the root (/Objects/…), or one as printed here.")
    ] = "i=85",
    match: Annotated[
        list[str] | None, typer.Option(help="Show only these paths: * within a level, ** across levels. Repeatable.")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="How many levels to browse.")] = MAX_LEVELS,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Largest number of variables; 0: all. Default on a terminal: 1000.")
    ] = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print a `select` section for a configuration file.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a table for a spreadsheet, which `gateway import csv` reads.")
    ] = False,
    values: Annotated[bool, typer.Option(help="Also read types and values.")] = True,
    insecure: Annotated[bool, typer.Option(help="Use SecurityPolicy None: no encryption, no authentication.")] = False,
    pki: Annotated[Path, typer.Option(envvar="GATEWAY_PKI", help="Folder of certificates.")] = Path("var/pki"),
    username: Annotated[str | None, typer.Option(help="Log in with this name.")] = None,
    password_env: Annotated[str | None, typer.Option(help="Environment variable that holds the password.")] = None,
) -> None:
    """Show the variables of a server: path, type, value and unit.

    Also the node id, what may be done with each (r, w, h: its history), and the types of the objects above them.

    The channel is secured, unless `--insecure` is given. A server that is not trusted yet is rejected; `gateway cert
    trust` accepts it. Exit code 1 when the server does not
    tell all of its address space, 69 when it is not reachable, 130 after Ctrl-C.
    """

    from gateway.cli.browse import browse as work

    work(url, root, match, depth, limit, as_yaml, as_csv, values, insecure, pki, username, password_env)


def plan(
    file: FileArgument,
    every: Annotated[bool, typer.Option("--all", help="Print a line for every variable, also for equal ones.")] = False,
    look_at_brokers: Annotated[
        bool, typer.Option("--brokers/--no-brokers", help="Also log in at the brokers, and show what they allow.")
    ] = True,
    publish: Annotated[
        bool, typer.Option("--publish", help="Also publish a message without values at each broker.")
    ] = False,
) -> None:
    """Connect to the servers of a configuration and show what the gateway would subscribe to.

    Shows the matching variables, the requested and the revised intervals and queue sizes, failures with their reasons,
    topics, values and the expected load; what the brokers allow, and how long an outage the disk bridges; and which
    commands the rules allow, with the types, ranges and access rights of the server. Delivers no values. Exit code 1
    when something fails at a server, 69 when a server is not reachable, 130 after Ctrl-C.
    """

    from gateway.cli.browse import plan as work

    work(file, every, look_at_brokers, publish)
