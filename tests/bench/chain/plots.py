"""Pictures of a run, drawn by matplotlib in an environment of its own (`scripts/draw.py`)."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.chain.cases import CASES
from tests.bench.chain.contestants import CONTESTANTS
from tests.bench.chain.install import PLOTS, Missing, install
from tests.bench.chain.measured import Measured
from tests.bench.chain.results import Results, Spread

DRAW = Path(__file__).parent / "scripts" / "draw.py"


def bars(
    results: Results, title: str, unit: str, cases: list[str], figure: Callable[[Measured], float]
) -> dict[str, Any]:
    """A figure of every contestant, a group of bars for each case: medians, and what they lie between."""
    series = []
    for name in in_order(results.contestants()):
        found = [results.spread(name, case, figure) for case in cases]
        if any(found):
            series.append({
                "name": title_of(name), "ours": name.startswith("ours"),
                "middle": [spread.median if spread else None for spread in found],
                "least": [spread.least if spread else None for spread in found],
                "most": [spread.most if spread else None for spread in found],
            })  # fmt: skip
    titles = [CASES[case].title for case in cases]
    return {"kind": "bars", "title": title, "unit": unit, "groups": titles, "series": series}


def lines(results: Results) -> dict[str, Any]:
    """Memory over the number of variables, at the start."""
    series = []
    for name in results.contestants():
        points: dict[int, list[float]] = {}
        for entry in results.entries:
            around = CASES[entry.case].around
            if entry.contestant == name and entry.started and around.servers == 1 and not around.secure:
                points.setdefault(around.variables, []).append(entry.started.memory_mib)
        if len(points) > 1:
            middle = {count: Spread.of(found).median for count, found in sorted(points.items())}
            series.append({"name": title_of(name), "x": list(middle), "y": list(middle.values())})
    return {
        "kind": "lines", "title": "Memory when all values have come", "unit": "MiB", "across": "variables",
        "series": series,
    }  # fmt: skip


def pictures(results: Results) -> dict[str, dict[str, Any]]:
    """Name of the file → what is in it; none for what was not measured."""
    cases = [name for name in results.cases() if name in CASES]
    full = [name for name in cases if CASES[name].per and not CASES[name].rate_hz]
    paced = [name for name in cases if CASES[name].rate_hz and not CASES[name].backlog]
    found = {
        "cpu": bars(results, "CPU of the contestant per value", "µs", full, lambda m: m.cpu_us),
        "rate": bars(results, "Values per second, as fast as asked for", "values/s", full, lambda m: m.values_per_s),
        "cores": bars(results, "Cores at a fixed rate", "cores", paced, lambda m: m.cores),
        "delay-p50": bars(results, "Delay, median", "ms", paced, lambda m: m.delays_ms.get("p50", 0.0)),
        "delay-p99": bars(results, "Delay, 99th percentile", "ms", paced, lambda m: m.delays_ms.get("p99", 0.0)),
        "memory": lines(results),
    }
    return {name: picture for name, picture in found.items() if picture["series"]}


def in_order(names: list[str]) -> list[str]:
    """As the entries stand, ours first."""
    entries = list(CONTESTANTS)
    return sorted(names, key=lambda name: (entries.index(name.partition("@")[0]), name))


def title_of(name: str) -> str:
    known = CONTESTANTS.get(name.partition("@")[0])
    return (known.title if known else name) + (" (against)" if "@" in name else "")


def draw(results: Results, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Write PNG files; gives their paths.  Raises Missing."""
    wanted = pictures(results)
    if not wanted:
        return []
    install("plots", say)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(wanted, file)
        file.flush()
        words = [str(PLOTS.python), str(DRAW), file.name, str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"the pictures could not be drawn: {done.stderr[-800:]}")
    return [folder / f"{name}.png" for name in wanted]
