"""What a running gateway does not need is not in its memory."""

import os
import subprocess
import sys

PROGRAM = """
import sys
sys.argv = ["gateway", "run"]
import gateway.__main__ as entry
entry._import_without_rich()
import gateway.cli.running
unneeded = "rich pygments asyncua.server asyncua.pubsub nats gateway.demo gateway.emulator gateway.importing simpy"
found = {name for name in unneeded.split() if name in sys.modules}
print(found or "nothing", "of", len(sys.modules))
from asyncua import Server
import rich
print(Server.__module__, rich.__name__)
"""


def test_a_gateway_that_runs_has_imported_no_server_and_nothing_for_terminals() -> None:
    """And whoever asks for them later gets the real ones."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, env=os.environ, text=True, capture_output=True, timeout=120
    )
    first, second = done.stdout.splitlines() or [done.stderr, ""]
    assert first.startswith("nothing of ")
    assert int(first.split()[-1]) < 1200, "it was 1 217 with them, and is 1 120"
    assert second == "asyncua.server.server rich"
