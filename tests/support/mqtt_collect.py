"""A subscriber in the test's own event loop: every message kept, in order of arrival."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiomqtt


class Collected:
    """Topics and payloads as they came."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._changed = asyncio.Event()

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.messages]

    def add(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic, payload))
        self._changed.set()

    async def wait_count(self, count: int) -> None:
        while len(self.messages) < count:
            self._changed.clear()
            await self._changed.wait()

    async def wait_for(self, condition: Callable[[bytes], bool]) -> None:
        """Wait until a payload is like this."""
        while not any(map(condition, self.payloads)):
            await self.wait_count(len(self.messages) + 1)


@asynccontextmanager
async def collecting(
    port: int, topic: str = "#", *, username: str | None = None, password: str | None = None, version_5: bool = False
) -> AsyncIterator[Collected]:
    """Subscribed with QoS 1 when entered."""
    collected = Collected()
    protocol = aiomqtt.ProtocolVersion.V5 if version_5 else aiomqtt.ProtocolVersion.V311
    async with aiomqtt.Client("127.0.0.1", port, username=username, password=password, protocol=protocol) as client:
        await client.subscribe(topic, qos=1)

        async def collect() -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                collected.add(message.topic.value, message.payload)

        task = asyncio.create_task(collect(), name="collect")
        try:
            yield collected
        finally:
            task.cancel()
            await asyncio.wait([task])
