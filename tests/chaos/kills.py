"""kill -9 of the gateway at random moments, again and again: does anybody miss a value?

    python -m tests.chaos.kills --kills 200 --seed 7

The chain under load (`tests/support/load_chain.py`) runs without a pause while the gateway is killed and started again.
A quarter of the kills come while it starts: in the recovery of the outbox, while connecting, while taking up its
subscription.  A quarter come at any moment of its work, which in between batches is waiting.  Half come a few
milliseconds after the first message of a batch was seen, when others of it are being stored, sent and acknowledged.

Then the load ends, everything has to arrive, and the subscriber must have seen every value of every tag, in order, with
contiguous numbers per stream; a repeat must carry the number it had, and no more may be repeated after a kill than the
window of unacknowledged publishes.  Exit code 0 says so.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.verdict import counts_of, folder_for, text_of
from tests.support.load_chain import LoadChain, books_of, load_chain
from tests.support.load_checker import LoadChecker
from tests.support.programs import wait_until

WINDOW = 100
"""`broker.window`: publishes without a PUBACK, and so the most that may come again after one kill."""
MOMENTS = {"while it started": 1, "at any moment": 1, "in a batch": 2}
"""When a kill comes: how often relative to the others."""
START_S = 2.0
FLOWING_S = 2.0
BATCH_S = 0.008
BACK_WITHIN_S = 60.0


@dataclass
class Report:
    """What was done, and what was found."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    values: int = 0
    owed: int = 0
    repeated_values: int = 0
    repeated_messages: int = 0
    most_repeated: int = 0
    """Messages that came again after one kill."""
    gaps: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        facts = [
            f"seed {self.seed}: {self.kills.total()} kills in {self.seconds:.0f} s ({counts_of(self.kills)})",
            f"{self.owed:,} values served, {self.values:,} arrived, {self.gaps} gaps announced",
            f"repeated: {self.repeated_values:,} values in {self.repeated_messages:,} messages, at most"
            f" {self.most_repeated} messages after one kill",
        ]
        return text_of(facts, self.wrong)


def kills(
    folder: Path, seed: int, count: int, values_per_second: int = 20_000, say: Callable[[str], None] = lambda line: None
) -> Report:
    """So many kills, then the verdict."""
    rng, report, began_s = random.Random(seed), Report(seed), time.monotonic()
    with load_chain(folder, values_per_second, links=False) as chain:
        repeated = 0
        for number in range(1, count + 1):
            kill(chain, rng, report)
            fresh, repeated = chain.checker.repeated_messages - repeated, chain.checker.repeated_messages
            report.most_repeated = max(report.most_repeated, fresh)
            if not number % max(1, count // 20):
                say(f"{number}/{count} kills, {chain.checker.values / 1e6:.2f} million values, {repeated} repeats")
        say("no more kills: waiting for everything to arrive")
        chain.gateway.wait_ready(BACK_WITHIN_S)
        chain.finish(300.0)
        wait_until(lambda: not books_of(chain.gateway.metrics).stored, "everything stored to be acknowledged")
        books = books_of(chain.gateway.metrics)
        exit_code = chain.gateway.stop(30.0)
        judge(report, chain.checker)
    report.wrong += [f"the books are off by {books.difference}: {books}"] if books.difference or books.stored else []
    report.wrong += [f"the last gateway ended with {exit_code}"] if exit_code else []
    report.seconds = time.monotonic() - began_s
    return report


def kill(chain: LoadChain, rng: random.Random, report: Report) -> None:
    """Kill it at a random moment of its start or of its work, and start the next one."""
    moment = rng.choices(list(MOMENTS), list(MOMENTS.values()))[0]
    if moment == "while it started":
        time.sleep(rng.uniform(0.0, START_S))
    else:
        wait_arrival(chain.checker)
        time.sleep(rng.uniform(0.0, FLOWING_S))
    if moment == "in a batch":
        wait_arrival(chain.checker)
        time.sleep(rng.uniform(0.0, BATCH_S))
    report.kills[moment] += 1
    assert chain.gateway.process.poll() is None, f"the gateway ended by itself:\n{chain.gateway.log[-3000:]}"
    chain.gateway.kill()
    chain.gateway.restart()


def wait_arrival(checker: LoadChecker) -> None:
    """Wait, to half a millisecond, for the next message."""
    before, until_s = checker.messages, time.monotonic() + BACK_WITHIN_S
    while checker.messages == before:
        assert time.monotonic() < until_s, f"nothing came within {BACK_WITHIN_S:g} s after a kill"
        time.sleep(0.0005)


def judge(report: Report, checker: LoadChecker) -> None:
    """Fill in what arrived and what is wrong with it."""
    report.values, report.owed, report.gaps = checker.values, checker.owed, len(checker.gaps)
    report.repeated_values, report.repeated_messages = checker.repeated_values, checker.repeated_messages
    report.wrong += [f"missing: {hole}" for hole in checker.holes]
    report.wrong += checker.numbers_missing
    report.wrong += [f"{count} {what}" for what, count in checker.problems.items() if count]
    report.wrong += [f"a gap was announced: {gap}" for gap in checker.gaps]
    if checker.disordered:
        report.wrong.append(f"{checker.disordered} values out of order or repeated under another number")
    if report.most_repeated > WINDOW:
        report.wrong.append(f"{report.most_repeated} messages were repeated after one kill: the window is {WINDOW}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--values-per-second", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep", type=Path, help="keep logs and outbox in this folder, which must be empty")
    options = parser.parse_args()
    with folder_for(options.keep) as folder:

        def say(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        say(f"seed {options.seed}")
        report = kills(folder, options.seed, options.kills, options.values_per_second, say)
    print(report.text)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
