"""The other parts of a demo: simulated machines in their own process, and an embedded broker.

Everything listens on loopback, on the usual port if it is free and on another one if not, and ends with the demo.

Gateway and simulators use SignAndEncrypt.  Each makes its own key and certificate in the demo's folder, and gets the
other's certificate, never its key.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import Unavailable
from gateway.opcua.session.certificates import ensure_identity
from gateway.opcua.session.trust import TrustStore

if TYPE_CHECKING:
    import iotcore

HOST = "127.0.0.1"
START_S = 60.0
STOP_S = 5.0
PORT_TAKEN = 1
"""Exit code of the simulators when they cannot listen."""

_BROKER = """
id = 0

[router]
max_connections = 1000
max_outgoing_packet_count = 1000
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true

[v4.1]
name = "v4"
listen = "{host}:{port_3}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


def port_or_free(preferred: int) -> int:
    """`preferred` if it is free, otherwise a free port.  Another program may still take it before we do."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise Unavailable(f"no free port on {HOST}")


class EmbeddedBroker:
    """A real broker (rumqttd) in a child process, with one port per MQTT version.  Starting and stopping block."""

    def __init__(self, folder: Path, port: int, port_3: int) -> None:
        self.url, self.url_3 = f"mqtt://{HOST}:{port}", f"mqtt://{HOST}:{port_3}"
        self._settings = folder / "broker.toml"
        self._settings.write_text(_BROKER.format(host=HOST, port=port, port_3=port_3), encoding="utf-8")
        self._process: iotcore.Broker | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        if self._process is None:
            import iotcore  # imported here only: the daemon's image contains no broker

            self._process = iotcore.Broker(config_path=str(self._settings)).start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None


@asynccontextmanager
async def embedded_broker(folder: Path) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(folder, port_or_free(1883), port_or_free(1884))
    try:
        await asyncio.to_thread(broker.start)
    except OSError:  # another program took a port after our check
        broker = EmbeddedBroker(folder, port_or_free(0), port_or_free(0))
        await asyncio.to_thread(broker.start)
    try:
        yield broker
    finally:
        await asyncio.to_thread(broker.stop)


@dataclass(slots=True)
class Factory:
    """The last status of the simulators."""

    status: dict[str, object] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return str(self.status.get("endpoint", ""))

    @property
    def machines(self) -> list[dict[str, object]]:
        machines = self.status.get("machines", [])
        return machines if isinstance(machines, list) else []

    def total(self, key: str) -> int:
        return sum(int(str(machine.get(key, 0))) for machine in self.machines)


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificate folders of gateway and simulators."""

    gateway: Path
    simulators: Path

    def begin(self) -> None:
        """Make the gateway's certificate and let the simulators trust it.  Blocks while the key is made."""
        shown = ensure_identity(self.gateway).certificate_path
        trusted = self.simulators / "trusted"
        trusted.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shown, trusted / "gateway.der")

    def complete(self) -> None:
        """Let the gateway trust the simulators, which have made their certificate by now."""
        TrustStore(self.gateway).trust(str(self.simulators / "own.der"))


@asynccontextmanager
async def simulators(plant: Path, *options: str) -> AsyncIterator[Factory]:
    """The simulated factory in its own process.  It listens when entered."""
    process, first = await _started(plant, port_or_free(4840), *options)
    if not first and await process.wait() == PORT_TAKEN:  # another program took the port after our check
        process, first = await _started(plant, 0, *options)
    if not first:
        raise Unavailable(f"the simulators ended at once (exit code {await process.wait()}): see above")
    assert process.stdout is not None
    factory = Factory(json.loads(first))
    try:
        async with asyncio.TaskGroup() as tasks:
            follow = tasks.create_task(_follow(process.stdout, factory), name="status of the simulators")
            yield factory
            await _end(process)
            await follow  # its last line has the final counts
    finally:
        await _end(process)


async def _started(plant: Path, port: int, *options: str) -> tuple[asyncio.subprocess.Process, bytes]:
    """A process of the simulators and the first line of its status.  Empty: it has ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators", "serve", str(plant), "--status-json",
        "--port", str(port), *options,
        stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C goes to the gateway, which stops reading and then ends the simulators
    )  # fmt: skip
    assert process.stdout is not None
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(_end, process)
        async with asyncio.timeout(START_S):
            first = await process.stdout.readline()
        undo.pop_all()
    return process, first


async def _follow(lines: asyncio.StreamReader, factory: Factory) -> None:
    while line := await lines.readline():
        factory.status = json.loads(line)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
