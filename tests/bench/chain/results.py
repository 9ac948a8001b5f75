"""What a run found, as one JSON file: every measurement, where it was taken, of what."""

import json
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.chain.measured import Drained, Measured, Started

FORMAT = 1


@dataclass(frozen=True)
class Spread:
    """Several measurements of the same."""

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1], len(found))


@dataclass
class Entry:
    """One contestant in one case in one round."""

    contestant: str
    case: str
    round: int
    started: Started | None = None
    measured: Measured | None = None
    drained: Drained | None = None
    failed: str = ""

    @property
    def sound(self) -> bool:
        return not self.failed and all(each is None or each.sound for each in (self.measured, self.drained))


@dataclass
class Results:
    """All of a run."""

    about: dict[str, object] = field(default_factory=dict)
    """Machine, versions, commit, options."""
    entries: list[Entry] = field(default_factory=list)
    instructions: dict[str, dict[str, float]] = field(default_factory=dict)
    """Stage → values in a response → instructions per response."""
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def of(self, contestant: str, case: str) -> list[Entry]:
        return [e for e in self.entries if e.contestant == contestant and e.case == case and not e.failed]

    def spread(self, contestant: str, case: str, figure: Callable[[Measured], float]) -> Spread | None:
        """A figure over the rounds; None where there is none."""
        found = [figure(e.measured) for e in self.of(contestant, case) if e.measured]
        return Spread.of(found) if found else None

    def contestants(self) -> list[str]:
        return list(dict.fromkeys(e.contestant for e in self.entries))

    def cases(self) -> list[str]:
        return list(dict.fromkeys(e.case for e in self.entries))

    @property
    def sound(self) -> bool:
        return all(entry.sound for entry in self.entries)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Results:
    """Raises ValueError when the file is none of ours, or one of another format."""
    told = json.loads(path.read_text())
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ValueError(f"{path} is no result of this benchmark, or one of another format than {FORMAT}")
    entries = [_entry(each) for each in told["entries"]]
    return Results(told["about"], entries, told["instructions"], told["began"])


def _entry(told: dict[str, Any]) -> Entry:
    started, measured, drained = told.pop("started"), told.pop("measured"), told.pop("drained")
    return Entry(
        **told,
        started=Started(**started) if started else None,
        measured=Measured(**measured) if measured else None,
        drained=Drained(**drained) if drained else None,
    )


RECORDED = Path(__file__).parent / "recorded"


def recorded() -> Iterator[tuple[str, Results]]:
    """What is recorded in the repository, the oldest first: names and results."""
    found = [(path.stem, read(path)) for path in RECORDED.glob("*.json")]
    yield from sorted(found, key=lambda each: each[1].began)
