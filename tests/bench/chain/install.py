"""What the contestants need, installed into `var/bench` of the checkout: npm packages, environments of Python.

Only names and ranges of versions are said here; the registries are those the machine is set up with.  What is there
already is left alone, unless other packages are asked for; `rm -r var/bench` begins anew.
"""

import json
import re
import shutil
import subprocess
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parents[3] / "var" / "bench"
PEERS = Path(__file__).parents[2] / "peers"


class Missing(Exception):  # noqa: N818 - it tells a state
    """Something the benchmark needs is not there and cannot be installed by it."""


@dataclass(frozen=True)
class NodePackages:
    """A folder with node_modules."""

    folder: Path
    packages: tuple[str, ...]

    def install(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "package.json").write_text(json.dumps({"private": True}))
        options = ("--no-audit", "--no-fund", "--no-package-lock", "--no-save")
        _run([program("npm"), "install", *options, *self.packages], self.folder)

    def versions(self) -> dict[str, str]:
        names = [package.rpartition("@")[0] or package for package in self.packages]
        return {name: _node_version(self.folder / "node_modules" / name) for name in names}


@dataclass(frozen=True)
class PythonPackages:
    """An environment of Python."""

    folder: Path
    packages: tuple[str, ...]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self) -> None:
        venv.create(self.folder, with_pip=True, clear=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *self.packages], self.folder)

    def versions(self) -> dict[str, str]:
        words = [str(self.python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
        told = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
        found = {each["name"].lower(): each["version"] for each in told}
        return {name: found.get(name, "") for name in (re.split("[<>=!~@]", p)[0].lower() for p in self.packages)}


NODE = NodePackages(CACHE / "node", ("node-opcua@^2.150.0", "mqtt@^5.10.0"))
NODE_RED = NodePackages(CACHE / "node-red", ("node-red@^4", "node-red-contrib-opcua@^0.2.340"))
SCRIPT = PythonPackages(CACHE / "python", ("asyncua>=2.1,<3", "aiomqtt>=2.5,<3", "orjson>=3.10"))
THINGSBOARD = PythonPackages(CACHE / "thingsboard", ("thingsboard-gateway>=3.8,<4", "asyncua==1.1.5"))
PLOTS = PythonPackages(CACHE / "plots", ("matplotlib>=3.9",))
PROFILER = PythonPackages(CACHE / "profiler", ("py-spy>=0.4",))
NEEDS: dict[str, NodePackages | PythonPackages] = {
    "node": NODE, "node-red": NODE_RED, "python": SCRIPT, "thingsboard": THINGSBOARD, "plots": PLOTS,
    "profiler": PROFILER,
}  # fmt: skip


def program(name: str) -> str:
    """Where a program of the system is, also where Debian keeps daemons."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed: `sh tests/install-peers` does that")
    return found


def node_program() -> str:
    """The Node.js beside the tests' peers where the system's is too old, else the system's."""
    beside = PEERS / "node_modules" / ".bin" / "node"
    return str(beside) if beside.exists() else program("node")


def install(need: str, say: Callable[[str], None] = print) -> None:
    """Install it unless it is there; one that was interrupted is done again.  Raises Missing."""
    wanted = NEEDS[need]
    done, packages = wanted.folder / "installed", " ".join(wanted.packages)
    if not done.exists() or done.read_text() != packages:
        say(f"Installing {packages} into {wanted.folder} …")
        wanted.install()
        done.write_text(packages)


def versions(need: str) -> dict[str, str]:
    """What was installed, and the program that runs it."""
    wanted = NEEDS[need]
    own = {"node": _told([node_program(), "--version"])} if isinstance(wanted, NodePackages) else {}
    return own | wanted.versions()


def _node_version(folder: Path) -> str:
    return str(json.loads((folder / "package.json").read_text())["version"])


def _told(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{' '.join(words[:4])} … failed: {(done.stderr or done.stdout)[-800:]}")
