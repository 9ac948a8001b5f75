"""The figures as tables of the terminal."""

from collections.abc import Callable, Iterable

from rich.table import Table

from tests.bench.chain.cases import CASES
from tests.bench.chain.contestants import CONTESTANTS
from tests.bench.chain.measured import Measured
from tests.bench.chain.ratios import ratios
from tests.bench.chain.results import Entry, Results, Spread

BAD = "[red]{}[/red]"


def line(entry: Entry) -> str:
    """One measurement as soon as it is there."""
    head = f"{entry.contestant:22} {entry.case:18}"
    if entry.failed:
        return f"{head} [red]failed[/red]: {entry.failed}"
    if (m := entry.measured) is not None:
        return (
            f"{head} {m.values_per_s:>11,.0f} values/s {m.cpu_us:>9.3f} us/value {m.response_us:>9,.0f} us/response "
            f"{m.cores:5.2f} cores {m.memory_mib:4.0f} MiB  {_delays(m.delays_ms)} ms{_unsound(entry)}"
        )
    if (d := entry.drained) is not None:
        return (
            f"{head} stored {d.stored_per_s:,.0f}/s, drained {d.drained_per_s:,.0f}/s, link {d.link_used:.0%}, "
            f"live {_delays(d.live_ms)} ms{_unsound(entry)}"
        )
    s = entry.started
    return f"{head} all values after {s.all_values_s:.1f} s, CPU {s.cpu_s:.2f} s, {s.memory_mib:.0f} MiB" if s else head


def tables(results: Results, before: Results | None = None, before_name: str = "") -> Iterable[Table]:
    """All there is to say of a run, the most important last; `before` stands beside today's ratios."""
    cases = [CASES[name] for name in results.cases() if name in CASES]
    for case in cases:
        if case.per and not case.backlog:
            yield _of_load(results, case.name, f"{case.name}: {case.title}")
    if any(entry.started for entry in results.entries):
        yield _of_starts(results)
    if any(case.backlog for case in cases):
        yield _of_backlogs(results)
    if results.instructions:
        yield _of_instructions(results)
    if any(ratios(results, None)):
        yield _of_ratios(results, before, before_name)


def _of_load(results: Results, case: str, title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("contestant")
    for heading in ("values/s", "CPU us/value", "us/response", "cores", "MiB", "delay ms, p50 / p99", "each once"):
        table.add_column(heading, justify="right")
    for name in results.contestants():
        found = [entry for entry in results.entries if entry.contestant == name and entry.case == case]
        measured = [entry.measured for entry in found if entry.measured]
        if not measured:
            if found:
                table.add_row(_title(name), *[""] * 6, BAD.format("failed"))
            continue
        table.add_row(
            _title(name), _of(measured, lambda m: m.values_per_s, ",.0f"), _of(measured, lambda m: m.cpu_us, ",.3f"),
            _of(measured, lambda m: m.response_us, ",.0f"), _of(measured, lambda m: m.cores, ".2f"),
            _of(measured, lambda m: m.memory_mib, ".0f"), _middle_delays(measured),
            "yes" if all(entry.sound for entry in found) else BAD.format("no"),
        )  # fmt: skip
    return table


def _of_starts(results: Results) -> Table:
    table = Table(title="Start, from nothing to every variable's first value", title_justify="left", title_style="bold")
    headings = ("variables", "subscribed s", "all values s", "CPU s", "server's CPU s", "MiB")
    table.add_column("contestant")
    for heading in headings:
        table.add_column(heading, justify="right")
    seen = set()
    for entry in results.entries:
        around = CASES[entry.case].around
        if entry.started is None or (entry.contestant, around) in seen:
            continue
        seen.add((entry.contestant, around))
        cases = [case.name for case in CASES.values() if case.around == around]
        all_of_it = [e for case in cases for e in results.of(entry.contestant, case)]
        starts = list({id(e.started): e.started for e in all_of_it if e.started}.values())
        variables = f"{around.servers} x {around.variables:,}" + (" secure" if around.secure else "")
        spreads = (
            Spread.of(getattr(start, field) for start in starts)
            for field in ("subscribed_s", "all_values_s", "cpu_s", "server_cpu_s", "memory_mib")
        )
        table.add_row(_title(entry.contestant), variables, *(_spread(spread, ".2f") for spread in spreads))
    return table


def _of_backlogs(results: Results) -> Table:
    table = Table(title="A backlog, with live values beside it", title_justify="left", title_style="bold")
    table.add_column("contestant")
    for heading in (
        "case", "stored values/s", "us/value", "bytes/value on disk", "drained values/s", "link used",
        "live ms, p50 / p99", "after, p50 / p99", "each once",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for entry in results.entries:
        if (d := entry.drained) is not None:
            table.add_row(
                _title(entry.contestant), entry.case, f"{d.stored_per_s:,.0f}", f"{d.stored_cpu_us:.2f}",
                f"{d.disk_bytes:.1f}", f"{d.drained_per_s:,.0f}", f"{d.link_used:.0%}" if d.link_used else "no limit",
                _delays(d.live_ms), _delays(d.after_ms), "yes" if entry.sound else BAD.format("no"),
            )  # fmt: skip
    return table


def _of_instructions(results: Results) -> Table:
    sizes = sorted({size for stage in results.instructions.values() for size in stage}, key=int, reverse=True)
    table = Table(title="Instructions per response, by values in it", title_justify="left", title_style="bold")
    table.add_column("stage")
    for size in sizes:
        table.add_column(size, justify="right")
    for stage, found in results.instructions.items():
        table.add_row(stage, *(f"{found[size]:,.0f}" if size in found else "" for size in sizes))
    return table


def _of_ratios(results: Results, before: Results | None, name: str) -> Table:
    table = Table(title="CPU per value of others over ours", title_justify="left", title_style="bold")
    for heading, justify in (("other / ours", "left"), ("case", "left"), ("today", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    if before is not None:
        table.add_column(f"recorded ({name})", justify="right")
    for each in ratios(results, before):
        recorded = [f"{each.before:.2f} x" if each.before is not None else ""] if before is not None else []
        today = f"{each.today:.2f} x"
        table.add_row(
            f"{each.other} / {each.ours}", each.case, today if each.today >= 1 else BAD.format(today), *recorded
        )
    return table


def _title(name: str) -> str:
    known = CONTESTANTS.get(name.partition("@")[0])
    if known is None:
        return name
    return known.title.replace("gateway:", "gateway@against:") if "@" in name else known.title


def _of(measured: list[Measured], figure: Callable[[Measured], float], form: str) -> str:
    return _spread(Spread.of(map(figure, measured)), form)


def _spread(spread: Spread, form: str) -> str:
    """The median, and between what the others lie."""
    middle = format(spread.median, form)
    return middle if spread.count == 1 else f"{middle} ({format(spread.least, form)}–{format(spread.most, form)})"


def _middle_delays(measured: list[Measured]) -> str:
    found = [m.delays_ms for m in measured if m.delays_ms]
    return _delays({key: Spread.of(delays[key] for delays in found).median for key in found[0]}) if found else ""


def _delays(delays_ms: dict[str, float]) -> str:
    return f"{delays_ms['p50']:.1f} / {delays_ms['p99']:.1f}" if delays_ms else ""


def _unsound(entry: Entry) -> str:
    if entry.sound:
        return ""
    found = entry.measured or entry.drained
    assert found is not None
    return " " + BAD.format(f"missing {found.missing}, repeated {found.repeated}, {found.problems}")
