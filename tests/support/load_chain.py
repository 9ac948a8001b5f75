"""The whole chain under load, as real processes: load server, gateway, mosquitto, and a checking subscriber here.

    load server → (proxy) → `gateway run` → (proxy) → mosquitto → checker

The proxies are for tests that cut connections; without them the programs connect directly.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.support.brokers import Process, mosquitto
from tests.support.load_checker import LoadChecker, load_checker
from tests.support.load_server import LoadServer, source_of
from tests.support.programs import Gateway, running, wait_until
from tests.support.threaded import ThreadedProxy, proxy_thread

RATE_HZ = 10.0
"""How often each tag changes; the number of tags sets the load."""
CAUGHT_UP_S = 1.0
"""Values younger than this are live."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class LoadChain:
    """Everything that runs."""

    server: LoadServer
    gateway: Gateway
    broker: Process
    checker: LoadChecker
    server_link: ThreadedProxy | None = None
    broker_link: ThreadedProxy | None = None

    def wait_caught_up(self, within_s: float = 120.0) -> float:
        """Wait until the arriving values are live.  Returns how long that took, in seconds."""
        began_s = time.monotonic()
        wait_until(lambda: self.checker.lag_s < CAUGHT_UP_S, "live values", within_s)
        return time.monotonic() - began_s

    def wait_checker_idle(self, quiet_s: float = 0.5) -> None:
        """Wait until nothing has arrived for a while, so that the broker has passed on everything."""

        def idle() -> bool:
            return time.monotonic() - self.checker.arrived_at_s > quiet_s

        wait_until(idle, "the broker to have passed on what it took")

    def finish(self, within_s: float = 180.0) -> int:
        """Stop making values and wait until the last one of every tag has arrived.  Returns its tick."""
        last = self.server.finish()
        wait_until(lambda: int(self.checker.last.min()) >= last, f"tick {last} of every tag", within_s)
        return last


@contextmanager
def load_chain(
    folder: Path,
    values_per_second: int,
    *,
    links: bool = True,
    kind: type[Gateway] = Gateway,
    source: Mapping[str, object] = MappingProxyType({}),
    **changes: object,
) -> Iterator[LoadChain]:
    """Everything started and flowing.

    `source` and `changes` go into the gateway's configuration, `kind` is how it is run.
    """
    tags = max(1, round(values_per_second / RATE_HZ))
    with ExitStack() as stack:
        enter = stack.enter_context
        broker = enter(mosquitto(folder, "max_inflight_messages 0"))
        server = enter(running(LoadServer(folder, tags, RATE_HZ)))
        server.wait_said("serving", within_s=90)
        checker = enter(load_checker(broker.url, "load/#", tags, server.began_ns / 1e9, 1 / RATE_HZ))
        server_link = enter(proxy_thread(server.port)) if links else None
        broker_link = enter(proxy_thread(broker.port)) if links else None
        url = f"mqtt://127.0.0.1:{broker_link.port}" if broker_link else broker.url
        options: dict[str, object] = {
            "sources": [source_of(server_link.port if server_link else server.port, **source)],
            "payload": {"format": "json-columns", "topic": "load/{machine}"},
            **changes,
        }
        gateway = enter(running(kind(folder, "", url, **options)))
        chain = LoadChain(server, gateway, broker, checker, server_link, broker_link)
        chain.wait_caught_up(120)
        yield chain


# -- the books and the process, as seen from outside


@dataclass(frozen=True)
class Books:
    """Values, as `/metrics` tells them at one scrape."""

    received: int
    recovered: int
    delivered: int
    stored: int
    filtered: int
    dropped: int

    @property
    def difference(self) -> int:
        """0 when `received + recovered = delivered + stored + filtered + dropped`."""
        return self.received + self.recovered - self.delivered - self.stored - self.filtered - self.dropped


def books_of(metrics: Mapping[str, float]) -> Books:
    def total(name: str) -> int:
        return int(sum(v for k, v in metrics.items() if k.startswith(name + "{")))

    counters = (total(f"gateway_values_{n}_total") for n in ("received", "recovered", "delivered"))
    received, recovered, delivered = counters
    filtered, dropped = (total(f"gateway_values_{n}_total") for n in ("filtered", "dropped"))
    return Books(received, recovered, delivered, total("gateway_outbox_values"), filtered, dropped)


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE_BYTES // 1024


def open_files(pid: int) -> int:
    """File descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
