"""Where and what was measured: the machine, the commit, the versions of everything that took part."""

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from tests.bench.chain.contestants import Contestant
from tests.bench.chain.install import program, versions

SYNCS = 30
_OURS = ("asyncua", "aiomqtt", "numpy", "orjson", "msgspec", "uvloop")


def machine() -> dict[str, object]:
    """What makes figures of two machines differ."""
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "fdatasync_ms": _sync_ms(),
        "one_core_million_per_s": _speed(),
    }


def commit_of(checkout: Path) -> dict[str, object]:
    """Of a checkout: its commit, and whether something in it differs from that."""
    return {
        "commit": _git(checkout, "rev-parse", "--short=12", "HEAD"),
        "subject": _git(checkout, "log", "-1", "--format=%s"),
        "changed": bool(_git(checkout, "status", "--porcelain", "--untracked-files=no")),
    }


def versions_of(contestants: Iterable[Contestant]) -> dict[str, object]:
    """What takes part, by name."""
    found: dict[str, object] = {"mosquitto": _told([program("mosquitto"), "-h"]).partition("\n")[0]}
    for contestant in contestants:
        if contestant.checkout:
            found[contestant.name] = commit_of(contestant.checkout)
        for need in contestant.needs:
            found[need] = versions(need)
    return found | {"ours": {"python": platform.python_version()} | {n: v for n in _OURS if (v := _version(n))}}


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return ""


def _field(path: Path, name: str) -> str:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), platform.machine())


def _git(checkout: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _told(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip()


def _sync_ms() -> float:
    """The median time of an fdatasync of 20 KB where the outboxes lie."""
    times, data = [], bytes(20_000)
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(SYNCS):
            file.write(data)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return round(sorted(times)[SYNCS // 2] * 1e3, 3)


def _speed() -> float:
    """Turns of an empty loop of Python per second of CPU, millions: how fast this machine is today."""
    best = 0.0
    for _ in range(5):
        began = time.thread_time()
        for _ in range(300_000):
            pass
        best = max(best, 0.3 / (time.thread_time() - began))
    return round(best, 1)
