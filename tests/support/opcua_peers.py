"""The same small server from three stacks: asyncua, node-opcua (npm), open62541 (through the binding o6).

node-opcua comes from tests/peers (`tests/install-peers`).  o6 ends its process after ten minutes, so it is no
dependency: it has its own virtual environment, created when first needed.
"""

import atexit
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.support.node import PEERS, node_for
from tests.support.opcua_server import OpcuaServer, command_of, opcua_server, started
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
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="node-opcua-") as pki:
        async with started(port, *_node_opcua(port, machines, pki, options)) as server:
            yield server


def _node_opcua(port: int, machines: int, pki: str, options: Mapping[str, object]) -> list[str]:
    node = node_for("node-opcua")
    script = str(PEERS / "opcua_server.js")
    return [node, *NODE_OPTIONS, script, str(port), str(machines), pki, json.dumps(options)]


@asynccontextmanager
async def open62541_server(machines: int = 2, port: int = 0, **options: object) -> AsyncIterator[OpcuaServer]:
    """An open62541 server; `options` are those of tests/peers/open62541_server.py."""
    port = port or free_port()
    async with started(port, *_open62541(port, machines, options)) as server:
        yield server


def _open62541(port: int, machines: int, options: Mapping[str, object]) -> list[str]:
    python = o6_python()
    if python is None:
        pytest.skip(f"{O6} (open62541) could not be installed into a virtual environment of its own")
    return [str(python), str(PEERS / "open62541_server.py"), str(port), str(machines), json.dumps(options)]


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

    Its start takes seconds of CPU.  It ends with this process.
    """
    yield f"opc.tcp://127.0.0.1:{_standing(stack)}/"


@cache
def _standing(stack: str) -> int:
    port = free_port()
    if stack == "asyncua":
        command = command_of(port)
    elif stack == "node-opcua":
        pki = tempfile.mkdtemp(prefix="node-opcua-")
        atexit.register(shutil.rmtree, pki, ignore_errors=True)
        command = _node_opcua(port, 2, pki, {})
    else:
        command = _open62541(port, 2, {})
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(process.wait)
    atexit.register(process.kill)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"ready"):
            return port
    raise AssertionError(f"the server of {stack} ended")
