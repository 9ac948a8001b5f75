"""`python -m tests.bench.chain`: what a value costs from OPC UA server to MQTT broker, beside other programs."""

import argparse
import json
import signal
import statistics
import sys
from pathlib import Path

from tests.bench.chain.children import Ended
from tests.bench.chain.contestants import CONTESTANTS, Contestant, ours
from tests.bench.chain.install import install
from tests.bench.chain.load import Load
from tests.bench.chain.stage import Measured, staged

CASES = {"1000": 1000, "100": 100, "10": 10, "1": 1}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chain", description=__doc__)
    parser.add_argument("--cases", default="1000,10,1", help="values per response: " + ", ".join(CASES))
    parser.add_argument("--contestants", default="ours-json,ours-columns,node", help=", ".join(CONTESTANTS))
    parser.add_argument("--against", type=Path, help="another checkout with its own .venv: its gateway runs as well")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args()


def chosen(given: argparse.Namespace) -> list[Contestant]:
    names = given.contestants.split(",")
    there = {each.name: each for each in ours(given.against.resolve(), "@against")} if given.against else {}
    found = []
    for name in names:
        found.append(CONTESTANTS[name])
        found += [there[name + "@against"]] if name + "@against" in there else []
    return found


def line(name: str, case: str, m: Measured) -> str:
    return (
        f"{name:24} {case:>5} a response {m.values_per_s:>10,.0f} values/s {m.cpu_us:>9.2f} us/value "
        f"{m.cpu_s / m.responses * 1e6:>9.0f} us/response {m.cores:5.2f} cores  {m.memory_mib:4.0f} MiB  "
        f"delay p50 {m.delays_ms.get('p50', 0):.1f} p99 {m.delays_ms.get('p99', 0):.1f} ms  load {m.load_average:.1f}  "
        + ("" if m.sound else f"UNSOUND missing {m.missing} repeated {m.repeated} {m.problems}")
    )


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    contestants, cases = chosen(given), given.cases.split(",")
    for need in sorted({need for each in contestants for need in each.needs}):
        install(need)
    results: dict[tuple[str, str], list[Measured]] = {}
    failed = False
    for number in range(given.rounds):
        for contestant in contestants if number % 2 == 0 else contestants[::-1]:
            try:
                with staged(contestant) as stage:
                    for case in cases:
                        total = int(contestant.most_per_s * given.seconds)
                        measured = stage.run(Load(total, CASES[case], 0.0, given.seconds))
                        results.setdefault((contestant.name, case), []).append(measured)
                        failed |= not measured.sound
                        print(line(contestant.name, case, measured), flush=True)
            except Ended as error:
                failed = True
                print(f"{contestant.name}: {error}", flush=True)
    print()
    for (name, case), found in results.items():
        cost, speed = [m.cpu_us for m in found], [m.values_per_s for m in found]
        print(
            f"{name:24} {case:>5} a response: {statistics.median(speed):>10,.0f} values/s, CPU "
            f"{statistics.median(cost):9.3f} us/value ({min(cost):.3f}-{max(cost):.3f})"
        )
    if given.json:
        rows = [{"contestant": n, "case": c, **vars(m)} for (n, c), found in results.items() for m in found]
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
