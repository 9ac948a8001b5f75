"""What was asked and answered survives kills, power cuts, damage and full disks, and is bounded."""

import asyncio
import errno
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.commands.audit import AuditFile, lines_in, verify
from gateway.commands.entries import Entry
from gateway.commands.journal import LARGEST_ANSWER, Journal, journal_in
from gateway.commands.outcome import Refused
from gateway.config import CommandsConfig
from gateway.outbox import Files
from tests.support.commands import commands
from tests.support.disk import Disk

FOLDER = Path("/outbox")
S = 1_000_000_000
RULE: dict[str, object] = {"source": "shop", "node": "i=1", "read": True}
CONFIG = commands(RULE, max_deadline=60)


def entry(number: int, deadline_s: int = 30) -> Entry:
    return Entry(("mes", str(number)), f"d{number}", "broker", "t", b"c", "shop", "write", 0, deadline_s * S)


@asynccontextmanager
async def opened(
    files: Files, folder: Path = FOLDER, config: CommandsConfig = CONFIG, now_s: float = 0
) -> AsyncIterator[Journal]:
    journal = journal_in(folder, config, files, lambda: int(now_s * S))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(journal.run())
        yield journal
        journal.stop()
    journal.close()


def run(body: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 30))


def end(journal: Journal, each: Entry, *, begun: bool = True) -> "asyncio.Future[None]":
    audit = {"seq": journal.next_audit(), "id": each.key[1]}
    return journal.end(each, {"id": each.key[1], "outcome": "done"}, audit, begun=begun)


async def three(journal: Journal) -> None:
    """One that is over, one that may have happened, one that has not begun."""
    for number in (1, 2, 3):
        await journal.begin(entry(number))
    for number in (1, 2):
        await journal.executing(journal_entry(journal, number))
    await end(journal, journal_entry(journal, 1))
    await journal.begin(entry(4))  # the group before is whole by then


def journal_entry(journal: Journal, number: int) -> Entry:
    found = journal.known(("mes", str(number)))
    assert found is not None
    return found


@pytest.mark.parametrize("seed", [None, *range(20)])
def test_an_accepted_command_is_known_after_a_crash(seed: int | None) -> None:
    """A kill (None) or a power cut."""
    disk = Disk()

    async def before() -> None:
        journal = journal_in(FOLDER, CONFIG, disk.files(), lambda: 0)
        writing = asyncio.create_task(journal.run())
        await three(journal)
        disk.kill() if seed is None else disk.cut_power(random.Random(seed))
        writing.cancel()
        await asyncio.wait([writing])

    async def after() -> None:
        async with opened(disk.files()) as journal:
            assert not journal.is_doubtful
            assert journal_entry(journal, 1).answer == {"id": "1", "outcome": "done"}
            assert [(each.key[1], each.is_executing) for each in journal.unfinished] == [
                ("2", True),
                ("3", False),
                ("4", False),
            ]
            assert [each.key[1] for each in journal.untold] == ["1"]

    run(before)
    run(after)


@pytest.mark.parametrize("place", ["begun", "executing", "ended"])
def test_a_flipped_bit_makes_all_commands_doubtful_until_their_deadlines(place: str, tmp_path: Path) -> None:
    """What was done before must not be done again because nobody remembers it."""

    async def body() -> None:
        async with opened(Files(), tmp_path) as journal:
            await three(journal)
        path = tmp_path / "commands" / "journal"
        data = bytearray(path.read_bytes())
        data[data.index(f'"{place}"'.encode()) + 3] ^= 1
        path.write_bytes(data)
        for now_s, is_doubtful in ((100, True), (164, True), (166, False)):
            async with opened(Files(), tmp_path, now_s=now_s) as journal:
                assert journal.is_doubtful == is_doubtful
        assert (tmp_path / "commands" / "journal.damaged").exists()

    run(body)


def test_a_torn_tail_is_cut_off_and_a_missing_journal_is_damage(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(Files(), tmp_path) as journal:
            await journal.begin(entry(1))
        path = tmp_path / "commands" / "journal"
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:-5])
        async with opened(Files(), tmp_path) as journal:
            assert not journal.is_doubtful
            assert journal.entries == 1
            await journal.begin(entry(2))
        async with opened(Files(), tmp_path) as journal:
            assert journal.entries == 2
        path.unlink()
        async with opened(Files(), tmp_path) as journal:
            assert journal.is_doubtful

    run(body)


def test_a_full_disk_refuses_new_commands_and_keeps_recorded_ones() -> None:
    disk = Disk()

    async def body() -> None:
        async with opened(disk.files()) as journal:
            first = entry(1)
            await journal.begin(first)
            await journal.executing(first)
            disk.always["write"] = errno.ENOSPC
            ended = end(journal, first)
            for number in (2, 3):
                with pytest.raises(Refused, match="cannot be written"):
                    await journal.begin(entry(number))
            with pytest.raises(OSError, match="No space"):
                await end(journal, entry(4), begun=False)
            assert journal.trouble
            assert not ended.done()
            assert [journal.known(("mes", str(n))) for n in (2, 3, 4)] == [None] * 3
            del disk.always["write"]
            await ended
            await journal.begin(entry(5))
            assert not journal.trouble
        async with opened(disk.files()) as journal:
            assert journal_entry(journal, 1).answer is not None
            assert journal.entries == 2

    run(body)


async def fill(journal: Journal) -> int:
    """How many it takes."""
    taken = 0
    while True:
        one = entry(taken)
        try:
            await journal.begin(one)
        except Refused as error:
            assert error.reason == "journal_full"  # noqa: PT017 - how many there were is what counts
            return taken
        await end(journal, one)
        taken += 1


def test_the_journal_is_bounded_and_forgets_only_commands_that_cannot_be_repeated(tmp_path: Path) -> None:
    """Deadlines are over: then a repeat is refused by its own."""
    config = commands(RULE, max_deadline=60, journal_bytes=3 * LARGEST_ANSWER)

    async def body() -> None:
        now = 0.0
        journal = journal_in(tmp_path, config, now_ns=lambda: int(now * S))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(journal.run())
            taken = await fill(journal)
            now = 30.0
            with pytest.raises(Refused, match="it is full"):
                await journal.begin(entry(taken, 90))
            now = 36.0
            for number in range(3 * taken):
                one = entry(taken + number, 36)
                await journal.begin(one)
                await end(journal, one)
                now += 6.0
            assert journal.bytes <= journal.capacity
            assert (tmp_path / "commands" / "journal").stat().st_size <= 2 * config.journal_bytes
            journal.stop()
        journal.close()
        assert taken > 50

    run(body)


def test_audit_entries_missing_after_a_crash_come_from_the_journal(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(Files(), tmp_path) as journal:
            await three(journal)
            journal.note({"seq": journal.next_audit(), "id": "-"})
        [audit] = (tmp_path / "commands").glob("audit-*")
        lines = audit.read_bytes().splitlines(keepends=True)
        audit.write_bytes(b"")
        async with opened(Files(), tmp_path):
            pass
        assert audit.read_bytes() == lines[0]
        assert verify(tmp_path / "commands").problems == ()

    run(body)


def test_the_hash_chain_of_the_audit_shows_changes(tmp_path: Path) -> None:
    audit = AuditFile(Files(), tmp_path, 2000)
    audit.open()
    for seq in range(1, 60):
        audit.append([{"seq": seq, "id": f"a{seq}"}])
    audit.close()
    names = sorted(path.name for path in tmp_path.glob("audit-*"))
    assert len(names) == 10  # the oldest went
    found = verify(tmp_path)
    assert (found.problems, found.last) == ((), 59)
    assert orjson.loads(list(lines_in(tmp_path))[-1][2])["id"] == "a59"
    path = tmp_path / names[4]
    whole = path.read_bytes()
    for change in (whole.replace(b'"a', b'"b', 1), whole.split(b"\n", 1)[1], whole + whole.splitlines(True)[0]):
        path.write_bytes(change)
        assert verify(tmp_path).problems
    path.write_bytes(whole)
    again = AuditFile(Files(), tmp_path, 2000)
    again.open()
    again.append([{"seq": 59, "id": "again"}, {"seq": 60, "id": "a60"}])
    again.close()
    assert (verify(tmp_path).problems, verify(tmp_path).last) == ((), 60)
