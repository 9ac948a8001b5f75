"""The tables of the README, from what is recorded last: so none of its figures is written by hand.

python -m tests.bench.chain.readme        writes them into README.md, between the two marks
"""

from collections.abc import Callable, Iterator
from textwrap import wrap

from tests.bench.chain.cases import CASES
from tests.bench.chain.contestants import CONTESTANTS, ROOT
from tests.bench.chain.measured import Measured
from tests.bench.chain.results import Results, Spread, recorded

BEGIN, END = "<!-- figures of the chain: python -m tests.bench.chain.readme -->\n", "<!-- end of the figures -->\n"
FULL_SPEED = ("1000", "10", "1")
AT_A_RATE = ("rate-20000", "rate-5000", "rate-100", "sources-100", "sources-100-often", "sources-1000")


def markdown(results: Results) -> str:
    """The tables of a run, and where it was taken."""
    machine, checkout = _told(results, "machine"), _told(results, "checkout")
    taken = (
        f"Taken on {results.began[:10]} of commit {checkout.get('commit')}: {machine.get('cores')} cores of"
        f" {machine.get('processor')}, fdatasync {machine.get('fdatasync_ms')} ms, {results.about.get('rounds')}"
        " round(s), medians, every value once."
    )
    lines = [
        *wrap(taken, 100),
        "",
        *_table(results, FULL_SPEED, "CPU µs per value (values/s), by values in a response", _of_speed),
        "",
        *_table(results, AT_A_RATE, "cores, delay ms p50 / p99", _of_rate),
    ]
    return "\n".join(lines).rstrip() + "\n"


def with_figures(text: str, results: Results) -> str:
    """The README with these tables.  Raises ValueError when it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the marks {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{markdown(results)}\n{END}{behind}"


def _told(results: Results, what: str) -> dict[str, object]:
    found = results.about.get(what)
    return found if isinstance(found, dict) else {}


def _table(results: Results, names: tuple[str, ...], what: str, cell: Callable[[list[Measured]], str]) -> Iterator[str]:
    cases = [name for name in names if any(results.of(each, name) for each in results.contestants())]
    if not cases:
        return
    yield f"| {what} | " + " | ".join(CASES[name].title for name in cases) + " |"
    yield "| --- |" + " ---: |" * len(cases)
    for contestant in results.contestants():
        found = [[e.measured for e in results.of(contestant, name) if e.measured] for name in cases]
        if any(found):
            title = CONTESTANTS[contestant].title if contestant in CONTESTANTS else contestant
            yield f"| {title} | " + " | ".join(cell(each) if each else "" for each in found) + " |"


def _of_speed(found: list[Measured]) -> str:
    return f"{_middle(found, lambda m: m.cpu_us):.2f} ({_middle(found, lambda m: m.values_per_s):,.0f})"


def _of_rate(found: list[Measured]) -> str:
    half, most = _middle(found, lambda m: m.delays_ms["p50"]), _middle(found, lambda m: m.delays_ms["p99"])
    return f"{_middle(found, lambda m: m.cores):.2f}, {half:.1f} / {most:.1f}"


def _middle(found: list[Measured], figure: Callable[[Measured], float]) -> float:
    return Spread.of(map(figure, found)).median


def main() -> None:
    found = list(recorded())
    if not found:
        raise SystemExit("nothing is recorded: python -m tests.bench.chain --record NAME")
    path = ROOT / "README.md"
    path.write_text(with_figures(path.read_text(encoding="utf-8"), found[-1][1]), encoding="utf-8")
    print(f"README.md has the figures of {found[-1][0]}")


if __name__ == "__main__":
    main()
