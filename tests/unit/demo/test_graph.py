"""The graph of the demo: what happened second by second, and what it says in the end."""

import io

import pytest
from rich.console import Console

from gateway.demo.graph import COLUMNS, History, bars, graph, verdict
from gateway.demo.view import Flow, panel
from gateway.metrics import Books


def books(received: int, delivered: int, dropped: int = 0) -> Books:
    stored = received - delivered - dropped
    return Books(received, 0, delivered, stored, 0, dropped, delivered)


def an_outage(lasts_s: int) -> tuple[History, Books]:
    """Ten values a second; the broker is away from second 10 on, and takes all of the backlog in the second after."""
    history, delivered = History(), 0
    for second in range(20 + lasts_s):
        is_up = not 10 <= second < 10 + lasts_s
        delivered = 10 * second if is_up else delivered
        latest = books(10 * second, delivered)
        history.update(second, latest, is_up)
        history.update(second + 0.5, latest, is_up)
    return history, latest


def test_an_outage_is_shown_as_no_delivery_a_growing_store_and_a_catch_up() -> None:
    history, _ = an_outage(5)
    data = history.summary()
    assert data["delivered"] == [0] + [10] * 9 + [0] * 5 + [60] + [10] * 9
    assert data["stored"] == [0] * 10 + [10, 20, 30, 40, 50] + [0] * 10
    assert data["broker_up"] == [True] * 10 + [False] * 5 + [True] * 10


def test_two_minutes_fit_into_the_graph() -> None:
    history, latest = an_outage(120)
    assert len(history.columns()) <= COLUMNS
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        console.print(graph(history, latest))
    text = capture.get()
    assert "╳╳╳" in text
    assert "█" in text
    assert "1390 values received, nothing is missing" in text
    assert "the outage is over: 1200 values were kept and delivered, in order" in text
    assert max(map(len, text.splitlines())) <= COLUMNS


def test_bars_have_the_height_of_their_number() -> None:
    assert bars([0, 1, 4, 8], 1) == [" ▁▄█"]
    assert bars([0, 8, 16], 2) == ["  █", " ██"]
    assert bars([1, 1000], 1) == ["▁█"]
    assert bars([0, 0], 1) == ["  "]
    assert bars([], 2) == ["", ""]


def test_the_verdict_names_missing_values() -> None:
    assert verdict(books(10, 10)) == "10 values received, nothing is missing"
    assert verdict(books(10, 7)) == "10 values received, 3 of them on disk, nothing is missing"
    assert verdict(books(10, 7, dropped=3)) == "10 values received, 3 dropped"
    assert "do not balance" in verdict(Books(10, 0, 7, 0, 0, 0, 7))


def flow_of(history: History, latest: Books) -> Flow:
    machines = [{"path": f"line-1/{name}", "state": "WORKING", "good": 17, "scrap": 1, "oee": 0.5} for name in "abc"]
    return Flow(
        at_s=0.0, books=latest, delay_sum_s=0.0, machines=machines, endpoint="opc.tcp://127.0.0.1:4840",
        who_may_read="encrypted, for the gateway; --open lets any client in", broker="mqtt://127.0.0.1:1883",
        broker_3="mqtt://127.0.0.1:1884", http="http://127.0.0.1:9464", links=(), parts_good=1, parts_scrap=0,
        history=history,
    )  # fmt: skip


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_the_panel_fits_the_terminal_and_says_no_delay_while_nothing_is_delivered(columns: int, lines: int) -> None:
    history, latest = an_outage(120)
    console = Console(width=columns, height=lines, file=io.StringIO())
    with console.capture() as capture:
        console.print(panel(flow_of(history, latest), 0.0, None, columns, lines))
    shown = capture.get().splitlines()
    assert len(shown) <= lines - 1  # the cursor stands on the last one
    assert max(map(len, shown)) <= columns
    assert "the outage is over: 1200 values" in capture.get()
    assert "0 ms" not in capture.get()
