"""The journal in a group's log: whatever the order of claims, freezes and repeats, a command is done once at most."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commands import group_journal
from gateway.commands.entries import Entry
from gateway.commands.group_journal import GroupJournal, group_journal_in
from gateway.commands.outcome import Refused
from gateway.errors import Unavailable
from tests.support.commands import commands
from tests.support.in_loop import in_loop

CONFIG = commands({"source": "shop", "node": "i=1", "write": {}})


@dataclass
class SharedLog:
    """What the cluster keeps of one source."""

    records: list[bytes] = field(default_factory=list)
    epoch: int = 0


class Claim:
    """A member's view of it.  What it appends after another one has claimed is never stored."""

    def __init__(self, log: SharedLog) -> None:
        log.epoch += 1
        self.log, self.epoch, self.is_ending = log, log.epoch, False
        kept = list(log.records)
        self.journal: Callable[[], Sequence[bytes]] = lambda: kept
        self.unheard: list[asyncio.Future[None]] = []
        """Stored, and the answer has not come yet."""

    def begin_records(self, records: Sequence[bytes]) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.epoch == self.log.epoch:
            self.log.records += records
            self.unheard.append(done)
        return done

    async def confirm(self) -> None:
        if self.epoch != self.log.epoch:
            raise Unavailable("another member has it")


class Member:
    """The one that does what it is asked, as a desk and its worker do."""

    def __init__(self, folder: Path, machine: list[tuple[int, str]]) -> None:
        self.journal: GroupJournal = group_journal_in(folder, CONFIG)
        self.machine = machine
        self.answers: list[tuple[str, str]] = []
        self.claim: Claim | None = None
        self.running: list[asyncio.Task[None]] = []

    def take_over(self, log: SharedLog) -> None:
        if self.claim is not None:
            self.journal.release("shop")
        self.claim = Claim(log)
        for entry in self.journal.adopt("shop", self.claim):
            if entry.answer is None:
                self.settle(entry, "unknown" if entry.is_executing else "refused")

    def settle(self, entry: Entry, outcome: str) -> None:
        def tell(written: "asyncio.Future[None]") -> None:
            if not written.cancelled():
                self.answers.append((entry.key[1], outcome))

        self.journal.end(entry, {"outcome": outcome}, {"seq": self.journal.next_audit()}).add_done_callback(tell)

    def ask(self, name: str) -> None:
        known = self.journal.known(("mes", name))
        if known is not None:
            if known.answer is not None and not known.is_on_its_way:
                self.answers.append((name, str(known.answer["outcome"])))
        elif self.claim is not None:
            self.running.append(asyncio.create_task(self.perform(name)))

    async def perform(self, name: str) -> None:
        entry = Entry(("mes", name), "digest", "main", "t", b"", "shop", "write", 1, 2**62)
        try:
            await self.journal.begin_soon(entry)
            await self.journal.executing(entry)
        except Refused:
            return
        assert self.claim is not None
        self.machine.append((self.claim.epoch, name))
        self.settle(entry, "done")

    def hear(self) -> None:
        """The answers of the log come."""
        if self.claim is not None:
            heard, self.claim.unheard = self.claim.unheard, []
            for each in heard:
                if not each.done():
                    each.set_result(None)


STEPS = st.one_of(
    st.tuples(st.just("claim"), st.integers(0, 2)),
    st.tuples(st.just("hear"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["ask 1", "ask 2"]), st.integers(0, 2)),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_no_order_of_claims_and_answers_lets_a_command_be_done_twice_or_told_two_outcomes(
    steps: list[tuple[str, int]],
) -> None:
    """Who is not told of a claim (it is frozen, or cut off) goes on with what it believes."""

    async def whole(folder: Path) -> None:
        log, machine = SharedLog(), list[tuple[int, str]]()
        members = [Member(folder / str(number), machine) for number in range(3)]
        for step, number in [*steps, ("claim", 0), *[("hear", 0)] * 3, ("ask 1", 0), ("ask 2", 0), *[("hear", 0)] * 4]:
            member = members[number]
            if step == "claim":
                member.take_over(log)
            elif step == "hear":
                member.hear()
            else:
                member.ask(step.split()[1])
            for _ in range(6):
                await asyncio.sleep(0)
        done = Counter(name for _, name in machine)
        outcomes = {name: {o for m in members for n, o in m.answers if n == name} for name in "12"}
        assert all(times == 1 for times in done.values())
        for name, told in outcomes.items():
            assert len(told) == 1, (name, told)
            assert told != {"done"} or done[name] == 1
            assert told != {"refused"} or not done[name]
        for member in members:
            for task in member.running:
                task.cancel()
            member.journal.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(whole(Path(folder)))


@in_loop
async def test_an_owner_that_was_stopped_before_it_sent_looks_at_the_claim_again() -> None:
    """Its record was stored in time, and the answer lay there while it was frozen and replaced."""
    with tempfile.TemporaryDirectory() as folder:
        log, machine = SharedLog(), list[tuple[int, str]]()
        frozen, other = Member(Path(folder) / "a", machine), Member(Path(folder) / "b", machine)
        frozen.take_over(log)
        frozen.ask("1")
        await asyncio.sleep(0)
        frozen.hear()
        for _ in range(4):
            await asyncio.sleep(0)
        other.take_over(log)
        before, group_journal.FRESH_S = group_journal.FRESH_S, -1.0  # as if much time had passed
        try:
            frozen.hear()
            for _ in range(4):
                await asyncio.sleep(0)
        finally:
            group_journal.FRESH_S = before
        assert machine == []
        assert [orjson.loads(record)["k"] for record in log.records] == ["begun", "executing", "ended"]
        frozen.journal.close()
        other.journal.close()
