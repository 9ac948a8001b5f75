"""Everything that runs for one contestant: load server, mosquitto, checking subscriber, and the contestant itself.

    load server → contestant → mosquitto → subscriber

All on 127.0.0.1, each a process of its own, started and ended here.  One stage takes several loads after another, so
that the start and the warming up are paid once.
"""

import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.chain.children import Child, Ended, Talker, ending, load_average, memory_mib
from tests.bench.chain.contestants import ROOT, Contestant, Setting
from tests.bench.chain.install import program
from tests.bench.chain.load import Load
from tests.support.ports import free_port

SETTLE_S = 6.0
"""Between the first values and the load: the gateway puts its memory in order five seconds after connecting."""
QUIET_S = 0.4
PATIENCE_S = 15.0
"""How long nothing may arrive while values are missing."""
MOSQUITTO = """
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
class Started:
    """From the start of the contestant's process."""

    subscribed_s: float
    """Until its last item was created."""
    all_values_s: float
    """Until every variable's first value had arrived."""
    cpu_s: float
    server_cpu_s: float
    memory_mib: float
    initial: int


@dataclass
class Measured:
    """One load on one contestant."""

    values: int
    wall_s: float
    cpu_s: float
    broker_cpu_s: float
    server_cpu_s: float
    subscriber_cpu_s: float
    responses: int
    messages: int
    mqtt_bytes: int
    memory_mib: float
    peak_mib: float
    load_average: float
    missing: int
    repeated: int
    steps_back: int
    problems: dict[str, int] = field(default_factory=dict)
    delays_ms: dict[str, float] = field(default_factory=dict)
    unacknowledged: int = 0
    """Notifications the contestant had not acknowledged when all had arrived."""
    unknown_acknowledgements: int = 0

    @property
    def values_per_s(self) -> float:
        return self.values / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU of the contestant per value, microseconds: the same number as seconds per million values."""
        return self.cpu_s / self.values * 1e6 if self.values else 0.0

    @property
    def cores(self) -> float:
        return self.cpu_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def sound(self) -> bool:
        """Every value once, nothing wrong."""
        return not (self.missing or self.repeated or self.problems)


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
    sent: int = 0
    """By all servers so far."""
    _so_far: dict[str, int] = field(default_factory=dict)

    @property
    def servers(self) -> int:
        return len(self.setting.opcua_ports)

    def run(self, load: Load) -> Measured:
        """Put a load on every server and wait until all of it has arrived; raises Ended when somebody gives up."""
        self.subscriber.ask("marked", mark=True)
        first, children = self.sent // self.servers, (self.program, self.broker, self.server, self.subscriber)
        before, at_first = [child.cpu_s() for child in children], load_average()
        self.server.say(load=vars(load))
        began_s = float(self.server.wait("loading", 10.0)["at"])
        most_s = (load.total / load.rate_hz if load.rate_hz else load.seconds) + 300.0
        self.sent = int(self.server.wait("finished", most_s, self.program)["sent"])
        told = self._wait_arrived()
        used = [child.cpu_s() - was for child, was in zip(children, before, strict=True)]
        verdict = self.subscriber.ask("verdict", verdict=self.sent, servers=self.servers, first=first)
        stats = self.server.ask("stats", stats=True)
        values = self.sent - first * self.servers
        program_s, broker_s, server_s, subscriber_s = used
        return Measured(
            values=values, wall_s=max(0.0, told["last_s"] - began_s), cpu_s=program_s, broker_cpu_s=broker_s,
            server_cpu_s=server_s, subscriber_cpu_s=subscriber_s, responses=-(-values // load.per),
            messages=self._since("messages", verdict), mqtt_bytes=int(told["bytes"]),
            memory_mib=memory_mib(self.program.pid), peak_mib=memory_mib(self.program.pid, "VmHWM"),
            load_average=at_first, missing=verdict["missing"], repeated=verdict["repeated"],
            steps_back=self._since("steps_back", verdict), problems=verdict["problems"], delays_ms=verdict["delays_ms"],
            unacknowledged=stats["unacknowledged"], unknown_acknowledgements=stats["unknown_acknowledgements"],
        )  # fmt: skip

    def _since(self, name: str, verdict: dict[str, int]) -> int:
        """What the verdict counts over all loads, of this one alone."""
        before, self._so_far[name] = self._so_far.get(name, 0), verdict[name]
        return verdict[name] - before

    def _wait_arrived(self) -> dict[str, float]:
        """Wait until all that was sent has arrived, or nothing more comes."""
        count, deadline = -1, time.monotonic() + PATIENCE_S
        while True:
            told = self.subscriber.ask("quiet", quiet_s=QUIET_S, most_s=600.0)
            if told["count"] >= self.sent or time.monotonic() > deadline:
                return told
            if told["count"] > count:
                count, deadline = told["count"], time.monotonic() + PATIENCE_S
            self.program.check()


def _wait_listening(port: int, child: Child) -> None:
    for _ in range(500):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        child.check()
        time.sleep(0.02)
    raise Ended(f"{child.name} does not listen")


def start_mosquitto(folder: Path, port: int) -> Child:
    path = folder / "mosquitto.conf"
    path.write_text(MOSQUITTO.format(port=port))
    broker = Child("mosquitto", folder, [program("mosquitto"), "-c", str(path)])
    _wait_listening(port, broker)
    return broker


def python_module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.chain.{name}", *arguments]


@contextmanager
def staged(
    contestant: Contestant, variables: int = 1000, servers: int = 1, interval_ms: int = 100, pki: Path | None = None,
    patience_s: float = 300.0, settle_s: float = SETTLE_S, keep: Path | None = None,
) -> Iterator[Stage]:  # fmt: skip
    """Everything started, every variable's first value arrived, and time to settle.

    `keep`: a folder that gets the logs when something goes wrong.
    """
    here = {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="bench-chain-") as name, ExitStack() as stack:
        folder, mqtt_port = Path(name), free_port()
        try:
            broker = start_mosquitto(folder, mqtt_port)
            stack.enter_context(ending(broker))
            words = ["--variables", str(variables), "--servers", str(servers)]
            words += ["--security", str(pki)] if pki else []
            server = Talker("load-server", folder, python_module("load_server", *words), here)
            stack.enter_context(ending(server))
            words = ["--port", str(mqtt_port), "--format", contestant.format, "--variables", str(variables)]
            subscriber = Talker("subscriber", folder, python_module("subscriber", *words), here)
            stack.enter_context(ending(subscriber))
            ports = tuple(server.wait("serving", 180.0)["ports"])
            subscriber.wait("subscribed")
            own = folder / "contestant"
            own.mkdir()
            setting = Setting(own, ports, mqtt_port, free_port(), variables, interval_ms, pki)
            command = contestant.command(setting)
            began_s, server_cpu_s = time.time(), server.cpu_s()
            runs = Child(contestant.name, own, command.words, command.environment)
            stack.enter_context(ending(runs))
            started = _wait_started(server, subscriber, runs, variables * servers, servers, began_s, patience_s)
            started.server_cpu_s -= server_cpu_s
            time.sleep(settle_s)
            yield Stage(contestant, setting, server, broker, subscriber, runs, started)
        except (Ended, OSError):
            if keep:
                shutil.copytree(folder, keep, dirs_exist_ok=True)
            raise


def _wait_started(
    server: Talker, subscriber: Talker, runs: Child, values: int, servers: int, began_s: float, patience_s: float
) -> Started:
    for _ in range(servers):
        subscribed_s = float(server.wait("subscribed", patience_s, runs)["at"]) - began_s
    deadline = time.monotonic() + patience_s
    while (told := subscriber.ask("quiet", quiet_s=QUIET_S, most_s=5.0))["initial"] < values:
        runs.check()
        if time.monotonic() > deadline:
            raise Ended(f"{runs.name} brought {told['initial']} of {values} first values: {runs.last_words}")
    all_s = max(subscribed_s, subscriber.ask("quiet", quiet_s=0.0, most_s=0.0)["last_initial_s"] - began_s)
    return Started(
        round(subscribed_s, 2), round(all_s, 2), round(runs.cpu_s(), 2), server.cpu_s(), round(memory_mib(runs.pid), 1),
        told["initial"],
    )  # fmt: skip
