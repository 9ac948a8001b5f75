"""The command line: `simulators serve`, `fleet`, `verify`, `trace`, `describe`, `improve`, `init`, `schema`."""

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from simulators import options as o
from simulators.errors import EXIT_CONFIG, ConfigError
from simulators.late import LateGroup
from simulators.logs import LogFormat, set_up_logs
from simulators.pace import LatePolicy
from simulators.shipped import faults_file, write_plant
from simulators.shipped import plants as shipped_plants
from simulators.trial_cli import pki_app, trial_command

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
    cls=LateGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A simulated factory, served over OPC UA.",
    epilog=EPILOG,
)


def endpoint_url(endpoint: str, port: int | None) -> str:
    """The endpoint, with its port replaced when one is given.  Raises `ConfigError`."""
    from simulators.server.endpoint import listening_at

    url = listening_at(endpoint)
    return str(url if port is None else replace(url, port=port))


app.add_typer(pki_app, name="pki")
app.command("test-server")(trial_command)


@app.callback()
def common() -> None:
    """Simulate a factory and serve it over OPC UA."""


@app.command("serve")
def serve_command(
    plant: o.PlantFile, *, speed: o.Speed = 1.0, late: o.Late = LatePolicy.CATCH_UP, seed: o.Seed = 1,
    endpoint: o.Endpoint = "opc.tcp://127.0.0.1:4840", port: o.Port = None, epoch: o.Epoch = None,
    sample_hz: o.SampleHz = 4.0, record: o.Record = None, metrics_port: o.MetricsPort = None,
    metrics_host: o.MetricsHost = "127.0.0.1", metrics_name: o.MetricsNames = None, backfill: o.Backfill = 0.0,
    faults: o.Faults = None, fault_log: o.FaultLog = None, alarms: o.AlarmFile = None,
    security: o.Security = None, pki: o.Pki = o.PKI,
    certificate_copy: o.CertificateCopy = None, users: o.Users = None, anonymous: o.Anonymous = None,
    vehicles: o.Vehicles = None, vehicles_most: o.VehiclesMost = 100, vehicles_every: o.VehiclesEvery = 5.0,
    vehicles_user: o.VehiclesUser = None, vehicles_password: o.VehiclesPassword = None,
    vehicles_ca: o.VehiclesCa = None, status_json: o.StatusJson = False, log_format: o.Format = "console",
) -> None:  # fmt: skip
    """Serve a plant over OPC UA until SIGTERM or Ctrl-C.

    Example: `simulators serve plant --security None --speed 10`
    """
    import asyncio

    from simulators.alarms import NO_ALARMS, load_alarms
    from simulators.app import Driving, Settings, serve
    from simulators.faults import load_faults
    from simulators.plant import load, warnings_of
    from simulators.server.endpoint import access_for
    from simulators.server.pki import observers_of, show_certificate, users_of
    from simulators.vehicles import broker_at

    set_up_logs(log_format)
    url, loaded = endpoint_url(endpoint, port), load(plant)
    for warning in warnings_of(loaded):
        print(f"warning: {plant}: {warning}", file=sys.stderr)
    broker = broker_at(vehicles, vehicles_user, vehicles_password, vehicles_ca) if vehicles else None
    settings = Settings(
        endpoint=url,
        access=access_for(security or loaded.security, pki, users_of(users), anonymous, observers_of(users)),
        faults=load_faults(faults_file(faults)) if faults else (), fault_log=fault_log, speed=speed, late=late,
        seed=seed, epoch=epoch.replace(tzinfo=UTC) if epoch else datetime.now(UTC), sample_hz=sample_hz, record=record,
        status_json=status_json, live=not status_json and sys.stdout.isatty(), metrics_port=metrics_port,
        metrics_host=metrics_host, metrics_names=tuple(metrics_name or ()), backfill_s=3600.0 * backfill,
        follow_wall=epoch is None and speed == 1.0,
        alarms=load_alarms(alarms, loaded) if alarms else NO_ALARMS,
        driving=Driving(broker, vehicles_most, vehicles_every) if broker is not None else None,
    )  # fmt: skip
    if certificate_copy and settings.access.certificate:
        show_certificate(settings.access.certificate, certificate_copy)
    asyncio.run(serve(settings, loaded))


@app.command("fleet")
def fleet_command(
    *,
    plants: Annotated[int, typer.Option(min=1, max=10_000, help="How many plants.")] = 122,
    sources: Annotated[
        list[Path],
        typer.Option("--from", help="Plant file or name; repeatable: taken in turn.", callback=o.all_found),
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
    pki: Annotated[Path, typer.Option(help="The certificate that all servers share.")] = o.PKI,
    users: Annotated[Path | None, typer.Option(help="Users and passwords, as for `serve`.")] = None,
    listing: Annotated[Path | None, typer.Option(help="Write all plants and endpoints to this file (JSON).")] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log: console or json.")] = "console",
    share: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve many plants, each with its own server, in as few processes as the machine has cores.

    Example: `simulators fleet --plants 122 --from munich --from smt`
    """
    import asyncio

    from simulators.app import Settings
    from simulators.fleet import Share, check_memory, members, run_fleet, serve_members
    from simulators.server.endpoint import access_for
    from simulators.server.pki import users_of

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
    plant: o.PlantFile,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of all random numbers. The same seed gives the same trace.")
    ] = 1,
    until: Annotated[float, typer.Option(min=0, help="Simulated seconds to run.")] = 3600.0,
) -> None:
    """Run a plant without a server, and print every change and the hash of them all.

    Example: `simulators trace plant --seed 1 --until 3600`
    """
    from simulators.plant import load
    from simulators.trace import trace

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
    from simulators.verify import verify

    if not verify(partial(print, flush=True), quick=quick, seed=seed):
        sys.exit(1)


@app.command("describe")
def describe_command(
    plant: o.PlantFile, seed: Annotated[int, typer.Option(min=0, help="Seed of the short run that is measured.")] = 1
) -> None:
    """Draw a plant as text, with its bottleneck and the expected throughput.

    Example: `simulators describe body-shop`
    """
    from simulators.describe import describe
    from simulators.plant import load

    print(describe(load(plant), seed))


@app.command("improve")
def improve_command(
    plants: Annotated[
        list[Path] | None, typer.Argument(help="Plant files or names.", metavar="[PLANT]…", callback=o.all_found)
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
    from simulators.improve import Effort, Observed, improve, messages_in, proposals
    from simulators.plant import load

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
        str, typer.Option("--from", metavar="NAME", autocompletion=o.names_like, help="Which plant.")
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
    import orjson

    from simulators.plant import schema

    print(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode())


def _expected() -> tuple[type[Exception], ...]:
    """What is told in a line: asked for when something has failed."""
    from simulators.clock import TooSlow
    from simulators.server.endpoint import CannotListen

    return CannotListen, TooSlow


def main() -> None:
    """Run a command.  Mistakes of configuration and taken ports become a message and an exit code."""
    try:
        app()
    except SystemExit:  # help ends so, and must not ask what is expected
        raise
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except BrokenPipeError:  #  head`: nobody reads any more| head`: nobody reads any more
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a file of the command line cannot be read or written
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except _expected() as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ExceptionGroup as group:  # a task of `serve` has failed
        expected: BaseException | None = group.subgroup(_expected())
        if expected is None:
            raise
        while isinstance(expected, BaseExceptionGroup):
            expected = expected.exceptions[0]
        print(f"error: {expected}", file=sys.stderr)
        sys.exit(1)
