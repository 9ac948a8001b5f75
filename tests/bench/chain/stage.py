"""Everything that runs for one contestant: load server, mosquitto, checking subscriber, and the contestant itself.

    load server → contestant → (link) → mosquitto → subscriber

All on 127.0.0.1, each a process of its own, started and ended here.  One stage takes several loads after another, so
that the start and the warming up are paid once.
"""

import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.chain import pki
from tests.bench.chain.cases import Case, Surroundings
from tests.bench.chain.children import Child, Ended, Talker, ending, load_average, memory_mib
from tests.bench.chain.contestants import ROOT, Contestant, Setting
from tests.bench.chain.install import program
from tests.bench.chain.load import Load
from tests.bench.chain.measured import Measured, Started
from tests.support.ports import free_port

SETTLE_S = 6.0
"""Between the first values and the load: the gateway puts its memory in order five seconds after connecting."""
QUIET_S = 0.4
PATIENCE_S = 15.0
"""How long nothing may arrive while values are missing."""
START_S = 400.0
"""How long a start may take."""
_HERE = {"PYTHONPATH": str(ROOT)}
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
set_tcp_nodelay true
persistence false
log_type error
log_type warning
"""


@dataclass
class Stage:
    """A contestant that is up, with all its variables subscribed."""

    contestant: Contestant
    setting: Setting
    server: Talker
    broker: Child
    subscriber: Talker
    program: Child
    started: Started
    link: Talker | None = None
    sent: int = 0
    """By all servers so far."""
    _so_far: dict[str, int] = field(default_factory=dict)

    @property
    def servers(self) -> int:
        return len(self.setting.opcua_ports)

    def measure(self, case: Case, seconds: float) -> Measured:
        """Put the load of a case on it; one without a rate after a pilot."""
        pilot = None if case.rate_hz else self.run(case.pilot())
        return self.run(case.load(seconds, pilot.values_per_s if pilot else 0.0))

    def run(self, load: Load) -> Measured:
        """Put a load on every server and wait until all of it has arrived; raises Ended when somebody gives up."""
        self.subscriber.ask("marked", mark=True)
        first, children = self.sent // self.servers, (self.program, self.broker, self.server, self.subscriber)
        before, at_first = [child.cpu_s() for child in children], load_average()
        self.server.say(load=vars(load))
        began_s = float(self.server.wait("loading", 10.0)["at"])
        most_s = (load.total / load.rate_hz if load.rate_hz else load.seconds) + START_S
        self.sent = int(self.server.wait("finished", most_s, self.program)["sent"])
        told = self.wait_arrived()
        program_s, broker_s, server_s, subscriber_s = (
            child.cpu_s() - was for child, was in zip(children, before, strict=True)
        )
        verdict = self.verdict(first)
        stats = self.server.ask("stats", stats=True)
        values = self.sent - first * self.servers
        return Measured(
            values=values, wall_s=max(0.0, told["last_s"] - began_s), cpu_s=program_s, broker_cpu_s=broker_s,
            server_cpu_s=server_s, subscriber_cpu_s=subscriber_s, responses=-(-values // load.per),
            messages=self._since("messages", verdict["messages"]), mqtt_bytes=int(told["bytes"]),
            memory_mib=memory_mib(self.program.pid), peak_mib=memory_mib(self.program.pid, "VmHWM"),
            load_average=at_first, missing=verdict["missing"], repeated=verdict["repeated"],
            steps_back=verdict["steps_back"], problems=verdict["problems"], delays_ms=verdict["delays_ms"],
            unacknowledged=stats["unacknowledged"], unknown_acknowledgements=stats["unknown_acknowledgements"],
        )  # fmt: skip

    def verdict(self, first: int) -> dict[str, Any]:
        """What came of the serial numbers from `first` on; problems are those that are new."""
        verdict = self.subscriber.ask("verdict", verdict=self.sent, servers=self.servers, first=first)
        problems = {name: self._since(name, count) for name, count in verdict["problems"].items()}
        return verdict | {"problems": {name: count for name, count in problems.items() if count}}

    def _since(self, name: str, count: int) -> int:
        """What has been counted since it was asked the last time."""
        before, self._so_far[name] = self._so_far.get(name, 0), count
        return count - before

    def wait_arrived(self) -> dict[str, float]:
        """Wait until all that was sent has arrived, or nothing more comes."""
        count, deadline = -1, time.monotonic() + PATIENCE_S
        while True:
            told = self.subscriber.ask("quiet", quiet_s=QUIET_S, most_s=START_S)
            if told["count"] >= self.sent or time.monotonic() > deadline:
                return told
            if told["count"] > count:
                count, deadline = told["count"], time.monotonic() + PATIENCE_S
            self.program.check()


def start_mosquitto(folder: Path, port: int) -> Child:
    path = folder / "mosquitto.conf"
    path.write_text(_MOSQUITTO.format(port=port))
    broker = Child("mosquitto", folder, [program("mosquitto"), "-c", str(path)])
    _wait_listening(port, broker)
    return broker


def _wait_listening(port: int, child: Child) -> None:
    for _ in range(500):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        child.check()
        time.sleep(0.02)
    raise Ended(f"{child.name} does not listen")


def _talker(name: str, folder: Path, **options: object) -> Talker:
    """One of our own programs beside the contestant."""
    words = [sys.executable, "-m", f"tests.bench.chain.{name}"]
    for option, value in options.items():
        words += [f"--{option}", str(value)]
    return Talker(name, folder, words, _HERE)


@contextmanager
def staged(
    contestant: Contestant, around: Surroundings, *, link: bool = False, broker: Mapping[str, object] | None = None,
    settle_s: float = SETTLE_S, keep: Path | None = None,
) -> Iterator[Stage]:  # fmt: skip
    """Everything started, every variable's first value arrived, and time to settle.

    `broker` goes into the configuration of a gateway; `keep` is a folder that gets the logs when something goes wrong.
    Raises Ended when somebody gives up, Missing when something is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-chain-") as name, ExitStack() as stack:
        try:
            yield _set_up(Path(name), stack, contestant, around, link, broker or {}, settle_s)
        except (Ended, OSError):
            if keep:
                shutil.copytree(name, keep, dirs_exist_ok=True)
            raise


def _set_up(
    folder: Path, stack: ExitStack, contestant: Contestant, around: Surroundings, with_link: bool,
    broker_options: Mapping[str, object], settle_s: float,
) -> Stage:  # fmt: skip
    keys = pki.make(folder) if around.secure else None
    mqtt_port = free_port()
    broker = start_mosquitto(folder, mqtt_port)
    stack.enter_context(ending(broker))
    security = {"security": keys} if keys else {}
    server = _talker("load_server", folder, variables=around.variables, servers=around.servers, **security)
    stack.enter_context(ending(server))
    subscriber = _talker("subscriber", folder, port=mqtt_port, format=contestant.format, variables=around.variables)
    stack.enter_context(ending(subscriber))
    link = None
    broker_port = mqtt_port
    if with_link:
        broker_port = free_port()
        link = _talker("link", folder, listen=broker_port, broker=mqtt_port)
        stack.enter_context(ending(link))
        link.wait("up")
    ports = tuple(server.wait("serving", START_S)["ports"])
    subscriber.wait("subscribed")
    own = folder / "contestant"
    own.mkdir()
    setting = Setting(own, ports, broker_port, free_port(), around.variables, around.interval_ms, keys, broker_options)
    command = contestant.command(setting)
    began_s, server_cpu_s = time.time(), server.cpu_s()
    runs = Child(contestant.name, own, command.words, command.environment)
    stack.enter_context(ending(runs))
    started = _wait_started(server, subscriber, runs, around, began_s)
    started.server_cpu_s -= server_cpu_s
    time.sleep(settle_s)
    return Stage(contestant, setting, server, broker, subscriber, runs, started, link)


def _wait_started(server: Talker, subscriber: Talker, runs: Child, around: Surroundings, began_s: float) -> Started:
    deadline, subscribed_s = time.monotonic() + START_S, 0.0
    for _ in range(around.servers):
        subscribed_s = float(server.wait("subscribed", deadline - time.monotonic(), runs)["at"]) - began_s
    wanted = around.variables * around.servers
    while (told := subscriber.ask("quiet", quiet_s=QUIET_S, most_s=5.0))["initial"] < wanted:
        runs.check()
        if time.monotonic() > deadline:
            raise Ended(f"{runs.name} brought {told['initial']} of {wanted} first values: {runs.last_words}")
    return Started(
        subscribed_s=round(subscribed_s, 3), all_values_s=round(told["last_initial_s"] - began_s, 3),
        cpu_s=round(runs.cpu_s(), 3), server_cpu_s=server.cpu_s(), memory_mib=round(memory_mib(runs.pid), 1),
        initial=told["initial"],
    )  # fmt: skip
