"""An OPC UA server that costs next to nothing, for load: the simulators' server with its values made by numpy.

    python -m tests.support.load_server PORT TAGS HZ

Objects / SetPoint and SetPoint-0 …, which clients may write, and Objects / load / m-00 … m-09 / <number>: all of these
variables change together, HZ times a second.  In tick *t* the value of tag *n* is `t * TAGS + n`, so a value shows its
tag and tick.
Sessions, subscriptions, acknowledgements, Republish and transfer are those of `simulators/server`.
Only the queue of a subscription is replaced by two numbers, the next tick and the last one due, from which a whole
DataChangeNotification is built at once.  A full queue (`queue_size` ticks) drops its
oldest ticks and sets the overflow bit (Part 4, 5.13.1.5).

Log lines are JSON on standard error: `serving` with the instant of tick 0.  SIGUSR1 stops the values, and `finished`
gives the last tick.
"""

import asyncio
import json
import math
import signal
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from simulators.server.encode import MASK, NO_DIAGNOSTICS, NOTIFICATION_TYPE
from simulators.server.endpoint import MODEL_URI, Access, bind, prepared
from simulators.server.items import OVERFLOW
from simulators.server.machines import NodeNamespace
from simulators.server.space import OBJECTS, READ, WRITE, Space
from simulators.server.subscriptions import Subscription
from tests.support.ports import free_port
from tests.support.programs import Program

SET_POINTS = 50
MACHINES = 10
UNIX_EPOCH_TICKS = 116_444_736_000_000_000
"""1970 as OPC UA counts time: 100 ns since 1601."""
ROW = np.dtype([
    ("handle", "<u4"), ("mask", "u1"), ("type", "u1"), ("value", "<i4"), ("status", "<u4"), ("source", "<i8"),
    ("server", "<i8"),
])  # fmt: skip
"""A MonitoredItemNotification with an Int32, a status and both timestamps, byte for byte (Part 6, 5.2)."""
INT32 = 6


@dataclass
class Production:
    """Which ticks there are: a function of time."""

    tags: int
    period_s: float
    began_ns: int
    last: int | None = None
    """The last tick, once no more are made."""

    def due(self, now_ns: int) -> int:
        """The latest tick that has come."""
        tick = int((now_ns - self.began_ns) / 1e9 / self.period_s)
        return tick if self.last is None else min(tick, self.last)

    def ticks_100ns(self, tick: NDArray[np.int64]) -> NDArray[np.int64]:
        """When ticks were, as OPC UA counts time."""
        return UNIX_EPOCH_TICKS + self.began_ns // 100 + tick * round(self.period_s * 1e7)


class LoadSubscription(Subscription):
    """A subscription whose queue is a range of ticks."""

    production: Production
    _next: int | None = None
    _rows: NDArray[np.void] | None = None
    _items = _shortest = 0

    def _layout(self) -> NDArray[np.void] | None:
        """One tick as rows, the values being the numbers of the tags; None while no tag is subscribed to."""
        monitored = self.items._monitored_items
        if self._rows is None or self._items != len(monitored):
            asked = [(item, item.read_value_id) for item in monitored.values() if item.read_value_id is not None]
            ours = [(item, str(node.NodeId.Identifier)) for item, node in asked if node.NodeId.NamespaceIndex]
            known = [(item.client_handle, int(number)) for item, number in ours]
            self._items, self._shortest = len(monitored), min((item.queue_size for item, _ in ours), default=0)
            rows = np.zeros(len(known), ROW)
            rows["handle"], rows["value"] = np.array(known).T if known else ([], [])
            rows["mask"], rows["type"] = MASK, INT32
            self._rows = rows
        return self._rows if len(self._rows) else None

    @property
    def due(self) -> bool:
        if self._layout() is None:
            return False
        due = self.production.due(time.time_ns())
        if self._next is None:
            self._next = due
        return self._next <= due

    def _pop_triggered_datachanges(self, result: ua.PublishResult) -> None:
        layout = self._layout()
        if layout is None or not self.due or self._next is None:
            return
        due = self.production.due(time.time_ns())
        overflowed = due - self._next + 1 > self._shortest
        if overflowed:
            self._next = due - self._shortest + 1
        count = min(due - self._next + 1, max(1, self.most_values // len(layout)))
        rows = self._rows_of(layout, np.arange(self._next, self._next + count, dtype=np.int64))
        rows["status"][: len(layout)] = OVERFLOW if overflowed else 0
        self._next += count
        body = b"".join((struct.pack("<i", len(rows)), rows.tobytes(), NO_DIAGNOSTICS))
        data = ua.ExtensionObject(NOTIFICATION_TYPE, ua.ByteString(body))
        result.NotificationMessage.NotificationData.append(data)

    def _rows_of(self, layout: NDArray[np.void], ticks: NDArray[np.int64]) -> NDArray[np.void]:
        rows = np.tile(layout, len(ticks))
        each = np.repeat(ticks, len(layout))
        rows["value"] += (each * self.production.tags).astype(np.int32)
        rows["source"] = rows["server"] = self.production.ticks_100ns(each)
        return rows


class LoadServer(Program):
    """The server as a process of its own, from the test's side."""

    def __init__(self, folder: Path, tags: int, rate_hz: float) -> None:
        self.port, self.tags, self.rate_hz = free_port(), tags, rate_hz
        super().__init__("load-server", folder, "tests.support.load_server", str(self.port), str(tags), str(rate_hz))

    @property
    def began_ns(self) -> int:
        """When tick 0 was, Unix time."""
        return self._told("serving", "began_ns")

    def finish(self) -> int:
        """Make no more values; gives the last tick that there is."""
        self.process.send_signal(signal.SIGUSR1)
        self.wait_said("finished")
        return self._told("finished", "last_tick")

    def _told(self, event: str, key: str) -> int:
        told = next(e[key] for e in self.events if e.get("event") == event)
        assert isinstance(told, int)
        return told


def source_of(port: int, **changes: object) -> dict[str, object]:
    """The configuration of a gateway's source for a load server, reached through `port`."""
    return {
        "name": "load", "url": f"opc.tcp://127.0.0.1:{port}", "insecure": True, "publishing_interval": "100ms",
        "queue_size": 3000, "keep_alive": "1s", "session_timeout": "10s", "request_timeout": "3s",
        "select": [{"subtree": f"nsu={MODEL_URI};s=load", "levels": ["machine"], "include": ["*/*"]}],
        **changes,
    }  # fmt: skip


def tell(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)


async def serve(port: int, tags: int, rate_hz: float) -> None:
    async with prepared("load", Access(), bind(f"opc.tcp://127.0.0.1:{port}")) as server:
        place = NodeNamespace(Space(server.iserver.aspace), await server.register_namespace(MODEL_URI))
        root = place.space.add_object(place.id("load"), place.name("load"), OBJECTS)
        for machine in range(MACHINES):
            name = f"m-{machine:02}"
            node = place.space.add_object(place.id(f"load/{name}"), place.name(name), root)
            for number in range(machine, tags, MACHINES):
                text = f"{number:05}"
                place.space.add_variable(place.id(text), place.name(text), node, ua.VariantType.Int32, number)
        for text in ("SetPoint", *(f"SetPoint-{number}" for number in range(SET_POINTS))):
            set_point = place.id(text), place.name(text), OBJECTS, ua.VariantType.Int32, 0
            place.space.add_variable(*set_point, access=READ | WRITE)
        production = Production(tags, 1.0 / rate_hz, time.time_ns() // 1_000_000_000 * 1_000_000_000)
        assert production.due(time.time_ns() + 10**9) >= 0
        longest_s = (2**31 / tags - 1) * production.period_s
        LoadSubscription.production = production
        server.iserver.subscriptions.kind = LoadSubscription
        await server.start()
        tell("serving", began_ns=production.began_ns, values_run_out_after_s=math.floor(longest_s))
        finish = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, finish.set)
        await finish.wait()
        production.last = production.due(time.time_ns())
        tell("finished", last_tick=production.last)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
