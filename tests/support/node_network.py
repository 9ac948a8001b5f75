"""A network of its own for each NATS node, with a switch between them, where lines can be pulled.

Everything is inside the network namespace of the campaign (`in_own_network`): the machine outside sees nothing of it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MARK = "CF_OWN_NETWORK"
SWITCH, GATE = "sw0", "10.99.0.1"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def is_possible() -> bool:
    """Whether namespaces can be made here: by root, on Linux, with iproute2."""
    tools = all(map(shutil.which, ("ip", "bridge", "unshare")))
    return tools and os.geteuid() == 0 and subprocess.run(["unshare", "-n", "-m", "true"], check=False).returncode == 0


def in_own_network() -> bool:
    """Go on in a network namespace of our own: starts the program again in one.  False: it cannot be had."""
    if os.environ.get(_MARK):
        return True
    if not is_possible():
        return False
    os.environ[_MARK] = "1"
    os.execvp("unshare", ["unshare", "-n", "-m", sys.executable, "-m", *_module_and_arguments()])
    return True  # pragma: no cover - the process has become another


def _module_and_arguments() -> list[str]:
    spec = sys.modules["__main__"].__spec__
    assert spec is not None
    return [spec.name, *sys.argv[1:]]


class NodeNetwork:
    """Created by `node_network`."""

    def __init__(self, count: int) -> None:
        self.hosts = [f"10.99.0.{11 + number}" for number in range(count)]

    def command(self, number: int) -> list[str]:
        """What to put before the command of a node."""
        return ["ip", "netns", "exec", f"n{number}"]

    def unplug(self, number: int) -> None:
        """Nobody reaches this node any more, nor it anybody."""
        _ip("link", "set", f"v{number}", "down")

    def plug(self, number: int) -> None:
        _ip("link", "set", f"v{number}", "up")

    def part(self, *numbers: int) -> None:
        """These nodes do not reach each other any more; everybody else reaches them."""
        for number in numbers:
            subprocess.run(["bridge", "link", "set", "dev", f"v{number}", "isolated", "on"], check=True)

    def heal(self) -> None:
        for number in range(len(self.hosts)):
            subprocess.run(["bridge", "link", "set", "dev", f"v{number}", "isolated", "off"], check=True)
            self.plug(number)


@contextmanager
def node_network(count: int) -> Iterator[NodeNetwork]:
    """Must be `in_own_network`, with which all of it ends."""
    network = NodeNetwork(count)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    _ip("link", "set", "lo", "up")
    _ip("link", "add", SWITCH, "type", "bridge")
    _ip("addr", "add", f"{GATE}/24", "dev", SWITCH)
    _ip("link", "set", SWITCH, "up")
    for number, host in enumerate(network.hosts):
        _ip("netns", "add", f"n{number}")
        _ip("link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", f"n{number}")
        _ip("link", "set", f"v{number}", "master", SWITCH, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
            ("addr", "add", f"{host}/24", "dev", "eth0"),
        ):
            _ip("-n", f"n{number}", *words)
    yield network
