"""A whole run: every contestant in every case, in turn, round after round."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.chain.backlog import drain
from tests.bench.chain.cases import Case, Surroundings, by_stage
from tests.bench.chain.children import Ended
from tests.bench.chain.contestants import Contestant
from tests.bench.chain.install import Missing
from tests.bench.chain.results import Entry
from tests.bench.chain.stage import Stage, staged

NEWEST_FIRST = {"replay": {"order": "newest-first"}}
"""What a gateway is told for a backlog: live values pass at once."""


@dataclass(frozen=True)
class Job:
    """One contestant on one stage."""

    contestant: Contestant
    cases: tuple[Case, ...]
    round: int

    @property
    def around(self) -> Surroundings:
        return self.cases[0].around


def jobs(contestants: list[Contestant], cases: list[Case], rounds: int) -> Iterator[Job]:
    """All of a run: contestants alternate, forwards and backwards, so that what drifts on the machine hits all."""
    for number in range(rounds):
        for group in by_stage(cases):
            for contestant in contestants if number % 2 == 0 else contestants[::-1]:
                fitting = tuple(case for case in group if case.fits(contestant))
                if fitting:
                    yield Job(contestant, fitting, number)


def run(job: Job, seconds: float, note: Callable[[Job, str], None], logs: Path) -> Iterator[Entry]:
    """The measurements of a job as they come; who gives up gives entries that say so.

    `note` is called with what is done next; logs of who gave up go to `logs`.
    """
    left = list(job.cases)
    backlog = left[0].backlog > 0
    note(job, "starts")
    try:
        keep = logs / f"{job.contestant.name}-{left[0].name}-{job.round}"
        broker = NEWEST_FIRST if backlog else None
        with staged(job.contestant, job.around, link=backlog, broker=broker, keep=keep) as stage:
            while left:
                note(job, left[0].title)
                yield _measure(stage, job, left[0], seconds)
                del left[0]
    except (Ended, Missing) as error:
        yield from (Entry(job.contestant.name, case.name, job.round, failed=str(error)) for case in left)


def _measure(stage: Stage, job: Job, case: Case, seconds: float) -> Entry:
    entry = Entry(job.contestant.name, case.name, job.round, stage.started)
    if case.backlog:
        entry.drained = drain(stage, case)
    elif case.per:
        entry.measured = stage.measure(case, seconds)
    return entry
