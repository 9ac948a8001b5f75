"""Free ports for the programs that tests start.

A program binds its port a while after the test has chosen it.  What the kernel gives for port 0 it may meanwhile give
to somebody else, above all to the other process of the same run.  So these ports lie below those the kernel gives, each
process of a run chooses from a part of its own, and none comes twice.
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
