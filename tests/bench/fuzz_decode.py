"""Fuzzing the decoder for as long as one likes: mutated publish responses, and what they cost.

    python -m tests.bench.fuzz_decode [RESPONSES] [SEED]

Prints how many were decoded, the slowest of them and the peak memory.  Ends with an error, and the seed and number of
the response, when anything but `Malformed` comes out or one takes longer than 100 ms of CPU.
"""

import random
import resource
import struct
import sys
import time

from gateway.opcua.codec.columns import read_changes
from gateway.opcua.codec.decode import read_publish
from gateway.opcua.codec.wire import Dialect, Malformed
from gateway.opcua.space.event_filters import read_events
from tests.support import opcua_wire as wire

SLOWEST_S = 0.1
TICKS = 134_000_000_000_000_000
INTERESTING = (0, 1, 2, 3, 0x16, 0x17, 0x18, 0x19, 0x3F, 0x7F, 0x80, 0x8B, 0x98, 0xC6, 0xFE, 0xFF)


def seeds() -> list[bytes]:
    """Responses of all kinds to begin with."""
    numbers = [wire.item(n, wire.double(n), None, TICKS, TICKS) for n in range(40)]
    others = [
        wire.item(1, wire.string("text"), 0, TICKS),
        wire.item(2, b"\x86" + struct.pack("<iii", 2, 1, 2)),
        wire.item(3, b"\xc6" + struct.pack("<i4i", 4, *range(4)) + struct.pack("<iii", 2, 2, 2)),
        wire.item(4, b"\x98" + struct.pack("<i", 2) + wire.double(1.0) + wire.string("x")),
        wire.item(5, b"\x16\x01\x02\x05\x00\x01\x02\x00\x00\x00ab"),
        wire.item(6, b"\x17\x03" + wire.double(1.0) + struct.pack("<I", 5)),
        wire.item(7, b"\x15\x03" + wire.text("de") + wire.text("x")),
        wire.item(8, None, wire.BAD_SENSOR),
        wire.item(9, b"\x19\x7f" + struct.pack("<iiii", 1, 2, 3, 4) + wire.text("d") + struct.pack("<I", 0) + b"\x00"),
    ]
    events = wire.extension(916, struct.pack("<iIi", 1, 0, 2) + wire.double(1.0) + wire.string("hot"))
    mixed = [item for pair in zip(numbers, others * 5, strict=False) for item in pair]
    return [
        wire.publish_response([wire.data_change(numbers)], available=(1, 2, 3)),
        wire.publish_response([wire.data_change(mixed)]),
        wire.publish_response([wire.data_change(others), events, wire.extension(820, struct.pack("<IB", 0, 0))]),
    ]


def mutated(body: bytes, rng: random.Random) -> bytes:
    octets = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        place = rng.randrange(len(octets))
        kind = rng.randrange(5)
        if kind == 0:
            octets[place] = rng.randrange(256)
        elif kind == 1:
            octets[place] = rng.choice(INTERESTING)
        elif kind == 2:
            octets[place : place + 4] = struct.pack("<i", rng.choice((-1, 0, 1, 2**16, 2**31 - 1, -(2**31))))
        elif kind == 3:
            del octets[place : place + rng.randrange(1, 30)]
        else:
            octets[place:place] = octets[place : place + rng.randrange(1, 60)] * rng.randrange(1, 4)
    return bytes(octets)


def decode_all(body: bytes, dialect: Dialect) -> None:
    try:
        published = read_publish(body)
    except Malformed:
        return
    for part in published.notifications:
        read_changes(published, part, dialect)
        read_events(published, part, dialect, [("A", "B")])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    rng, bodies, dialect = random.Random(seed), seeds(), Dialect(("http://opcfoundation.org/UA/", "urn:x"))
    slowest = 0.0
    number = 0
    try:
        while number < count:
            number += 1
            body = mutated(rng.choice(bodies), rng)
            began = time.process_time()
            decode_all(body, dialect)
            slowest = max(slowest, time.process_time() - began)
            if slowest > SLOWEST_S:
                raise RuntimeError(f"{slowest * 1000:.0f} ms")
    except BaseException:
        print(f"seed {seed}, response {number}", file=sys.stderr)
        raise
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count} responses, seed {seed}: slowest {slowest * 1000:.1f} ms, peak {peak:.0f} MiB, only Malformed came out"
    )


if __name__ == "__main__":
    main()
