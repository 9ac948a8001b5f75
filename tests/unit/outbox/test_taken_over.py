"""A folder that was made before there were routes: everything in it arrives, and its numbers go on.

It holds a backlog of three priorities with a piece delivered ahead, a checkpoint, and a loss that nobody was told.
`expected.json` is what that version said.  What a broker had refused is in `tests/unit/gateway/test_former_outbox.py`.
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from gateway.config import OutboxConfig
from gateway.model import Message
from gateway.outbox import Outbox, Reader, inspect, open_outbox

MADE = Path(__file__).parents[2] / "data" / "outbox-of-8a52934" / "ahead"
EXPECTED = json.loads((MADE / "expected.json").read_text(encoding="utf-8"))
Got = list[list[object]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(MADE, tmp_path / "outbox")


async def everything(reader: Reader) -> Got:
    got: Got = []
    while reader.left_behind:
        got += [_seen(reader, record) for record in await reader.read_behind(10, 10**6)]
    while reader.messages:
        got += [_seen(reader, record) for record in await reader.read(10, 10**6)]
    return sorted(got, key=str)


def _seen(reader: Reader, record: object) -> list[object]:
    assert reader.ack(record.number)  # type: ignore[attr-defined]
    message: Message = record.message  # type: ignore[attr-defined]
    return [message.stream, message.seq, message.payload.decode()]


def config(path: Path) -> OutboxConfig:
    return OutboxConfig.model_validate({"path": path, "segment_bytes": 1500, "min_free": 1})


def losses_of(outbox: Outbox) -> Got:
    return [[x.stream, x.from_seq, x.to_seq, x.values, list(x.readers)] for x in outbox.take_losses()]


@pytest.mark.parametrize(
    "routes", [{"near": "", "far": ""}, {"near": "near", "far": ""}, {"near": "own", "far": "own"}]
)
def test_every_message_arrives_whatever_route_the_readers_have_now(folder: Path, routes: dict[str, str]) -> None:
    async def body() -> None:
        async with open_outbox(config(folder), readers=routes) as outbox:
            assert outbox.epoch == EXPECTED["epoch"]
            assert outbox.checkpoints == {source: mark.encode() for source, mark in EXPECTED["checkpoints"].items()}
            assert losses_of(outbox) == EXPECTED["losses"]
            for name, messages in EXPECTED["readers"].items():
                assert await everything(outbox.reader(name)) == sorted(messages, key=str)
            stream = EXPECTED["readers"]["near"][-1][0]
            assert outbox.next_seq(stream) == 1 + max(
                seq for name, seq, _ in EXPECTED["readers"]["far"] if name == stream
            )

    asyncio.run(asyncio.wait_for(body(), 60))


def test_an_outbox_of_an_older_version_can_be_shown_and_purged(folder: Path) -> None:
    shown = inspect.show(folder)
    assert {each.name: each.messages for each in shown.readers} == {
        name: len(messages) for name, messages in EXPECTED["readers"].items()
    }
    assert {each.route for each in shown.segments} == {""}
    assert inspect.purge(folder)[0] == sum(each.messages for each in shown.segments)
    assert [each.messages for each in inspect.show(folder).readers] == [0, 0]
