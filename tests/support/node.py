"""The Node.js that runs tests/peers: the one beside them where the system's is too old, else the system's."""

import shutil
from pathlib import Path

import pytest

PEERS = Path(__file__).parents[1] / "peers"


def node_for(package: str) -> str:
    """The program `node`; without it, or without the npm package, the test is skipped."""
    modules = PEERS / "node_modules"
    program = shutil.which(modules / ".bin" / "node") or shutil.which("node")
    if program is None or not (modules / package).is_dir():
        pytest.skip(f"{package} is not installed: run tests/install-peers")
    return program
