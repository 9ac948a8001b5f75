"""The link between a contestant and its broker, which can be away or of a limited rate.

    python -m tests.bench.chain.link --listen 20000 --broker 1883

Orders come as JSON lines on standard input: {"up": true, "bytes_per_s": 10000000} lets connections through (0 for no
limit), {"up": false} ends them and refuses new ones, {"carried": true} asks how many bytes went to the broker so far.
The limit is for the way to the broker; what comes back (acknowledgements) is not held.  The buffers in front of the
limit are small, so that what waits, waits with the contestant.
"""

import argparse
import json
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

BUFFER_BYTES = 64 << 10
SLICE_S = 0.005
"""What the limit lets through at a time, in seconds of it."""
FREE_BYTES = 1 << 20


@dataclass
class Budget:
    """When how many bytes may pass; time is given (monotonic, seconds)."""

    bytes_per_s: float
    free_at_s: float = 0.0
    """When what has passed so far is through."""

    @property
    def most(self) -> int:
        """How many bytes to read at a time."""
        return max(1, int(self.bytes_per_s * SLICE_S)) if self.bytes_per_s else FREE_BYTES

    def wait_s(self, size: int, now_s: float) -> float:
        """How long to hold back after `size` bytes: a pause of the sender is not made up for later."""
        if not self.bytes_per_s:
            return 0.0
        self.free_at_s = max(self.free_at_s, now_s - SLICE_S) + size / self.bytes_per_s
        return max(0.0, self.free_at_s - now_s)


@dataclass
class Link:
    """Listens while it is up."""

    port: int
    broker: int
    carried: int = 0
    _listener: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)

    def up(self, bytes_per_s: float) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bytes_per_s:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener, bytes_per_s), name="accept", daemon=True).start()

    def down(self) -> None:
        """No connection is left, and none is accepted."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that accepts
            self._listener.close()
            self._listener = None
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listener: socket.socket, bytes_per_s: float) -> None:
        with suppress(OSError):  # it was closed
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.broker))
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [near, far]
                budget = Budget(bytes_per_s)
                threading.Thread(target=self._forth, args=(near, far, budget), name="forth", daemon=True).start()
                threading.Thread(target=self._back, args=(far, near), name="back", daemon=True).start()

    def _forth(self, near: socket.socket, far: socket.socket, budget: Budget) -> None:
        with suppress(OSError):
            while data := near.recv(budget.most):
                far.sendall(data)
                self.carried += len(data)
                time.sleep(budget.wait_s(len(data), time.monotonic()))
        _close(near, far)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(FREE_BYTES):
                near.sendall(data)
        _close(near, far)


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def tell(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.time(), **fields}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--broker", type=int, required=True)
    given = parser.parse_args()
    link = Link(given.listen, given.broker)
    link.up(0.0)
    tell("up")
    for line in sys.stdin:
        order = json.loads(line)
        if "carried" in order:
            tell("carried", bytes=link.carried)
        else:
            link.down()
            if order["up"]:
                link.up(order.get("bytes_per_s", 0.0))
            tell("up" if order["up"] else "down")


if __name__ == "__main__":
    main()
