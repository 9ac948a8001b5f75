"""Coverage-guided fuzzing of what reads other people's bytes (needs the extra `fuzz`: atheris).

    python -m tests.fuzz.run [TARGET …] [--seconds 60 | --inputs 1000000] [--corpus FOLDER]

Runs each target of `tests/fuzz/targets.py` in a process of its own, at low priority and with bounded memory, and prints
how many inputs were tried, the CPU they took, the slowest, the peak memory and what was covered.  The corpus begins
with what real servers answered; it is kept and built upon.  Ends with an error, and the path of the input, when
anything but the declared errors comes out of a target, when an input takes more than 100 ms of CPU each time it is
tried, or when memory goes beyond the limit.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from tests.fuzz.targets import TARGETS

MEMORY_MIB = 600
"""Of the process with the fuzzer, the instrumented gateway and its libraries, which alone take 150."""
MOST_INPUTS = 250_000
"""Of one process: the fuzzer itself takes half a kilobyte for each, which the target without it does not."""
A_YEAR_S = 365 * 86400.0
LIBRARY_DEFAULT = Path(tempfile.gettempdir()) / "connected-factory-fuzz"


@dataclass(frozen=True)
class Outcome:
    """What one run of one target came to."""

    name: str
    inputs: int
    cpu_s: float
    """Of the whole process; it takes a few seconds to begin."""
    slowest_ms: float
    peak_mib: int
    edges: int
    covered: str
    find: str = ""
    """What was found; empty for nothing."""

    def and_then(self, later: "Outcome") -> "Outcome":
        """Both together, with the coverage of the later one."""
        return replace(
            later,
            inputs=self.inputs + later.inputs,
            cpu_s=self.cpu_s + later.cpu_s,
            slowest_ms=max(self.slowest_ms, later.slowest_ms),
            peak_mib=max(self.peak_mib, later.peak_mib),
        )


def fuzz(name: str, inputs: int, seconds: float, corpus: Path) -> Outcome:
    """Run one target for so many inputs or so long, whichever ends first; in several processes if many."""
    ends = time.monotonic() + seconds
    done = _round(name, min(inputs, MOST_INPUTS), seconds, corpus)
    while done.inputs < inputs and time.monotonic() + 1 < ends and not done.find:
        later = _round(name, min(inputs - done.inputs, MOST_INPUTS), ends - time.monotonic(), corpus)
        done = done.and_then(later)
    return done


def _round(name: str, inputs: int, seconds: float, corpus: Path) -> Outcome:
    """One process."""
    folder, finds = corpus / name, corpus / f"{name}-finds"
    folder.mkdir(parents=True, exist_ok=True)
    finds.mkdir(exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    command = [
        sys.executable, "-m", "tests.fuzz.one", name, f"-runs={inputs}", f"-max_total_time={max(1, seconds):.0f}",
        "-print_final_stats=1", f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={TARGETS[name].most_bytes}",
        "-timeout=10", "-reload=0", f"-artifact_prefix={finds}/", str(folder),
    ]  # fmt: skip
    before = getrusage(RUSAGE_CHILDREN).ru_utime
    ran = _ran(command)
    cpu_s = getrusage(RUSAGE_CHILDREN).ru_utime - before
    said = ran.stderr + ran.stdout
    return Outcome(
        name,
        int(_last(said, r"number_of_executed_units: (\d+)") or _last(said, r"#(\d+)\s") or 0),
        cpu_s,
        float(_last(said, r"slowest_ms ([\d.]+)") or 0),
        int(_last(said, r"peak_rss_mb: (\d+)") or _last(said, r"rss: (\d+)Mb") or 0),
        int(_last(said, r"cov: (\d+)") or 0),
        covered(name, folder),
        "" if ran.returncode == 0 else _find(said),
    )


def covered(name: str, corpus: Path) -> str:
    """Lines of the code under test that the corpus reaches, in percent by module."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        data, report = f"{folder}/data", f"{folder}/report.json"
        run = [sys.executable, "-m", "coverage"]
        replay = [*run, "run", "--branch", f"--data-file={data}", "--source=gateway"]
        _ran([*replay, "-m", "tests.fuzz.one", name, "--replay", str(corpus)])
        wanted = f"--include={','.join(TARGETS[name].covers)}"
        _ran([*run, "json", "-q", f"--data-file={data}", "-o", report, wanted])
        try:
            files = json.loads(Path(report).read_text(encoding="utf-8"))["files"]
        except OSError:
            return "unknown"
    return ", ".join(f"{Path(path).stem} {told['summary']['percent_covered']:.0f} %" for path, told in files.items())


def _ran(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Out of everybody's way."""
    return subprocess.run(
        ["nice", "-n", "10", *command], check=False, capture_output=True, text=True, errors="replace"
    )  # fmt: skip


def _last(text: str, pattern: str) -> str:
    found = re.findall(pattern, text)
    return found[-1] if found else ""


def _find(said: str) -> str:
    """The error and where its input was kept."""
    lines = said.splitlines()
    error = next(
        (n for n, line in enumerate(lines) if "Uncaught Python exception" in line or "ERROR: lib" in line), -15
    )
    kept = [line for line in lines if "Test unit written to" in line]
    return "\n".join([*lines[error : error + 40], *kept])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; none means all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--inputs", type=int, help="for each target, however long they take")
    parser.add_argument("--corpus", type=Path, default=LIBRARY_DEFAULT, help="folder of the inputs")
    asked = parser.parse_args()
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    total, found = 0, []
    print(f"{'target':12} {'inputs':>10} {'CPU s':>7} {'slowest ms':>11} {'peak MiB':>9} {'edges':>7}  covered")
    for name in asked.targets or TARGETS:
        done = fuzz(name, asked.inputs or sys.maxsize, A_YEAR_S if asked.inputs else asked.seconds, asked.corpus)
        total += done.inputs
        print(
            f"{name:12} {done.inputs:10} {done.cpu_s:7.0f} {done.slowest_ms:11.1f} {done.peak_mib:9} {done.edges:7}  "
            f"{done.covered}",
            flush=True,
        )
        if done.find:
            found.append(name)
            print(done.find, file=sys.stderr)
    print(f"{total} inputs, {len(found)} finds")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
