"""Hours of load with plugs pulled: does the gateway lose anything, and does it grow?

    python -m tests.chaos.soak --minutes 120 --values-per-second 20000 --seed 7 --report var/soak

An OPC UA server, `gateway run`, mosquitto and a checking subscriber as real processes, with a proxy on either side of
the gateway.  Every few minutes a plug is pulled, drawn from the seed: the broker stopped, killed or frozen, a link cut,
refused, stalled or half open.  The gateway is one process from beginning to end, so that its memory can be judged.

At the end the load stops, everything has to arrive, and the verdict falls: no value missing without an announced gap,
numbering and order whole, the books balanced at every look, memory and file descriptors flat, every plug caught up.
Exit code 0 says so, 1 what is wrong.  The folder of the report gets `report.json`, `report.txt` and `samples.jsonl`.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.plugs import PLUGS, drawn
from tests.chaos.soak_report import Outcome, Pulled, Sample, judged, text_of
from tests.chaos.verdict import folder_for
from tests.support.load_chain import LoadChain, books_of, cpu_s, load_chain, open_files, resident_kib
from tests.support.programs import wait_until

SAMPLE_S = 5.0
LONGEST_PLUG_S = 30.0
SETTLED_S = 5.0
"""After catching up, so long until the delay counts as that of a quiet stretch."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    minutes: float
    values_per_second: int = 20_000
    seed: int = 7
    plug_every_s: float = 150.0
    """From one plug to the next, on the average."""


@dataclass
class Watch:
    """Looks at the gateway every few seconds, in a thread of its own."""

    chain: LoadChain
    file: Path
    samples: list[Sample] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    _ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        chain, pid = self.chain, self.chain.gateway.process.pid
        with contextlib.suppress(urllib.error.URLError, TimeoutError):  # a scrape may fail; a value may not
            books = books_of(chain.gateway.metrics)
            sample = Sample(
                at_s=round(time.monotonic() - self.began_s, 1), resident_kib=resident_kib(pid), files=open_files(pid),
                cpu_s=cpu_s(pid), lag_s=round(chain.checker.lag_s, 3), arrived=chain.checker.values,
                stored=books.stored, books=books.difference,
            )  # fmt: skip
            self.samples.append(sample)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(sample)) + "\n")

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.look()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(10)


def soak(plan: Plan, folder: Path, say: Say = lambda line: None) -> Outcome:
    """Run, and judge what happened."""
    running = folder / "run"
    shutil.rmtree(running, ignore_errors=True)
    running.mkdir(parents=True)
    (folder / "samples.jsonl").unlink(missing_ok=True)
    with load_chain(running, plan.values_per_second) as chain:
        watch = Watch(chain, folder / "samples.jsonl")
        pulled: list[Pulled] = []
        failures: list[str] = []
        with watch.watching(), noting(failures):
            for plug in pulls(plan, chain, watch, say):
                pulled.append(plug)
        say("the load ends: waiting for everything to arrive")
        with noting(failures):
            chain.finish()
        wait_until(lambda: not books_of(chain.gateway.metrics).stored, "everything stored to be acknowledged")
        watch.look()
        books = books_of(chain.gateway.metrics)
        exit_code = chain.gateway.stop(30.0)
        outcome = judged(asdict(plan), chain.checker, watch.samples, pulled, books, exit_code, plan.plug_every_s * 2)
        outcome.wrong[:0] = failures
    (folder / "report.json").write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")
    (folder / "report.txt").write_text(text_of(outcome) + "\n", encoding="utf-8")
    return outcome


@contextlib.contextmanager
def noting(failures: list[str]) -> Iterator[None]:
    """What was waited for in vain is part of the verdict; the report is wanted all the same."""
    try:
        yield
    except AssertionError as error:
        failures.append(str(error)[:2000])


def pulls(plan: Plan, chain: LoadChain, watch: Watch, say: Say) -> Iterator[Pulled]:
    """One plug after another until the time is over; each is given when the chain has caught up with it."""
    rng = random.Random(plan.seed)
    names, end_s = drawn(rng), time.monotonic() + plan.minutes * 60
    longest_s = min(LONGEST_PLUG_S, plan.plug_every_s / 2)
    while True:
        pause_s = rng.uniform(0.6, 1.4) * plan.plug_every_s
        if not _quiet(chain, watch, min(pause_s, end_s - time.monotonic()), say):
            return
        if time.monotonic() + longest_s >= end_s:
            _quiet(chain, watch, end_s - time.monotonic(), say)
            return
        name, seconds = next(names), rng.uniform(min(3.0, longest_s), longest_s)
        chain.checker.quiet = False
        say(f"plug: {name} for {seconds:.0f} s")
        PLUGS[name](chain, seconds)
        behind_s = chain.checker.lag_s
        caught_up_s = chain.wait_caught_up(300.0)
        say(f"put back: {behind_s:.1f} s behind, caught up after {caught_up_s:.1f} s")
        yield Pulled(name, round(seconds, 1), round(behind_s, 1), round(caught_up_s, 2))


def _quiet(chain: LoadChain, watch: Watch, seconds: float, say: Say) -> bool:
    """Let the load run undisturbed; False when there is no time for it."""
    end_s, told_s = time.monotonic() + seconds, time.monotonic()
    settled_s = told_s + SETTLED_S
    while (now_s := time.monotonic()) < end_s:
        chain.checker.quiet = now_s > settled_s
        assert chain.gateway.process.poll() is None, f"the gateway ended:\n{chain.gateway.log[-3000:]}"
        if now_s - told_s > min(60.0, seconds / 3):
            say(progress(chain, watch))
            told_s = now_s
        time.sleep(0.5)
    chain.checker.quiet = False
    return seconds > 0


def progress(chain: LoadChain, watch: Watch) -> str:
    checker, last = chain.checker, watch.samples[-1] if watch.samples else None
    seen = f"resident {last.resident_kib / 1024:.1f} MiB, {last.files} files, stored {last.stored}, " if last else ""
    wrong = f"missing {checker.missing}, disordered {checker.disordered}, books off by {last.books if last else 0}"
    return f"{checker.values / 1e6:.2f} million values, {seen}{checker.lag_s:.2f} s behind, {wrong}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="how long the load lasts (default: 10)")
    add("--values-per-second", type=int, default=20_000, help="load: 10 changes a second of so many tags as it takes")
    add("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="which plugs, when and for how long")
    add("--plug-every", type=float, metavar="S", help="seconds between plugs (default: 150, less in a short run)")
    add(
        "--report",
        type=Path,
        help="keep report, samples, logs and outbox in this folder, in place of an earlier run's",
    )
    options = parser.parse_args()
    began_s = time.monotonic()

    def say(line: str) -> None:
        seconds = int(time.monotonic() - began_s)
        print(f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} {line}", file=sys.stderr, flush=True)

    plug_every_s = options.plug_every or min(150.0, max(10.0, options.minutes * 60 / 8))
    plan = Plan(options.minutes, options.values_per_second, options.seed, plug_every_s)
    say(f"seed {plan.seed}, load average {os.getloadavg()[0]:.1f}")
    with folder_for(options.report) as folder:
        outcome = soak(plan, folder, say)
    print(text_of(outcome))
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
