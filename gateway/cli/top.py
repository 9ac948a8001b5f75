"""`gateway top`: the screen of the live page in a terminal, from the API of a running gateway."""

import sys
import time
from pathlib import Path
from typing import Any

from gateway.cli.asking import Gateway, Json
from gateway.errors import Unavailable

LEVELS = {"good": "green", "warning": "yellow", "bad": "bold red"}
STATES = {"up": "green", "connecting": "yellow", "down": "bold red"}


def top(url: str, every: float, token_file: Path | None, once: bool) -> None:
    """Show a running gateway in this terminal: verdict, servers, brokers, the disk, the last events."""
    from rich.console import Console
    from rich.live import Live

    from gateway.cli.common import problems_told

    with problems_told():
        gateway = Gateway(url, token_file)
        state = gateway.ask("state")
        console = Console()
        if once or not sys.stdout.isatty():
            console.print(screen(state, console.width, 1000, ""))
            return
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                try:
                    state, away = gateway.ask("state"), ""
                except Unavailable as error:
                    away = str(error)
                live.update(screen(state, console.width, console.height, away), refresh=True)
                time.sleep(every)


def screen(state: Json, columns: int, lines: int, away: str) -> Any:
    """All of it, for a terminal of this size.  `away`: why the latest look failed, so that the figures are old."""
    from rich.console import Group
    from rich.text import Text

    verdict = state["verdict"]
    head = Text(f"{state['name']} {state['version']}  ", style="bold")
    if away:
        head.append(f"no answer, these figures are of {state['time'][11:19]} UTC: {away}", style="bold red")
    else:
        head.append(verdict["text"], style=LEVELS[verdict["level"]])
    outbox = state["outbox"]
    disk = Text(
        f"disk  {outbox['bytes'] / 2**20:.1f} of {outbox['capacity_bytes'] / 2**20:.0f} MiB, "
        f"the oldest waits for {_age(outbox['oldest_age_s'])}{'; ' if outbox['trouble'] else ''}{outbox['trouble']}"
    )
    room = max(2, lines - 8 - len(state["certificates"]))
    sources, brokers = _peers(state["sources"], room // 2), _peers(state["brokers"], room // 4)
    parts = [head, disk, _table(sources, _SOURCE), _table(brokers, _BROKER)]
    for each in state["certificates"]:
        parts.append(Text(f"waits for trust: {each['name']}: {each['command']}", style="yellow"))
    left = lines - 6 - len(sources) - len(brokers) - len(state["certificates"])
    parts += [_event(each) for each in state["events"][: max(0, left)]]
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


def _peers(peers: list[Json], most: int) -> list[Json]:
    """Those that are away first; so many fit."""
    return sorted(peers, key=lambda peer: (peer["state"] == "up", peer["name"]))[: max(1, most)]


_SOURCE = ("server", "values/s", "newest", "good", "bad", "gaps")
_BROKER = ("broker", "values/s", "stored", "oldest", "dropped", "refused")


def _table(peers: list[Json], names: tuple[str, ...]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column(names[0], no_wrap=True, ratio=1)
    table.add_column("state", no_wrap=True, ratio=2)
    for name in names[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    for peer in peers:
        why = f" {peer['reason']}" if peer["reason"] else ""
        state = Text(f"{peer['state']} for {_age(peer['for_s'])}{why}", style=STATES[peer["state"]])
        table.add_row(
            peer["name"], state, *(_figures_of_source(peer) if names is _SOURCE else _figures_of_broker(peer))
        )
    return table


def _figures_of_source(source: Json) -> list[str]:
    tags = source["tags"]
    bad = tags["bad"] + tags["uncertain"] + tags["refused"]
    newest = "–" if source["newest_age_s"] is None else _age(source["newest_age_s"])
    return [
        _rate(source["values_per_second"]),
        newest,
        f"{tags['good']}/{tags['total']}",
        str(bad),
        str(source["gaps_24h"]),
    ]


def _figures_of_broker(broker: Json) -> list[str]:
    counts = [str(sum(broker["dropped_values"].values())), str(broker["refused_messages"])]
    return [_rate(broker["values_per_second"]), str(broker["stored_values"]), _age(broker["oldest_age_s"]), *counts]


def _event(event: Json) -> Any:
    from rich.text import Text

    helps = f"  → {event['command']}" if event["command"] else ""
    words = f"{event['time'][11:19]} {event['peer']} {event['event']} {event['reason']}{helps}"
    return Text(" ".join(words.split()), style="yellow" if event["level"] in ("warning", "error") else "dim")


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
