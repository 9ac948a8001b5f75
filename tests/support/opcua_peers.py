"""The same small server from three stacks: asyncua, node-opcua (npm), open62541 (through the binding o6).

node-opcua comes from tests/peers (`tests/install-peers`).  o6 ends its process after ten minutes, so it is no
dependency: it has its own virtual environment, created when first needed.
"""

import asyncio
import atexit
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.node import PEERS, node_for
from tests.support.opcua_server import HostedServer, OpcuaServer, command_of, opcua_server
from tests.support.ports import free_port

ALL_STACKS = ("asyncua", "node-opcua", "open62541")
STACKS = ALL_STACKS if os.environ.get("EVERY_STACK") == "true" else ALL_STACKS[1:]
"""Those of a usual run: asyncua, ours as well, serves most other tests.  `.ci/long` runs them all."""
O6 = "o6==2.2.0"
NODE_OPTIONS = ("--max-old-space-size=4096", "--max-semi-space-size=128")
"""Without these a server spends a third of its start collecting garbage, and one of 100 000 variables half of it."""


@asynccontextmanager
async def node_opcua_server(machines: int = 2, port: int = 0, **options: object) -> AsyncIterator[OpcuaServer]:
    """A node-opcua server; `options` are those of tests/peers/opcua_server.js."""
    async with _hosted("node-opcua", machines, port, options) as server:
        yield server


@asynccontextmanager
async def open62541_server(machines: int = 2, port: int = 0, **options: object) -> AsyncIterator[OpcuaServer]:
    """An open62541 server; `options` are those of tests/peers/open62541_server.py."""
    async with _hosted("open62541", machines, port, options) as server:
        yield server


@asynccontextmanager
async def _hosted(stack: str, machines: int, port: int, options: Mapping[str, object]) -> AsyncIterator[OpcuaServer]:
    host, port = host_of(stack), port or free_port()
    reader, writer = await asyncio.open_unix_connection(host.path)
    writer.write(_asked(port, machines, options))
    server = OpcuaServer(port, HostedServer(host.process.pid, writer, reader))
    try:
        await server.heard("ready")
        yield server
    finally:
        server.process.kill()
        await server.process.wait()


def _asked(port: int, machines: int, options: Mapping[str, object]) -> bytes:
    return json.dumps({"port": port, "machines": machines, "options": options}).encode() + b"\n"


@dataclass
class Host:
    """A process that serves each connection to a Unix socket with an OPC UA server of its own.

    Four fifths of the CPU of a start, and more, are spent on what one process need do only once.
    """

    stack: str
    path: Path
    process: "subprocess.Popen[bytes]"
    made_s: float
    served: int = 0

    @property
    def in_use(self) -> bool:
        """Whether it may serve one more: of each it keeps some memory, and one of o6 lives for ten minutes."""
        lasts = self.stack != "open62541" or time.monotonic() - self.made_s < HOST_S
        return lasts and self.served < SERVED and self.process.poll() is None


SERVED = 40
HOST_S = 240
_hosts: dict[str, Host] = {}


def host_of(stack: str) -> Host:
    """The host for one more server of this stack.  It ends with this process."""
    if stack not in _hosts or not _hosts[stack].in_use:
        _hosts[stack] = _made_host(stack)
    _hosts[stack].served += 1
    return _hosts[stack]


def _made_host(stack: str) -> Host:
    folder = Path(tempfile.mkdtemp(prefix=f"{stack}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "host"))
        listening.listen()
        number = str(listening.fileno())
        if stack == "node-opcua":
            command = [node_for(stack), *NODE_OPTIONS, str(PEERS / "opcua_server.js"), "host", number, str(folder)]
        else:
            python = o6_python()
            if python is None:
                pytest.skip(f"{O6} (open62541) could not be installed into a virtual environment of its own")
            command = [str(python), str(PEERS / "open62541_server.py"), number]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
        )  # fmt: skip
    atexit.register(process.wait)
    atexit.register(process.kill)
    return Host(stack, folder / "host", process, time.monotonic())


@cache
def o6_python() -> Path | None:
    """The interpreter that has o6, installed on first use into the user's cache folder; None when that fails."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    home = cache_home / "connected-factory" / f"{O6.replace('==', '-')}-py{sys.version_info[0]}{sys.version_info[1]}"
    python = home / "bin" / "python"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the run may be installing it just now
        if not (home / "installed").exists():
            try:
                venv.create(home, with_pip=True, clear=True)
                subprocess.run([python, "-m", "pip", "install", "-q", O6], check=True, timeout=240, capture_output=True)
                (home / "installed").touch()
            except (OSError, subprocess.SubprocessError):
                return None
    return python


def stack_server(stack: str, machines: int = 2, port: int = 0) -> AbstractAsyncContextManager[OpcuaServer]:
    """The small server of this stack."""
    if stack == "asyncua":
        return opcua_server(port, machines)
    return node_opcua_server(machines, port) if stack == "node-opcua" else open62541_server(machines, port)


@asynccontextmanager
async def standing_server(stack: str = "asyncua") -> AsyncIterator[str]:
    """The URL of a small server of this stack for tests that change nothing at it: one for all tests of a process.

    It ends with this process.
    """
    port = _standing() if stack == "asyncua" else _standing_of_others(stack)
    yield f"opc.tcp://127.0.0.1:{port}/"


@cache
def _standing() -> int:
    port = free_port()
    process = subprocess.Popen(
        command_of(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    atexit.register(process.wait)
    atexit.register(process.kill)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"ready"):
            return port
    raise AssertionError("the server of asyncua ended")


_others: dict[str, tuple[Host, int, socket.socket]] = {}


def _standing_of_others(stack: str) -> int:
    if stack not in _others or not _others[stack][0].in_use:
        host, port, kept = host_of(stack), free_port(), socket.socket(socket.AF_UNIX)
        kept.connect(str(host.path))
        kept.sendall(_asked(port, 2, {}))
        assert kept.recv(1000) == b"ready\n", f"the server of {stack} ended"
        _others[stack] = host, port, kept
    return _others[stack][1]
