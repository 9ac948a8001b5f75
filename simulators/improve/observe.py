"""What the messages of a plant say about its machines: time by state, active periods, changeovers, waiting for whom.

Nothing else is known of the plant: neither its file nor its cycle times.
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulators.flow.change import Value
from simulators.improve.messages import Message

WAITING = {"starved", "blocked", "held", "off"}
"""States in which a machine waits for others; in all others it is active, as the active period method means it."""
PARTS = {"Good", "Scrap", "Rework"}


@dataclass(slots=True)
class Past:
    """The last values of one variable, so that it can be asked what it was when something began."""

    values: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=8))

    def at(self, at_s: float) -> str:
        return next((value for since_s, value in reversed(self.values) if since_s <= at_s), "")


@dataclass(slots=True)
class Seen:
    """One machine in the present window of observation.  Times in seconds."""

    state: str = ""
    since_s: float = 0.0
    spent: Counter[str] = field(default_factory=Counter)
    active_s: float = 0.0
    periods: int = 0
    """Active periods that began."""
    carried_s: float = 0.0
    """Cycle times of all parts, added up: more than the time at work where several parts are in work at once."""
    held_up: Counter[str] = field(default_factory=Counter)
    """Seconds blocked, by the station that had no room."""
    changeovers: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """By old and new product: seconds in all, and how many."""
    pending: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Seconds of changeovers that are not over."""
    products: Past = field(default_factory=Past)
    reasons: Past = field(default_factory=Past)
    cycle_s: float = 0.0

    def enter(self, state: str, at_s: float) -> None:
        """Another state: account for the one that ends."""
        self.settle(at_s)
        if state not in WAITING and (self.state in WAITING or not self.state):
            self.periods += 1
        self.state, self.since_s = state, at_s

    def settle(self, at_s: float) -> None:
        """Count the time in the present state up to `at_s`."""
        passed_s = max(0.0, at_s - self.since_s) if self.state else 0.0
        self.spent[self.state] += passed_s  # type: ignore[assignment]  # seconds, not counts
        if self.state and self.state not in WAITING:
            self.active_s += passed_s
        reason = self.reasons.at(self.since_s)
        if self.state == "blocked":
            self.held_up[reason] += passed_s  # type: ignore[assignment]
        if self.state == "setup" and reason not in ("", "tool"):
            pair = (self.products.at(self.since_s), reason)
            self.pending[pair] += passed_s  # type: ignore[assignment]
        self.since_s = max(at_s, self.since_s)

    def makes(self, product: str, at_s: float) -> None:
        """Another product is in work: a changeover is over, if there was one."""
        self.settle(at_s)
        before = self.products.values[-1][1] if self.products.values else ""
        self.products.values.append((at_s, product))
        spent_s = self.pending.pop((before, product), 0.0)
        if spent_s:
            known = self.changeovers.setdefault((before, product), [0.0, 0.0])
            known[0] += spent_s
            known[1] += 1

    @property
    def on_s(self) -> float:
        return sum(self.spent.values()) - self.spent["off"]

    @property
    def waiting_share(self) -> float:
        """Share of its time in which it waits for parts or for room."""
        return (self.spent["starved"] + self.spent["blocked"]) / self.on_s if self.on_s else 1.0

    @property
    def carries_several(self) -> bool:
        """Whether it has several parts in work at once, as a belt has: then it is active without being the limit."""
        return self.carried_s > 1.3 * max(self.active_s, 1.0)


class Observed:
    """Everything that was seen.  Knowledge about changeovers stays when a new window begins."""

    def __init__(self) -> None:
        self.machines: dict[str, Seen] = defaultdict(Seen)
        self.points: dict[str, Value] = {}
        """The present value of each set-point, by tag."""
        self.products: dict[str, set[str]] = defaultdict(set)
        """The products of each line."""
        self.made: Counter[str] = Counter()
        """Good parts of each line in this window."""
        self.began_s = self.now_s = 0.0
        self.changeover_s: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
        """Mean changeover by machine, old and new product."""
        self.added: Counter[str] = Counter()
        """Places that buffers of each line were given."""
        self.tried: list[tuple[str, Value, str]] = []
        """What was proposed and refused."""
        self._counts: dict[str, float] = {}

    def see(self, messages: Iterable[Message]) -> None:
        for tag, value, at_s in messages:
            if not self.now_s:
                self.began_s = at_s
            self.now_s = max(self.now_s, at_s)
            owner, _, name = tag.rpartition("/")
            if "/SetPoints" in owner or ("/Buffers/" in owner and name == "Limit"):
                self.points[tag] = value
            elif "/" in owner:
                self._machine(self.machines[owner], name, value, at_s, tag)
            elif name == "Good" and isinstance(value, int | float):
                self.made[owner] += round(value - self._counts.get(tag, value))
                self._counts[tag] = value
            elif name == "Product" and value:
                self.products[owner].add(str(value))

    def _machine(self, seen: Seen, name: str, value: Value, at_s: float, tag: str) -> None:
        if name == "State":
            seen.enter(str(value), at_s)
        elif name == "Reason":
            seen.reasons.values.append((at_s, str(value)))
        elif name == "Product":
            if value:
                seen.makes(str(value), at_s)
        elif name == "CycleTime" and isinstance(value, int | float):
            seen.cycle_s = value
        elif name in PARTS and isinstance(value, int | float):
            seen.carried_s += seen.cycle_s * max(0.0, value - self._counts.get(tag, value))
            self._counts[tag] = value

    def settle(self) -> None:
        """Bring all times up to the last message, and learn the changeovers."""
        for path in [path for path, seen in self.machines.items() if not seen.state]:
            del self.machines[path]  # a buffer or a crew
        for path, seen in self.machines.items():
            seen.settle(self.now_s)
            for pair, (spent_s, times) in seen.changeovers.items():
                self.changeover_s[path][pair] = spent_s / times

    def begin_again(self) -> None:
        """A new window: counts and times begin at 0, what was learned stays."""
        self.made.clear()
        self.began_s = self.now_s
        for path, seen in list(self.machines.items()):
            fresh = Seen(seen.state, self.now_s, products=seen.products, reasons=seen.reasons, cycle_s=seen.cycle_s)
            fresh.pending = seen.pending
            fresh.periods = int(seen.state not in WAITING)
            self.machines[path] = fresh

    def station_of(self, path: str) -> str:
        """The station of a machine (`line/mill` of `line/mill-2`), by the names of the buffers."""
        line, _, name = path.partition("/")
        short = re.sub(r"-\d+$", "", name)
        known = f"{line}/Buffers/{name}/Limit" in self.points
        return path if known or f"{line}/Buffers/{short}/Limit" not in self.points else f"{line}/{short}"
