"""What one publish costs: messages per second and CPU per message, QoS 1, 100 bytes, against mosquitto on loopback.

    python tests/bench/bench_delivery.py [--messages 40000] [--rounds 3] [--json]

Each way of publishing delivers the same messages to the same broker, one after the other, several rounds; the best
round of each counts, because what slows a round down is other work on the machine.  "plain aiomqtt" is what a program
would do with aiomqtt alone: 20 tasks, each awaiting its publishes, with paho's own window of 20.

Held against the targets of the project, and the exit code says whether they are met: the lean session delivers at
least 50 000 messages per second and four times as many as plain aiomqtt in the same run.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import aiomqtt

from gateway.model import Message
from gateway.mqtt.sink import Sink
from tests.support.brokers import mosquitto
from tests.support.mqtt_sessions import Session, opened

PAYLOAD = b'{"stream":"s","seq":1234567,"values":[{"name":"Temperature","value":71.25,"time":"2026-01-01T0"}]}  '
TARGET_PER_S = 50_000
TARGET_FACTOR = 4.0


@dataclass(frozen=True, slots=True)
class Result:
    """One way of publishing, its best round."""

    name: str
    per_s: float
    cpu_us: float
    """CPU of this process per message, microseconds; the broker's is not in it."""


def message(number: int) -> Message:
    return Message("factory/site/line/machine", PAYLOAD, "s", number, 1)


async def plain_aiomqtt(port: int, count: int) -> None:
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        client.pending_calls_threshold = 1000
        left = iter(range(count))

        async def publish() -> None:
            for _ in left:
                await client.publish("factory/site/line/machine", PAYLOAD, qos=1)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(publish())


async def through(session: Session, port: int, window: int, count: int) -> None:
    async with opened(session, f"mqtt://127.0.0.1:{port}", window=window) as sink:
        await pump(sink, count)


async def pump(sink: Sink, count: int) -> None:
    """Keep the window full, and look at every verdict."""
    open_: deque[asyncio.Future[object]] = deque()
    for number in range(count):
        if len(open_) >= sink.window:
            await open_.popleft()
        open_.append(sink.send(message(number)))  # type: ignore[arg-type]  # Future is invariant; only awaited here
    for future in open_:
        await future


Way = Callable[[int, int], Awaitable[None]]


def ways() -> dict[str, Way]:
    found: dict[str, Way] = {"plain aiomqtt, window 20": plain_aiomqtt}
    kinds: tuple[tuple[str, Session], ...] = (("general (aiomqtt)", "general"), ("lean (mqtt5)", "lean"))
    for label, session in kinds:
        for window in (20, 100, 1000):

            def way(port: int, count: int, session: Session = session, window: int = window) -> Awaitable[None]:
                return through(session, port, window, count)

            found[f"{label}, window {window}"] = way
    return found


def measure(name: str, way: Way, port: int, count: int) -> Result:
    async def body() -> Result:
        wall, cpu = time.perf_counter(), time.process_time()
        await way(port, count)
        return Result(name, count / (time.perf_counter() - wall), 1e6 * (time.process_time() - cpu) / count)

    return asyncio.run(asyncio.wait_for(body(), 300))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # aiomqtt warns of every publish beyond a threshold
    best: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder), "max_inflight_messages 1000") as broker:
        for _ in range(arguments.rounds):
            for name, way in ways().items():
                found = measure(name, way, broker.port, arguments.messages)
                if name not in best or found.per_s > best[name].per_s:
                    best[name] = found
    return report(best, arguments.json)


def report(best: dict[str, Result], as_json: bool) -> int:
    plain = best["plain aiomqtt, window 20"].per_s
    lean = max(result.per_s for name, result in best.items() if name.startswith("lean"))
    met = lean >= TARGET_PER_S and lean >= TARGET_FACTOR * plain
    if as_json:
        print(json.dumps({"results": [asdict(r) for r in best.values()], "factor": lean / plain, "met": met}))
        return 0 if met else 1
    print(f"{'':28} {'messages/s':>12} {'CPU us/message':>16} {'x plain':>9}")
    for result in best.values():
        print(f"{result.name:28} {result.per_s:12,.0f} {result.cpu_us:16.1f} {result.per_s / plain:9.1f}")
    print(f"target {TARGET_PER_S:,}/s and {TARGET_FACTOR:g} x plain: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
