"""The `gateway` command: one file per group of commands."""

from typing import ClassVar

import typer

from gateway.cli.late import MARKUP, Late, LateGroup
from gateway.cli.words import examples, write_all_of_it

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


COMMANDS = (
    Late(
        "demo",
        "gateway.cli.lines.demo:demo",
        "Run a connected factory on this machine: simulated machines, OPC UA, the gateway, an MQTT broker, metrics.",
        examples("gateway demo", "gateway demo --outage 20", "gateway demo --speed 10 --duration 60 --json"),
    ),
    Late(
        "init",
        "gateway.cli.lines.init:init",
        "Write a configuration to begin with.",
        examples(
            "gateway init opc.tcp://192.0.2.10:4840",
            "gateway init opc.tcp://192.0.2.10:4840 --trust 834d7314 --all --broker mqtt://127.0.0.1:1883",
            "gateway init --list",
            "gateway init --example uns -o my-gateway.yaml",
        ),
    ),
    Late(
        "run",
        "gateway.cli.lines.running:run",
        "Run the gateway until SIGTERM or Ctrl-C.",
        examples("gateway run config/gateway.yaml", "gateway run my-gateway.yaml --log-format json"),
    ),
    Late(
        "validate",
        "gateway.cli.lines.running:validate",
        "Check configuration files without connecting to anything.",
        examples("gateway validate my-gateway.yaml", "gateway validate hall-1.yaml hall-2.yaml --no-files"),
    ),
    Late(
        "plan",
        "gateway.cli.lines.browse:plan",
        "Connect to the servers of a configuration and show what the gateway would subscribe to.",
        examples("gateway plan my-gateway.yaml", "gateway plan my-gateway.yaml --all"),
    ),
    Late(
        "doctor",
        "gateway.cli.lines.doctor:doctor",
        "Look at everything that a configuration needs, and say what is wrong, and what helps.",
        examples("gateway doctor my-gateway.yaml", "gateway doctor my-gateway.yaml --json"),
    ),
    Late(
        "browse",
        "gateway.cli.lines.browse:browse",
        "Show the variables of a server: path, type, value and unit.",
        examples(
            "gateway browse opc.tcp://192.0.2.10:4840 --insecure --depth 2",
            "gateway browse opc.tcp://192.0.2.10:4840 --match '**/Temperature*'",
            "gateway browse opc.tcp://192.0.2.10:4840 --root 'nsu=urn:acme:press;s=Press1' --yaml > select.yaml",
            "PASSWORD=… gateway browse opc.tcp://192.0.2.10:4840 --username eve --password-env PASSWORD",
        ),
    ),
    Late(
        "watch",
        "gateway.cli.lines.watch:watch",
        "Subscribe to a broker, show messages in any of the gateway's formats, and check that none is missing.",
        examples("gateway watch mqtt://127.0.0.1:1883", "gateway watch mqtts://broker.example 'factory/#' --lines"),
    ),
    Late(
        "top",
        "gateway.cli.lines.top:top",
        "Show a running gateway in this terminal: verdict, servers, brokers, the disk, the last events.",
        examples("gateway top", "gateway top http://127.0.0.1:9465 --once"),
    ),
    Late(
        "tags",
        "gateway.cli.lines.tags:tags",
        "Find tags of a running gateway: value, status and why, both times, topic and route, what a rule holds back.",
        examples("gateway tags press-1 temperature", "gateway tags --severity bad"),
    ),
    Late(
        "losses",
        "gateway.cli.lines.losses:losses",
        "Show what a running gateway could not deliver: gaps at servers, and what the outbox or a broker gave up.",
        examples("gateway losses --since 12h"),
    ),
    Late(
        "password",
        "gateway.cli.lines.password:password",
        "Give a broker another password: log in with it, then keep it in the file that the configuration names.",
        examples("gateway password my-gateway.yaml", "gateway password my-gateway.yaml cloud --new-file new"),
    ),
    Late(
        "tap",
        "gateway.cli.lines.tap:tap",
        "Show what passes inside a running gateway: values as decoded and as shaped, messages as stored.",
        examples("gateway tap", "gateway tap --tag '**/Temperature*' --stage shape", "gateway tap --count 10 --json"),
    ),
    Late(
        "fleet",
        "gateway.cli.lines.fleet:fleet",
        "Show all gateways that tell their presence at a broker: the worst first, and what is wrong with each.",
        examples(
            "gateway fleet mqtts://hq.example --expect 122",
            "MQTT_PASSWORD=… gateway fleet mqtts://hq.example --username fleet --follow",
            "gateway fleet mqtts://hq.example --page :8080",
        ),
    ),
    Late(
        "command",
        "gateway.cli.lines.command:command",
        "Send a command to a machine, or to the gateway itself, by the broker.",
        examples(
            "gateway command edge-1 press-shop read press-1/SpeedFactor",
            "gateway command edge-1 press-shop write press-1/SpeedFactor 1.1 --dry-run",
            "gateway command edge-1 press-shop call press-1/SetSpeed Factor=1.1",
            "gateway command edge-1 press-shop browse line-1 --levels 2",
            "gateway command edge-1 press-shop history press-1/Temperature --start 2026-11-30T06:00:00Z \\",
            "  --end 2026-11-30T07:00:00Z --aggregate Average --interval 60",
            "gateway command edge-1 press-shop ack press-1/Hot AAAB1w== --comment 'seen by Ann'",
            "gateway command edge-1 _gateway diagnostics",
            "MQTT_PASSWORD=… gateway command edge-1 press-shop read press-1/SpeedFactor \\",
            "  --broker mqtts://broker.example --username mes",
        ),
    ),
    Late(
        "emulate",
        "gateway.cli.lines.emulate:emulate",
        "Be a cloud, on this machine: a broker that takes, throws away, delays and refuses as that cloud does.",
        examples("gateway emulate aws-iot-core", "DEVICE_KEY=… gateway emulate azure-iot-hub --device press-shop"),
    ),
    Late(
        "schema",
        "gateway.cli.lines.running:schema",
        "Print a JSON Schema: of the configuration (for editors), or of the messages of a format.",
        examples("gateway schema config > gateway.schema.json", "gateway schema json", "gateway schema command"),
    ),
    Late("version", "gateway.cli.version:show_version", "Print the version."),
    Late(
        "import",
        "gateway.cli.lines.importing:import_file",
        "Write a commented configuration made of the file of another program.",
        examples(
            "gateway import opc-publisher published_nodes.json -o my-gateway.yaml",
            "gateway browse opc.tcp://192.0.2.10:4840 --csv > tags.csv",
            "gateway import csv tags.csv --url opc.tcp://192.0.2.10:4840 -o my-gateway.yaml",
        ),
    ),
    Late(
        "cert",
        "gateway.cli.lines.cert:cert",
        "Manage OPC UA certificates: our own, and those of the servers that we trust.",
    ),
    Late(
        "model",
        "gateway.cli.lines.model:model",
        "Describe what the gateway sends and takes, as models that other systems import.",
    ),
    Late("outbox", "gateway.cli.lines.outbox:outbox", "Inspect an outbox, copy its messages, or empty it."),
    Late(
        "profile",
        "gateway.cli.lines.profile:profile",
        "What clouds and brokers accept, each limit with its source, and whether a configuration keeps to it.",
    ),
    Late(
        "audit",
        "gateway.cli.lines.audit:audit",
        "Show who requested which commands, and check that nobody changed that record.",
    ),
    Late(
        "group",
        "gateway.cli.lines.group:group",
        "Show who does what in a group of gateways, and move, drain and check it.",
    ),
)


class Commands(LateGroup):
    late: ClassVar = {command.name: command for command in COMMANDS}


cli = typer.Typer(
    name="gateway",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    help="Carry every value from OPC UA servers to MQTT brokers, and lose none in silence.",
    epilog=EXIT_CODES,
)
for command in COMMANDS:
    cli.command(command.name)(command.announced())


def main() -> None:
    """Entry point of the `gateway` command."""
    write_all_of_it()
    cli()
