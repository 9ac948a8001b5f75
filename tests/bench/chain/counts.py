"""How many instructions one publish response costs in the functions every value passes: noise does not move them.

    python -m tests.bench.chain.counts

Valgrind counts the instructions of `hot.py`, stage by stage; two runs differ by less than a thousandth.  What the
processor makes of them (caches, waits) is not in them, so they tell two commits apart, not two programs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.chain.contestants import ROOT
from tests.bench.chain.hot import FORMATS, TIMES
from tests.bench.chain.install import Missing, program

SIZES = (1000, 10, 1)
STAGES = ("decode", *(stage for name in FORMATS for stage in (FORMATS[name], f"store and send, {name}")))
_COUNTED = ("--collect-atstart=no", "--toggle-collect=ffi_call", "--dump-after=ffi_call")


def counts() -> dict[str, dict[str, float]]:
    """Stage → values in a response → instructions per response.  Takes minutes.  Raises Missing."""
    wanted = [f"{stage},{size}" for size in SIZES for stage in STAGES]
    with tempfile.TemporaryDirectory(prefix="bench-counts-") as folder:
        words = [program("valgrind"), "--tool=callgrind", *_COUNTED, f"--callgrind-out-file={folder}/out"]
        words += [sys.executable, "-m", "tests.bench.chain.hot", *wanted]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        totals = [total for path in _dumps(Path(folder)) if (total := total_of(path.read_text())) is not None]
        if done.returncode or len(totals) != len(wanted):
            raise Missing(f"valgrind counted {len(totals)} of {len(wanted)} stages: {done.stderr[-800:]}")
    found: dict[str, dict[str, float]] = {stage: {} for stage in STAGES}
    for word, total in zip(wanted, totals, strict=True):
        stage, _, size = word.rpartition(",")
        found[stage][size] = round(total / TIMES)
    return found


def _dumps(folder: Path) -> list[Path]:
    """One for each stage, in the order in which they ran."""
    return sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))


def total_of(dump: str) -> int | None:
    """The instructions in a dump of callgrind."""
    lines = (line.partition(":") for line in dump.splitlines())
    return next((int(value) for key, _, value in lines if key == "totals"), None)


def main() -> None:
    for stage, sizes in counts().items():
        print(f"{stage:36}" + "".join(f"{sizes[str(size)]:>14,.0f} ({size})" for size in SIZES))


if __name__ == "__main__":
    main()
