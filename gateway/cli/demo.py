"""`gateway demo`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from gateway.cli.common import LogFormat, LogOption, problems_told, until_stopped
from gateway.demo.graph import graph
from gateway.demo.run import DemoOptions, printed
from gateway.demo.run import demo as run_demo
from gateway.demo.view import LineView, LiveView, NoView, View
from gateway.loading import load
from gateway.logs import set_up_logs
from gateway.shipped import BASIC


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
    set_up_logs(log_format.value)
    with problems_told(), _view(as_json) as view:
        options = DemoOptions(load(config or BASIC), plant, duration, state, speed, seed, let_all_in, outage)
        flow = until_stopped(lambda stop: run_demo(options, view, stop))
    if as_json:
        typer.echo(printed(flow))
        return
    if not sys.stdout.isatty():  # a terminal keeps the last picture
        Console(soft_wrap=True).print(graph(flow.history, flow.books))
    typer.echo("\n".join(f"{name.replace('_', ' '):>12}  {value}" for name, value in flow.figures.items()))


@contextmanager
def _view(as_json: bool) -> Iterator[View]:
    if as_json:
        yield NoView()
    elif sys.stdout.isatty():
        with Live(console=Console(), auto_refresh=False) as live:
            yield LiveView(live)
    else:
        yield LineView(Console(soft_wrap=True))
