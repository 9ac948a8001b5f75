"""A flame graph of the gateway under load: where the time of a value goes, as an SVG that needs nothing else.

    python -m tests.bench.chain.flame OUT.svg [--case 1000] [--contestant ours-columns] [--seconds 10]

py-spy (installed into `var/bench`) samples the gateway while the load of a case is on it; each box is a function, as
wide as its share of the samples, under the one that called it.  A sample is of the thread that holds the interpreter:
what waits is not in it, and what the kernel does for it (sending, writing, syncing) is not either.  Functions of the
gateway, of asyncua, and of the rest have colours of their own; a box tells its name and share when pointed at.
"""

import argparse
import html
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.chain.cases import CASES
from tests.bench.chain.contestants import CONTESTANTS
from tests.bench.chain.install import PROFILER, Missing, install
from tests.bench.chain.load import Load
from tests.bench.chain.stage import staged

SAMPLES_PER_S = 400
WIDTH, ROW, HEAD = 1200.0, 17, 34
NARROWEST = 0.4
"""Boxes of fewer pixels are left out."""
CHARACTER = 6.2
COLOURS = {"gateway": ("#0b6e4f", "#ffffff"), "asyncua": ("#c97b2b", "#ffffff"), "": ("#c9ccd1", "#1b1f24")}
"""By package: of the box and of its text."""
_TURNS = ("Handle._run", "BaseEventLoop._run_once", "Thread.run")
"""Functions that every sample of a thread goes through, the innermost of which counts."""
_FRAME = re.compile(r"(?P<name>.+) \((?P<file>[^)]*?)(:\d+)?\)$")


@dataclass
class Box:
    """A function, and what it called."""

    name: str
    package: str = ""
    samples: int = 0
    inner: "dict[str, Box]" = field(default_factory=dict)


def tree_of(stacks: Iterable[str]) -> Box:
    """From lines `frame;frame;… count`, the outermost frame first, as py-spy writes them.

    Lines of one function are one box; the frames in front of the event loop's turn (which every sample of a thread
    shares) are left out.
    """
    root = Box("all")
    for line in stacks:
        frames, _, count = line.rstrip().rpartition(" ")
        if not frames:
            continue
        root.samples += int(count)
        box = root
        for frame in _without_prologue(frames.split(";")):
            name, package = described(frame)
            box = box.inner.setdefault(name, Box(name, package))
            box.samples += int(count)
    return root


def _without_prologue(frames: list[str]) -> list[str]:
    turns = [place for place, frame in enumerate(frames) if frame.partition(" (")[0].endswith(_TURNS)]
    first = turns[-1] + 1 if turns else 0
    return frames[first:] or frames[-1:]


def described(frame: str) -> tuple[str, str]:
    """Name and package of a frame `function (file:line)`."""
    found = _FRAME.match(frame)
    if found is None:
        return frame, ""
    file = found["file"]
    package = next((each for each in ("gateway", "asyncua") if f"{each}/" in file), "")
    short = file.rpartition(f"{package}/")[2] if package else file.rpartition("/")[2]
    place = f"{package}/{short}" if package else short
    return f"{found['name']} ({place})", package


def boxes(box: Box, left: float, depth: int, scale: float) -> Iterator[tuple[Box, float, float, int]]:
    """Each box with its left edge, its width and its depth; the larger ones stand first."""
    for inner in sorted(box.inner.values(), key=lambda each: -each.samples):
        width = inner.samples * scale
        if width >= NARROWEST:
            yield inner, left, width, depth
            yield from boxes(inner, left, depth + 1, scale)
        left += width


def svg(root: Box, title: str) -> str:
    """The picture, the outermost functions at the top."""
    placed = list(boxes(root, 0.0, 0, WIDTH / max(1, root.samples)))
    height = HEAD + ROW * (1 + max((depth for *_, depth in placed), default=0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="4" y="20" font-size="14">{html.escape(title)}</text>'
    ]
    for box, left, width, depth in placed:
        fill, ink = COLOURS[box.package]
        top, share = HEAD + depth * ROW, box.samples / root.samples
        name = html.escape(box.name)
        parts.append(
            f'<g><title>{name}: {share:.1%}</title><rect x="{left:.1f}" y="{top}" width="{max(0.1, width - 0.5):.1f}" '
            f'height="{ROW - 1}" fill="{fill}" rx="1"/>{_label(box.name, left, top, width, ink)}</g>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _label(name: str, left: float, top: int, width: float, ink: str) -> str:
    room = int((width - 6) / CHARACTER)
    if room < 3:
        return ""
    text = name if len(name) <= room else name.partition(" (")[0][:room]
    return f'<text x="{left + 3:.1f}" y="{top + 12}" fill="{ink}">{html.escape(text)}</text>'


def sampled(contestant: str, case: str, seconds: float) -> str:
    """Stacks of a contestant under the load of a case.  Raises Ended and Missing."""
    install("profiler")
    chosen = CASES[case]
    with staged(CONTESTANTS[contestant], chosen.around) as stage, tempfile.NamedTemporaryFile() as file:
        speed = stage.run(chosen.pilot()).values_per_s
        load = chosen.load(seconds + 2.0, speed)
        words = [
            str(PROFILER.python.with_name("py-spy")),
            "record",
            "--gil",
            "--format",
            "raw",
            "--rate",
            str(SAMPLES_PER_S),
        ]
        words += ["--duration", str(round(seconds)), "--pid", str(stage.program.pid), "--output", file.name]
        spy = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            stage.run(Load(load.total * 2, load.per, load.rate_hz, load.seconds))
            _, complaint = spy.communicate(timeout=60)
        finally:
            spy.kill()
        if spy.returncode:
            raise Missing(f"py-spy took no samples: {complaint.decode()[-800:]}")
        return Path(file.name).read_text()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--case", default="1000")
    parser.add_argument("--contestant", default="ours-columns")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    stacks = sampled(given.contestant, given.case, given.seconds)
    title = f"{CONTESTANTS[given.contestant].title}, {CASES[given.case].title}"
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(svg(tree_of(stacks.splitlines()), title), encoding="utf-8")
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
