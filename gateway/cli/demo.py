"""`gateway demo`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.live import Live

from gateway.cli.common import problems_told, until_stopped
from gateway.cli.words import LogFormat
from gateway.demo.graph import graph
from gateway.demo.run import DemoOptions, printed
from gateway.demo.run import demo as run_demo
from gateway.demo.view import LineView, LiveView, NoView, View
from gateway.loading import load
from gateway.logs import set_up_logs
from gateway.shipped import BASIC


def demo(
    duration: float | None,
    as_json: bool,
    state: Path | None,
    outage: float | None,
    speed: float,
    seed: int | None,
    let_all_in: bool,
    plant: Path,
    config: Path | None,
    log_format: LogFormat,
) -> None:
    """Run a connected factory on this machine: simulated machines, OPC UA, the gateway, an MQTT broker, metrics."""
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
