"""What the contestants need, installed into `var/bench` of the checkout: npm packages, environments of Python.

Only names and ranges of versions are said here; the registries are those the machine is set up with.  What is there
already is left alone; `rm -r var/bench` begins anew.
"""

import json
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

CACHE = Path(__file__).parents[3] / "var" / "bench"
NODE_FOLDER = CACHE / "node"
NODE_MODULES = NODE_FOLDER / "node_modules"
SCRIPT_FOLDER = CACHE / "python"
SCRIPT_PYTHON = SCRIPT_FOLDER / "bin" / "python"
NODE_PACKAGES = ("node-opcua@^2.150.0", "mqtt@^5.10.0")
SCRIPT_PACKAGES = ("asyncua>=2.1,<3", "aiomqtt>=2.5,<3", "orjson>=3.10")


class Missing(Exception):  # noqa: N818 - it tells a state
    """Something the benchmark needs is not there and cannot be installed by it."""


def program(name: str) -> str:
    """Where a program of the system is, also where Debian keeps daemons."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed: `sh tests/install-peers` does that")
    return found


def node_program() -> str:
    """The Node.js beside the tests' peers where the system's is too old, else the system's."""
    beside = Path(__file__).parents[2] / "peers" / "node_modules" / ".bin" / "node"
    return str(beside) if beside.exists() else program("node")


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{' '.join(words[:4])} … failed: {(done.stderr or done.stdout)[-800:]}")


def npm_packages(folder: Path, packages: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True}))
    _run([program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", "--no-save", *packages], folder)


def python_packages(folder: Path, packages: tuple[str, ...]) -> None:
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *packages], folder)


_NEEDS: dict[str, tuple[Path, Callable[[], None]]] = {
    "node": (NODE_FOLDER, lambda: npm_packages(NODE_FOLDER, NODE_PACKAGES)),
    "python": (SCRIPT_FOLDER, lambda: python_packages(SCRIPT_FOLDER, SCRIPT_PACKAGES)),
}
"""What can be needed: where it goes, and how it gets there."""


def install(need: str, say: Callable[[str], None] = print) -> None:
    """Install it unless it is there; an installation that was interrupted is done again.  Raises Missing."""
    folder, how = _NEEDS[need]
    done = folder / "installed"
    if not done.exists():
        say(f"Installing what the contestants need ({need}) into {folder} …")
        how()
        done.touch()
