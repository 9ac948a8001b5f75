"""Opening either session against any broker, for tests that hold both to one contract."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

from gateway.delivery.line_rate import LineRate
from gateway.errors import Unavailable
from gateway.model import Message
from gateway.mqtt import dial
from gateway.mqtt.general import open_general
from gateway.mqtt.lean import open_lean
from gateway.mqtt.patience import Patience
from gateway.mqtt.sink import SessionSettings, Sink

Session = Literal["lean", "general", "general-3.1.1"]
SPEAKS_5: tuple[Session, ...] = ("lean", "general")
ALL: tuple[Session, ...] = ("lean", "general", "general-3.1.1")

T = TypeVar("T")


@asynccontextmanager
async def opened(
    session: Session,
    url: str,
    *,
    client_id: str = "tested",
    login: tuple[str, str] | None = None,
    will: Message | None = None,
    keep_alive_s: int = 15,
    ack_timeout_s: float = 30.0,
    window: int = 100,
    topic_aliases: int = 65_535,
    line: LineRate | None = None,
    within_s: float = 30.0,
) -> AsyncIterator[Sink]:
    """A session of the kind that is named."""
    address = dial.parse(url)
    username, password = login or (None, None)
    wanted = SessionSettings(
        client_id, username, password, keep_alive_s, ack_timeout_s, window, None, will, topic_aliases, line=line
    )
    async with contextlib.AsyncExitStack() as stack:
        with dial.translated(address, patience := Patience(within_s)):
            async with patience:
                wire = dial.Socket(await dial.connect(address), address)
                version: Literal["5", "3.1.1"] = "3.1.1" if session == "general-3.1.1" else "5"
                opening = open_lean(wire, wanted) if session == "lean" else open_general(wire, wanted, version)
                sink: Sink = await stack.enter_async_context(opening)
        yield sink


def message(topic: str = "a/b", payload: bytes = b"{}", *, seq: int = 1, retain: bool = False) -> Message:
    return Message(topic, payload, stream="s", seq=seq, values=1, retain=retain, properties=(("k", "v"),))


async def reason_of(failing: Awaitable[T]) -> str:
    """The text of the `Unavailable` that this ends with."""
    try:
        result = await failing
    except Unavailable as error:
        return str(error)
    raise AssertionError(f"expected Unavailable, got {result!r}")


def open_sockets() -> set[str]:
    """The sockets this process has open, for tests that none leaks."""
    folder = "/proc/self/fd"
    found = set()
    for number in os.listdir(folder):
        with contextlib.suppress(OSError):
            found.add(f"{number} {os.readlink(f'{folder}/{number}')}")
    return {name for name in found if "socket:" in name}


class Wire(asyncio.Transport):
    """Keeps what is written; obeys `abort` and `close`, after which it refuses to write, as uvloop's transports do."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closed:
            raise RuntimeError("unable to perform operation: the handler is closed")
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True
