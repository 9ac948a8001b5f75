"""The feed of states: made once for all viewers and never for nobody; who does not read is left behind, then cut."""

import asyncio
from typing import cast

import pytest

from gateway.web.feed import EVERY_S, STALLED_S, Feed, chunk_of


class Line:
    """A connection that is read, or not."""

    def __init__(self, *, is_read: bool = True) -> None:
        self.is_read, self.is_closed = is_read, False
        self.got: list[bytes] = []

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0 if self.is_read or not self.got else len(self.got[-1])

    def write(self, data: bytes) -> None:
        self.got.append(data)

    def abort(self) -> None:
        self.is_closed = True


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_one_state_for_all_viewers_and_none_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    clock, lines = Clock(), [Line(), Line(), Line(is_read=False)]
    turns = asyncio.Semaphore(0)

    async def make() -> bytes:
        made.append(b"%d" % len(made))
        return made[-1]

    async def a_second_later(delay_s: float) -> None:
        turns.release()
        clock.now_s += EVERY_S
        await asyncio.Event().wait() if clock.now_s > STALLED_S + 10 else await original(0)

    original = asyncio.sleep
    monkeypatch.setattr("gateway.web.feed.asyncio.sleep", a_second_later)

    async def body() -> None:
        feed = Feed(make, clock)
        running = asyncio.create_task(feed.run())
        await original(0)
        assert made == []
        showing = [asyncio.create_task(feed.show(cast(asyncio.Transport, line))) for line in lines]
        for _ in range(int(STALLED_S) + 5):
            await turns.acquire()
        assert lines[2].is_closed
        assert feed.viewers == 2
        feed.close()
        await asyncio.wait(showing)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(asyncio.wait_for(body(), 30))
    assert lines[0].got == lines[1].got
    assert lines[0].got[:2] == [chunk_of(b"0"), chunk_of(b"1")]
    assert lines[2].got == [chunk_of(b"0")]
    assert len(made) - len(lines[0].got) in (0, 1)  # the last may have been made for those who left


def test_a_chunk_says_its_length() -> None:
    assert chunk_of(b"{}") == b"17\r\nevent: state\ndata: {}\n\n\r\n"
