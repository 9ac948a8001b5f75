"""The output of the demo: a live display on a terminal, a line every few seconds in a log, or only the summary."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.demo.graph import HEIGHT, History, graph
from gateway.link import Link
from gateway.metrics import Books

RATE_WINDOW_S = 5.0
LINE_EVERY_S = 5.0
WIDE = 110
"""Columns from which hints stand beside the addresses."""

STATE_STYLES = {"WORKING": "green", "DOWN": "bold red", "BLOCKED": "yellow", "STARVED": "cyan", "SETUP": "magenta"}


@dataclass(frozen=True, slots=True)
class Flow:
    """Everything that the demo shows, at one instant."""

    at_s: float
    books: Books
    delay_sum_s: float
    machines: Sequence[dict[str, object]]
    endpoint: str
    who_may_read: str
    """Who may read from the OPC UA server."""
    broker: str
    broker_3: str
    http: str
    links: Sequence[Link]
    parts_good: int
    parts_scrap: int
    history: History

    def summary(self) -> dict[str, object]:
        """The complete output of `--json`."""
        return {**self.figures, "history": self.history.summary()}

    @property
    def figures(self) -> dict[str, object]:
        """The sums and addresses, under the names of `--json`."""
        return {
            "received": self.books.received,
            "delivered": self.books.delivered,
            "stored": self.books.stored,
            "filtered": self.books.filtered,
            "dropped": self.books.dropped,
            "recovered": self.books.recovered,
            "messages": self.books.messages,
            "parts_good": self.parts_good,
            "parts_scrap": self.parts_scrap,
            "endpoint": self.endpoint,
            "broker": self.broker,
            "http": self.http,
        }


class View(Protocol):
    """Shows the flow."""

    def show(self, flow: Flow) -> None: ...


class NoView:
    """Shows nothing: only the summary is wanted."""

    def show(self, flow: Flow) -> None:
        return


class Rates:
    """Rate and mean delay over the last seconds."""

    def __init__(self) -> None:
        self._past: deque[Flow] = deque()

    def update(self, flow: Flow) -> tuple[float, float | None]:
        """Values per second and mean delay in seconds, over the window that ends with this flow.

        Without a delivery in it there is no delay.
        """
        self._past.append(flow)
        while flow.at_s - self._past[0].at_s > RATE_WINDOW_S:
            self._past.popleft()
        first = self._past[0]
        elapsed_s = max(flow.at_s - first.at_s, 1e-9)
        messages = flow.books.messages - first.books.messages
        delay_s = (flow.delay_sum_s - first.delay_sum_s) / messages if messages else None
        return (flow.books.delivered - first.books.delivered) / elapsed_s, delay_s


class LineView:
    """One line every few seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rates = Rates()
        self._next_s = 0.0

    def show(self, flow: Flow) -> None:
        rate, delay_s = self._rates.update(flow)
        if flow.at_s < self._next_s:
            return
        if not self._next_s:
            self._console.print(addresses(flow))
        self._next_s = flow.at_s + LINE_EVERY_S
        b = flow.books
        self._console.print(
            f"received {b.received}  delivered {b.delivered}  stored {b.stored}  dropped {b.dropped}  "
            f"{rate:.0f}/s  delay {_delay(delay_s)}  good parts {flow.parts_good}  scrap {flow.parts_scrap}"
        )


class LiveView:
    """A display that stays in place.  Log lines go above it."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._rates = Rates()

    def show(self, flow: Flow) -> None:
        rate, delay_s = self._rates.update(flow)
        self._live.update(panel(flow, rate, delay_s, *self._live.console.size), refresh=True)


def panel(flow: Flow, rate: float, delay_s: float | None, columns: int, lines: int) -> Panel:
    """All of it for a terminal of this size; what does not fit into a small one is left out, the graph last."""
    room = (
        lines - 2 - 4 - 1 - min(len(flow.machines), 4) - 4 - 5
    )  # border, addresses, machines, figures, texts of the graph
    is_large = room >= 2 * HEIGHT + 4
    between = [Text()] if is_large else []
    shown = [addresses(flow, columns), *between, machine_table(flow.machines if is_large else flow.machines[:4])]
    shown += [*between, flow_table(flow, rate, delay_s), *between]
    shown.append(graph(flow.history, flow.books, max(20, columns - 4), HEIGHT if is_large else max(1, room // 2)))
    return Panel(Group(*shown), title="connected factory", subtitle="Ctrl-C ends it", border_style="blue")


def addresses(flow: Flow, columns: int = 200) -> RenderableType:
    """The addresses for other programs, with hints where there is room for them."""
    table = Table.grid(padding=(0, 2))
    host, port = flow.broker.removeprefix("mqtt://").split(":")
    rows = (
        ("OPC UA", flow.endpoint, flow.who_may_read),
        ("MQTT 5", flow.broker, f"mosquitto_sub -V 5 -h {host} -p {port} -t 'factory/#' -v"),
        ("MQTT 3.1.1", flow.broker_3, ""),
        ("HTTP", flow.http, "/metrics  /health/live  /health/ready"),
    )
    for name, address, hint in rows:
        table.add_row(Text(name, style="bold"), address, Text(hint if columns >= WIDE else "", style="dim"))
    return table


def machine_table(machines: Sequence[dict[str, object]]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("machine", "state", "good", "scrap", "OEE"):
        table.add_column(column, justify="left" if column in ("machine", "state") else "right")
    for machine in machines:
        state, oee = str(machine.get("state", "")), machine.get("oee")
        table.add_row(
            str(machine.get("path", "")),
            Text(state.lower(), style=STATE_STYLES.get(state.upper(), "")),
            str(machine.get("good", "")),
            str(machine.get("scrap", "")),
            f"{oee:.0%}" if isinstance(oee, float) else "–",
        )
    return table


def _delay(delay_s: float | None) -> str:
    return "–" if delay_s is None else f"{delay_s * 1000:.0f} ms"


def flow_table(flow: Flow, rate: float, delay_s: float | None) -> RenderableType:
    books = flow.books
    table = Table.grid(padding=(0, 3))
    table.add_row(*(Text(n, style="bold") for n in ("received", "delivered", "stored", "dropped", "rate", "delay")))
    table.add_row(
        str(books.received),
        Text(str(books.delivered), style="green"),
        Text(str(books.stored), style="yellow" if books.stored else ""),
        Text(str(books.dropped), style="bold red" if books.dropped else ""),
        f"{rate:.0f} values/s",
        _delay(delay_s),
    )
    states = Text("  ").join(
        Text(f"{link.peer} {link.state.value}", style="green" if link.is_up else "bold red") for link in flow.links
    )
    states.no_wrap, states.overflow = True, "ellipsis"
    return Group(table, states)
