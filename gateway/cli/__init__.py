"""The `gateway` command: one file per group of commands."""

import typer

from gateway.cli.audit import audit
from gateway.cli.browse import browse, plan
from gateway.cli.cert import cert
from gateway.cli.command import command as ask
from gateway.cli.common import examples, write_all_of_it
from gateway.cli.demo import demo
from gateway.cli.emulate import emulate
from gateway.cli.importing import import_file
from gateway.cli.model import model
from gateway.cli.outbox import outbox
from gateway.cli.profile import profile
from gateway.cli.running import run, schema, show_version, validate
from gateway.cli.watch import watch

EXIT_CODES = """`gateway COMMAND --help` has examples.  `gateway --install-completion` adds completion to your shell.
README.md explains the first steps, docker/prometheus/RUNBOOK.md every alert.

Exit codes:

- 0: done
- 1: the command found something wrong (a variable that fails, a message that is missing, a refused command)
- 2: wrong arguments
- 3: the outcome of a command to a machine is unknown
- 69: a server or broker is not reachable, or refuses
- 74: a file cannot be written
- 75: another process uses the outbox at present
- 78: the configuration has mistakes
- 130: Ctrl-C
"""

cli = typer.Typer(
    name="gateway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Carry every value from OPC UA servers to MQTT brokers, and lose none in silence.",
    epilog=EXIT_CODES,
)
for command, lines in (
    (demo, ("gateway demo", "gateway demo --outage 20", "gateway demo --speed 10 --duration 60 --json")),
    (run, ("gateway run config/gateway.yaml", "gateway run my-gateway.yaml --log-format json")),
    (validate, ("gateway validate my-gateway.yaml", "gateway validate hall-1.yaml hall-2.yaml --no-files")),
    (plan, ("gateway plan my-gateway.yaml", "gateway plan my-gateway.yaml --all")),
    (
        browse,
        (
            "gateway browse opc.tcp://192.0.2.10:4840 --insecure --depth 2",
            "gateway browse opc.tcp://192.0.2.10:4840 --match '**/Temperature*'",
            "gateway browse opc.tcp://192.0.2.10:4840 --root 'nsu=urn:acme:press;s=Press1' --yaml > select.yaml",
            "PASSWORD=… gateway browse opc.tcp://192.0.2.10:4840 --username eve --password-env PASSWORD",
        ),
    ),
    (watch, ("gateway watch mqtt://127.0.0.1:1883", "gateway watch mqtts://broker.example 'factory/#' --lines")),
    (
        ask,
        (
            "gateway command edge-1 press-shop read press-1/SpeedFactor",
            "gateway command edge-1 press-shop write press-1/SpeedFactor 1.1 --dry-run",
            "gateway command edge-1 press-shop call press-1/SetSpeed Factor=1.1",
            "gateway command edge-1 press-shop browse line-1 --levels 2",
            "gateway command edge-1 press-shop history press-1/Temperature --start 2026-11-30T06:00:00Z \\\n"
            "  --end 2026-11-30T07:00:00Z --aggregate Average --interval 60",
            "gateway command edge-1 press-shop ack press-1/Hot AAAB1w== --comment 'seen by Ann'",
            "gateway command edge-1 _gateway diagnostics",
            "MQTT_PASSWORD=… gateway command edge-1 press-shop read press-1/SpeedFactor \\\n"
            "  --broker mqtts://broker.example --username mes",
        ),
    ),
    (emulate, ("gateway emulate aws-iot-core", "DEVICE_KEY=… gateway emulate azure-iot-hub --device press-shop")),
    (schema, ("gateway schema config > gateway.schema.json", "gateway schema json", "gateway schema command")),
):
    cli.command(name="command" if command is ask else None, epilog=examples(*lines))(command)
cli.command("version")(show_version)
cli.add_typer(cert, name="cert")
cli.command(
    "import",
    epilog=examples(
        "gateway import opc-publisher published_nodes.json -o my-gateway.yaml",
        "gateway browse opc.tcp://192.0.2.10:4840 --csv > tags.csv",
        "gateway import csv tags.csv --url opc.tcp://192.0.2.10:4840 -o my-gateway.yaml",
    ),
)(import_file)
cli.add_typer(model, name="model")
cli.add_typer(outbox, name="outbox")
cli.add_typer(profile, name="profile")
cli.add_typer(audit, name="audit")


def main() -> None:
    """Entry point of the `gateway` command."""
    write_all_of_it()
    cli()
