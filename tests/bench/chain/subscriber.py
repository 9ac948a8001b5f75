"""A subscriber that keeps what comes and judges it when the work is done, so that it takes no time from the work.

    python -m tests.bench.chain.subscriber --port 1883 --format json --variables 1000

MQTT 3.1.1 on a bare socket, QoS 0: it costs next to nothing.  Orders come as JSON lines on standard input, answers go
as JSON lines to standard output:

    {"quiet_s": 0.5, "most_s": 60}     wait until nothing has come for so long: {"event": "quiet", "count", "last_s", …}
    {"mark": true}                     forget the bytes and the beginning so far: {"event": "marked"}
    {"bytes": true}                    what has come since, without reading it: {"event": "bytes"}
    {"verdict": 1000, "servers": 1, "first": 0}    {"event": "verdict", …, "delays_ms"}
    {"drain": 1000}                    how a backlog of so many values came: {"event": "drain", …}
"""

import argparse
import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator

from tests.bench.chain.checker import Arrival, Checker

PUBLISH, CONNACK, SUBACK = 3, 2, 9
RECEIVE_BYTES = 1 << 20


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def packet(first: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes((first, len(body))) + body


def packets(data: bytes) -> Iterator[tuple[int, int, int]]:
    """First byte, begin and end of the body of each whole packet in `data`."""
    at, size = 0, len(data)
    while at < size:
        begin, length, shift = at + 1, 0, 0
        while begin < size:
            byte = data[begin]
            begin += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        else:
            return
        if begin + length > size:
            return
        yield data[at], begin, begin + length
        at = begin + length


def publishes(data: bytes) -> tuple[list[tuple[str, memoryview]], int]:
    """Topic and payload of each whole PUBLISH, and where the rest begins."""
    found, rest, view = [], 0, memoryview(data)
    for first, begin, end in packets(data):
        rest = end
        if first >> 4 == PUBLISH:
            behind = begin + 2 + int.from_bytes(data[begin : begin + 2], "big")
            topic = data[begin + 2 : behind].decode()
            found.append((topic, view[behind + (2 if first & 6 else 0) : end]))
    return found, rest


class Recorder:
    """A thread that receives."""

    def __init__(self, port: int) -> None:
        self.chunks: deque[tuple[bytes, float]] = deque()
        self.last_s, self.first_s, self.bytes = time.time(), 0.0, 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.sendall(packet(0x10, text("MQTT") + b"\x04\x02\0\0" + text(f"bench-{time.time_ns()}")))
        assert self._socket.recv(4)[0] >> 4 == CONNACK
        self._socket.sendall(packet(0x82, b"\0\1" + text("#") + b"\0"))
        assert self._socket.recv(5)[0] >> 4 == SUBACK
        threading.Thread(target=self._run, name="receive", daemon=True).start()

    def _run(self) -> None:
        while data := self._socket.recv(RECEIVE_BYTES):
            now_s = time.time()
            self.chunks.append((data, now_s))
            self.bytes += len(data)
            self.last_s = now_s
            self.first_s = self.first_s or now_s

    def mark(self) -> None:
        self.first_s, self.bytes = 0.0, 0

    def wait_quiet(self, quiet_s: float, most_s: float) -> None:
        began_s = time.time()
        while (now_s := time.time()) - max(self.last_s, began_s) < quiet_s and now_s - began_s < most_s:
            time.sleep(0.02)


class Arrivals:
    """What has come since it was asked the last time, as messages; the part of a message waits for its rest."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._rest = recorder, b""

    def take(self) -> Iterator[Arrival]:
        while self._recorder.chunks:
            data, at_s = self._recorder.chunks.popleft()
            self._rest += data
            found, behind = publishes(self._rest)
            self._rest = self._rest[behind:]
            for topic, payload in found:
                yield topic, payload, at_s


def tell(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--format", required=True)
    parser.add_argument("--variables", type=int, required=True)
    given = parser.parse_args()
    recorder, checker = Recorder(given.port), Checker(given.format, given.variables)
    arrivals = Arrivals(recorder)
    tell("subscribed")
    for line in sys.stdin:
        order = json.loads(line)
        if "quiet_s" in order:
            recorder.wait_quiet(order["quiet_s"], order["most_s"])
            first_s, size = recorder.first_s, recorder.bytes
            checker.take(arrivals.take())
            counts = {
                "count": checker.count,
                "initial": checker.initial,
                "last_s": checker.last_s,
                "last_initial_s": checker.last_initial_s,
            }
            tell("quiet", **counts, first_s=first_s, bytes=size, problems=dict(+checker.problems))
        elif "mark" in order:
            recorder.mark()
            tell("marked")
        elif "bytes" in order:
            tell("bytes", bytes=recorder.bytes)
        elif "verdict" in order:
            checker.take(arrivals.take())
            delays = checker.delays_ms(order["first"])
            tell("verdict", **checker.verdict(order["verdict"], order["servers"], order["first"]), delays_ms=delays)
        elif "drain" in order:
            tell("drain", **checker.drain(order["drain"]))


if __name__ == "__main__":
    main()
