"""The options of `simulators serve`, as typer reads them."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from simulators.logs import LogFormat
from simulators.pace import LatePolicy
from simulators.shipped import plant_file, plants

PKI = Path("var/simulator-pki")


def _found(given: Path) -> Path:
    return plant_file(given)


def all_found(given: list[Path] | None) -> list[Path]:
    """The plant files of what was given: files, or names of plants that come with the program."""
    return [plant_file(each) for each in given or ()]


def names_like(incomplete: str) -> list[str]:
    """The names of shipped plants that begin so."""
    return [name for name in plants() if name.startswith(incomplete)]


PlantFile = Annotated[
    Path,
    typer.Argument(
        help="The plant: a file (YAML), or the name of one that comes with the program, such as bottling.",
        metavar="PLANT",
        callback=_found,
    ),
]
Speed = Annotated[float, typer.Option(min=0.001, help="Simulated seconds per second.")]
Late = Annotated[LatePolicy, typer.Option(help="What to do when the simulation falls behind.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers. The same seed gives the same run.")]
Endpoint = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port, in place of the endpoint's; 0: any free one.")
]  # fmt: skip
Epoch = Annotated[datetime | None, typer.Option(help="Instant of simulated time 0 (UTC). Default: now.")]
SampleHz = Annotated[float, typer.Option(min=0.01, max=100, help="Signal samples per second of wall time.")]
Record = Annotated[Path | None, typer.Option(help="Write every served value to this file (JSON lines).")]
MetricsPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Serve /metrics on this port; 0: any free one.")
]  # fmt: skip
MetricsHost = Annotated[str, typer.Option(help="Address on which /metrics listens.")]
MetricsNames = Annotated[
    list[str] | None, typer.Option(help="Further name by which /metrics may be asked for; repeatable.")
]  # fmt: skip
Backfill = Annotated[float, typer.Option(min=0, help="Hours to simulate first, so that clients find history.")]
Faults = Annotated[
    Path | None, typer.Option(help="Faults to inject: a file, or `faults` for the examples that come along.")
]  # fmt: skip
FaultLog = Annotated[
    Path | None, typer.Option(help="Write the beginning and end of each fault to this file (JSON lines).")
]  # fmt: skip
AlarmFile = Annotated[Path | None, typer.Option(help="Alarms and their script, such as config/alarms.yaml.")]
Security = Annotated[
    list[str] | None,
    typer.Option(help="None, Basic256Sha256 or Aes256_Sha256_RsaPss; repeatable. Default: the plant file's."),
]
Pki = Annotated[
    Path, typer.Option(help="Our certificate; a subfolder trusted/ lists the only clients that may connect.")
]  # fmt: skip
CertificateCopy = Annotated[
    Path | None, typer.Option(help="Copy our certificate (not the key) to this file, for clients to trust.")
]  # fmt: skip
Users = Annotated[Path | None, typer.Option(help="Users and passwords: a YAML file, `name: password` per line.")]
Anonymous = Annotated[
    bool | None, typer.Option(help="Accept clients without a user name. Default: only without --users.")
]  # fmt: skip
StatusJson = Annotated[
    bool, typer.Option("--status-json", "--json-status", help="Print one JSON line per second to standard output.")
]  # fmt: skip
Format = Annotated[LogFormat, typer.Option(help="Form of the log: console or json.")]
Vehicles = Annotated[
    str | None,
    typer.Option(help="Broker (mqtt:// or mqtts://) to which finished cars publish what they do on the road."),
]
VehiclesMost = Annotated[int, typer.Option(min=1, max=100_000, help="How many cars drive; the oldest are parked.")]
VehiclesEvery = Annotated[float, typer.Option(min=0.05, help="Seconds of wall time between two messages of a car.")]
VehiclesUser = Annotated[str | None, typer.Option(help="User name at that broker.")]
VehiclesPassword = Annotated[Path | None, typer.Option(help="File with the password at that broker.")]
VehiclesCa = Annotated[Path | None, typer.Option(help="File with the authority of that broker's certificate.")]
