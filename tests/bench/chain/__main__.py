"""What a value costs from OPC UA server to MQTT broker, beside other programs that do the same work.

  load server → contestant → mosquitto → checking subscriber

Each contestant is started anew on its own server and broker, takes the load of every case, and is judged: every value
once, under its own name.  CPU is what the kernel counts for the contestant's processes (user and system), over exactly
the work.  Contestants alternate; figures are medians over the rounds, with the least and the most.

Which figure to trust: CPU per value, and its ratio to another contestant of the same run.  Values per second and
delays depend on what else the machine does.
"""

import argparse
import signal
import sys
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench.chain import about, counts, plots
from tests.bench.chain.campaign import Job, jobs, run
from tests.bench.chain.cases import CASES, QUICK, Case
from tests.bench.chain.contestants import CONTESTANTS, ROOT, Contestant, ours
from tests.bench.chain.install import CACHE, Missing, install
from tests.bench.chain.results import RECORDED, Results, recorded
from tests.bench.chain.tables import line, tables

QUICK_CONTESTANTS = ("ours-json", "ours-columns", "ours-tag", "node", "node-value", "python")
EXAMPLES = """examples:
  make bench                                          everything, an hour
  make bench-quick                                    the ratios that matter, three minutes
  python -m tests.bench.chain --list                  the cases and the contestants
  python -m tests.bench.chain --cases 1000,10,1 --contestants ours-json,node --rounds 3
  python -m tests.bench.chain --contestants ours-columns --against ../before --rounds 3
                                                      this checkout beside another one with its own .venv
  python -m tests.bench.chain --cases start-1000,start-10000,start-100000 --contestants ours-columns
  python -m tests.bench.chain --cases backlog-link --contestants ours-columns
  python -m tests.bench.chain --all --rounds 5 --record 0.1.0       for the repository
another contestant is an entry in tests/bench/chain/contestants; what contestants need is installed into var/bench.
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.chain", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="say what there is to choose from, and end")
    parser.add_argument("--cases", help="names with commas between them; without it 1000,10,1")
    parser.add_argument("--contestants", help="names with commas between them; without it those of --quick")
    parser.add_argument("--quick", action="store_true", help=f"cases {','.join(QUICK)}, with short loads")
    parser.add_argument("--all", action="store_true", help="all cases and all contestants, where not chosen")
    parser.add_argument("--against", type=Path, help="another checkout with its own .venv: its gateway takes part too")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is measured")
    parser.add_argument("--seconds", type=float, help="of each load; without it 3, and 2 with --quick")
    parser.add_argument("--counts", action="store_true", help="count the instructions of the hot functions too")
    parser.add_argument("--plots", type=Path, help="where the pictures go; without it beside the figures")
    parser.add_argument("--no-plots", action="store_true", help="draw none")
    parser.add_argument("--json", type=Path, help="where the figures go; without it into var/bench/runs")
    parser.add_argument("--record", metavar="NAME", help="write them into the repository too, as recorded/NAME.json")
    given = parser.parse_args()
    given.seconds = given.seconds or (2.0 if given.quick else 3.0)
    return given


def chosen_cases(given: argparse.Namespace) -> list[Case]:
    """Raises KeyError for a name that is none."""
    if given.cases:
        return [CASES[name] for name in given.cases.split(",")]
    if given.all:
        return list(CASES.values())
    return [CASES[name] for name in (QUICK if given.quick else ("1000", "10", "1"))]


def chosen_contestants(given: argparse.Namespace) -> list[Contestant]:
    """Raises KeyError for a name that is none."""
    names = given.contestants.split(",") if given.contestants else CONTESTANTS if given.all else QUICK_CONTESTANTS
    there = {each.name: each for each in ours(given.against.resolve(), "@against")} if given.against else {}
    found = []
    for name in names:
        found.append(CONTESTANTS[name])
        found += [there[f"{name}@against"]] if f"{name}@against" in there else []
    return found


def listing(console: Console) -> None:
    console.print("Cases:", style="bold")
    for case in CASES.values():
        console.print(f"  {case.name:18} {case.title}", highlight=False)
    console.print("Contestants:", style="bold")
    for contestant in CONTESTANTS.values():
        console.print(f"  {contestant.name:18} {contestant.title}", highlight=False)


def measured(given: argparse.Namespace, contestants: list[Contestant], cases: list[Case], console: Console) -> Results:
    """The run itself, with a line for each measurement and a bar where somebody looks."""
    results = Results(
        about={
            "machine": about.machine(), "checkout": about.commit_of(ROOT), "versions": about.versions_of(contestants),
            "rounds": given.rounds, "seconds": given.seconds,
        }
    )  # fmt: skip
    work = list(jobs(contestants, cases, given.rounds))
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(work))

        def note(job: Job, what: str) -> None:
            progress.update(bar, description=f"{job.contestant.title}: {what}")

        for job in work:
            for entry in run(job, given.seconds, note, CACHE / "logs"):
                results.entries.append(entry)
                console.print(line(entry), highlight=False, soft_wrap=True)
            progress.advance(bar)
    return results


def main() -> int:
    given, console = arguments(), Console()
    if not console.is_terminal:
        console = Console(width=200)
    if given.list:
        listing(console)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    try:
        cases, contestants = chosen_cases(given), chosen_contestants(given)
    except KeyError as error:
        console.print(f"There is no {error}; --list says what there is.")
        return 2
    try:
        for need in sorted({need for each in contestants for need in each.needs}):
            install(need, console.print)
    except Missing as error:
        console.print(str(error), style="red")
        return 1
    results = measured(given, contestants, cases, console)
    if given.counts:
        console.print("Counting instructions, which takes minutes …")
        results.instructions = counts.counts()
    last = list(recorded())[-1:]
    name, before = last[0] if last else ("", None)
    console.print()
    for table in tables(results, before, name):
        console.print(table)
        console.print()
    stamp = datetime.now().strftime("%Y-%m-%dT%H%M%S")
    path = given.json or CACHE / "runs" / f"{stamp}-{about.commit_of(ROOT)['commit']}.json"
    results.write(path)
    if given.record:
        results.write(RECORDED / f"{given.record}.json")
    console.print(f"All figures: {path}", highlight=False, soft_wrap=True)
    if not (given.no_plots or given.quick):
        for picture in plots.draw(results, given.plots or path.with_suffix(""), console.print):
            console.print(f"Picture: {picture}", highlight=False, soft_wrap=True)
    return 0 if results.sound else 1


if __name__ == "__main__":
    sys.exit(main())
