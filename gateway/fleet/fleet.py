"""What each gateway of a fleet told last.  Everything is bounded, whatever is published on the topics.

A gateway is known by its topic, so that nobody who may publish on one topic only can speak for another gateway: a
message whose name is not that of its topic is counted, and shown with the topic.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.errors import ConfigError, Rejected
from gateway.fleet.judging import Fault, Level, faults_of, text_of
from gateway.fleet.reading import Condition, Told, clean, read
from gateway.topics import expand, problems_of

MOST_GATEWAYS = 10_000
MOST_PROBLEMS = 50
"""How many topics with messages that cannot be read are remembered."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The topics of presence: a template with `{gateway}`, as in `broker.presence.topic`."""

    template: str

    def __post_init__(self) -> None:
        problems = problems_of(self.template, ("gateway",))
        if "{gateway}" not in self.template:
            problems.append("{gateway} is missing: it is the level of the gateway's name")
        if problems:
            raise ConfigError([f"{self.template}: {problem}" for problem in problems])

    @property
    def filter(self) -> str:
        levels = self.template.split("/")
        return "/".join("+" if "{gateway}" in level else level for level in levels)

    def is_of(self, topic: str, name: str) -> bool:
        """Whether a gateway of this name publishes on this topic."""
        return expand(self.template, {"gateway": name}) == topic


@dataclass(slots=True)
class Row:
    """One gateway."""

    topic: str
    told: Told
    heard_s: float
    """Unix time when it was heard last: of a retained message, when it says that it was sent."""
    clock_off_s: float = 0.0
    broken: str = ""
    """Why its latest message cannot be read."""

    def faults(self, now_s: float) -> list[Fault]:
        """What is wrong with it, the worst first."""
        found = sorted(faults_of(self.told, self.heard_s, now_s, self.clock_off_s), key=lambda fault: -fault.level)
        return (
            [Fault(Level.BAD, f"what its topic says now is no presence: {self.broken}"), *found]
            if self.broken
            else found
        )


@dataclass(slots=True)
class Fleet:
    """All gateways that were heard of."""

    watched: Watched
    expected: int = 0
    """How many there must be."""
    rows: dict[str, Row] = field(default_factory=dict)
    """By topic."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Messages that are no presence, by reason."""
    problems: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Why the latest message of a topic is no presence; the newest topics."""

    def see(self, topic: str, payload: bytes, *, retained: bool, now_s: float) -> None:
        """Take a message.  An empty one takes a gateway out of the fleet."""
        if not payload:
            self.rows.pop(topic, None)
            self.problems.pop(topic, None)
            return
        try:
            told = read(payload)
            if not self.watched.is_of(topic, told.name):
                raise Rejected("other_name", f"it says it is {told.name}")
            if topic not in self.rows and len(self.rows) >= MOST_GATEWAYS:
                raise Rejected("too_many", f"there are {MOST_GATEWAYS} gateways already")
        except Rejected as error:
            self._reject(topic, error)
            return
        self.problems.pop(topic, None)
        said_s = told.time.timestamp() if told.time is not None else None
        heard_s = min(now_s, said_s) if retained and said_s is not None else now_s
        off_s = said_s - now_s if said_s is not None and not retained else 0.0
        self.rows[topic] = Row(topic, told, heard_s, off_s)

    def _reject(self, topic: str, error: Rejected) -> None:
        self.rejected[error.reason] += 1
        if (row := self.rows.get(topic)) is not None:
            row.broken = str(error)
            return
        self.problems[topic] = str(error)
        self.problems.move_to_end(topic)
        while len(self.problems) > MOST_PROBLEMS:
            self.problems.popitem(last=False)

    def ordered(self, now_s: float) -> list[tuple[Row, list[Fault]]]:
        """All of them with their faults, the worst first."""
        judged = [(row, row.faults(now_s)) for row in self.rows.values()]
        return sorted(judged, key=lambda each: (-_level(each[1]), each[0].told.name))

    def verdict(self, now_s: float) -> Fault:
        """All of it in a sentence."""
        return _verdict([faults for _, faults in self.ordered(now_s)], self.expected, self.rejected)

    def state(self, now_s: float) -> dict[str, object]:
        """All of it as JSON."""
        ordered = self.ordered(now_s)
        verdict = _verdict([faults for _, faults in ordered], self.expected, self.rejected)
        return {
            "time": text_of(datetime.fromtimestamp(now_s, UTC)),
            "verdict": {"level": verdict.level.name.lower(), "text": verdict.text},
            "gateways": [as_json(row, faults, now_s) for row, faults in ordered],
            "rejected": dict(sorted(self.rejected.items())),
            "problems": [{"topic": clean(topic), "why": why} for topic, why in self.problems.items()],
        }


def _level(faults: Sequence[Fault]) -> Level:
    return faults[0].level if faults else Level.GOOD


def _verdict(gateways: Sequence[Sequence[Fault]], expected: int, rejected: Mapping[str, int]) -> Fault:
    levels = Counter(_level(faults) for faults in gateways)
    count = len(gateways)
    parts = [f"{count} gateway{'' if count == 1 else 's'}, {levels[Level.GOOD]} fine"]
    if missing := max(0, expected - count):
        parts.append(f"{missing} of {expected} missing")
    parts += [
        f"{levels[level]} {word}" for level, word in ((Level.BAD, "bad"), (Level.WARNING, "not well")) if levels[level]
    ]
    if rejected:
        told = ", ".join(f"{times} {reason}" for reason, times in sorted(rejected.items()))
        parts.append(f"messages that are no presence: {told}")
    is_bad = bool(levels[Level.BAD] or missing or not count)
    is_odd = bool(levels[Level.WARNING] or rejected)
    return Fault(Level.BAD if is_bad else Level.WARNING if is_odd else Level.GOOD, "; ".join(parts))


def as_json(row: Row, faults: Sequence[Fault], now_s: float) -> dict[str, object]:
    """One gateway."""
    told = row.told
    return {
        "name": told.name, "topic": row.topic, "level": _level(faults).name.lower(),
        "faults": [fault.text for fault in faults], "online": told.online, "since": text_of(told.since),
        "heard_s": round(max(0.0, now_s - row.heard_s), 1), "version": told.version, "configuration": told.config,
        **(_condition(told.condition) if told.condition is not None else {}),
    }  # fmt: skip


def _condition(now: Condition) -> dict[str, object]:
    told: dict[str, object] = {
        "sources": {"up": now.sources.up, "all": now.sources.all},
        "brokers": {"up": now.brokers.up, "all": now.brokers.all},
        "backlog": {"values": now.backlog_values, "age_s": now.backlog_age_s},
        "lost_values": now.lost_values,
    }
    if now.gap is not None:
        told["gap"] = {"time": text_of(now.gap[0]), "source": now.gap[1], "cause": now.gap[2]}
    if now.group is not None:
        told["group"] = {"name": now.group[0], "member": now.group[1]}
    if now.pulled is not None:
        told["pulled"] = {"revision": now.pulled[0], "outcome": now.pulled[1]}
    return told
