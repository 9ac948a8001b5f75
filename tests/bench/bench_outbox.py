"""How fast the outbox takes and gives, against a plain file written and synced in the same run.

    python -m tests.bench.bench_outbox [--folder DIR] [--seconds S]

Batches of 1 000 values in one message of about 60 kB, and small messages of one value and 100 bytes in appends of 100;
each from one writer and from eight side by side (as with several sources), whose appends share a sync.  Everything that
goes in is read and acknowledged while it runs.  The baseline writes the same bytes with one write and one fdatasync per
append and reads nothing back.

Then what `compress: zlib` costs and saves: messages of 1 000 numbers as `json` and `json-columns` encode them, by bytes
on the disk and processor time per value, in and out, with `commit: os`.
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.config import OutboxConfig
from gateway.model import Message
from gateway.outbox import Outbox, open_outbox
from tests.bench.bench_decode import batch_of, decoded, uniform
from tests.bench.bench_payload import Stored, formats


@dataclass(frozen=True)
class Shape:
    name: str
    unit: str
    payload_bytes: int
    values: int
    messages: int
    """Per append."""
    writers: int
    target: int | None
    """Units per second that the project promises."""

    @property
    def units(self) -> int:
        return self.messages * self.values


PACKED = 300
"""Messages stored to see what compression does."""
COMPRESSIONS: tuple[Literal["none", "zlib"], ...] = ("none", "zlib")
SHAPES = (
    Shape("1 message of 1 000 values, 1 writer", "values", 60_000, 1000, 1, 1, 500_000),
    Shape("1 message of 1 000 values, 8 writers", "values", 60_000, 1000, 1, 8, None),
    Shape("100 messages of 100 bytes, 1 writer", "messages", 100, 1, 100, 1, 50_000),
    Shape("100 messages of 100 bytes, 8 writers", "messages", 100, 1, 100, 8, 50_000),
)


@dataclass(frozen=True)
class Figures:
    per_s: float
    cpu: float
    """Processor seconds per second, all threads."""


def plain_file(folder: Path, shape: Shape, seconds: float) -> Figures:
    data = os.urandom(shape.payload_bytes) * shape.messages
    fd = os.open(folder / "plain", os.O_CREAT | os.O_WRONLY)
    begun, cpu, count = time.perf_counter(), time.process_time(), 0
    try:
        while (took := time.perf_counter() - begun) < seconds:
            os.pwrite(fd, data, (count * len(data)) % 2**26)
            os.fdatasync(fd)
            count += 1
    finally:
        os.close(fd)
        (folder / "plain").unlink()
    return Figures(count * shape.units / took, (time.process_time() - cpu) / took)


async def append_for(outbox: Outbox, shape: Shape, stream: str, until: float) -> None:
    payload = os.urandom(shape.payload_bytes)
    while time.perf_counter() < until:
        first = outbox.next_seq(stream)
        await outbox.append(
            [
                Message(f"factory/site/{stream}", payload, stream, first + n, shape.values, source="press")
                for n in range(shape.messages)
            ],
            source=stream,
            checkpoint=first.to_bytes(8, "big"),
        )


async def deliver(outbox: Outbox) -> None:
    reader = outbox.reader("r")
    while True:
        for record in await reader.read(1000, 2**20):
            reader.ack(record.number)


async def through_the_outbox(folder: Path, shape: Shape, seconds: float) -> Figures:
    config = OutboxConfig(path=folder / "outbox")
    async with open_outbox(config, readers=("r",)) as outbox, asyncio.TaskGroup() as tasks:
        begun, cpu = time.perf_counter(), time.process_time()
        delivering = tasks.create_task(deliver(outbox))
        streams = [f"s{n}.{outbox.epoch}" for n in range(shape.writers)]
        await asyncio.gather(*(append_for(outbox, shape, stream, begun + seconds) for stream in streams))
        await outbox.wait_empty()
        took, used = time.perf_counter() - begun, time.process_time() - cpu
        delivering.cancel()
        count = sum(outbox.next_seq(stream) - 1 for stream in streams) * shape.values
    return Figures(count / took, used / took)


@dataclass(frozen=True)
class Cost:
    """Of one value."""

    bytes: float
    cpu_us: float


async def stored(folder: Path, payload: bytes, compress: Literal["none", "zlib"]) -> Cost:
    config = OutboxConfig(path=folder, commit="os", compress=compress)
    async with open_outbox(config, readers=("r",)) as outbox:
        cpu = time.process_time()
        for seq in range(1, PACKED + 1):
            await outbox.append([Message("factory/press-1", payload, "s", seq, 1000, source="press")])
        size = outbox.bytes
        reader = outbox.reader("r")
        while reader.messages:
            for record in await reader.read(1000, 2**20):
                reader.ack(record.number)
        return Cost(size / PACKED / 1000, (time.process_time() - cpu) / PACKED / 1000 * 1e6)


def compression() -> None:
    batch = batch_of(decoded(uniform()))
    for name, payload, form in formats():
        if payload.compress == "none" and name in ("json", "json-columns"):
            encoded = Stored().encode(form, batch)[-1].payload
            for compress in COMPRESSIONS:
                with tempfile.TemporaryDirectory() as folder:
                    cost = asyncio.run(stored(Path(folder), encoded, compress))
                print(f"{name:12}  compress: {compress:4}  {cost.bytes:6.1f} bytes  {cost.cpu_us:6.3f} µs per value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to write; default: the temporary folder")
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    for shape in SHAPES:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            plain = plain_file(Path(folder), shape, arguments.seconds)
            ours = asyncio.run(through_the_outbox(Path(folder), shape, arguments.seconds))
        print(shape.name)
        print(f"  plain write + fdatasync  {plain.per_s:12,.0f} {shape.unit}/s  {plain.cpu:.2f} cores")
        print(f"  in and out of the outbox {ours.per_s:12,.0f} {shape.unit}/s  {ours.cpu:.2f} cores", end="  ")
        print(f"ratio {ours.per_s / plain.per_s:.2f}", end="")
        print(f"  (target {shape.target:,}: {ours.per_s / shape.target:.2f} x)" if shape.target else "")

    compression()


if __name__ == "__main__":
    main()
