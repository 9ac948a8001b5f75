"""Commands under test: rules, and a server that obeys physics."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from math import nan
from pathlib import Path

import orjson

from gateway.commands.arrival import Things
from gateway.commands.desk import Desk, open_desk
from gateway.commands.itself import Itself
from gateway.commands.journal import Journal, journal_in
from gateway.config import CommandRule, CommandsConfig
from gateway.delivery import DELIVERED, Outcome, Packet
from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.model import IS_ARRAY, Message
from gateway.operations import (
    Argument,
    Called,
    Facts,
    Form,
    MethodFacts,
    Past,
    PastPage,
    PastValue,
    Seen,
    Target,
    Unsure,
)
from gateway.outbox import Files
from gateway.values import QualifiedName, Typed

READ_WRITE = 3


def facts(built_in: int, value: object = None, **more: object) -> Facts:
    """A variable that may be read and written."""
    kind = built_in | (IS_ARRAY if isinstance(value, list) else 0)
    shown = Facts(built_in, access=READ_WRITE, user_access=READ_WRITE, value=Typed(kind, value))
    return replace(shown, **more)  # type: ignore[arg-type]


def commands(*rules: dict[str, object], **more: object) -> CommandsConfig:
    return CommandsConfig.model_validate({"requesters": ["mes", "other"], "rules": list(rules), **more})


@dataclass
class FakeServer:
    """Nodes by id; what it takes it has, what it has it shows.  `written` and `called` are its own record."""

    nodes: dict[str, Facts] = field(default_factory=dict)
    methods: dict[str, MethodFacts] = field(default_factory=dict)
    is_open: bool = True
    most_writes: int = 100
    requests: list[int] = field(default_factory=list)
    """How many values came in each request to write."""
    loses_answers: bool = False
    """What it is sent it does, and says nothing."""
    clamps: float | None = None
    """The highest number that it takes; more becomes this, with GoodClamped."""
    shows_late: int = 0
    """How often a value that was written is not shown when it is read."""
    status: int = 0
    holds: asyncio.Event | None = None
    """What it is asked to do waits for this."""
    asked: int = 0
    """How often it was asked to do something."""
    written: list[tuple[str, object]] = field(default_factory=list)
    called: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    """Every node that it was asked about."""
    refreshed: list[str] = field(default_factory=list)
    past: list[PastValue] = field(default_factory=list)
    """Of every variable."""
    asked_past: list[Past] = field(default_factory=list)

    async def find(self, rules: Sequence[CommandRule]) -> list[Target]:
        """A rule's `node` is the node itself; a `subtree` is everything that begins with it."""
        found = []
        for number, rule in enumerate(rules):
            if rule.acknowledge and rule.subtree:
                found.append(Target("Hot", f"{rule.subtree}/Hot", number, kind="condition", also=rule.subtree))
            if rule.subscribe is not None and rule.subscribe.events and (place := rule.node or rule.subtree):
                found.append(Target(rule.name or place[2:], place, number, kind="notifier"))
            if rule.browse is not None and (place := rule.node or rule.subtree):
                found.append(Target(rule.name or place[2:], place, number, kind="place"))
            for node in [*self.nodes, *self.methods]:
                owner, kind = ("i=1", "method") if node in self.methods else ("", "variable")
                if rule.node == node:
                    found.append(Target(rule.name or node[2:], node, number, owner, kind))  # type: ignore[arg-type]
                elif rule.subtree is not None and node.startswith(f"{rule.subtree}/"):
                    found.append(Target(node.removeprefix(f"{rule.subtree}/"), node, number, owner, kind))  # type: ignore[arg-type]
        return found

    async def browse(
        self, place: Target, levels: int, most: int, is_chosen: Callable[[str], bool]
    ) -> tuple[list[Seen], bool]:
        self._check([place])
        below = [n.removeprefix(f"{place.node_id}/") for n in self.nodes if n.startswith(f"{place.node_id}/")]
        found = [path for path in sorted(below) if path.count("/") < levels]
        shown = [Seen(path, f"{place.node_id}/{path}", "Variable", "i=63") for path in found[:most] if is_chosen(path)]
        return shown, len(found) > most

    async def attributes(self, place: Target) -> dict[str, Typed]:
        self._check([place])
        return {"browseName": Typed(20, QualifiedName(0, place.name)), "nodeClass": Typed(6, 1)}

    async def history(self, target: Target, wanted: Past) -> PastPage:
        self._check([target])
        self.asked_past.append(wanted)
        left = [each for each in self.past if wanted.start_ticks <= each.ticks < wanted.end_ticks][wanted.skip :]
        return PastPage(tuple(left[: wanted.limit]), 0, len(left) > wanted.limit)

    async def refresh(self, targets: Sequence[Target]) -> list[bool]:
        self._check(targets)
        self.refreshed += [target.node_id for target in targets]
        return [target.node_id in self.nodes for target in targets]

    async def look(self, targets: Sequence[Target]) -> list[Facts]:
        self._check(targets)
        return [self.nodes.get(target.node_id, Facts(0, status=0x8034_0000)) for target in targets]

    async def values(self, targets: Sequence[Target]) -> list[tuple[Typed | None, int]]:
        self._check(targets)
        if self.written and self.shows_late:
            self.shows_late -= 1
            return [(Typed(self.nodes[t.node_id].built_in, None), 0) for t in targets]
        return [(self.nodes[t.node_id].value, self.nodes[t.node_id].status) for t in targets]

    async def describe(self, method: Target) -> MethodFacts:
        self._check([method])
        return self.methods[method.node_id]

    async def write(self, writes: Sequence[tuple[Target, Typed]], within_s: float) -> list[int]:
        self.requests.append(len(writes))
        await self._begin()
        statuses = [self._write(target, value) for target, value in writes]
        self._end()
        return statuses

    def _write(self, target: Target, value: Typed) -> int:
        self.written.append((target.node_id, value.value))
        if self.status:
            return self.status
        clamped = self.clamps is not None and isinstance(value.value, float) and value.value > self.clamps
        kept = Typed(value.type, self.clamps) if clamped else value
        self.nodes[target.node_id] = replace(self.nodes[target.node_id], value=kept)
        return 0x0030_0000 if clamped else 0

    async def call(self, method: Target, arguments: Sequence[Typed], within_s: float) -> Called:
        await self._begin()
        self.reached.add(method.owner)
        self.called.append((method.node_id, tuple(argument.value for argument in arguments)))
        self._end()
        return Called(self.status, tuple(arguments))

    async def _begin(self) -> None:
        self._check()
        self.asked += 1
        if self.holds is not None:
            await self.holds.wait()

    def _end(self) -> None:
        if self.loses_answers:
            raise Unsure("no answer in time")

    def _check(self, targets: Sequence[Target] = ()) -> None:
        self.reached |= {target.node_id for target in targets}
        if not self.is_open:
            raise Unavailable("the connection is closed")


def press() -> FakeServer:
    """A machine with something of every kind."""
    return FakeServer(
        {
            "s=press/Speed": facts(11, 1.0, ranges=(("EURange", 0.0, 3.0),)),
            "s=press/Count": facts(8, 5),
            "s=press/Mode": facts(6, 0, members=((0, "Off"), (1, "On"))),
            "s=press/Fixed": facts(12, "x", access=1),
            "s=press/Theirs": facts(12, "x", user_access=1),
            "s=press/Row": facts(10, [1.0, 2.0], rank=1, dimensions=(2,)),
            "s=hidden": facts(11, 1.0),
        },
        {
            "s=press/Start": MethodFacts(True, (Argument("Factor", form=Form(11)),), ("Result",)),
            "s=press/Off": MethodFacts(False),
        },
    )


class Office:
    """A desk with one source `shop`, and a broker that takes every answer at once."""

    def __init__(self, desk: Desk, server: FakeServer, journal: Journal) -> None:
        self.desk, self.server, self.journal = desk, server, journal
        self.got: list[Message] = []
        self._came = asyncio.Event()
        self.window = 1
        self.most_bytes = 2**20
        self.certificate_ends_s, self.has_forgotten = nan, False
        self.is_there = True
        self.attempts = 0
        self._numbers = count(1)

    def tell(self, message: Message) -> Outcome | None:
        self.got.append(message)
        return None

    def send(self, message: Message) -> "asyncio.Future[Outcome]":
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.attempts += 1
        if self.is_there:
            self.got.append(message)
            self._came.set()
            future.set_result(DELIVERED)
        else:
            future.set_exception(Unavailable("gone"))
            future.exception()
        return future

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        await asyncio.Event().wait()
        yield Packet("", b"")

    def arrived(self) -> Sequence[Packet]:
        return ()

    async def take(
        self, body: Mapping[str, object], requester: str = "mes", source: str = "shop", topic: str = "", **more: object
    ) -> None:
        """A request as it comes; `more` are fields of a `Packet`."""
        topic = topic or f"gateways/edge/commands/{requester}/{source}"
        await self.desk.take("broker", Packet(topic, orjson.dumps(body), **{"expiry_s": 30, **more}))  # type: ignore[arg-type]

    async def answer(self, number: int) -> dict[str, object]:
        """The answer of this number, from 0."""
        while len(self.got) <= number:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), 20)
        found: dict[str, object] = orjson.loads(self.got[number].payload)
        return found

    async def ask(
        self, operation: str, requester: str = "mes", source: str = "shop", **more: object
    ) -> dict[str, object]:
        """A request with an id of its own; the next answer."""
        number = len(self.got)
        await self.take({"id": f"{requester}{next(self._numbers)}", "operation": operation, **more}, requester, source)
        return await self.answer(number)


@asynccontextmanager
async def office(
    folder: Path, config: CommandsConfig, server: FakeServer | None = None, now_ns: Callable[[], int] = time.time_ns,
    latest_ns: Callable[[], int] = lambda: 0, itself: Itself | None = None, files: Files | None = None,
    things: Things | None = None,
) -> AsyncIterator[Office]:  # fmt: skip
    journal, server = journal_in(folder, config, files, now_ns), server or press()
    endpoints = dict.fromkeys(("shop", "opc.tcp://shop:4840"), ("shop",))
    made_by = (journal, Metrics().commands, latest_ns, now_ns, itself, endpoints, things)
    async with open_desk("edge", config, *made_by) as desk:
        made = Office(desk, server, journal)
        async with desk.attending("shop", server), desk.serving("broker", made):
            yield made
