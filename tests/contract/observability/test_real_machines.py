"""Machines of another stack, with Machinery and PackML, have the figures, alerts and panels of simulated ones."""

import asyncio
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from docker.grafana.render.board import Span, filled
from tests.support.brokers import mosquitto
from tests.support.commanded import Body, config_of, running
from tests.support.opcua_peers import node_opcua_server
from tests.support.panels import panels, targets
from tests.support.ports import free_port
from tests.support.prometheus import judge

MINUTES = 12
MILL: Body = {"machine": "mill", "line": "milling"}
SELECT: list[Body] = [
    {"node": "nsu=urn:tests:line;s=mill.ScrapBin", "role": "scrap_parts", "fields": MILL},
    {"node": "nsu=urn:tests:line;s=mill.PlannedCycle", "role": "ideal_cycle", "fields": MILL},
    {"subtree": "i=85", "include": ["mill/**"], "role": "auto", "fields": {"line": "milling"}},
    {"subtree": "i=85", "include": ["filler/**"], "role": "auto", "fields": {"line": "filling"}},
]
BEGIN = (
    "mill.State Executing", "mill.Cycles 100", "mill.ScrapBin 7", "filler.Design 30", "filler.Base Cleared",
    "filler.Machine Running", "filler.Execute Execute", "filler.Processed 500", "filler.Defective 20",
)  # fmt: skip


STATE = 'factory_machine_state{{line="{}",machine="{}",state="{}"}}'
GOOD = 'factory_parts_total{line="filling",machine="filler",verdict="good"}'
Step = tuple[tuple[str, ...], dict[str, float]]
"""Commands for the server, and what the page shows when they have arrived.  The server tells the last of two values
within 50 ms.
"""


def minute(number: int) -> tuple[Step, ...]:
    """What happens in a minute: 48 s of it the mill works and makes 4 parts, 1 of them bad; the filler makes 10 in half
    of it and is blocked for the rest.
    """
    executing = ("is filler.Blocked false", "is filler.Execute Execute", "is mill.State Executing")
    milled = (f"is mill.ScrapBin {7 + number}", f"is mill.Cycles {100 + 4 * number}")
    counted = (f"is filler.Defective {20 + number}", f"is filler.Processed {500 + 10 * number}")
    return (
        (("pass 30", "is filler.Blocked true", "is filler.Execute Suspended"),
         {STATE.format("filling", "filler", "blocked"): 1}),
        (("pass 18", *milled, "is mill.State NotExecuting"),
         {STATE.format("milling", "mill", "starved"): 1}),
        (("pass 12", *counted, *executing), works(number)),
    )  # fmt: skip


def works(number: int) -> dict[str, float]:
    """What the page shows after so many minutes."""
    both = {STATE.format(line, machine, "working"): 1 for line, machine in (("milling", "mill"), ("filling", "filler"))}
    return {GOOD: 9 * number, **both}


def page(port: int) -> dict[str, float]:
    """The series of a gateway's machines."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics/tags", timeout=10) as answer:
        text = answer.read().decode()
    return {
        sample.name
        + "{"
        + ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
        + "}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("factory_")
    }


async def shows(wanted: dict[str, float], port: int) -> dict[str, float]:
    """The page as soon as it shows these values."""
    while True:
        found = await asyncio.to_thread(page, port)
        if all(found.get(name) == value for name, value in wanted.items()):
            return found
        await asyncio.sleep(0.02)


async def some_minutes(folder: Path) -> dict[str, list[float]]:
    """Samples of each series, one a minute, by the clock of the server."""
    series: dict[str, list[float]] = {}
    port = free_port()
    with mosquitto(folder) as broker:
        async with node_opcua_server(0, standard=True) as server:
            for command in BEGIN:
                assert (await server.tell(f"is {command}")).startswith("done")
            rules: Body = {"rules": [{"diagnostics": True}]}
            async with running(config_of(folder, broker.url, server.url, rules, SELECT, http={"port": port})):
                for number in range(MINUTES + 1):
                    found = await shows(works(0), port) if not number else {}
                    for commands, wanted in minute(number) if number else ():
                        for command in commands:
                            assert (await server.tell(command)).startswith("done")
                        found = await shows(wanted, port)
                    for name, value in found.items():
                        series.setdefault(name, []).append(value)
    return series


def asked() -> list[str]:
    """The queries of the boards of plant and machine, without those about energy, alerts, and our own cycle times."""
    unknown = ("ALERTS", "power", "cycle_seconds:mean")
    span = Span(0.0, 60.0 * MINUTES, 60.0)
    found = [
        filled(target["expr"], span, {})
        for board, panel in panels()
        if board in ("plant", "machine")
        for target in targets(panel)
    ]
    return [query for query in found if not any(word in query for word in unknown)]


def test_rules_alerts_and_dashboards_work_for_machines_of_another_stack(tmp_path: Path) -> None:
    series = asyncio.run(asyncio.wait_for(some_minutes(tmp_path), 150))
    values = {name: " ".join(f"{value:g}" for value in samples) for name, samples in series.items()}
    mill, filler = '{line="milling",machine="mill"}', '{line="filling",machine="filler"}'
    milling, filling = ('{line="milling"}', '{line="filling"}')
    queries = asked()
    assert len(queries) > 12
    judge(
        tmp_path,
        values,
        {
            "machine:factory_availability:ratio_1h": {mill: 0.8, filler: 0.5},
            "machine:factory_effectiveness:ratio_1h": {mill: 0.833, filler: 0.667},
            "machine:factory_quality:ratio_1h": {mill: 0.75, filler: 0.9},
            "machine:factory_oee:ratio_1h": {mill: 0.5, filler: 0.3},
            "machine:factory_oee:ratio_1h < 0.45": {filler: 0.3},
            "line:factory_oee:ratio_1h": {milling: 0.5, filling: 0.3},
            "line:factory_quality:ratio_1h": {milling: 0.75, filling: 0.9},
            "line:factory_good_parts:per_hour_5m": {milling: 180, filling: 540},
            **{f"count({query}) > bool 0": {"{}": 1} for query in queries},
        },
        at=f"{MINUTES}m",
    )
