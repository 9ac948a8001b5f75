"""The `gateway` command: one file per group of commands."""

import typer

from gateway.cli.cert import cert
from gateway.cli.common import write_all_of_it
from gateway.cli.demo import demo
from gateway.cli.look import browse, plan
from gateway.cli.outbox import outbox
from gateway.cli.running import run, schema, show_version, validate
from gateway.cli.watch import watch

cli = typer.Typer(
    name="gateway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Carry every value from OPC UA servers to MQTT brokers, and lose none in silence.",
)
for command in (demo, run, validate, plan, browse, watch, schema):
    cli.command()(command)
cli.command("version")(show_version)
cli.add_typer(cert, name="cert")
cli.add_typer(outbox, name="outbox")


def main() -> None:
    """Entry point of the `gateway` command."""
    write_all_of_it()
    cli()
