"""`gateway watch` at real brokers: in MQTT 5 and 3.1.1, any format, and what is kept is told from what is new."""

import asyncio
import gzip
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.cli.watch import Watcher
from gateway.model import Message
from gateway.mqtt.watch import Arrived, Login, watching
from tests.support import brokers
from tests.support.mqtt_sessions import Session, opened, reason_of
from tests.support.ports import free_port

Starting = Callable[[Path], AbstractContextManager[brokers.Process]]


def message(seq: int) -> Message:
    payload = b'{"stream":"s","seq":%d,"values":[{"name":"a","value":%d}]}' % (seq, seq)
    return Message("factory/x", payload, "s", seq, 1)


def packed(plain: Message) -> Message:
    return replace(plain, payload=gzip.compress(plain.payload), properties=(("content-encoding", "gzip"),))


@pytest.mark.parametrize(
    ("starting", "session"), [(brokers.mosquitto, "lean"), (brokers.aedes, "general-3.1.1")], ids=["5", "3.1.1"]
)
def test_gaps_and_repeats_are_reported_and_retained_messages_are_not_counted(
    starting: Starting, session: Session, tmp_path: Path
) -> None:
    async def body() -> None:
        watcher = Watcher()
        seen: asyncio.Queue[tuple[Arrived, str]] = asyncio.Queue()

        async def follow() -> None:
            async with watching(broker.url, "factory/#", Login()) as arrivals:
                async for arrived in arrivals:
                    seen.put_nowait((arrived, watcher.see(arrived, time.time())[1]))

        async with opened(session, broker.url) as sink, asyncio.TaskGroup() as tasks:
            await sink.send(replace(message(7), retain=True))
            following = tasks.create_task(follow(), name="watch")
            arrived, odd = await seen.get()
            assert (arrived.retained, odd) == (True, "retained")
            told = []
            for each in (message(1), packed(message(2)), message(5), message(5), replace(message(6), payload=b"?")):
                await sink.send(each)
                told.append((await seen.get())[1])
            assert told[:4] == ["", "", "missing 3 to 4", "repeat"]
            assert "not readable" in told[4]
            following.cancel()
        assert watcher.streams.summary == "4 messages, 3 values, 1 repeats, 2 messages missing, 1 not readable"

    with starting(tmp_path) as broker:
        asyncio.run(asyncio.wait_for(body(), 240))


def test_the_command_exits_with_1_when_messages_are_missing(tmp_path: Path) -> None:
    async def body(process: asyncio.subprocess.Process, url: str) -> None:
        assert process.stdout is not None
        line = asyncio.create_task(process.stdout.readline())
        async with opened("lean", url) as sink:
            seq = 0
            while not line.done():  # nothing tells when it has subscribed
                seq += 1
                await sink.send(message(seq))
                await asyncio.wait([line], timeout=0.1)
            await sink.send(message(seq + 2))
            while b"MISSING" not in await process.stdout.readline():
                pass
        process.send_signal(signal.SIGINT)
        rest = (await process.stdout.read()).decode()
        assert "1 messages missing" in rest
        assert await process.wait() == 1

    async def run(url: str) -> None:
        command = (sys.executable, "-m", "gateway", "watch", url, "--lines")
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            await body(process, url)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    with brokers.mosquitto(tmp_path) as broker:
        asyncio.run(asyncio.wait_for(run(broker.url), 240))


def test_an_unreachable_broker_is_reported(tmp_path: Path) -> None:
    async def body() -> None:
        opening = watching(f"mqtt://127.0.0.1:{free_port()}", "#", Login())
        assert "is lost" in await reason_of(opening.__aenter__())

    asyncio.run(asyncio.wait_for(body(), 240))


def test_a_failed_login_shows_no_password() -> None:
    assert "secret" not in repr(Login("me", "secret"))
