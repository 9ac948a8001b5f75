"""A broker's position in the log: in order or with a backlog left behind, over sessions and owners."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import cast

import pytest

from gateway.group.claim import Mark
from gateway.group.entry import Entry, Kind, Stored, decode, encode
from gateway.group.holding import Holding
from gateway.group.log import Log, Names
from gateway.group.reading import LogReader
from gateway.model import Message


class PaperLog:
    """A log in memory: positions rise, also by what sources do not write."""

    def __init__(self) -> None:
        self.names = Names("g")
        self.written = asyncio.Event()
        self.entries: dict[int, Entry] = {}
        self.last_seq = 0

    def append(self, *numbers: int, retain: bool = False) -> None:
        """One record of a source, with these messages."""
        self.last_seq += 1
        made = [Message("t", b"%d" % n, "g.e/s/t", n, 1, "s", retain=retain) for n in numbers]
        self.entries[self.last_seq] = Entry({"": made}, appended_ns=n_s(numbers[0]))
        self.written.set()

    def note(self) -> None:
        """A record that is not of a source."""
        self.last_seq += 1

    async def read(self, first: int, what: str, most_bytes: int = 0) -> list[Stored]:
        found = [(seq, entry) for seq, entry in self.entries.items() if seq >= first][:2]
        return [Stored(what, Mark(seq, 1, seq, "w"), Kind.VALUES, encode(entry)) for seq, entry in found]


def n_s(number: int) -> int:
    return number * 10**9


class Owner(Holding):
    def __init__(self) -> None:
        self.work, self.is_lost = "broker/b", False


def reader_of(log: PaperLog, state: Entry = Entry()) -> LogReader:  # noqa: B008 - it is not changed
    """The next owner, with what the former one has stored in the log."""
    return LogReader(cast(Log, log), Owner(), "", decode(encode(state)))


async def given(reader: LogReader, count: int, *, behind: bool = False) -> dict[int, int]:
    """By the number of a message: that of its record."""
    found = dict[int, int]()
    read = reader.read_behind if behind else reader.read
    async with asyncio.timeout(5):
        while len(found) < count:
            found |= {int(record.message.payload): record.number for record in await read(1, 2**20)}
    return found


def in_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    return lambda: asyncio.run(asyncio.wait_for(test(), 20))


@in_loop
async def test_what_is_new_passes_a_backlog_and_the_next_owner_delivers_neither_twice() -> None:
    log = PaperLog()
    for number in range(1, 6):
        log.append(number)
    reader = reader_of(log)
    [(first, record)] = (await given(reader, 1)).items()
    assert reader.leave_behind()
    log.append(6)
    log.append(7)
    new = await given(reader, 2)
    assert (first, sorted(new)) == (1, [6, 7])
    assert all(reader.ack(number) for number in (record, *new.values()))
    behind = await given(reader, 2, behind=True)
    assert sorted(behind) == [2, 3]
    assert reader.ack(behind[3])  # without 2 before it: this is what comes again
    assert reader.left_behind
    state = reader.state
    assert (state.cursor, state.ahead) == (1, [(5, 7)])
    following = reader_of(log, state)
    log.append(8)
    rest = await given(following, 4)
    assert sorted(rest) == [2, 3, 4, 5]  # in order again: who leaves nothing behind
    assert sorted(rest | await given(following, 1)) == [2, 3, 4, 5, 8]


@in_loop
async def test_all_of_a_backlog_is_over_when_each_has_its_verdict() -> None:
    log = PaperLog()
    log.append(1, 2)
    log.append(3)
    log.note()
    reader = reader_of(log)
    assert reader.leave_behind()
    log.append(4)
    numbers = await given(reader, 1) | await given(reader, 3, behind=True)
    assert sorted(numbers) == [1, 2, 3, 4]
    assert all(map(reader.ack, numbers.values()))
    assert not any(map(reader.ack, numbers.values()))
    waiting = asyncio.ensure_future(reader.read_behind(1, 1))
    while reader.left_behind:  # noqa: ASYNC110 - it looks four times a second
        await asyncio.sleep(0.01)
    waiting.cancel()
    assert (reader.cursor, reader.state.ahead, reader.messages, reader.values) == (4, [], 0, 0)


@in_loop
async def test_a_session_that_breaks_gives_again_what_has_no_verdict_and_nothing_else() -> None:
    log = PaperLog()
    for number in range(1, 5):
        log.append(number)
    reader = reader_of(log)
    assert reader.leave_behind()
    log.append(5)
    log.append(6)
    new, behind = await given(reader, 2), await given(reader, 2, behind=True)
    assert reader.ack(new[5])
    assert reader.ack(behind[2])
    reader.rewind()
    assert not reader.ack(behind[1])
    assert list(await given(reader, 4)) == [1, 3, 4, 6]


@in_loop
async def test_retained_topics_that_went_ahead_are_known_to_the_next_owner() -> None:
    log = PaperLog()
    log.append(1)
    reader = reader_of(log)
    assert reader.leave_behind()
    log.append(2, retain=True)
    assert all(map(reader.ack, (await given(reader, 1)).values()))
    assert await reader_of(log, reader.state).retained_ahead() == {"t"}
    assert await reader_of(log).retained_ahead() == set()


@in_loop
async def test_a_number_of_a_connection_waits_for_the_log_and_ends_with_the_claim() -> None:
    reader = reader_of(PaperLog(), Entry(number=7))
    counting = asyncio.ensure_future(reader.count_connection())
    await reader.unsaved.wait()
    assert not counting.done()
    reader.saved(reader.state)
    assert await counting == 8
    counting = asyncio.ensure_future(reader.count_connection())
    await asyncio.sleep(0)
    reader.holding.is_lost = True
    reader.saved(Entry(number=8))
    with pytest.raises(Exception, match="another member"):
        await counting
