"""Commands to a group while its members, its log and its broker fail: is each done once at most, and told truly?

A requester asks for one write after another, each with an id of its own, and asks again until it is answered.  The
judge is the server's own record of what it was given (`judge_server.py`).
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from gateway.errors import Unavailable
from tests.chaos.commands import Judge, request
from tests.chaos.judge_server import URI
from tests.support.commanded import Body, Requester, in_s, requester

EVERY_S, AGAIN_S, LOOK_S = 2.0, 3.0, 0.2
DEADLINE_S = 60.0
KEEP = "120s"
"""The journal knows a command for so long after its deadline: longer than any fault lasts."""
RULES: list[dict[str, object]] = [
    {"source": "shop", "node": f"nsu={URI};s=SetPoint", "name": "SetPoint", "write": {}},
    {"source": "shop", "node": f"nsu={URI};s=Take", "name": "Take", "call": {}},
]

COMMANDS: dict[str, object] = {"requesters": ["mes"], "rules": RULES, "keep": KEEP, "journal_bytes": "640KiB"}


def source_of(server: Judge) -> dict[str, object]:
    return {
        "name": "shop", "url": f"opc.tcp://127.0.0.1:{server.port}/", "insecure": True, "request_timeout": "3s",
        "select": [{"node": "i=2258"}], "fields": {"machine": "shop"},
    }  # fmt: skip


@dataclass
class Asker:
    """What was asked for, and every final answer."""

    url: str
    answers: dict[str, set[str]] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    """When it was asked last, by id."""
    bodies: dict[str, Body] = field(default_factory=dict)
    """What was asked: a repeat has the deadline of the first."""
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def missing(self) -> list[str]:
        return [each for each in self.asked if each not in self.answers]

    async def run(self) -> None:
        while not self.over.is_set():
            with suppress(Unavailable, TimeoutError):
                async with requester("mes", self.url) as mes, asyncio.TaskGroup() as tasks:
                    reading = tasks.create_task(self._read(mes))
                    await self._ask(mes)
                    reading.cancel()
            await asyncio.sleep(0.2)

    async def _read(self, mes: Requester) -> None:
        with suppress(Unavailable):
            while True:
                answer, _ = await mes.next(3600)
                if answer["final"]:
                    self.answers.setdefault(str(answer["id"]), set()).add(str(answer["outcome"]))

    async def _ask(self, mes: Requester) -> None:
        with suppress(Unavailable):
            while not self.over.is_set():
                now_s = time.monotonic()
                due = [each for each in self.missing if now_s - self.asked[each] > AGAIN_S]
                if not self.stop.is_set() and now_s - max(self.asked.values(), default=0.0) > EVERY_S:
                    due.append(str(len(self.asked) + 1))
                for each in due:
                    self.asked[each] = now_s
                    body = self.bodies.setdefault(each, {**request(each), "deadline": in_s(DEADLINE_S)})
                    await mes.send(body)
                await asyncio.sleep(LOOK_S)

    def wrong(self, given: Counter[str]) -> list[str]:
        """What contradicts the server's record."""
        found = [f"command {each} was done {times} times" for each, times in given.items() if times > 1]
        found += [f"command {each} was never answered" for each in self.missing]
        for each, outcomes in self.answers.items():
            if len(outcomes) != 1:
                found.append(f"command {each} has the outcomes {sorted(outcomes)}")
            elif outcomes == {"done"} and not given[each]:
                found.append(f"command {each} is done, and the server was not given it")
            elif not outcomes & {"done", "unknown"} and given[each]:
                found.append(f"command {each} is {outcomes}, and the server was given it")
        return found


@contextmanager
def asking(url: str) -> Iterator[Asker]:
    asker = Asker(url)
    thread = threading.Thread(target=lambda: asyncio.run(asker.run()), name="requester")
    thread.start()
    try:
        yield asker
    finally:
        asker.over.set()
        thread.join(30)
