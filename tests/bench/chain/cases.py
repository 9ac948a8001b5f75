"""What is measured: the cases, and which of them can share a stage."""

from dataclasses import dataclass, field

from tests.bench.chain.contestants import Contestant
from tests.bench.chain.load import Load

PILOT_RESPONSES, PILOT_VALUES = 20, 500
"""A little load before a load without a rate, from which it is known how many values make it last."""


@dataclass(frozen=True)
class Surroundings:
    """What a contestant is started with."""

    variables: int = 1000
    """Of each server."""
    servers: int = 1
    interval_ms: int = 100
    secure: bool = False

    def fits(self, contestant: Contestant) -> bool:
        """Whether the contestant's entry knows how to do it."""
        needed = {"many"} if self.servers > 1 else set()
        return needed | ({"secure"} if self.secure else set()) <= contestant.can


@dataclass(frozen=True)
class Case:
    """One row of the tables."""

    name: str
    title: str
    around: Surroundings = field(default_factory=Surroundings)
    per: int = 0
    """Values in a response; 0 when only the start is measured."""
    rate_hz: float = 0.0
    """Values per second of all servers; 0 for as fast as the client asks."""
    backlog: int = 0
    """Values that are on disk before the broker is there."""
    link_bytes_per_s: int = 0
    """The broker's link in a case with a backlog; 0 for as fast as it goes."""

    def fits(self, contestant: Contestant) -> bool:
        return self.around.fits(contestant) and (not self.backlog or "backlog" in contestant.can)

    def load(self, seconds: float, values_per_s: float = 0.0) -> Load:
        """The load of one server.  Without a rate it ends after `seconds` or, where a pilot told how fast the
        contestant is, when it has twice what it manages in that time: it may keep its queue in memory."""
        servers = self.around.servers
        if self.rate_hz:
            responses = max(1, round(self.rate_hz * seconds / servers / self.per))
            return Load(responses * self.per, self.per, self.rate_hz / servers)
        return Load(max(self.per, int(2 * values_per_s * seconds)), self.per, 0.0, seconds)

    def pilot(self) -> Load:
        return Load(PILOT_RESPONSES * self.per + PILOT_VALUES, self.per)


_PLAIN = Surroundings()
_SECURE = Surroundings(secure=True)


def _saturated(per: int) -> Case:
    values = f"{per:,}".replace(",", " ") + (" values" if per > 1 else " value")
    return Case(str(per), f"{values} a response, as fast as asked for", _PLAIN, per)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        *map(_saturated, (1000, 100, 10, 1)),
        Case("rate-20000", "20 000 values/s in responses of 100", _PLAIN, 100, 20_000),
        Case("rate-5000", "5 000 values/s in responses of 50", _PLAIN, 50, 5_000),
        Case("rate-100", "100 responses/s of 1 value", _PLAIN, 1, 100),
        Case("secure-1000", "1 000 values a response, SignAndEncrypt", _SECURE, 1000),
        Case("secure-10", "10 values a response, SignAndEncrypt", _SECURE, 10),
        Case("sources-100", "122 servers x 100 variables, 1 Hz, every second",
             Surroundings(100, 122, 1000), 100, 12_200),
        Case("sources-100-often", "122 servers x 100 variables, 1 Hz, every 250 ms",
             Surroundings(100, 122, 250), 25, 12_200),
        Case("sources-1000", "122 servers x 1 000 variables, 1 Hz, every second",
             Surroundings(1000, 122, 1000), 1000, 122_000),
        Case("start-1000", "start with 1 000 variables", _PLAIN),
        Case("start-10000", "start with 10 000 variables", Surroundings(10_000)),
        Case("start-100000", "start with 100 000 variables", Surroundings(100_000)),
        Case("backlog", "5 million values on disk, then the broker; 20 000 values/s beside", _PLAIN, 1000, 20_000,
             5_000_000),
        Case("backlog-link", "10 million values over 10 MB/s, 20 000 values/s beside", _PLAIN, 1000, 20_000,
             10_000_000, 10_000_000),
    )
}  # fmt: skip
QUICK = ("1000", "10", "1", "rate-20000")


def by_stage(cases: list[Case]) -> list[list[Case]]:
    """Cases that can follow each other on one stage, together; a backlog has a stage of its own."""
    groups: list[list[Case]] = []
    for case in cases:
        shared = [g for g in groups if g[0].around == case.around and not g[0].backlog and not case.backlog]
        if shared:
            shared[0].append(case)
        else:
            groups.append([case])
    return groups
