"""An outbox with several routes that is opened several times, for tests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gateway.config import OutboxConfig
from gateway.model import Message, Priority
from gateway.outbox import Files, Outbox, Reader, open_outbox

Body = Callable[[Outbox], Awaitable[None]]


class Folder:
    """An outbox that is opened several times."""

    def __init__(self, path: Path, files: Callable[[], Files] = Files, **config: object) -> None:
        self.path = path
        self.files = files
        self.drops: list[tuple[str, str, int]] = []
        self.epochs: list[str] = []
        self.config = OutboxConfig.model_validate({"path": path, "segment_bytes": 2000, "min_free": 1, **config})

    def run(self, readers: Mapping[str, str], body: Body) -> None:
        async def life() -> None:
            async with open_outbox(
                self.config, readers=readers, files=self.files(), retry_s=0.001,
                on_drop=lambda reader, reason, values: self.drops.append((reader, reason, values)),
            ) as outbox:  # fmt: skip
                self.epochs.append(outbox.epoch)
                await body(outbox)

        asyncio.run(asyncio.wait_for(life(), 60))


def message(
    outbox: Outbox, route: str, text: str, ahead: int = 0, priority: Priority = Priority.TELEMETRY, size: int = 0
) -> Message:
    stream = f"{priority.name}@{route}"
    return Message("t", text.encode().ljust(size), stream, outbox.next_seq(stream) + ahead, values=1, priority=priority)


async def put(outbox: Outbox, route: str, *texts: str, size: int = 0, checkpoint: bytes = b"") -> None:
    for text in texts:
        made = [message(outbox, route, text, size=size)]
        plain, others = ([], {route: made}) if route else (made, {})
        await outbox.append(plain, others=others, source="s", checkpoint=checkpoint)


async def get(reader: Reader) -> list[str]:
    got: list[str] = []
    while reader.messages:
        for record in await reader.read(10, 10**6):
            got.append(record.message.payload.decode().strip())
            assert reader.ack(record.number)
    return got
