"""A member of a group: it shows itself, looks at the others, and takes and gives works.

Begun works are in `owned`; who runs them is told to look again (`apply`), and has begun or ended them when that
returns.  To give a work, it is ended first; then what it still has to say is appended, and the last record releases it.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from gateway.errors import Unavailable
from gateway.group.entry import FORMAT, Entry, Kind, decode
from gateway.group.following import Memory
from gateway.group.holding import Holding, Lost, claim
from gateway.group.judging import Judge, Seen, Wishes
from gateway.group.log import Json, Log
from gateway.group.outbox import GroupOutbox
from gateway.group.plan import ITSELF
from gateway.group.post import Post
from gateway.group.reading import LogReader
from gateway.group.writing import SourceWriter, state_of
from gateway.metrics.group import KINDS, GroupMetrics

LOOK_EVERY_S = 0.5
PURGE_EVERY_S = 2.0
MEASURE_EVERY_S = 1.0
RENEWED_S = 1.0
"""After a quarter of the presence and so much more, a member that is there has shown itself again."""
LEAVE_S = 2.0
"""How long the goodbye at the end may take."""


@dataclass(slots=True)
class Work:
    """One that this member has."""

    holding: Holding
    tasks: list["asyncio.Task[None]"]
    since_s: float = field(default_factory=time.time)


class Member:
    """Created by `open_group`."""

    def __init__(
        self, name: str, weight: float, log: Log, outbox: GroupOutbox, judge: Judge, tasks: asyncio.TaskGroup,
        facts: Json, capacity: int, metrics: GroupMetrics,
    ) -> None:  # fmt: skip
        """`capacity`: how many bytes the log may have."""
        self._capacity = capacity
        self._metrics = metrics
        self.name = name
        self.log = log
        self.outbox = outbox
        self._weight = weight
        self._post = Post(log)
        self._judge = judge
        self._tasks = tasks
        self._facts = {**facts, "pid": os.getpid(), "format": FORMAT}
        self._works: dict[str, Work] = {}
        self._wanted: Callable[[], Mapping[str, str]] = dict
        self._apply: Callable[[], Awaitable[None]] = _nothing
        self._looked_s = asyncio.get_running_loop().time()
        self._changed = False
        """Whether a claim was lost, so that what runs must be looked at again."""
        self._shown = asyncio.Event()
        self._is_shown = False
        """Whether what others see under this name may be ours."""
        self.others: dict[str, Json] = {}
        self._brokers: set[str] = set()
        self.remember: Callable[[str], Memory | None] = lambda route: None
        """Makes what a route's format must know of its records.  None: nothing."""
        self._log = structlog.get_logger("gateway.group").bind(member=name)
        log.on_stored = metrics.append_seconds.observe

    @property
    def boxes(self) -> Post:
        """Letters between members."""
        return self._post

    @property
    def logs(self) -> Mapping[str, SourceWriter]:
        """Of the sources that this member has."""
        return self.outbox.writers

    @property
    def places(self) -> Mapping[str, LogReader]:
        """Of the brokers that this member has."""
        return self.outbox.found

    def memories_of(self, source: str) -> dict[str, Memory] | None:
        """By route, what the log says of a source that this member has.  None: it has not."""
        writer = self.outbox.writers.get(source)
        return writer.memories if writer is not None else None

    @property
    def owned(self) -> Collection[str]:
        """The works that are to run here."""
        return [work for work, each in self._works.items() if not each.holding.is_lost]

    async def confirm(self, work: str) -> None:
        """Look whether a work is still ours.  Raises `Unavailable` when it is not, or nobody can say."""
        each = self._works.get(work)
        if each is None:
            raise Unavailable(f"{work} belongs to another member")
        try:
            await each.holding.confirm_first()
        except Lost as error:
            raise Unavailable(f"{work} belongs to another member") from error

    async def take_part(
        self,
        wanted: Callable[[], Mapping[str, str]],
        apply: Callable[[], Awaitable[None]],
        reload: Callable[[], None] = lambda: None,
    ) -> None:
        """Take and give works until cancelled.  `wanted` has the works that there are, and the route of each broker.

        `reload` is called when another member says that all shall take their configuration anew.
        """
        self._wanted, self._apply = wanted, apply
        self.log.reload_heard = lambda member: reload() if member != self.name else None
        await self._wait_alone()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._show_regularly(), name="group: show")
            tasks.create_task(self._purge_regularly(), name="group: purge")
            tasks.create_task(self._measure_regularly(), name="group: measure")
            tasks.create_task(self._look_regularly(), name="group: look")

    async def tell_reload(self) -> None:
        """Let all other members take their configuration anew.  Raises `Unavailable`."""
        await self.log.tell(self.log.names.reload(self.name))

    # -- being seen

    async def _show(self) -> None:
        self._is_shown = True
        holds = {work: each.holding.claimed.epoch for work, each in self._works.items() if not each.holding.is_lost}
        since = {work: each.since_s for work, each in self._works.items()}
        await self.log.show(
            self.name, {**self._facts, "weight": self._weight, "holds": holds, "since": since, "shown_at": time.time()}
        )

    async def _show_regularly(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._shown.clear()
            begun_s = loop.time()
            try:
                await self._show()
            except Unavailable:
                self._judge.silent_at_s = loop.time()
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            if loop.time() - begun_s > self._judge.presence_s / 2:
                self._judge.silent_at_s = loop.time()  # it was stopped in between, or the answer took an election
            with suppress(TimeoutError):
                async with asyncio.timeout(self._judge.presence_s / 4):
                    await self._shown.wait()

    async def _tell(self) -> None:
        """Show what has changed, at once."""
        with suppress(Unavailable):
            await self._show()
            await self.log.nudge()

    # -- taking and giving

    async def _look_regularly(self) -> None:
        while True:
            self.log.nudged.clear()
            try:
                await self._look()
            except Unavailable as error:
                self._log.debug("the group cannot be seen", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self.log.nudged.wait()

    async def _look(self) -> None:
        if self._changed:
            self._changed = False
            await self._drop([work for work, each in self._works.items() if each.holding.is_lost])
        begun_s, loop = self._looked_s, asyncio.get_running_loop()
        self._looked_s = loop.time()
        self.others, wishes = await asyncio.gather(self.log.members(), self.log.wishes())
        if loop.time() - begun_s > self._judge.presence_s / 2:
            self._judge.silent_at_s = loop.time()  # it was stopped, or nobody answered: what it has seen is old
            return
        wanted = self._wanted()
        self._brokers = {work for work in wanted if work.startswith("broker/")}
        members = {name: _seen(facts) for name, facts in self.others.items()}
        following = self._judge.look(loop.time(), wanted.keys(), members, _wishes(wishes), self.owned)
        if following.give:
            await self._give(following.give)
        if take := [work for work in following.take if work not in self._works]:  # what was lost must end first
            await self._take(take, wanted)

    async def _wait_alone(self) -> None:
        """Wait until no other process shows itself under our name: what a killed one left of itself is not renewed."""
        told = False
        while True:
            with suppress(Unavailable):
                shown = (await self.log.members()).get(self.name)
                if shown is None or _has_ended(shown):
                    return
                await asyncio.sleep(self._judge.presence_s / 4 + RENEWED_S)
                again = (await self.log.members()).get(self.name)
                if again is None or again.get("shown_at") == shown.get("shown_at"):
                    return
                if not told:
                    next_ = "this one takes part when that ends: give it a name of its own with --member"
                    self._log.error("another member of the group has this name", host=shown.get("host"), next=next_)
                told = True
            await asyncio.sleep(LOOK_EVERY_S)

    async def _take(self, works: Collection[str], wanted: Mapping[str, str]) -> None:
        """Claim, learn how far the others came, and begin."""
        tries = await asyncio.gather(*(self._claimed(work, wanted[work]) for work in works))
        begun = [work for work, each in zip(works, tries, strict=True) if each]
        if not begun:
            return
        self._log.info("taken over", works=sorted(begun))
        self._metrics.changes["taken"].inc(len(begun))
        async with asyncio.TaskGroup() as tasks:  # an answer of three disks is not waited for before connecting
            tasks.create_task(self._tell(), name="group: tell")
            await self._apply()

    async def _claimed(self, work: str, route: str) -> bool:
        try:
            holding = await claim(self.log, work, self.name, self._is_lost)
            if holding is None:
                return False
            kind, _, name = work.partition("/")
            if kind == "source":
                made = {route: self.remember(route) for route in set(self._wanted().values())}
                memories = {route: memory for route, memory in made.items() if memory is not None}
                writer = SourceWriter(self.log, holding, await state_of(self.log, holding, memories), memories)
                self.outbox.writers[name] = writer
                running = self._tasks.create_task(writer.run(), name=f"group: append {name}")
            else:
                before = decode(holding.before.body) if holding.before is not None else Entry()
                reader = LogReader(self.log, holding, route, before, self.remember(route))
                self.outbox.found[name] = reader
                running = self._tasks.create_task(reader.live(), name=f"group: cursor of {name}")
        except Unavailable as error:
            self._log.warning("a work cannot be taken yet", work=work, reason=str(error), next="trying again")
            return False
        self._works[work] = Work(holding, [running])
        return not holding.is_lost

    async def _give(self, works: Collection[str]) -> None:
        """End works in order, and release them."""
        given = {work: self._works.pop(work) for work in works}
        self._log.info("handing over", works=sorted(works))
        self._metrics.changes["handed_over"].inc(len(given))
        self._end_requests(works)
        try:
            await self._apply()
        finally:
            async with asyncio.TaskGroup() as tasks:
                for work, each in given.items():
                    tasks.create_task(self._release(work, each), name=f"group: release {work}")
        await self._tell()

    def _end_requests(self, works: Collection[str]) -> None:
        """Requests that come from now on are for who has the source next."""
        for work in works:
            if (writer := self.outbox.writers.get(work.removeprefix("source/"))) is not None:
                writer.is_ending = True

    async def _release(self, work: str, each: Work) -> None:
        kind, _, name = work.partition("/")
        with suppress(TimeoutError, Lost):
            async with asyncio.timeout(self._judge.handover_s):
                if kind == "source":
                    await self.outbox.writers[name].wait_idle()
                    await each.holding.append(Kind.RELEASE, Entry())
                else:
                    await each.holding.append(Kind.RELEASE, self.outbox.found[name].state)
        self._forget(work, each)

    async def _drop(self, works: Collection[str]) -> None:
        """End works that another member has."""
        lost = {work: self._works.pop(work) for work in works}
        if lost:
            self._log.warning("another member has taken over", works=sorted(lost))
            self._metrics.changes["lost"].inc(len(lost))
            await self._apply()
        for work, each in lost.items():
            self._forget(work, each)
        await self._tell()

    def _forget(self, work: str, each: Work) -> None:
        for task in each.tasks:
            task.cancel()
        kind, _, name = work.partition("/")
        (self.outbox.writers if kind == "source" else self.outbox.found).pop(name, None)

    def _is_lost(self, work: str) -> None:
        self._changed = True
        self.log.nudged.set()

    async def leave(self) -> None:
        """Give everything, at the end: what ran has ended by now."""
        works, self._works = self._works, {}
        try:
            async with asyncio.timeout(LEAVE_S):
                async with asyncio.TaskGroup() as tasks:
                    for work, each in works.items():
                        tasks.create_task(self._release(work, each), name=f"group: release {work}")
                if self._is_shown:
                    await self.log.hide(self.name)
                    await self.log.nudge()
        except (TimeoutError, Unavailable):
            self._log.warning(
                "the log cannot be told that this member leaves", next="others replace it by its presence"
            )
        finally:
            for work, each in works.items():
                self._forget(work, each)

    # -- figures and the end of records

    async def _measure_regularly(self) -> None:
        while True:
            with suppress(Unavailable):
                await self.log.measure(self._capacity)
            self._count()
            await asyncio.sleep(MEASURE_EVERY_S)

    def _count(self) -> None:
        """Bring the figures up to date."""
        metrics, log, owned = self._metrics, self.log, self.owned
        for kind in KINDS:
            metrics.works.labels(kind).set(sum(work.startswith(f"{kind}/") and work != ITSELF for work in owned))
        metrics.epoch.set(max((self._works[work].holding.claimed.epoch for work in owned), default=0))
        metrics.log_bytes.labels("held").set(log.held_bytes)
        metrics.log_bytes.labels("capacity").set(log.capacity)
        behind = (log.last_seq - reader.cursor for reader in self.outbox.found.values())
        metrics.behind.set(max(0, *behind, 0))
        metrics.led_by(log.leader)
        metrics.replicas.labels("current").set(log.current)
        metrics.replicas.labels("behind").set(log.lagging)
        metrics.members.set(len(self.others))
        held = {work for facts in self.others.values() for work in _seen(facts).holds}
        metrics.orphans.set(len(set(self._wanted()) - held - set(owned)))

    async def _purge_regularly(self) -> None:
        """Remove what every broker has acknowledged of our sources."""
        purged: dict[str, int] = {}
        while True:
            await asyncio.sleep(PURGE_EVERY_S)
            with suppress(Unavailable):
                found = await self.log.last_of_all(f"{self.log.names.root}.log.broker.*")
                cursors = [decode(found[work].body).cursor if work in found else 0 for work in self._brokers]
                done = min(cursors, default=0)
                for name, writer in list(self.outbox.writers.items()):
                    before = min(done + 1, writer.state.kept_from)
                    if before > purged.get(name, 1):
                        await self.log.purge(f"source/{name}", before)
                        purged[name] = before


def _has_ended(shown: Json) -> bool:
    """Whether a process of this host that showed itself is gone."""
    pid = shown.get("pid")
    if shown.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _seen(facts: Json) -> Seen:
    holds, weight, form = facts.get("holds"), facts.get("weight"), facts.get("format")
    return Seen(
        float(weight) if isinstance(weight, int | float) else 1.0,
        {str(work): int(epoch) for work, epoch in holds.items()} if isinstance(holds, dict) else {},
        form if isinstance(form, int) else 1,
    )


def _wishes(found: Mapping[str, Json]) -> Wishes:
    moves = {about: str(facts["member"]) for about, facts in found.items() if "member" in facts}
    return Wishes(moves, [str(facts["drain"]) for facts in found.values() if facts.get("drain")])


async def _nothing() -> None:
    """Where nothing runs yet."""
