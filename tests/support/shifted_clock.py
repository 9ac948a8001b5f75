"""The gateway with a wall clock that can be set while it runs, as an administrator or a time server does.

    python -m tests.support.shifted_clock run gateway.yaml

Beside the configuration is a file `clock` with the shift in seconds, a double.
Clocks that only go forward are left alone.
"""

import mmap
import struct
import sys
import time
from pathlib import Path

_REAL_NS = time.time_ns
_SHIFT: list[mmap.mmap] = []
"""The file in memory; empty before the program begins."""


def _shifted_ns() -> int:
    return _REAL_NS() + sum(int(struct.unpack_from("<d", each)[0] * 1e9) for each in _SHIFT)


def begin(folder: Path) -> None:
    path = folder / "clock"
    if not path.exists():
        path.write_bytes(bytes(8))
    with path.open("rb") as file:
        _SHIFT.append(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ))


if __name__ == "__main__":
    from tests.support import shifted_clock

    shifted_clock.begin(Path(sys.argv[2]).parent)
    from gateway.__main__ import main

    main()
else:  # before the gateway is imported: it keeps these functions as defaults
    time.time_ns, time.time = _shifted_ns, lambda: _shifted_ns() / 1e9
    import gateway.cli

    for _command in gateway.cli.COMMANDS:
        __import__(_command.place.split(":")[0])
