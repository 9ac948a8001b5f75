"""The same small server from three stacks: asyncua, node-opcua (npm), open62541 (through the binding o6).

node-opcua comes from tests/peers (`tests/install-peers`).  o6 ends its process after ten minutes, so it is no
dependency: it has its own virtual environment, created when first needed.
"""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.support.node import PEERS, node_for
from tests.support.opcua_server import OpcuaServer, opcua_server, started
from tests.support.ports import free_port

STACKS = ("asyncua", "node-opcua", "open62541")
O6 = "o6==2.2.0"
NODE_OPTIONS = ("--max-old-space-size=4096", "--max-semi-space-size=128")
"""Without these a server spends a third of its start collecting garbage, and one of 100 000 variables half of it."""


@asynccontextmanager
async def node_opcua_server(machines: int = 2, port: int = 0, **options: object) -> AsyncIterator[OpcuaServer]:
    """A node-opcua server; `options` are those of tests/peers/opcua_server.js."""
    node = node_for("node-opcua")
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="node-opcua-") as pki:
        command = (
            node,
            *NODE_OPTIONS,
            str(PEERS / "opcua_server.js"),
            str(port),
            str(machines),
            pki,
            json.dumps(options),
        )
        async with started(port, *command) as server:
            yield server


@asynccontextmanager
async def open62541_server(machines: int = 2, port: int = 0, **options: object) -> AsyncIterator[OpcuaServer]:
    """An open62541 server; `options` are those of tests/peers/open62541_server.py."""
    python = o6_python()
    if python is None:
        pytest.skip(f"{O6} (open62541) could not be installed into a virtual environment of its own")
    port = port or free_port()
    command = (str(python), str(PEERS / "open62541_server.py"), str(port), str(machines), json.dumps(options))
    async with started(port, *command) as server:
        yield server


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
