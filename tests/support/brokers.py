"""Real brokers for tests, on free loopback ports, each ended by its own pid."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forked import Forked
from tests.support.node import PEERS, node_for
from tests.support.ports import free_port


def wait_listening(port: int, process: subprocess.Popen[bytes] | Forked, within_s: float = 60.0) -> None:
    """Wait until the port accepts connections.  Fails when the process ends first."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        assert process.poll() is None, f"the broker ended with {process.returncode} before it listened"
        assert time.monotonic() < deadline, f"nobody listens on {port} after {within_s:g} s"
        time.sleep(0.02)


def program_of(name: str) -> str:
    """The path of a program, also where Debian keeps daemons.  Skips the test when it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _is_stopped(task: Path) -> bool:
    """Whether a thread (a folder of /proc) is stopped."""
    try:
        return task.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:  # it has ended meanwhile
        return True


class Process:
    """A broker in a process of its own."""

    def __init__(self, command: list[str], ports: tuple[int, ...], log: Path) -> None:
        self.command = command
        self.ports = ports
        self.port = ports[0]
        self.log = log
        self.process = self._spawn()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait(60)

    def terminate(self) -> None:
        """SIGTERM, and wait until it is gone."""
        self.process.terminate()
        self.process.wait(60)

    def restart(self) -> None:
        """Start it again on the same ports, with the same options."""
        self.end()
        self.process = self._spawn()

    def stall(self) -> None:
        """SIGSTOP: the kernel keeps the connections, but nothing answers.  Returns when every thread has stopped."""
        os.kill(self.process.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        deadline = time.monotonic() + 60.0
        while not all(map(_is_stopped, tasks.iterdir())):
            assert time.monotonic() < deadline, "the broker did not stop"
            time.sleep(0.002)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        if self.process.poll() is None:
            self.go_on()
            self.kill()
        if self.process.stdin:
            self.process.stdin.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            for port in self.ports:
                wait_listening(port, process)
        except BaseException:
            process.kill()
            process.communicate(timeout=60)
            raise
        return process


@contextlib.contextmanager
def mosquitto(
    folder: Path, *options: str, listener: str = "", anonymous: bool = True, more_ports: tuple[int, ...] = ()
) -> Iterator[Process]:
    """mosquitto with extra lines for its configuration file.

    `listener` are lines for the listener, or whole listeners after it; name the ports of those in `more_ports`.
    """
    program = program_of("mosquitto")
    port = free_port()
    lines = [
        "user root",  # otherwise it changes to a user who may not read a test's files
        "per_listener_settings false",
        "persistence false",
        "max_queued_messages 0",
        f"allow_anonymous {'true' if anonymous else 'false'}",
        *options,
        f"listener {port} 127.0.0.1",
        listener,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mosquitto-{port}.conf"
    path.write_text("\n".join(lines) + "\n")
    broker = Process([program, "-c", str(path)], (port, *more_ports), folder / f"mosquitto-{port}.log")
    try:
        yield broker
    finally:
        broker.end()


_IOTCORE = """
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4"
listen = "127.0.0.1:{port_3}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = {max_inflight}
dynamic_filters = true
[v5.1]
name = "v5"
listen = "127.0.0.1:{port_5}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = {max_inflight}
dynamic_filters = true
"""


@contextlib.contextmanager
def iotcore(folder: Path, max_payload: int = 1_048_576, max_inflight: int = 100) -> Iterator[Process]:
    """The embedded broker: `ports[0]` speaks MQTT 5, `ports[1]` 3.1.1."""
    port_5, port_3 = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"iotcore-{port_5}.toml"
    path.write_text(_IOTCORE.format(port_5=port_5, port_3=port_3, max_payload=max_payload, max_inflight=max_inflight))
    command = [sys.executable, "-m", "iotcore", "--config", str(path), "--log-level", "ERROR"]
    broker = Process(command, (port_5, port_3), folder / f"iotcore-{port_5}.log")
    try:
        yield broker
    finally:
        broker.end()


@contextlib.contextmanager
def aedes(folder: Path) -> Iterator[Process]:
    """aedes, MQTT 3.1.1 only: `ports[0]` is TCP, `ports[1]` web sockets.

    It cuts clients that publish below `refused/`.
    """
    program, script = node_for("aedes"), PEERS / "aedes.mjs"
    ports = (free_port(), free_port())
    folder.mkdir(parents=True, exist_ok=True)
    broker = Process([program, str(script), *map(str, ports)], ports, folder / f"aedes-{ports[0]}.log")
    try:
        yield broker
    finally:
        broker.end()


_NATS = """
server_name: tested
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", max_mem: 64M, max_file: 64M }}
mqtt {{ listen: "127.0.0.1:{mqtt}" }}
authorization {{ users: [ {{ user: u, password: p }} ] }}
"""


@contextlib.contextmanager
def nats(folder: Path) -> Iterator[Process]:
    """NATS, MQTT 3.1.1 only: user `u`, password `p`.  It cuts clients that publish to a topic with a space or a dot."""
    program = program_of("nats-server")
    mqtt, port = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"nats-{mqtt}.conf"
    path.write_text(_NATS.format(port=port, mqtt=mqtt, store=folder / f"nats-{mqtt}"))
    broker = Process([program, "-c", str(path)], (mqtt, port), folder / f"nats-{mqtt}.log")
    try:
        yield broker
    finally:
        broker.end()
