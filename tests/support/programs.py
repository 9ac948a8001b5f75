"""Our own programs as real processes: started on free ports, watched through their logs, ended by their own pid."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, TypeVar

from tests.support.forked import Forked, fork
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    """Wait for a condition.  On failure, say what was waited for."""
    deadline = time.monotonic() + within_s
    pause_s = 0.05
    while not condition():
        assert time.monotonic() < deadline, f"after {within_s:g} s still waiting for: {what}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.1, 0.3)  # most conditions ask a process that has other work


def processes_that_name(text: str) -> list[str]:
    """The command lines of this machine's processes that contain a text (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(process.read_text("utf-8", "replace").replace("\0", " "))
    return [line for line in found if text in line]


def _whole_lines(text: str) -> list[str]:
    """Without the line that is being written just now."""
    return text.rpartition("\n")[0].split("\n") if "\n" in text else []


class Program:
    """One process; its standard error goes to a log file that tests read."""

    forked: ClassVar[bool] = True
    """Whether it is forked from a process that has imported it, as quick starts need; what it costs is told without."""

    def __init__(self, name: str, folder: Path, *arguments: str) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self.arguments = arguments
        self._events: list[dict[str, object]] = []
        self._events_end = 0
        self._reading = threading.Lock()
        self.process = self._spawn()

    def _spawn(self) -> "Forked | subprocess.Popen[bytes]":
        with self.log_path.open("ab") as log, Path(os.devnull).open("r+b") as null:
            if self.forked:
                return fork(*self.arguments, streams=(null.fileno(), null.fileno(), log.fileno()))
            command = [sys.executable, "-m", *self.arguments]
            return subprocess.Popen(command, stdin=null, stdout=null, stderr=log, cwd=ROOT)

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def events(self) -> list[dict[str, object]]:
        """The log lines of a program that logs JSON; each is read once, however often one asks."""
        with self._reading, self.log_path.open("rb") as log:
            log.seek(self._events_end)
            data = log.read()
            whole = data[: data.rfind(b"\n") + 1]  # without the line that is being written just now
            self._events_end += len(whole)
            lines = whole.decode(errors="replace").split("\n")
            self._events += [json.loads(line) for line in lines if line.startswith("{")]
            return list(self._events)

    def said(self, event: str, **fields: object) -> int:
        """How often an event was logged with these fields."""
        return sum(e.get("event") == event and fields.items() <= e.items() for e in self.events)

    def wait_said(self, event: str, times: int = 1, within_s: float = 120.0, **fields: object) -> None:
        def enough() -> bool:
            assert self.process.poll() is None or self.said(event, **fields) >= times, (
                f"{self.name} ended with {self.process.returncode}:\n{self.log[-3000:]}"
            )
            return self.said(event, **fields) >= times

        wait_until(
            enough, f"{self.name} to say {event!r} {fields} {times} times; it said\n{self.log[-3000:]}", within_s
        )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(60)

    def stop(self, within_s: float = 60.0) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def restart(self) -> None:
        """The same command again."""
        self.end()
        self.process = self._spawn()

    def end(self) -> None:
        if self.process.poll() is None:
            self.kill()


def ran(*arguments: str, cwd: Path = ROOT, within_s: float = 240.0) -> subprocess.CompletedProcess[str]:
    """What `python -m` with these arguments wrote to pipes until it ended: forked, which saves seconds of imports."""
    pipes = [os.pipe() for _ in ("output", "errors")]
    with Path(os.devnull).open("rb") as null, ThreadPoolExecutor(len(pipes)) as reading:
        process = fork(*arguments, streams=(null.fileno(), pipes[0][1], pipes[1][1]), cwd=cwd)
        for _, theirs in pipes:
            os.close(theirs)
        texts = [reading.submit(_all_of, ours) for ours, _ in pipes]
        try:
            code = process.wait(within_s)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, *(text.result() for text in texts))


def _all_of(pipe: int) -> str:
    with open(pipe, encoding="utf-8") as file:
        return file.read()


AnyProgram = TypeVar("AnyProgram", bound=Program)


@contextlib.contextmanager
def running(program: AnyProgram) -> Iterator[AnyProgram]:
    try:
        yield program
    finally:
        program.end()


class Factory(Program):
    """`simulators serve`, with a record of everything its server was given."""

    def __init__(self, folder: Path, *options: str, plant: Path = ROOT / "config" / "plant.yaml") -> None:
        self.port = free_port()
        self.record_path = folder / "record.jsonl"
        super().__init__(
            "simulators", folder, "simulators", "serve", str(plant), "--security", "None", "--port", str(self.port),
            "--record", str(self.record_path), "--log-format", "json", *options,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def record(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in _whole_lines(self.record_path.read_text(encoding="utf-8"))]


class Gateway(Program):
    """`gateway run` with a configuration for tests: one source, one broker, quick reconnects, state in `folder`."""

    RUN: tuple[str, ...] = ("gateway", "run")

    def __init__(self, folder: Path, opcua: str, broker_url: str, **changes: object) -> None:
        self.http_port = free_port()
        self.config_path = folder / "gateway.yaml"
        self.config: dict[str, object] = {
            "name": "edge",
            "sources": [{**SOURCE, "url": opcua}],
            "broker": {"url": broker_url, **SINK},
            "outbox": {"path": str(folder / "outbox")},
            "http": {"port": self.http_port},
            "reconnect": {"first": "100ms", "most": "500ms"},
            **changes,
        }
        self._write()
        super().__init__("gateway", folder, *self.RUN, str(self.config_path), "--log-format", "json")

    def _write(self) -> None:
        self.config_path.write_text(json.dumps(self.config), encoding="utf-8")  # JSON is YAML

    def configure(self, **changes: object) -> None:
        """Change the file, for the next start."""
        self.config = self.config | changes
        self._write()

    def reload(self, **changes: object) -> None:
        """Change the file and send SIGHUP.  Returns when the gateway has logged the result."""
        told = ("configuration taken", "the new configuration is refused, the earlier one stays in use")
        before = sum(map(self.said, told))
        self.config = self.config | changes
        self._write()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: sum(map(self.said, told)) > before, f"the gateway to reload; it said\n{self.log[-3000:]}")

    @property
    def balanced(self) -> bool:
        """Whether the books of every broker balance."""
        metrics = self.metrics

        def total(name: str, label: str = "") -> float:
            return sum(v for k, v in metrics.items() if k.startswith(f"gateway_{name}{{") and label in k)

        def is_balanced(sink: str) -> bool:
            per_sink = ("values_delivered_total", "outbox_values", "values_dropped_total", "values_not_routed_total")
            came = total("values_received_total") + total("values_recovered_total", sink)
            return came == total("values_filtered_total") + sum(total(name, sink) for name in per_sink)

        sinks = {k.removeprefix("gateway_outbox_values{").rstrip("}") for k in metrics if "gateway_outbox_values{" in k}
        return bool(sinks) and all(map(is_balanced, sinks))

    @property
    def metrics(self) -> dict[str, float]:
        """Every sample by its full name with labels."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/metrics", timeout=30).read().decode()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def total(self, name: str) -> float:
        """A series added up over its labels."""
        return sum(v for k, v in self.metrics.items() if k == name or k.startswith(name + "{"))

    @property
    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/health/ready", timeout=30) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, within_s: float = 120.0) -> None:
        wait_until(lambda: self.ready, f"the gateway to be ready; it said\n{self.log[-3000:]}", within_s)


SINK: dict[str, object] = {"ack_timeout": "3s", "keep_alive": "3s", "retry_refused": "1s"}
SUBTREE: dict[str, object] = {
    "subtree": "nsu=urn:connected-factory:simulator;s=hall-1",
    "levels": ["line", "machine"],
    "include": ["*/*/*"],
}
SOURCE: dict[str, object] = {
    "name": "line-1",
    "url": "",
    "insecure": True,
    "publishing_interval": "100ms",
    "queue_size": 1000,
    "keep_alive": "1s",
    "fields": {"site": "hall-1"},
    "select": [SUBTREE],
}
