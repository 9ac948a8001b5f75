"""What commands cost the values beside them: the delay of values with and without 200 writes a second, as a ratio.

    python -m tests.bench.bench_commands [--seconds 30] [--values-per-second 5000] [--commands-per-second 200] [--json]

The chain of `bench_delay` with the disk; both take turns, twice, in one run, because the machine is not always equally
busy.  A command is a write to one of 50 set-points of the same server in turn, over the same broker: journal, write,
read-back, answer.
Goal: the 99th percentile of the delay of values beside them is at most 1.5 times that without.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simulators.server.endpoint import MODEL_URI
from tests.bench.bench_delay import TURNS, WARM_UP_S, Stamps, per_value_ms
from tests.support.commanded import Requester, in_s, requester
from tests.support.load_chain import load_chain
from tests.support.load_server import SET_POINTS
from tests.support.timed_gateway import TimedGateway

GOAL = 1.5
COMMANDS = {
    "requesters": ["mes"],
    "rules": [
        {"source": "load", "node": f"nsu={MODEL_URI};s=SetPoint-{n}", "name": f"SetPoint-{n}", "write": {}}
        for n in range(SET_POINTS)
    ],
    "journal_bytes": "256MiB",
    "waiting": 1000,
    "at_once": 16,
}


@dataclass
class Asked:
    """What one turn asked for."""

    sent_s: dict[str, float] = field(default_factory=dict)
    took_ms: list[float] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)

    def told(self, answer: dict[str, object]) -> None:
        if answer["final"]:
            self.took_ms.append((time.monotonic() - self.sent_s[str(answer["id"])]) * 1000)
            outcome = str(answer["outcome"])
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


async def ask(url: str, per_second: int, asked: Asked, stop: threading.Event) -> None:
    async with requester("mes", url) as mes:
        reading = asyncio.create_task(read(mes, asked), name="answers")
        began_s, number = time.monotonic(), 0
        while not stop.is_set():
            due = int((time.monotonic() - began_s) * per_second)
            while number < due:
                number += 1
                asked.sent_s[str(number)] = time.monotonic()
                write = {"tag": f"SetPoint-{number % SET_POINTS}", "value": number}
                await mes.send(
                    {"id": str(number), "operation": "write", "deadline": in_s(30), "writes": [write]}, source="load"
                )
            await asyncio.sleep(0.005)
        until_s = time.monotonic() + 10
        while len(asked.took_ms) < number and time.monotonic() < until_s:  # noqa: ASYNC110 - for a bounded time
            await asyncio.sleep(0.05)
        reading.cancel()
        await asyncio.wait([reading])


async def read(mes: Requester, asked: Asked) -> None:
    while True:
        asked.told((await mes.next(600))[0])


@contextmanager
def asking(url: str, per_second: int) -> Iterator[Asked]:
    """Commands at this rate while the body runs."""
    asked, stop = Asked(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(ask(url, per_second, asked, stop)), name="requester")
    if per_second:
        thread.start()
    try:
        yield asked
    finally:
        stop.set()
        if per_second:
            thread.join()


def measured(values_per_second: int, commands_per_second: int, seconds: float) -> tuple[Stamps, Asked]:
    """One turn; a row per message, the first seconds left out."""
    with (
        tempfile.TemporaryDirectory(prefix="commands-") as folder,
        load_chain(
            Path(folder), values_per_second, links=False, kind=TimedGateway,
            outbox={"path": f"{folder}/outbox"}, commands=COMMANDS,
        ) as chain,
    ):  # fmt: skip
        with asking(chain.broker.url, commands_per_second) as asked:
            time.sleep(WARM_UP_S + seconds)
        chain.finish()
        chain.gateway.stop()
        assert isinstance(chain.gateway, TimedGateway)
        assert chain.checker.missing == 0
        stamps = chain.gateway.stamps
    return stamps[int(len(stamps) * WARM_UP_S / (WARM_UP_S + seconds)) :], asked


def percentiles(delays: "np.typing.ArrayLike") -> dict[str, float]:
    found = np.percentile(np.asarray(delays), (50, 99))
    return {"p50": round(float(found[0]), 2), "p99": round(float(found[1]), 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each turn lasts (default: 30; 4 turns)")
    parser.add_argument("--values-per-second", type=int, default=5000)
    parser.add_argument("--commands-per-second", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    turns: dict[str, list[Stamps]] = {"without": [], "beside": []}
    took_ms, outcomes, sent = list[float](), dict[str, int](), 0
    load = [os.getloadavg()[0]]
    for _ in range(TURNS):
        for name, stamps in turns.items():
            rate = options.commands_per_second if name == "beside" else 0
            found, asked = measured(options.values_per_second, rate, options.seconds)
            stamps.append(found)
            took_ms += asked.took_ms
            sent += len(asked.sent_s)
            outcomes = {key: outcomes.get(key, 0) + asked.outcomes.get(key, 0) for key in {*outcomes, *asked.outcomes}}
            load.append(os.getloadavg()[0])
            print(f"{name}: {percentiles(per_value_ms(found, 'acknowledged'))}, load {load[-1]:.1f}", file=sys.stderr)
    figures = {name: percentiles(per_value_ms(np.concatenate(each), "acknowledged")) for name, each in turns.items()}
    ratio = round(figures["beside"]["p99"] / figures["without"]["p99"], 2)
    facts = {
        **figures, "ratio_p99": ratio, "commands": percentiles(took_ms), "sent": sent, "outcomes": outcomes,
        "load_average": [round(each, 1) for each in load],
    }  # fmt: skip
    print(json.dumps(facts, indent=None if options.json else 2))
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
