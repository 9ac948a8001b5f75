"""CPU per value: from the bytes of a publish response to columns, and on to the payload.

    python -m tests.bench.bench_decode [--json]

Responses of 1 000 scalar numbers, every timestamp different.  Each figure is the best of several rounds of process CPU
time, so that what else the machine does weighs little; asyncua's own decoding and dispatch stands beside it, measured
in the same run.
"""

import asyncio
import json
import logging
import struct
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from asyncua import Client, ua
from asyncua.common.subscription import Subscription, SubscriptionItemData
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from gateway.model import Batch, Tag
from gateway.opcua.codec.columns import Changes, read_changes
from gateway.opcua.codec.decode import read_publish
from gateway.opcua.codec.wire import Dialect
from gateway.payload.json import JsonEncoder
from gateway.payload.splitting import FormatSettings
from tests.support import opcua_wire as wire

VALUES = 1000
ROUNDS = 15
TICKS = 134_000_000_000_000_000
DIALECT = Dialect(("http://opcfoundation.org/UA/",))
TAGS = tuple(Tag(f"Temperature-{n}", f"nsu=urn:x;i={n}", {"machine": "press-1"}) for n in range(VALUES))


def uniform(count: int = VALUES) -> bytes:
    """Doubles only."""
    items = [
        wire.item(n, wire.double(n * 1.37), None, TICKS + n * 10_007, TICKS + n * 10_007 + 5) for n in range(count)
    ]
    return wire.publish_response([wire.data_change(items)])


def mixed(count: int = VALUES) -> bytes:
    """Doubles, integers and booleans in turn, as machines have them."""
    kinds = (wire.double(1.5), b"\x06" + struct.pack("<i", 7), b"\x01\x01", b"\x0a" + struct.pack("<f", 2.5))
    items = [wire.item(n, kinds[n % 4], None, TICKS + n * 10_007, TICKS + n * 10_007 + 5) for n in range(count)]
    return wire.publish_response([wire.data_change(items)])


def strings() -> bytes:
    """What has no fixed size."""
    items = [wire.item(n, wire.string(f"state {n}"), None, TICKS + n, TICKS + n) for n in range(VALUES)]
    return wire.publish_response([wire.data_change(items)])


def decoded(body: bytes) -> Changes:
    published = read_publish(body)
    return read_changes(published, published.notifications[0], DIALECT)


def batch_of(c: Changes) -> Batch:
    return Batch("bench", TAGS, c.handles, c.types, c.values, c.statuses, c.source_ticks, c.server_ticks)


def columnar(c: Changes) -> bytes:
    """The columns as they are, one after the other: what any columnar layout has to copy at least."""
    values = c.values if isinstance(c.values, np.ndarray) else np.zeros(0)
    columns = (c.handles, c.types, values, c.statuses, c.source_ticks, c.server_ticks)
    return b"".join(column.tobytes() for column in columns)


def cpu_us(work: Callable[[], object], times: int) -> float:
    """Best CPU time per value, in microseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - began)
    return best / times / VALUES * 1e6


class _Taker:
    def datachange_notification(self, node: object, value: object, data: object) -> None:
        return


async def asyncua_us(body: bytes) -> tuple[float, float]:
    """asyncua's decoding alone, and with its dispatch to a handler as a user would write it."""
    client = Client("opc.tcp://127.0.0.1:1")
    subscription = Subscription(client.uaclient.session, ua.CreateSubscriptionParameters(), _Taker())
    for handle in range(VALUES):
        data = SubscriptionItemData()
        data.node = client.get_node(ua.NodeId(ua.Int32(handle), ua.Int16(2)))
        subscription._monitored_items[handle] = data
    alone = cpu_us(lambda: struct_from_binary(ua.PublishResponse, Buffer(body)), 1)
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        response = struct_from_binary(ua.PublishResponse, Buffer(body))
        await subscription.publish_callback(response.Parameters)
        await asyncio.sleep(0)
        best = min(best, time.process_time() - began)
    return alone, best / VALUES * 1e6


def figures() -> dict[str, float]:
    form = JsonEncoder(FormatSettings("bench", "factory/{machine}", "bench"))
    numbers: dict[str, float] = {}
    for kind, body in (("uniform", uniform()), ("mixed", mixed()), ("strings", strings())):
        numbers[f"{kind}: decode"] = cpu_us(partial(decoded, body), 20)
        numbers[f"{kind}: decode and json"] = cpu_us(partial(encoded, form, body), 5)
    uniform_body = uniform()
    numbers["uniform: decode and columns"] = cpu_us(lambda: columnar(decoded(uniform_body)), 20)
    alone, dispatched = asyncio.run(asyncua_us(uniform_body))
    numbers["uniform: asyncua, decode"] = alone
    numbers["uniform: asyncua, decode and dispatch"] = dispatched
    return numbers


def encoded(form: JsonEncoder, body: bytes) -> object:
    return form.encode(batch_of(decoded(body)), lambda stream: 1)


def main() -> None:
    logging.disable(logging.CRITICAL)
    numbers = figures()
    if "--json" in sys.argv:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        print(f"{name:40} {value:8.3f} µs/value")


if __name__ == "__main__":
    main()
