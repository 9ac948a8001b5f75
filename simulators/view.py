"""The state of a running factory for people and programs: one snapshot, as a JSON line or as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

COLOURS = {
    "working": "green", "setup": "cyan", "starved": "yellow", "blocked": "yellow", "held": "magenta",
    "down": "bold red", "maintenance": "blue", "off": "dim",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MachineStatus:
    path: str
    state: str
    good: int
    scrap: int
    oee: float | None
    """Between 0 and 1, sometimes above 1.  None while undefined."""
    energy_j: float


@dataclass(frozen=True, slots=True)
class Status:
    """The factory at one instant."""

    endpoint: str
    endpoints: Sequence[str]
    metrics: str | None
    sim_time_s: float
    speed: float
    lag_s: float
    values_written: int
    sessions: int
    machines: Sequence[MachineStatus]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def duration(seconds: float) -> str:
    """Format seconds: `93784.2` becomes `1d 02:03:04`."""
    days, rest = divmod(int(seconds), 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}d {clock}" if days else clock


def table(status: Status) -> Table:
    """The factory as a table for the terminal."""
    lag = f"lag {status.lag_s:.1f} s" if status.lag_s >= 0.1 else "on time"
    grid = Table(
        title=f"{status.endpoint}   {duration(status.sim_time_s)} at {status.speed:g}x, {lag}",
        caption=f"{status.values_written} values written, {status.sessions} sessions. Ctrl-C ends it.",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("Machine", "State"):
        grid.add_column(heading)
    for heading in ("Good", "Scrap", "OEE", "Energy kWh"):
        grid.add_column(heading, justify="right")
    for machine in status.machines:
        oee = "-" if machine.oee is None else f"{machine.oee:.1%}"
        state = Text(machine.state, COLOURS.get(machine.state, ""))
        energy = f"{machine.energy_j / 3.6e6:.3f}"
        grid.add_row(machine.path, state, str(machine.good), str(machine.scrap), oee, energy)
    return grid
