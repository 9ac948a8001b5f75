"""One target under the coverage-guided fuzzer atheris: `tests/fuzz/run.py` starts it in a process of its own.

    python -m tests.fuzz.one TARGET [OPTIONS OF LIBFUZZER] [CORPUS …]
    python -m tests.fuzz.one TARGET --replay CORPUS          without atheris, every input once

An input that takes more CPU than `SLOWEST_S` is tried again, and is a find when it is slow each time: garbage
collection and the machine have their moments.  Python is slower under atheris: the limit is stricter than it looks.
"""

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

SLOWEST_S = 0.1
TRIES = 3
LIBRARY = ("asyncua.ua.ua_binary", "asyncua.common.utils")
"""What the OPC UA library decodes with; the rest of it would be a hundred thousand counters to look at per input."""


class Stall(Exception):  # noqa: N818 - what happened, not what kind of error
    """An input took too long, each time."""


def watched(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """`run`, with its CPU time measured; each new slowest is told on standard error."""
    slowest = 0.0

    def test(data: bytes) -> None:
        nonlocal slowest
        seconds = _cpu_s(run, data)
        for _ in range(TRIES - 1):
            seconds = min(seconds, _cpu_s(run, data)) if seconds > SLOWEST_S else seconds
        if seconds > slowest:
            slowest = seconds
            print(f"slowest_ms {seconds * 1000:.2f}", file=sys.stderr, flush=True)
        if seconds > SLOWEST_S:
            raise Stall(f"{seconds * 1000:.0f} ms for {len(data)} bytes")

    return test


def _cpu_s(run: Callable[[bytes], None], data: bytes) -> float:
    began = time.process_time()
    run(data)
    return time.process_time() - began


def _others() -> list[str]:
    """The modules of the library that are not under test: atheris takes packages whole."""
    found = find_spec("asyncua")
    assert found is not None
    assert found.submodule_search_locations is not None
    root = Path(next(iter(found.submodule_search_locations)))
    paths = (path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py"))
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    return sorted(names - set(LIBRARY))


def main() -> None:
    name, *options = sys.argv[1:]
    if options[:1] == ["--replay"]:
        from tests.fuzz.targets import TARGETS

        for path in sorted(Path(options[1]).iterdir()):
            watched(TARGETS[name].run)(path.read_bytes())
        return
    import atheris

    only = {"include": ["gateway", "asyncua"], "exclude": _others()}
    with atheris.instrument_imports(**only, enable_loader_override=False):
        from tests.fuzz.targets import TARGETS

    atheris.Setup([sys.argv[0], *options], watched(TARGETS[name].run))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
