"""kill -9 at any moment between journal, write and answer: the server's own record of writes is the judge."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest
from asyncua import Server, ua
from asyncua.common.callback import CallbackType

from tests.support.brokers import mosquitto
from tests.support.commanded import Body, Requester, config_of, in_s, requester
from tests.support.ports import free_port
from tests.support.programs import Program

ROUNDS, WRITES = 2, 6
SET_POINT = "nsu=urn:tests:judge;s=SetPoint"


@asynccontextmanager
async def judge() -> AsyncIterator[tuple[str, list[float]]]:
    """A server with one set-point, and every value that a client wrote to it, in order."""
    server, url, written = Server(), f"opc.tcp://127.0.0.1:{free_port()}/", list[float]()
    await server.init()
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:tests:judge")
    node = await server.nodes.objects.add_variable(ua.NodeId("SetPoint", index), "SetPoint", 0.0)  # type: ignore[arg-type]
    await node.set_writable()

    def note(event: object, dispatcher: object) -> None:
        for each in event.request_params.NodesToWrite:  # type: ignore[attr-defined]
            if each.NodeId == node.nodeid:  # the server writes its own state in the same way
                written.append(each.Value.Value.Value)

    server.subscribe_server_callback(CallbackType.PreWrite, note)
    await server.start()
    try:
        yield url, written
    finally:
        with suppress(TimeoutError):  # it waits for what the killed have left
            await asyncio.wait_for(server.stop(), 5)


class Books:
    """Every final answer, by id."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Body]] = {}

    async def read(self, mes: Requester) -> None:
        while True:
            answer, _ = await mes.next(600)
            if answer["final"]:
                self.answers.setdefault(str(answer["id"]), []).append(answer)

    async def wait(self, ids: list[str], within_s: float) -> list[str]:
        """Those of them that have no answer by then."""
        until_s = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < until_s and not self.answers.keys() >= set(ids):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return [each for each in ids if each not in self.answers]


@pytest.mark.slow
def test_each_write_is_done_at_most_once_and_has_one_outcome_despite_kills(tmp_path: Path) -> None:
    rng, counted = random.Random(7), Counter[str]()

    async def body() -> None:
        async with judge() as (url, written):
            with mosquitto(tmp_path) as broker:
                rules = [{"source": "shop", "node": SET_POINT, "name": "SetPoint", "write": {}}]
                config = config_of(tmp_path, broker.url, url, {"rules": rules, "verify_within": "10ms"})
                file = tmp_path / "gateway.yaml"
                file.write_bytes(orjson.dumps(config.model_dump(mode="json", exclude_unset=True)))
                gateway = Program("gateway", tmp_path, "gateway", "run", str(file), "--log-format", "json")
                try:
                    async with requester("mes", broker.url) as mes, asyncio.TaskGroup() as tasks:
                        books = Books()
                        reading = tasks.create_task(books.read(mes))
                        await campaign(gateway, mes, books, rng)
                        reading.cancel()
                finally:
                    gateway.end()
        times = Counter(written)
        for request_id, answers in books.answers.items():
            assert len({orjson.dumps(answer) for answer in answers}) == 1, answers
            outcome, done = str(answers[0]["outcome"]), times[float(request_id)]
            counted[outcome] += 1
            assert done <= 1, f"{request_id} was written {done} times"
            assert outcome == "unknown" or (outcome == "done") == bool(done), (outcome, done, answers[0])
        assert len(books.answers) == ROUNDS * WRITES
        assert counted["done"] > 0
        assert set(times) <= set(map(float, books.answers))

    asyncio.run(asyncio.wait_for(body(), 400))
    print(dict(counted))


async def campaign(gateway: Program, mes: Requester, books: Books, rng: random.Random) -> None:
    for number in range(ROUNDS):
        await asyncio.to_thread(gateway.wait_said, "connected", number + 1, 120, peer="shop")
        await asyncio.to_thread(gateway.wait_said, "connected", number + 1, 120, peer="broker")
        ids = [str(number * WRITES + n + 1) for n in range(WRITES)]
        requests: dict[str, Body] = {
            each: {
                "id": each, "operation": "write", "deadline": in_s(120),
                "writes": [{"tag": "SetPoint", "value": float(each)}],
            }
            for each in ids
        }  # fmt: skip
        for each in ids[: WRITES // 2]:
            await mes.send(requests[each])
        await books.wait(ids[:1], 60)
        for each in ids[WRITES // 2 :]:
            await mes.send(requests[each])
        await asyncio.sleep(rng.uniform(0.0, 0.06))
        gateway.kill()
        gateway.restart()
        await asyncio.to_thread(gateway.wait_said, "connected", number + 2, 120, peer="shop")
        await asyncio.to_thread(gateway.wait_said, "connected", number + 2, 120, peer="broker")
        missing = ids
        while missing := await books.wait(missing, 3):
            for each in missing:
                await mes.send(requests[each])
        for each in ids:  # a repeat gets the same
            await mes.send(requests[each])
