"""The command line: `simulators serve`, `verify`, `trace`, `describe`.

Exit codes: 0 done, 1 could not run (a port that is taken), 78 the plant file cannot work.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from simulators.app import Settings, serve
from simulators.errors import EXIT_CONFIG, ConfigError
from simulators.logs import LogFormat, set_up_logs
from simulators.plant import load
from simulators.server.endpoint import CannotListen

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

PlantFile = Annotated[Path, typer.Argument(help="The plant file.", metavar="FILE")]


def endpoint_url(endpoint: str, port: int | None) -> str:
    """The endpoint with its port replaced, if one is given."""
    if port is None:
        return endpoint
    scheme, _, rest = endpoint.partition("://")
    host = rest.split("/")[0].rpartition(":")[0] or rest
    return f"{scheme}://{host}:{port}"


@app.callback()
def common() -> None:
    """A simulated factory on OPC UA."""


@app.command("serve")
def serve_command(
    plant: PlantFile,
    speed: Annotated[float, typer.Option(min=0.001, help="Simulated seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same factory.")] = 1,
    endpoint: Annotated[str, typer.Option(help="Where to listen.")] = "opc.tcp://127.0.0.1:4840",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Another port; 0 takes a free one.")] = None,
    epoch: Annotated[datetime | None, typer.Option(help="The instant of simulated time 0 (UTC); default now.")] = None,
    sample_hz: Annotated[float, typer.Option(min=0.01, max=100, help="Signal samples per second of wall time.")] = 4.0,
    record: Annotated[Path | None, typer.Option(help="Write every value served to this file, as JSON lines.")] = None,
    status_json: Annotated[
        bool, typer.Option("--status-json", "--json-status", help="One JSON line per second on standard output.")
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="console or json.")] = "console",
) -> None:
    """Serve a plant over OPC UA until SIGTERM or Ctrl-C."""
    set_up_logs(log_format)
    live = not status_json and sys.stdout.isatty()
    start = epoch.replace(tzinfo=UTC) if epoch else datetime.now(UTC)
    settings = Settings(
        endpoint=endpoint_url(endpoint, port), speed=speed, seed=seed, epoch=start, sample_hz=sample_hz,
        record=record, status_json=status_json, live=live,
    )  # fmt: skip
    asyncio.run(serve(settings, load(plant)))


def main() -> None:
    """Run a command; problems of configuration and of ports become a message and an exit code."""
    try:
        app()
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except CannotListen as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
