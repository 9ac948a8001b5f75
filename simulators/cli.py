"""The command line: `simulators serve`, `verify`, `trace`, `describe`, `schema`."""

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import orjson
import typer

from simulators.app import Settings, serve
from simulators.clock import LatePolicy, TooSlow
from simulators.describe import describe
from simulators.errors import EXIT_CONFIG, ConfigError
from simulators.faults import load_faults
from simulators.logs import LogFormat, set_up_logs
from simulators.plant import load, schema, warnings_of
from simulators.server.endpoint import CannotListen, access_for, listening_at
from simulators.server.pki import show_certificate, users_of
from simulators.trace import trace
from simulators.verify import verify

EPILOG = """Examples:

    simulators serve config/plant.yaml
    simulators serve config/plants/bottling.yaml --security None --speed 10
    simulators serve config/plant.yaml --faults config/faults.yaml --fault-log faults.jsonl
    simulators describe config/plants/body-shop.yaml
    simulators trace config/plant.yaml --seed 1 --until 3600

`simulators --install-completion` teaches your shell to complete.

Exit codes:

- 0: done
- 1: could not run: a port that is taken, a file that cannot be written
- 2: wrong arguments
- 78: the plant file cannot work
"""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A simulated factory, served over OPC UA.",
    epilog=EPILOG,
)

PKI = Path("var/simulator-pki")
PlantFile = Annotated[Path, typer.Argument(help="The plant file.", metavar="FILE")]


def endpoint_url(endpoint: str, port: int | None) -> str:
    """The endpoint with its port replaced, if one is given.  Raises `ConfigError`."""
    url = listening_at(endpoint)
    return str(url if port is None else replace(url, port=port))


@app.callback()
def common() -> None:
    """A simulated factory, served over OPC UA."""


@app.command("serve")
def serve_command(
    plant: PlantFile,
    *,
    speed: Annotated[float, typer.Option(min=0.001, help="Simulated seconds per second.")] = 1.0,
    late: Annotated[LatePolicy, typer.Option(help="When the simulation cannot keep up.")] = LatePolicy.CATCH_UP,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same factory.")] = 1,
    endpoint: Annotated[str, typer.Option(help="Where to listen.")] = "opc.tcp://127.0.0.1:4840",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Another port; 0 takes a free one.")] = None,
    epoch: Annotated[datetime | None, typer.Option(help="The instant of simulated time 0 (UTC); default now.")] = None,
    sample_hz: Annotated[float, typer.Option(min=0.01, max=100, help="Signal samples per second of wall time.")] = 4.0,
    record: Annotated[Path | None, typer.Option(help="Write every value served to this file, as JSON lines.")] = None,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Serve /metrics; 0: a free port.")] = None,
    metrics_host: Annotated[str, typer.Option(help="Where /metrics listens.")] = "127.0.0.1",
    backfill: Annotated[float, typer.Option(min=0, help="Hours of history to live through first.")] = 0.0,
    faults: Annotated[Path | None, typer.Option(help="What goes wrong when (YAML).")] = None,
    fault_log: Annotated[
        Path | None, typer.Option(help="Write each fault's beginning and end here (JSON lines).")
    ] = None,
    security: Annotated[
        list[str] | None,
        typer.Option(help="None, Basic256Sha256 or Aes256_Sha256_RsaPss; may be repeated. Default: as the file says."),
    ] = None,
    pki: Annotated[
        Path, typer.Option(help="Folder of our certificate; where it has trusted/, only the clients in there come in.")
    ] = PKI,
    certificate_copy: Annotated[
        Path | None, typer.Option(help="Put a copy of our certificate (not the key) here, for clients to trust.")
    ] = None,
    users: Annotated[Path | None, typer.Option(help="YAML file, one `name: password` per line.")] = None,
    anonymous: Annotated[
        bool | None, typer.Option(help="Let clients in without a name. Default: unless there are users.")
    ] = None,
    status_json: Annotated[
        bool, typer.Option("--status-json", "--json-status", help="One JSON line per second on standard output.")
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="console or json.")] = "console",
) -> None:
    """Serve a plant over OPC UA until SIGTERM or Ctrl-C."""
    set_up_logs(log_format)
    live = not status_json and sys.stdout.isatty()
    start = epoch.replace(tzinfo=UTC) if epoch else datetime.now(UTC)
    url = endpoint_url(endpoint, port)
    loaded = load(plant)
    for warning in warnings_of(loaded):
        print(f"warning: {plant}: {warning}", file=sys.stderr)
    access = access_for(security or loaded.security, pki, users_of(users), anonymous)
    if certificate_copy and access.certificate:
        show_certificate(access.certificate, certificate_copy)
    settings = Settings(
        endpoint=url, access=access, faults=load_faults(faults) if faults else (), fault_log=fault_log,
        speed=speed, late=late, seed=seed, epoch=start, sample_hz=sample_hz,
        record=record, status_json=status_json, live=live, metrics_port=metrics_port,
        metrics_host=metrics_host, backfill_s=3600.0 * backfill, follow_wall=epoch is None and speed == 1.0,
    )  # fmt: skip
    asyncio.run(serve(settings, loaded))


@app.command("trace")
def trace_command(
    plant: PlantFile,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same trace.")] = 1,
    until: Annotated[float, typer.Option(min=0, help="Simulated seconds.")] = 3600.0,
) -> None:
    """Print everything that happens up to a simulated time, and the hash of it."""
    for line in trace(load(plant), seed, until):
        print(line)


@app.command("verify")
def verify_command(
    quick: Annotated[bool, typer.Option(help="All anchors, for a shorter time: under a minute.")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Hold the flow against queueing theory; exit code 1 when a figure is off by 4 standard errors."""
    if not verify(partial(print, flush=True), quick=quick, seed=seed):
        sys.exit(1)


@app.command("describe")
def describe_command(
    plant: PlantFile, seed: Annotated[int, typer.Option(min=0, help="Of the short run it measures.")] = 1
) -> None:
    """Draw a plant as text, with its bottleneck and the throughput to expect."""
    print(describe(load(plant), seed))


@app.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of plant files, for editors."""
    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())


def main() -> None:
    """Run a command; problems of configuration and of ports become a message and an exit code."""
    try:
        app()
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except BrokenPipeError:  # `simulators trace … | head`: nobody reads any more
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # of a file that was named
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except (CannotListen, TooSlow) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ExceptionGroup as group:  # what ended one of the tasks that `serve` runs
        expected: BaseException | None = group.subgroup((CannotListen, TooSlow))
        if expected is None:
            raise
        while isinstance(expected, BaseExceptionGroup):
            expected = expected.exceptions[0]
        print(f"error: {expected}", file=sys.stderr)
        sys.exit(1)
