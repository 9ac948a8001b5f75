"""Faults with ground truth: what goes wrong and when, with one JSON line for each beginning and end.

A fault file lists faults.  A fault begins at a simulated time (`at`), or repeatedly (`every`: a distribution, drawn
from the seed, counted from the end of the last occurrence).  The same file and seed give the same simulated times.
This module decides what happens; `simulators/server/injection.py` does it to a server.

    faults:
      - {kind: server_restart, at: 60s, lasts: 10s, namespaces: shuffled}
      - {kind: freeze, every: {law: exponential, mean: 5min}, lasts: 30s, nodes: "line-1/test/*"}
"""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, BinaryIO, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulators.distributions import Distribution, Duration, Positive
from simulators.yaml_models import validated
from simulators.yaml_positions import read_yaml

Pattern = Annotated[str, Field(description="matches names such as line-1/test/Temperature, with * and ?")]


class FileSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Planned(FileSection):
    """The keys that every fault has."""

    at: Duration | None = Field(None, description="simulated time at which it begins")
    every: Distribution | None = Field(None, description="time to the next one, instead of `at`")
    lasts: Positive = Field(10.0, description="duration in simulated time; faults without a duration ignore it")

    @model_validator(mode="after")
    def _when(self) -> Self:
        if (self.at is None) == (self.every is None):
            raise ValueError("needs either `at` or `every`")
        return self


class ServerRestart(Planned):
    """The server goes away with all sessions and subscriptions, and comes back."""

    kind: Literal["server_restart"]
    namespaces: Literal["same", "shuffled"] = "same"


class DropConnections(Planned):
    """Every TCP connection is cut; sessions and subscriptions live on."""

    kind: Literal["drop_connections"]


class KillSessions(Planned):
    """Every session is closed with its subscriptions.  Clients are not told."""

    kind: Literal["kill_sessions"]


class KillSubscriptions(Planned):
    kind: Literal["kill_subscriptions"]
    notice: bool = Field(False, description="send a StatusChangeNotification (Bad_Timeout) first")


class NumbersFallBack(Planned):
    """The sequence numbers of every subscription begin again.  Clients are not told."""

    kind: Literal["numbers_fall_back"]
    to: Annotated[int, Field(ge=1, lt=2**32)] = 1


class RefuseConnections(Planned):
    kind: Literal["refuse_connections"]


class SessionLimit(Planned):
    kind: Literal["session_limit"]
    limit: Annotated[int, Field(ge=0)]


class SlowAnswers(Planned):
    kind: Literal["slow_answers"]
    delay: Positive = Field(description="wall seconds before each request is worked on")


class ErrorAnswers(Planned):
    kind: Literal["error_answers"]
    rate: Annotated[float, Field(gt=0, le=1, description="share of the requests")]
    code: str = Field("BadTooManyOperations", description="name of a status code")


class Freeze(Planned):
    """Values do not change; their status stays Good."""

    kind: Literal["freeze"]
    nodes: Pattern


class Status(Planned):
    """Values carry one status code after another."""

    kind: Literal["status"]
    nodes: Pattern
    codes: Annotated[tuple[str, ...], Field(min_length=1)] = ("BadSensorFailure", "UncertainLastUsableValue")
    period: Positive = 5.0


class ClockError(Planned):
    """The server's clock is wrong, by a fixed offset and by a growing drift."""

    kind: Literal["clock"]
    offset: float = Field(0.0, description="seconds; a negative offset means a slow clock")
    drift: float = Field(0.0, description="seconds per simulated second")


class Rollover(Planned):
    """Counters jump to just below 2^32 and roll over soon after.  They stay shifted when the fault ends."""

    kind: Literal["rollover"]
    nodes: Pattern
    left: Annotated[int, Field(ge=0, description="counts left until the roll-over")] = 3


class RepeatTime(Planned):
    """Values change, but their source timestamp does not."""

    kind: Literal["repeat_time"]
    nodes: Pattern


class DisorderTime(Planned):
    """The source timestamp of every second value lies in the past."""

    kind: Literal["disorder_time"]
    nodes: Pattern
    by: Positive = 1.0


class RemoveNode(Planned):
    kind: Literal["remove_node"]
    nodes: Pattern


Fault = (
    ServerRestart | DropConnections | KillSessions | KillSubscriptions | NumbersFallBack | RefuseConnections
    | SessionLimit | SlowAnswers | ErrorAnswers | Freeze | Status | ClockError | Rollover | RepeatTime | DisorderTime
    | RemoveNode
)  # fmt: skip
MOMENTS = (DropConnections, KillSessions, KillSubscriptions, NumbersFallBack)


class FaultFile(FileSection):
    faults: tuple[Annotated[Fault, Field(discriminator="kind")], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Active:
    """One occurrence of a fault."""

    number: int
    fault: Fault
    began_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Edge:
    """A fault begins or ends."""

    at_s: float
    begins: bool
    active: Active


class Schedule:
    """When each fault begins and ends."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self.active: list[Active] = []
        self._faults = faults
        self._due: list[tuple[float, int, Edge]] = []
        self._count = 0
        self._draws = [
            fault.every.sampler(seed, f"faults/{number}", "every") if fault.every is not None else None
            for number, fault in enumerate(faults)
        ]
        for number, (fault, draw) in enumerate(zip(faults, self._draws, strict=True)):
            self._plan(number, draw() if draw is not None else fault.at or 0.0)

    def _plan(self, number: int, at_s: float) -> None:
        fault = self._faults[number]
        ends_s = at_s if isinstance(fault, MOMENTS) else at_s + fault.lasts
        self._push(Edge(at_s, True, Active(number, fault, at_s, ends_s)))

    def _push(self, edge: Edge) -> None:
        self._count += 1
        heappush(self._due, (edge.at_s, self._count, edge))

    def due(self, now_s: float) -> Iterator[Edge]:
        """The beginnings and ends up to `now_s`, in order.  Each is given once."""
        while self._due and self._due[0][0] <= now_s:
            edge = heappop(self._due)[2]
            if edge.begins:
                self.active.append(edge.active)
                self._push(Edge(edge.active.ends_s, False, edge.active))
            else:
                self.active.remove(edge.active)
                draw = self._draws[edge.active.number]
                if draw is not None:
                    self._plan(edge.active.number, edge.at_s + draw())
            yield edge


Origin = Literal["server", "value", "sensor", "machine"]
"""What is wrong: the server; a served value, its status or its time; a sensor; or the machine itself."""
OF_VALUES = {"freeze", "status", "clock", "rollover", "repeat_time", "disorder_time"}
NO_PARAMETERS: Mapping[str, object] = MappingProxyType({})


class FaultLog:
    """The ground truth: one line per beginning and end, injected ones before the fault takes effect.

    The origin keeps apart what looks alike in the values: a bad status, a stuck sensor, a machine that stands still.
    """

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file

    def add(self, edge: Edge, affected: Sequence[str]) -> None:
        """An injected fault begins or ends."""
        fault = edge.active.fault
        parameters = fault.model_dump(exclude={"kind", "at", "every"})
        origin: Origin = "value" if fault.kind in OF_VALUES else "server"
        self.tell(edge.at_s, edge.begins, origin, fault.kind, affected, parameters, edge.active.number)

    def tell(
        self, at_s: float, begins: bool, origin: Origin, kind: str, affected: Sequence[str],
        parameters: Mapping[str, object] = NO_PARAMETERS, number: int | None = None,
    ) -> None:  # fmt: skip
        """Anything that is wrong, or right again, from this simulated time on."""
        line = {
            "at_s": at_s,
            "wall": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "event": "begin" if begins else "end",
            "origin": origin,
            "fault": number,
            "kind": kind,
            "parameters": dict(parameters),
            "affected": list(affected),
        }
        if self._file is not None:
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()


def load_faults(path: Path) -> tuple[Fault, ...]:
    """Read a fault file.  Raises `ConfigError` with the line of every mistake."""
    return validated(FaultFile, read_yaml(path)).faults


def matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)
