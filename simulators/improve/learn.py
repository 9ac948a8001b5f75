"""Observe, propose, apply, and look again, until nothing more is proposed."""

from dataclasses import dataclass, field

from simulators.errors import OutOfRange
from simulators.flow import Factory
from simulators.improve.bottleneck import Bottleneck, bottlenecks
from simulators.improve.messages import first_messages, messages_of
from simulators.improve.observe import Observed
from simulators.improve.propose import Setting, proposals
from simulators.plant import Plant

ROUNDS = 12
SLICE_S = 1800.0


@dataclass(slots=True)
class Plan:
    """What was decided for a plant."""

    settings: dict[str, Setting] = field(default_factory=dict)
    """The last value of each set-point, by tag, in the order of the decisions."""
    bottlenecks: list[tuple[int, Bottleneck]] = field(default_factory=list)
    """What limited a line in each round."""
    rounds: int = 0
    places: int = 0
    """Places added to buffers."""


def learn(plant: Plant, seed: int, window_s: float) -> Plan:
    """Improve a running plant of this seed.  One window of observation for each round."""
    factory, observed, plan = Factory(plant, seed), Observed(), Plan()
    observed.see(first_messages(factory))
    limits = {point: point.read() for point in factory.set_points.all.values() if point.name == "Limit"}
    for number in range(1, ROUNDS + 1):
        plan.rounds = number
        until_s = factory.now_s + window_s
        while factory.now_s < until_s:
            factory.run(min(factory.now_s + SLICE_S, until_s))
            observed.see(messages_of(factory.take_changes()))
        observed.settle()
        plan.bottlenecks += [(number, each) for line in factory.lines for each in bottlenecks(observed, line.name)[:1]]
        while wanted := proposals(observed, number):
            applied = [setting for each in wanted if (setting := _applied(factory, each, observed)) is not None]
            plan.settings |= {setting.tag: setting for setting in applied}
            if applied:
                break
        else:
            break
        observed.begin_again()
    plan.places = sum(int(point.read()) - int(before) for point, before in limits.items())
    return plan


def _applied(factory: Factory, setting: Setting, observed: Observed) -> Setting | None:
    """Apply a setting; a limit that is refused is tried with fewer places.  None: nothing has changed."""
    path, _, name = setting.tag.rpartition("/")
    point = factory.set_points.all[path, name]
    before = point.read()
    value = setting.value
    while True:
        try:
            factory.set_points.set(path, name, value)
        except OutOfRange:
            if name != "Limit" or int(value) - 1 <= int(before):
                observed.tried.append(setting)
                return None
            value = int(value) - 1
        else:
            observed.points[setting.tag] = value
            if name == "Limit":
                observed.added[path.partition("/")[0]] += int(value) - int(before)
            return Setting(setting.tag, value, setting.why)
