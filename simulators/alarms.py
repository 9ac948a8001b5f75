"""The alarm file: which alarms and dialogs machines have, and a script that moves them at exact simulated times.

    alarms:
      - {name: Hot, kind: exclusive_limit, machine: line-1/press-1, input: Temperature, high: 80, high_high: 95}
      - {name: Door, kind: off_normal, machine: line-1/press-1}
    script:
      - {at: 5s, alarm: Door, value: 1}
      - {at: 20s, alarm: Door, value: 0}
    repeat: 60s

An alarm with `input` watches that variable of its machine.  One without has a variable `Input` of its own, which the
script writes.  The same file gives the same alarms at the same instants, with the same EventIds.  This module reads
the file and says what is due; `simulators/server/conditions` shows it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulators.distributions import Duration, Positive
from simulators.plant import Plant
from simulators.yaml_models import validated
from simulators.yaml_positions import Problem, read_yaml

Severity = Annotated[int, Field(ge=1, le=1000)]


class FileSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Declared(FileSection):
    """The keys that every alarm has."""

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^/]+$")]
    machine: str = Field(description="path of the machine: line/machine")
    severity: Severity = 500


class Watching(Declared):
    """An alarm that follows from a number."""

    input: str | None = Field(
        None, description="a numeric variable of the machine; default: one that the script writes"
    )


class Limits(Watching):
    """At least one limit.  An exclusive alarm has one limit state at a time, a non-exclusive one all that apply."""

    kind: Literal["exclusive_limit", "non_exclusive_limit"]
    low_low: float | None = None
    low: float | None = None
    high: float | None = None
    high_high: float | None = None

    @model_validator(mode="after")
    def _rising(self) -> Self:
        given = [limit for limit in (self.low_low, self.low, self.high, self.high_high) if limit is not None]
        if not given:
            raise ValueError("needs at least one of low_low, low, high, high_high")
        if given != sorted(set(given)):
            raise ValueError("limits must rise: low_low < low < high < high_high")
        return self


class OffNormal(Watching):
    """Active while the input differs from `normal`."""

    kind: Literal["off_normal"]
    normal: float = 0.0


class Discrepancy(Watching):
    """Active when the input has been further than `tolerance` from `target` for longer than `expected_time`."""

    kind: Literal["discrepancy"]
    target: float
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    expected_time: Duration = 0.0


class Dialog(Declared):
    """A question to an operator.  The script asks it; a client answers with Respond."""

    kind: Literal["dialog"]
    prompt: Annotated[str, Field(min_length=1)]
    options: Annotated[tuple[str, ...], Field(min_length=1)] = ("OK", "Cancel")
    default: int = Field(0, description="index of the default option")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if not 0 <= self.default < len(self.options):
            raise ValueError(f"default must be the index of an option: 0 to {len(self.options) - 1}")
        return self


AnyAlarm = Annotated[Limits | OffNormal | Discrepancy | Dialog, Field(discriminator="kind")]


class Step(FileSection):
    """One step of the script."""

    at: Duration = Field(description="simulated time, or time within a repetition")
    alarm: str = Field(description="name of an alarm of this file")
    value: float | None = Field(None, description="the new input; a dialog has none: it is asked")


class Alarms(FileSection):
    """A whole alarm file."""

    alarms: tuple[AnyAlarm, ...] = ()
    script: tuple[Step, ...] = ()
    repeat: Positive | None = Field(None, description="play the script again and again, with this period")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        times = [step.at for step in self.script]
        if times != sorted(times):
            raise ValueError("the steps of the script must be in the order of their times")
        if self.repeat is not None and times and times[-1] >= self.repeat:
            raise ValueError("repeat must be longer than the time of the last step")
        return self

    def due(self, after_s: float, until_s: float) -> list[tuple[float, Step]]:
        """The steps in the interval (after, until], with their simulated times, in order.

        A start in the middle (`after_s` < 0) plays no more than the last repetition before `until_s`, whole.
        """
        if self.repeat is None:
            return [(step.at, step) for step in self.script if after_s < step.at <= until_s]
        first = int(max(after_s, until_s - 2 * self.repeat if after_s < 0 else 0.0, 0.0) // self.repeat)
        turns = range(first, int(until_s // self.repeat) + 1)
        found = [(turn * self.repeat + step.at, step) for turn in turns for step in self.script]
        return [(at_s, step) for at_s, step in found if after_s < at_s <= until_s]


NO_ALARMS = Alarms()


def load_alarms(path: Path, plant: Plant) -> Alarms:
    """Read an alarm file for a plant.  Raises `ConfigError` with file, line, key and remedy of every mistake."""
    machines = {f"{line.name}/{name}" for line in plant.lines for each in line.stations for name in each.machine_names}

    def problems_of(file: Alarms) -> Sequence[Problem]:
        return [*_of_alarms(file, machines), *_of_script(file)]

    return validated(Alarms, read_yaml(path), problems_of)


def _of_alarms(file: Alarms, machines: set[str]) -> list[Problem]:
    found: list[Problem] = []
    names = [alarm.name for alarm in file.alarms]
    for number, alarm in enumerate(file.alarms):
        if alarm.machine not in machines:
            some = ", ".join(sorted(machines)[:5])
            found.append((("alarms", number, "machine"), f"the plant has no machine {alarm.machine!r}; it has {some}"))
        if alarm.name in names[:number] or alarm.name == "Breakdown":
            found.append((("alarms", number, "name"), f"the name {alarm.name!r} is taken"))
    return found


def _of_script(file: Alarms) -> list[Problem]:
    found: list[Problem] = []
    by_name = {alarm.name: alarm for alarm in file.alarms}
    for number, step in enumerate(file.script):
        alarm = by_name.get(step.alarm)
        place = ("script", number, "alarm")
        if alarm is None:
            found.append((place, f"no alarm {step.alarm!r} in this file; it has {', '.join(by_name) or 'none'}"))
        elif isinstance(alarm, Dialog):
            if step.value is not None:
                found.append((("script", number, "value"), "a dialog has no value: it is asked"))
        elif alarm.input is not None:
            found.append((place, f"{step.alarm} watches {alarm.input}: the script cannot write it"))
        elif step.value is None:
            found.append((place, "needs `value`, the new input of the alarm"))
    return found
