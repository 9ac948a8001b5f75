"""Figures of a run: medians, ratios, and a file that gives back what was written."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.chain.contestants import ROOT
from tests.bench.chain.measured import Drained, Measured, Started
from tests.bench.chain.plots import pictures
from tests.bench.chain.ratios import cpu_us, ratios
from tests.bench.chain.readme import markdown, with_figures
from tests.bench.chain.results import Entry, Results, Spread, read, recorded
from tests.bench.chain.tables import line, tables


def load(cpu_s: float, values: int = 1_000_000, missing: int = 0) -> Measured:
    return Measured(
        values=values, wall_s=2.0, cpu_s=cpu_s, broker_cpu_s=0.1, server_cpu_s=0.1, subscriber_cpu_s=0.1,
        responses=values // 1000, messages=values // 1000, mqtt_bytes=10 * values, memory_mib=100.0, peak_mib=120.0,
        load_average=1.0, missing=missing, repeated=0, steps_back=0, delays_ms={"p50": 1.0, "p99": 2.0},
    )  # fmt: skip


def started() -> Started:
    return Started(1.0, 1.5, 0.8, 0.2, 99.0, 1000)


def drained() -> Drained:
    return Drained(10, 5.0, 1.0, 20.0, 2.0, 1.0, 0.95, {"p50": 1.0, "p99": 2.0}, {}, 0, 0)


def results(**costs: float) -> Results:
    """A contestant for each name, one round of the case `1000`."""
    entries = [Entry(name.replace("_", "-"), "1000", 0, started(), load(cost)) for name, cost in costs.items()]
    return Results({"machine": {}}, entries)


def test_a_spread_is_the_median_with_its_range() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0, 3)


def test_cpu_per_value_and_speed_are_of_the_same_load() -> None:
    measured = load(3.0)
    assert (measured.cpu_us, measured.response_us, measured.values_per_s, measured.cores) == (3.0, 3000.0, 5e5, 1.5)


def test_ratios_compare_the_cost_of_the_others_today_and_as_recorded() -> None:
    today, before = results(node=6.0, ours_json=2.0, ours_tag=1.0), results(node=9.0, ours_json=9.0)
    found = {(each.other, each.ours): (each.today, each.before) for each in ratios(today, before)}
    assert found == {("node", "ours-json"): (3.0, 1.0)}


def test_another_checkout_is_compared_with_this_one() -> None:
    found = list(ratios(Results(entries=[
        Entry("ours-json", "1000", 0, None, load(1.0)), Entry("ours-json@against", "1000", 0, None, load(1.5)),
    ]), None))  # fmt: skip
    assert [(each.other, each.ours, each.today) for each in found] == [("ours-json@against", "ours-json", 1.5)]


def test_a_failed_run_is_in_no_median() -> None:
    found = results(node=6.0)
    found.entries.append(Entry("node", "1000", 1, failed="ended"))
    assert found.spread("node", "1000", cpu_us) == Spread(6.0, 6.0, 6.0, 1)
    assert not found.sound


def test_written_results_are_read_again(tmp_path: Path) -> None:
    written = results(node=6.0, ours_json=2.0)
    written.entries.append(Entry("ours-json", "backlog", 0, started(), drained=drained()))
    written.instructions = {"decode": {"1000": 123.0}}
    written.write(tmp_path / "a" / "run.json")
    assert read(tmp_path / "a" / "run.json") == written


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="no result of this benchmark"):
        read(tmp_path / "x.json")


def test_recorded_results_can_be_read() -> None:
    for _, found in recorded():
        assert found.entries


def test_every_measurement_and_problem_is_in_a_table() -> None:
    found = results(node=6.0, ours_json=2.0)
    found.entries += [
        Entry("ours-json", "10", 0, started(), load(1.0, missing=7)),
        Entry("ours-json", "backlog", 0, started(), drained=drained()),
        Entry("node", "10", 0, failed="it ended"),
    ]
    console = Console(width=250, record=True, file=io.StringIO())
    for table in tables(found, found, "then"):
        console.print(table)
    text = console.export_text()
    for expected in ("3.00 x", "1 000 values a response", "95%", "Node script", "failed", "no", "99.00"):
        assert expected in text
    assert "missing 7" in line(found.entries[2])
    assert "it ended" in line(found.entries[4])


def test_charts_show_the_measurements() -> None:
    assert set(pictures(results(node=6.0, ours_json=2.0))) == {"cpu", "rate"}


def test_the_tables_of_the_readme_are_those_of_the_newest_record() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    newest = list(recorded())[-1:]
    assert newest, "python -m tests.bench.chain --record NAME"
    assert text == with_figures(text, newest[0][1]), "python -m tests.bench.chain.readme writes them anew"


def test_the_readme_shows_what_each_contestant_costs() -> None:
    shown = markdown(results(node=6.0, ours_json=2.0))
    assert "| gateway: json | 2.00 (500,000) |" in shown
    assert "| Node script, a message per response | 6.00 (500,000) |" in shown
