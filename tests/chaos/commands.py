"""A seeded campaign against commands: is each done at most once, and told truly?

    python -m tests.chaos.campaign --commands 500 --seed 7

Server, broker and gateway are real processes.  Commands go out by tens, some of them twice at once.  At a random
moment after it the gateway, the server or the broker is killed (`kill -9`) and started again, or nobody.  What has no
answer is asked again, with the same id, until it has one; in the end everything is asked once more.  The judge is the
server's own record of what it was given:

- nothing stands in it twice;
- each command has exactly one final outcome, however often it was told;
- `done` stands in the record; `refused` and `expired` do not;
- `unknown` is said only where gateway or server were killed in that round.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from gateway.errors import Unavailable
from tests.chaos.judge_server import URI
from tests.chaos.verdict import counts_of, text_of
from tests.support.brokers import Process, mosquitto, wait_listening
from tests.support.commanded import Body, Requester, config_of, in_s, requester
from tests.support.ports import free_port
from tests.support.programs import Program, running

AT_ONCE = 10
FAULTS = ("gateway", "gateway", "gateway", "server", "broker", "nobody")
"""Who is killed; the gateway more often, because what is proved is its."""
MAY_BE_UNKNOWN = ("gateway", "server")
WAIT_S = 3.0
MOST_ROUNDS_TO_ASK = 60


@dataclass
class Report:
    """What was done, and what was found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    sent: int = 0
    """Requests, repeats among them."""
    answers: int = 0
    executed: int = 0
    """What the server was given."""
    unknown_done: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        facts = [
            f"seed {self.seed}: {self.commands} commands, asked {self.sent} times, {self.answers} final answers",
            f"killed: {counts_of(self.faults)}",
            f"outcomes: {counts_of(self.outcomes)}",
            f"the server was given {self.executed}; of those that are unknown it had {self.unknown_done}",
        ]
        return text_of(facts, self.wrong)


class Judge(Program):
    """The server."""

    def __init__(self, folder: Path) -> None:
        self.port, self.record = free_port(), folder / "record"
        super().__init__("judge", folder, "tests.chaos.judge_server", str(self.port), str(self.record))
        wait_listening(self.port, self.process)

    def restart(self) -> None:
        super().restart()
        wait_listening(self.port, self.process)

    @property
    def given(self) -> Counter[str]:
        return Counter(self.record.read_text().split()) if self.record.exists() else Counter()


@dataclass
class Scene:
    """Everybody, and what is known of each command."""

    gateway: Program
    server: Judge
    broker: Process
    rng: random.Random
    report: Report
    answers: dict[str, list[Body]] = field(default_factory=dict)
    fault_of: dict[str, str] = field(default_factory=dict)


@contextmanager
def scene(folder: Path, seed: int) -> Iterator[Scene]:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        server = stack.enter_context(running(Judge(folder)))
        node = {"source": "shop"}
        rules = [
            {**node, "node": f"nsu={URI};s=SetPoint", "name": "SetPoint", "write": {}},
            {**node, "node": f"nsu={URI};s=Take", "name": "Take", "call": {}},
        ]
        url = f"opc.tcp://127.0.0.1:{server.port}/"
        config = config_of(folder, broker.url, url, {"rules": rules, "verify_within": "10ms"})
        path = folder / "gateway.yaml"
        path.write_bytes(orjson.dumps(config.model_dump(mode="json", exclude_unset=True)))
        gateway = Program("gateway", folder, "gateway", "run", str(path), "--log-format", "json")
        stack.enter_context(running(gateway))
        yield Scene(gateway, server, broker, random.Random(seed), Report(seed))


def request(number: str) -> Body:
    """Every fifth is a call."""
    body: Body = {"id": number, "deadline": in_s(240)}
    if int(number) % 5 == 0:
        return {**body, "operation": "call", "method": "Take", "arguments": {"Number": float(number)}}
    return {**body, "operation": "write", "writes": [{"tag": "SetPoint", "value": float(number)}]}


@asynccontextmanager
async def asking(at: Scene) -> AsyncIterator[Requester]:
    """A requester whose answers are noted for as long as its session lasts."""
    async with requester("mes", at.broker.url) as mes:
        reading = asyncio.create_task(read(at, mes), name="answers")
        try:
            yield mes
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def read(at: Scene, mes: Requester) -> None:
    with suppress(Unavailable):
        while True:
            note(at, (await mes.next(600))[0])


async def session(at: Scene, mes: Requester, ids: list[str], send: list[str], within_s: float) -> None:
    """Send these, and wait until all of `ids` have an answer, or the time is over."""
    for each in send:
        await mes.send(request(each))
        at.report.sent += 1
    await wait(lambda: at.answers.keys() >= set(ids), within_s)


async def wait(condition: Callable[[], bool], within_s: float) -> None:
    until_s = asyncio.get_running_loop().time() + within_s
    while not condition() and asyncio.get_running_loop().time() < until_s:  # noqa: ASYNC110 - many reasons to go on
        await asyncio.sleep(0.01)


def note(at: Scene, answer: Body) -> None:
    if answer["final"]:
        at.report.answers += 1
        at.answers.setdefault(str(answer["id"]), []).append(answer)


async def kill_later(at: Scene, whom: str) -> None:
    await asyncio.sleep(at.rng.uniform(0.0, 0.08))
    programs: dict[str, Program | Process] = {"gateway": at.gateway, "server": at.server, "broker": at.broker}
    if (program := programs.get(whom)) is not None:
        await asyncio.to_thread(program.kill)
        await asyncio.to_thread(program.restart)


async def one_round(at: Scene, ids: list[str]) -> None:
    whom = at.rng.choice(FAULTS)
    at.report.faults[whom] += 1
    at.fault_of.update(dict.fromkeys(ids, whom))
    twice = [each for each in ids for _ in range(at.rng.choice((1, 1, 2)))]
    killing: asyncio.Task[None] | None = None
    with suppress(Unavailable):
        async with asking(at) as mes:
            half = len(twice) // 2
            await session(at, mes, ids[:1], twice[:half], WAIT_S)
            killing = asyncio.create_task(kill_later(at, whom), name=f"kill {whom}")
            await session(at, mes, ids, twice[half:], WAIT_S)
    if killing is not None:
        await killing
    for _ in range(MOST_ROUNDS_TO_ASK):
        missing = [each for each in ids if each not in at.answers]
        if not missing:
            break
        with suppress(Unavailable):
            async with asking(at) as mes:
                await session(at, mes, missing, missing, WAIT_S)


async def ask_again(at: Scene, ids: list[str]) -> None:
    """Everything once more: nothing may be done by it, and the answer is the same."""
    async with asking(at) as mes:
        for begin in range(0, len(ids), AT_ONCE):
            some = ids[begin : begin + AT_ONCE]
            before = {each: len(at.answers.get(each, [])) for each in some}
            await session(at, mes, [], some, 0)
            await wait(lambda before=before: all(len(at.answers.get(e, [])) > n for e, n in before.items()), 30)  # type: ignore[misc]


def judge(at: Scene, ids: list[str]) -> None:
    report, given = at.report, at.server.given
    report.commands, report.executed = len(ids), sum(given.values())
    report.wrong += [f"{each} was done {times} times" for each, times in given.items() if times > 1]
    report.wrong += [f"{each} was done, and nobody asked for it" for each in given.keys() - set(ids)]
    for each in ids:
        answers, fault = at.answers.get(each, []), at.fault_of[each]
        outcomes = sorted({str(answer["outcome"]) for answer in answers})
        if len(outcomes) != 1:
            report.wrong.append(f"{each} has the outcomes {outcomes}")
            continue
        [outcome] = outcomes
        report.outcomes[outcome] += 1
        if outcome == "unknown":
            report.unknown_done += given[each]
            if fault not in MAY_BE_UNKNOWN:
                report.wrong.append(f"{each} is unknown, and {fault} was killed: {answers[0]}")
        elif (outcome == "done") != bool(given[each]):
            report.wrong.append(f"{each} is {outcome}, and the server was given it {given[each]} times")


def campaign(folder: Path, seed: int, commands: int, say: Callable[[str], None] = lambda line: None) -> Report:
    """So many commands, and the verdict."""
    ids = [str(number) for number in range(1, commands + 1)]

    async def whole(at: Scene) -> None:
        for begin in range(0, commands, AT_ONCE):
            await one_round(at, ids[begin : begin + AT_ONCE])
            say(f"{begin + AT_ONCE} of {commands}: {counts_of(at.report.faults)}")
        await ask_again(at, ids)

    with scene(folder, seed) as at:
        at.gateway.wait_said("connected", peer="shop")
        at.gateway.wait_said("connected", peer="broker")
        asyncio.run(whole(at))
        judge(at, ids)
        return at.report


def to_error_output(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
