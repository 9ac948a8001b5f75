"""The commands of one connected source: in order, and a bounded number at once.

A command begins when the one before has ended, or is slow (then that one is answered with `accepted`).  Writes to
different variables that wait one behind the other begin together, and what they ask of the server goes together
(`together.py`).  An error in a command affects no other.  When the connection ends, waiting commands are refused, and
running ones get `GRACE_S`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from gateway.cancellation import is_asked_to_end
from gateway.commands.allowed import Allowed
from gateway.commands.entries import Entry
from gateway.commands.forms import Asked, Told, told_of
from gateway.commands.itself import Itself, ask_itself
from gateway.commands.outcome import REASONS, Refused, refused
from gateway.commands.perform import Performance
from gateway.commands.rate import Buckets
from gateway.commands.request import ITSELF
from gateway.commands.together import Together
from gateway.config import CommandRule, CommandsConfig
from gateway.errors import Unavailable
from gateway.operations import Operations, Target

GRACE_S = 2.0
"""How long the end of a connection waits for running commands."""
LOOK_AGAIN_S = 10.0
"""The shortest interval between searches for a name that was not found on the server."""


@dataclass(frozen=True, slots=True)
class Case:
    """An accepted request, and its entry in the journal."""

    asked: Asked
    entry: Entry


class Office(Protocol):
    """What a worker needs of the desk."""

    async def executing(self, case: Case) -> None:
        """Record on disk that the command may be sent from now on.  Raises `Refused`."""

    def settle(self, case: Case, told: Told) -> None:
        """Set the outcome, at most once for each case."""

    def tell_accepted(self, case: Case) -> None:
        """Answer `accepted`, since the command is slow."""


_AWAY = Told("refused", "source_away", REASONS["source_away"])


def _cut(case: Case) -> Told:
    """The outcome of a command whose server was lost."""
    if case.entry.is_executing:
        return Told("unknown", detail="the connection to the server ended before its answer")
    return _AWAY


class _ExpiredError(Exception):
    """The deadline has passed, and nothing was sent."""


class Worker:
    """Created by the desk for each connection of the source."""

    def __init__(
        self,
        source: str,
        server: Operations | None,
        office: Office,
        buckets: Buckets,
        config: CommandsConfig,
        now_ns: Callable[[], int],
        itself: Itself,
    ) -> None:
        """Without a `server` it is the worker of what the gateway itself is asked for."""
        self.source = source
        self.server = server
        self._together = Together(server) if server is not None else None
        self._itself = itself
        self._office = office
        self._buckets = buckets
        self._now_ns = now_ns
        self._queue: deque[Case] = deque()
        self._came = asyncio.Event()
        self.coming = 0
        """Commands whose records are not on the disk yet."""
        self._running: dict[asyncio.Task[Told], Case] = {}
        self._looking = asyncio.Lock()
        self._log = structlog.get_logger("gateway.commands").bind(source=source)
        self.configure(config)

    def configure(self, config: CommandsConfig) -> None:
        """Use these rules from the next command on."""
        self._config = config
        self._rules: Sequence[tuple[int, CommandRule]] = [
            (number, rule) for number, rule in enumerate(config.rules) if (rule.source or ITSELF) == self.source
        ]
        self._allowed: Allowed | None = None
        self._looked_s = 0.0
        self._came.set()

    @property
    def waiting(self) -> int:
        return len(self._queue) + len(self._running) + self.coming

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """What the rules name, by kind; empty where that is not known yet."""
        return self._allowed.names if self._allowed is not None and self.server is not None else {}

    def put(self, case: Case) -> None:
        self._queue.append(case)
        self._came.set()

    async def run(self) -> None:
        """Execute commands until cancelled."""
        try:
            while True:
                while len(self._running) >= self._config.at_once:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                while not self._queue:
                    self._came.clear()
                    if self._allowed is None:
                        await self._look_first()
                    await self._came.wait()
                await self._begin(self._next())
        finally:
            await self._end()

    def _next(self) -> list[Case]:
        """The command whose turn it is, with the writes behind it that may go together with it."""
        cases = [self._queue.popleft()]
        nodes = self._written_by(cases[0])
        while nodes and self._queue and len(cases) + len(self._running) < self._config.at_once:
            more = self._written_by(self._queue[0])
            if not more or more & nodes:
                break
            nodes |= more
            cases.append(self._queue.popleft())
        return cases

    def _written_by(self, case: Case) -> frozenset[str]:
        """The nodes of a write; empty for everything else, and where they are not known yet."""
        request = case.asked.request
        if request is None or request.operation != "write" or self._allowed is None:
            return frozenset()
        nodes = [self._allowed.nodes(tag) for tag in request.tags]
        return frozenset().union(*nodes) if all(nodes) else frozenset()

    async def _begin(self, cases: Sequence[Case]) -> None:
        tasks: list[asyncio.Task[Told]] = []
        for case in cases:
            task = asyncio.create_task(self._perform(case), name=f"command at {self.source}")
            self._running[task] = case
            task.add_done_callback(self._ended)
            tasks.append(task)
        _, slow = await asyncio.wait(tasks, timeout=self._config.slow_after)
        for task in slow:
            if task in self._running:
                self._office.tell_accepted(self._running[task])

    async def _end(self) -> None:
        """Refuse the waiting commands, and give the running ones `GRACE_S` if the connection is still open."""
        while self._queue:
            self._office.settle(self._queue.popleft(), _AWAY)
        if self._running and (self.server is None or self.server.is_open):
            await asyncio.wait(self._running, timeout=GRACE_S)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _ended(self, task: "asyncio.Task[Told]") -> None:
        case = self._running.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log.error("a fault of the gateway itself ended a command", exc_info=error)
            fault = Told("unknown" if case.entry.is_executing else "refused", "fault", REASONS["fault"])
            self._office.settle(case, fault)
        else:
            self._office.settle(case, _cut(case) if task.cancelled() else task.result())

    # -- one command

    async def _perform(self, case: Case) -> Told:
        request, left_s = case.asked.request, partial(self._left_s, case)
        assert request is not None
        try:
            if left_s() <= 0:
                raise _ExpiredError
            async with asyncio.timeout(left_s()) as limit:
                allowed, before = await self._allowed_for(case.asked), partial(self._before_sending, case, limit)
                if self.server is None or self._together is None:
                    return told_of([await ask_itself(self._itself, allowed, case.asked.requester, request, before)])
                performance = Performance(
                    case.asked.requester, request, self.server, self._together, allowed, self._buckets,
                    self._config.verify_within, left_s, before, self._itself,
                )  # fmt: skip
                return told_of(await performance.perform())
        except (_ExpiredError, TimeoutError):
            return Told("expired", detail="its deadline passed before it was begun")
        except Refused as error:
            return Told("refused", error.reason, str(error), 0, [refused(tag, error) for tag in request.tags])
        except Unavailable as error:
            return Told("refused", "source_away", str(error))
        except asyncio.CancelledError:
            if is_asked_to_end():
                raise
            return _cut(case)

    def _left_s(self, case: Case) -> float:
        return (case.entry.deadline_ns - self._now_ns()) / 1e9

    async def _before_sending(self, case: Case, limit: asyncio.Timeout) -> None:
        await self._office.executing(case)
        if self._left_s(case) <= 0:
            raise _ExpiredError
        limit.reschedule(None)  # from here on the time-out of the request to the server applies

    async def _look_first(self) -> None:
        """Know what the rules name before anybody asks.  Where it cannot be had now, the next command looks again."""
        with suppress(Unavailable):
            await self._allowed_to(())

    async def _allowed_for(self, asked: Asked) -> Allowed:
        """The nodes that the rules name on the server, searched again if a name is not found: it may be new."""
        assert asked.request is not None
        return await self._allowed_to(asked.request.tags)

    async def _allowed_to(self, tags: Sequence[str]) -> Allowed:
        async with self._looking:
            allowed = self._allowed
            if allowed is not None and time.monotonic() - self._looked_s > LOOK_AGAIN_S:
                known = {text for target in allowed.targets for text in (target.name, target.node_id, target.also)}
                allowed = None if not known.issuperset(tags) else allowed
            if allowed is None:
                rules = self._rules
                targets = await self._find([rule for _, rule in rules])
                allowed = Allowed(rules, targets)
                if rules is self._rules:
                    self._allowed, self._looked_s = allowed, time.monotonic()
            return allowed

    async def _find(self, rules: Sequence[CommandRule]) -> list[Target]:
        if self.server is None:
            return [Target(ITSELF, ITSELF, number, kind="gateway") for number in range(len(rules))]
        return await self.server.find(rules)
