"""A process that appends, reads and acknowledges as fast as it can until it is killed, and prints what was promised.

    python -m tests.support.outbox_child FOLDER

Lines on standard output, each written at once: `A stream seq id` an append returned, `R stream seq id` a record was
read, `K stream seq` its acknowledgement reached the operating system.
"""

import asyncio
import os
import sys
import uuid
from pathlib import Path

from gateway.config import OutboxConfig
from gateway.logs import set_up_logs
from gateway.model import Message, Priority
from gateway.outbox import Outbox, open_outbox

STREAMS = (("alarm", Priority.EVENT), ("a", Priority.TELEMETRY), ("b", Priority.TELEMETRY))


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def append_for_ever(outbox: Outbox, name: str, priority: Priority) -> None:
    stream = f"{name}.{outbox.epoch}"
    while True:
        first = outbox.next_seq(stream)
        messages = [
            Message(f"t/{name}", uuid.uuid4().hex.encode() * 20, stream, first + n, 1, priority=priority)
            for n in range(3)
        ]
        await outbox.append(messages, source=name, checkpoint=str(first + 2).encode())
        for message in messages:
            tell("A", stream, message.seq, message.payload[:32].decode())


async def deliver_for_ever(outbox: Outbox) -> None:
    reader = outbox.reader("r")
    while True:
        records = await reader.read(7, 2**20)
        for record in records:
            tell("R", record.message.stream, record.message.seq, record.message.payload[:32].decode())
        for record in records:
            assert reader.ack(record.number)
        assert reader.save()
        for record in records:
            tell("K", record.message.stream, record.message.seq)


async def main() -> None:
    config = OutboxConfig(path=Path(sys.argv[1]), segment_bytes=50_000)
    async with open_outbox(config, readers=("r",)) as outbox, asyncio.TaskGroup() as tasks:
        for name, priority in STREAMS:
            last = outbox.next_seq(f"{name}.{outbox.epoch}") - 1
            assert int(outbox.checkpoints.get(name, b"0")) == last, (
                "the checkpoint is stored with its messages, or not at all"
            )
            tasks.create_task(append_for_ever(outbox, name, priority))
        tasks.create_task(deliver_for_ever(outbox))


set_up_logs("json")
asyncio.run(main())
