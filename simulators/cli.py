"""The command line: `simulators serve`, `fleet`, `verify`, `trace`, `describe`, `improve`, `init`, `schema`."""

import asyncio
import os
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
from simulators.fleet import Share, check_memory, members, run_fleet, serve_members
from simulators.improve import Effort, Observed, improve, messages_in, proposals
from simulators.logs import LogFormat, set_up_logs
from simulators.plant import load, schema, warnings_of
from simulators.server.endpoint import CannotListen, access_for, listening_at
from simulators.server.pki import show_certificate, users_of
from simulators.shipped import faults_file, plant_file, write_plant
from simulators.shipped import plants as shipped_plants
from simulators.trace import trace
from simulators.verify import verify

EPILOG = """Examples:

    simulators serve plant
    simulators serve bottling --security None --speed 10
    simulators serve my-plant.yaml --faults faults --fault-log faults.jsonl
    simulators describe body-shop
    simulators trace plant --seed 1 --until 3600
    simulators init my-plant.yaml

A plant is a file, or the name of one that comes with the program: `simulators init --list`.
`simulators --install-completion` adds tab completion to your shell. README.md says how to connect the gateway.

Exit codes:

- 0: done
- 1: could not run: a port is taken, or a file cannot be written
- 2: wrong arguments
- 78: the plant file has mistakes
"""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A simulated factory, served over OPC UA.",
    epilog=EPILOG,
)

PKI = Path("var/simulator-pki")


def _found(given: Path) -> Path:
    return plant_file(given)


def _all_found(given: list[Path] | None) -> list[Path]:
    return [plant_file(each) for each in given or ()]


def _plants(incomplete: str) -> list[str]:
    return [name for name in shipped_plants() if name.startswith(incomplete)]


PlantFile = Annotated[
    Path,
    typer.Argument(
        help="The plant: a file (YAML), or the name of one that comes with the program, such as bottling.",
        metavar="PLANT",
        callback=_found,
    ),
]


def endpoint_url(endpoint: str, port: int | None) -> str:
    """The endpoint, with its port replaced when one is given.  Raises `ConfigError`."""
    url = listening_at(endpoint)
    return str(url if port is None else replace(url, port=port))


@app.callback()
def common() -> None:
    """Simulate a factory and serve it over OPC UA."""


@app.command("serve")
def serve_command(
    plant: PlantFile,
    *,
    speed: Annotated[float, typer.Option(min=0.001, help="Simulated seconds per second.")] = 1.0,
    late: Annotated[
        LatePolicy, typer.Option(help="What to do when the simulation falls behind.")
    ] = LatePolicy.CATCH_UP,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers. The same seed gives the same run.")] = 1,
    endpoint: Annotated[str, typer.Option(help="Address to listen on.")] = "opc.tcp://127.0.0.1:4840",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port, in place of the endpoint's; 0: any free one.")
    ] = None,
    epoch: Annotated[datetime | None, typer.Option(help="Instant of simulated time 0 (UTC). Default: now.")] = None,
    sample_hz: Annotated[float, typer.Option(min=0.01, max=100, help="Signal samples per second of wall time.")] = 4.0,
    record: Annotated[Path | None, typer.Option(help="Write every served value to this file (JSON lines).")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics on this port; 0: any free one.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address on which /metrics listens.")] = "127.0.0.1",
    metrics_name: Annotated[
        list[str] | None, typer.Option(help="Further name by which /metrics may be asked for; repeatable.")
    ] = None,
    backfill: Annotated[
        float, typer.Option(min=0, help="Hours to simulate first, so that clients find history.")
    ] = 0.0,
    faults: Annotated[
        Path | None, typer.Option(help="Faults to inject: a file, or `faults` for the examples that come along.")
    ] = None,
    fault_log: Annotated[
        Path | None, typer.Option(help="Write the beginning and end of each fault to this file (JSON lines).")
    ] = None,
    security: Annotated[
        list[str] | None,
        typer.Option(help="None, Basic256Sha256 or Aes256_Sha256_RsaPss; repeatable. Default: the plant file's."),
    ] = None,
    pki: Annotated[
        Path, typer.Option(help="Our certificate; a subfolder trusted/ lists the only clients that may connect.")
    ] = PKI,
    certificate_copy: Annotated[
        Path | None, typer.Option(help="Copy our certificate (not the key) to this file, for clients to trust.")
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="Users and passwords: a YAML file, `name: password` per line.")
    ] = None,
    anonymous: Annotated[
        bool | None, typer.Option(help="Accept clients without a user name. Default: only without --users.")
    ] = None,
    status_json: Annotated[
        bool, typer.Option("--status-json", "--json-status", help="Print one JSON line per second to standard output.")
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log: console or json.")] = "console",
) -> None:
    """Serve a plant over OPC UA until SIGTERM or Ctrl-C.

    Example: `simulators serve plant --security None --speed 10`
    """
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
        endpoint=url, access=access, faults=load_faults(faults_file(faults)) if faults else (), fault_log=fault_log,
        speed=speed, late=late, seed=seed, epoch=start, sample_hz=sample_hz,
        record=record, status_json=status_json, live=live, metrics_port=metrics_port,
        metrics_host=metrics_host, metrics_names=tuple(metrics_name or ()), backfill_s=3600.0 * backfill,
        follow_wall=epoch is None and speed == 1.0,
    )  # fmt: skip
    asyncio.run(serve(settings, loaded))


@app.command("fleet")
def fleet_command(
    *,
    plants: Annotated[int, typer.Option(min=1, max=10_000, help="How many plants.")] = 122,
    sources: Annotated[
        list[Path],
        typer.Option("--from", help="Plant file or name; repeatable: taken in turn.", callback=_all_found),
    ],
    processes: Annotated[int, typer.Option(min=0, help="How many processes; 0: one for each core.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first plant; each further one has the next.")] = 1,
    endpoint: Annotated[
        str, typer.Option(help="Address of the first plant; each further one has the next port.")
    ] = "opc.tcp://127.0.0.1:4840",
    speed: Annotated[float, typer.Option(min=0.001, help="Simulated seconds per second.")] = 1.0,
    sample_hz: Annotated[float, typer.Option(min=0.01, max=100, help="Signal samples per second of wall time.")] = 1.0,
    epoch: Annotated[datetime | None, typer.Option(help="Instant of simulated time 0 (UTC). Default: now.")] = None,
    security: Annotated[list[str] | None, typer.Option(help="As for `serve`; repeatable.")] = None,
    pki: Annotated[Path, typer.Option(help="The certificate that all servers share.")] = PKI,
    users: Annotated[Path | None, typer.Option(help="Users and passwords, as for `serve`.")] = None,
    listing: Annotated[Path | None, typer.Option(help="Write all plants and endpoints to this file (JSON).")] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log: console or json.")] = "console",
    share: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve many plants, each with its own server, in as few processes as the machine has cores.

    Example: `simulators fleet --plants 122 --from munich --from smt`
    """
    set_up_logs(log_format)
    count = min(plants, processes or os.cpu_count() or 1)
    start = epoch.replace(tzinfo=UTC) if epoch else datetime.now(UTC)
    if share is None:
        fleet = members(sources, plants, seed, endpoint)  # mistakes are told here, once
        access_for(security or fleet[0].plant.security, pki, users_of(users), None)
        check_memory(plants, count)
        given = [*sys.argv[2:], "--epoch", start.strftime("%Y-%m-%dT%H:%M:%S")]
        sys.exit(asyncio.run(run_fleet(given, plants, count, listing)))
    rest, _, of = share.partition("/")
    fleet = members(sources, plants, seed, endpoint, Share(int(rest), int(of)))
    access = access_for(security or fleet[0].plant.security, pki, users_of(users), None)
    settings = Settings(access=access, speed=speed, epoch=start, sample_hz=sample_hz, follow_wall=False)
    asyncio.run(serve_members(settings, fleet))


@app.command("trace")
def trace_command(
    plant: PlantFile,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of all random numbers. The same seed gives the same trace.")
    ] = 1,
    until: Annotated[float, typer.Option(min=0, help="Simulated seconds to run.")] = 3600.0,
) -> None:
    """Run a plant without a server, and print every change and the hash of them all.

    Example: `simulators trace plant --seed 1 --until 3600`
    """
    for line in trace(load(plant), seed, until):
        print(line)


@app.command("verify")
def verify_command(
    quick: Annotated[bool, typer.Option(help="Run every anchor for a shorter time: under a minute in all.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 1,
) -> None:
    """Compare the simulation with queueing theory. Exit code 1 when a figure is off by 4 standard errors or more.

    Example: `simulators verify --quick`
    """
    if not verify(partial(print, flush=True), quick=quick, seed=seed):
        sys.exit(1)


@app.command("describe")
def describe_command(
    plant: PlantFile, seed: Annotated[int, typer.Option(min=0, help="Seed of the short run that is measured.")] = 1
) -> None:
    """Draw a plant as text, with its bottleneck and the expected throughput.

    Example: `simulators describe body-shop`
    """
    print(describe(load(plant), seed))


@app.command("improve")
def improve_command(
    plants: Annotated[
        list[Path] | None, typer.Argument(help="Plant files or names.", metavar="[PLANT]…", callback=_all_found)
    ] = None,
    *,
    seeds: Annotated[int, typer.Option(min=2, help="Seeds on which before and after are compared.")] = 20,
    days: Annotated[float, typer.Option(min=0.1, help="Simulated days of each run.")] = 4.0,
    guesses: Annotated[int, typer.Option(min=0, help="Random guesses to show beside it.")] = 24,
    picture: Annotated[Path | None, typer.Option(help="Draw the result of the first plant (SVG).")] = None,
    messages: Annotated[
        bool, typer.Option("--messages", help="Read the gateway's messages (json) from standard input, and propose.")
    ] = False,
) -> None:
    """Find what better decisions win at unchanged speed, from messages alone, with the confidence of the figure.

    Examples: `simulators improve brownfield`, and beside a running gateway:
    `mosquitto_sub -t 'factory/#' -F %p -W 3600 | simulators improve --messages`
    """
    if messages:
        observed = Observed()
        observed.see(messages_in(sys.stdin.buffer))
        observed.settle()
        for setting in proposals(observed):
            print(f"{setting.tag} {setting.value}")
            print(f"# {setting.why}", file=sys.stderr)
    effort = Effort(seeds, days, guesses)
    for number, plant in enumerate(plants or ()):
        improve(load(plant), effort, partial(print, flush=True), picture if number == 0 else None)


@app.command("init")
def init_command(
    output: Annotated[Path | None, typer.Argument(help="The file to write.", metavar="FILE")] = None,
    *,
    sample: Annotated[
        str, typer.Option("--from", metavar="NAME", autocompletion=_plants, help="Which plant.")
    ] = "plant",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show the plants that come with the program.")] = False,
) -> None:
    """Write a plant that comes with the program to a file of your own, and the schema for editors beside it.

    Examples: `simulators init my-plant.yaml`, `simulators init my-cell.yaml --from machining-cell`
    """
    if listed or output is None:
        for name in shipped_plants():
            print(name)
        return
    for written in write_plant(Path(sample), output, force):
        print(f"wrote {written}")
    print(f"Now: simulators serve {output}")


@app.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of plant files, for completion and checks in editors.

    Example: `simulators schema > config/plant.schema.json`
    """
    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())


def main() -> None:
    """Run a command.  Mistakes of configuration and taken ports become a message and an exit code."""
    try:
        app()
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except BrokenPipeError:  #  head`: nobody reads any more| head`: nobody reads any more
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a file of the command line cannot be read or written
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except (CannotListen, TooSlow) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ExceptionGroup as group:  # a task of `serve` has failed
        expected: BaseException | None = group.subgroup((CannotListen, TooSlow))
        if expected is None:
            raise
        while isinstance(expected, BaseExceptionGroup):
            expected = expected.exceptions[0]
        print(f"error: {expected}", file=sys.stderr)
        sys.exit(1)
