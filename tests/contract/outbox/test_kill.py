"""A real process, killed at any moment: what it was promised is there, what it acknowledged does not come again."""

import asyncio
import os
import random
from pathlib import Path

from gateway.config import OutboxConfig
from gateway.outbox import Outbox, Record, open_outbox
from tests.support.forked import fork

ROUNDS = 8
Key = tuple[str, int]


def killed_after(folder: Path, lines: int) -> list[list[str]]:
    """Run the child until it has told so many lines, kill it, return all that it told."""
    (ours, theirs), errors = os.pipe(), folder.with_name("errors")
    with Path(os.devnull).open("rb") as null, errors.open("wb") as log:
        child = fork("tests.support.outbox_child", str(folder), streams=(null.fileno(), theirs, log.fileno()))
    os.close(theirs)
    with open(ours, "rb") as output:
        told = [line for _, line in zip(range(lines), output, strict=False)]
        child.kill()
        told += output.readlines()
    child.wait(60)
    assert len(told) >= lines, errors.read_text()
    return [line.decode().split() for line in told if line.endswith(b"\n")]


class Books:
    """What was promised, read and acknowledged over all lives."""

    def __init__(self) -> None:
        self.ids: dict[Key, str] = {}
        self.promised: set[Key] = set()
        self.seen: set[Key] = set()
        self.acked: set[Key] = set()

    def enter(self, kind: str, stream: str, seq: int, rest: list[str]) -> None:
        key = (stream, seq)
        if kind == "K":
            self.acked.add(key)
            return
        assert self.ids.setdefault(key, rest[0]) == rest[0], f"{key} was used twice"
        (self.promised if kind == "A" else self.seen).add(key)

    def enter_life(self, told: list[list[str]]) -> None:
        done = set(self.acked)
        for kind, stream, seq, *rest in told:
            assert kind != "R" or (stream, int(seq)) not in done, f"{stream} {seq} came again after its acknowledgement"
            self.enter(kind, stream, int(seq), rest)


async def drained(folder: Path) -> list[Record]:
    records: list[Record] = []

    async def drain(outbox: Outbox) -> None:
        while outbox.messages > len(records):
            records.extend(await outbox.reader("r").read(100, 2**20))

    async with open_outbox(OutboxConfig(path=folder), readers=("r",)) as outbox:
        await asyncio.wait_for(drain(outbox), 120)
        assert outbox.take_losses() == []
    return records


def test_kill_at_any_moment_loses_nothing_and_repeats_only_what_was_open(tmp_path: Path) -> None:
    rng, books = random.Random(7), Books()
    for _ in range(ROUNDS):
        books.enter_life(killed_after(tmp_path / "outbox", rng.randint(1, 400)))
    rest = asyncio.run(drained(tmp_path / "outbox"))
    books.enter_life([["R", r.message.stream, str(r.message.seq), r.message.payload[:32].decode()] for r in rest])
    assert books.promised <= books.seen
    assert len({stream for stream, _ in books.ids}) == 3, "a kill is no reason for new streams"
    for stream in {stream for stream, _ in books.seen}:
        seqs = sorted(seq for name, seq in books.seen if name == stream)
        assert seqs == list(range(1, len(seqs) + 1))
