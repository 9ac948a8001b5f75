"""A real process, killed at any moment: what it was promised is there, what it acknowledged does not come again."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from gateway.config import OutboxConfig
from gateway.outbox import Outbox, Record, open_outbox

ROUNDS = 8
ROOT = Path(__file__).parents[3]
Key = tuple[str, int]


def killed_after(folder: Path, lines: int) -> list[list[str]]:
    """Run the child until it has told so many lines, kill it, return all that it told."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.outbox_child", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    told = [line for _, line in zip(range(lines), child.stdout, strict=False)]
    child.kill()
    told += child.stdout.readlines()
    errors = child.stderr.read().decode()
    child.wait()
    child.stdout.close()
    child.stderr.close()
    assert len(told) >= lines, errors
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
        books.enter_life(killed_after(tmp_path, rng.randint(1, 400)))
    rest = asyncio.run(drained(tmp_path))
    books.enter_life([["R", r.message.stream, str(r.message.seq), r.message.payload[:32].decode()] for r in rest])
    assert books.promised <= books.seen
    assert len({stream for stream, _ in books.ids}) == 3, "a kill is no reason for new streams"
    for stream in {stream for stream, _ in books.seen}:
        seqs = sorted(seq for name, seq in books.seen if name == stream)
        assert seqs == list(range(1, len(seqs) + 1))
