"""Free ports for the programs that tests start.

A program binds its port some time after the test has chosen it.  Meanwhile the kernel may give a port from its own
range to another process.  So these ports lie below that range, each process of a run uses its own part, and no port is
used twice.
"""

import contextlib
import itertools
import os
import random
import socket

FIRST, PART, PARTS = 10_000, 2_750, 8
"""The parts end at 32 000; the kernel gives from 32 768 on (`ip_local_port_range`)."""
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_places = itertools.count(random.SystemRandom().randrange(PART))
"""Begins anywhere, so that two runs on one machine seldom meet."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, and that nobody else in this run is given."""
    for place in itertools.islice(_places, PART):
        port = FIRST + _WORKER % PARTS * PART + place % PART
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
