"""`gateway demo`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import LogFormat, LogOption


def demo(
    duration: Annotated[
        float | None, typer.Option(min=1, help="End after this many seconds. [default: on Ctrl-C]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only one JSON object, at the end.")] = False,
    state: Annotated[Path | None, typer.Option(help="Folder of the outbox. [default: a temporary one]")] = None,
    outage: Annotated[
        float | None, typer.Option(min=1, help="Stop the broker after 10 s for this many seconds; no value is lost.")
    ] = None,
    speed: Annotated[float, typer.Option(min=0.01, help="Speed of the factory; 1 is real time.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers of the factory.")] = None,
    let_all_in: Annotated[
        bool, typer.Option("--open", help="Also accept OPC UA clients without a certificate (SecurityPolicy None).")
    ] = False,
    plant: Annotated[Path, typer.Option(help="The plant: a file, or a name as of simulators init --list.")] = Path(
        "plant"
    ),
    config: Annotated[
        Path | None, typer.Option(help="Gateway configuration. [default: the one that comes with the program]")
    ] = None,
    log_format: LogOption = LogFormat.CONSOLE,
) -> None:
    """Run a connected factory on this machine: simulated machines, OPC UA, the gateway, an MQTT broker, metrics.

    Uses the usual ports (4840, 1883, 9464) if they are free, and other ones if not. README.md says what to look at, and
    how to replace the simulation by your own servers.
    """

    from gateway.cli.demo import demo as work

    work(duration, as_json, state, outage, speed, seed, let_all_in, plant, config, log_format)
