"""Each request is done at most once, has one final outcome, and reaches nothing that no rule names."""

import asyncio
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commands.arrival import lies_below
from gateway.commands.audit import lines_in
from gateway.commands.codecs.choose import CODECS
from gateway.commands.together import Together
from gateway.config import CommandsConfig
from gateway.config.commands import OF_CLOUDS as CODECS_OF_CLOUDS
from gateway.delivery import Packet
from gateway.errors import Unavailable
from gateway.operations import Target, Unsure
from gateway.outbox import Files
from gateway.values import Typed
from tests.support.commands import FakeServer, Office, commands, office, press
from tests.unit.commands.test_looking import Self

ALL: dict[str, object] = {
    "source": "shop", "subtree": "s=press", "read": True, "write": {}, "call": {}, "browse": {}, "refresh": True,
    "history": {}, "acknowledge": True, "confirm": True,
}  # fmt: skip
EVERYTHING = commands(ALL)
SPEED = [{"tag": "Speed", "value": 2.0}]
S = 1_000_000_000


def run(
    folder: Path, body: Callable[[Office], Awaitable[None]], config: CommandsConfig = EVERYTHING,
    server: FakeServer | None = None, **more: object,
) -> None:  # fmt: skip
    async def whole() -> None:
        async with office(folder, config, server, **more) as each:  # type: ignore[arg-type]
            await body(each)

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_a_write_is_answered_with_the_value_read_back(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        answer = await at.ask("write", writes=[*SPEED, {"tag": "Mode", "value": "On"}, {"tag": "Row", "value": [3, 4]}])
        assert answer["outcome"] == "done"
        assert at.server.written == [("s=press/Speed", 2.0), ("s=press/Mode", 1), ("s=press/Row", [3.0, 4.0])]
        assert [result["verified"] for result in answer["results"]] == [True] * 3  # type: ignore[attr-defined]
        at.server.clamps = 2.5
        answer = await at.ask("write", writes=[{"tag": "Speed", "value": 2.75}])
        [result] = answer["results"]  # type: ignore[misc]
        assert (answer["outcome"], result["status"]) == ("done", 0x0030_0000)  # type: ignore[has-type]
        assert (result["before"], result["value"], result["verified"]) == (2.0, 2.5, False)  # type: ignore[has-type]
        at.server.status = 0x803C_0000  # BadOutOfRange
        assert (await at.ask("write", writes=SPEED))["outcome"] == "failed"
        at.server.status = 0x800A_0000  # BadTimeout: the device behind the server may have done it
        assert (await at.ask("write", writes=SPEED))["outcome"] == "unknown"
        at.server.status, at.server.loses_answers = 0, True
        answer = await at.ask("write", writes=[{"tag": "Speed", "value": 2.25}])
        assert (answer["outcome"], answer["results"][0]["verified"]) == ("unknown", True)  # type: ignore[index]
        assert len(at.server.written) == 7  # nothing was sent twice

    run(tmp_path, body, commands(ALL, verify_within="50ms"))


def test_slow_commands_answer_accepted_and_do_not_block_others(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        at.server.holds = asyncio.Event()
        for number in (1, 2, 3):
            await at.take({"id": str(number), "operation": "call", "method": "Start", "arguments": {"Factor": number}})
        assert [(await at.answer(n))["outcome"] for n in (0, 1)] == ["accepted"] * 2
        assert at.server.called == []
        assert (await at.ask("read", tags=["Speed"]))["outcome"] == "refused"  # two wait and run: busy
        at.server.holds.set()
        finals: list[dict[str, object]] = []
        number = 3
        while len(finals) < 3:  # the third may say `accepted` as well
            told = await at.answer(number)
            finals, number = finals + ([told] if told["final"] else []), number + 1
        assert sorted((each["id"], each["outcome"]) for each in finals) == [(str(n), "done") for n in (1, 2, 3)]
        assert [arguments for _, arguments in at.server.called] == [(1.0,), (2.0,), (3.0,)]  # in order
        assert finals[0]["results"][0]["outputs"] == {"Result": 1.0}  # type: ignore[index]

    run(tmp_path, body, commands(ALL, slow_after="20ms", at_once=2, waiting=3))


def test_writes_to_different_variables_that_wait_together_go_together(tmp_path: Path) -> None:
    """Each with its own answer; what touches the same variable, or is no write, waits for what is before it."""

    async def body(at: Office) -> None:
        await at.ask("read", tags=["Speed"])
        at.server.holds = asyncio.Event()
        wishes: list[tuple[str, object]] = [
            ("Speed", 1.5), ("Count", 6), ("s=press/Mode", 2), ("Fixed", "y"), ("Mode", 1), ("Mode", 0),
            ("Speed", 1.25),
        ]  # fmt: skip
        for number, (tag, value) in enumerate(wishes):
            await at.take({"id": str(number), "operation": "write", "writes": [{"tag": tag, "value": value}]})
        await at.take({"id": "7", "operation": "read", "tags": ["Speed"]})
        await at.take({"id": "8", "operation": "write", "writes": SPEED})
        at.server.holds.set()
        told = {str(each["id"]): each for n in range(1, 10) for each in [await at.answer(n)]}
        assert [told[str(n)].get("reason", told[str(n)]["outcome"]) for n in range(9)] == [
            "done", "done", "not_in_enumeration", "not_writable", "done", "done", "done", "done", "done"
        ]  # fmt: skip
        assert told["7"]["results"][0]["value"] == 1.25  # type: ignore[index]
        assert at.server.requests == [1, 1, 1, 2, 1]
        assert [node for node, _ in at.server.written] == [
            "s=press/Speed", "s=press/Count", "s=press/Mode", "s=press/Mode", "s=press/Speed", "s=press/Speed",
        ]  # fmt: skip

    run(tmp_path, body, commands(ALL, verify_within="50ms", at_once=10, slow_after="60s"))


class CountedFiles(Files):
    """How often something was appended."""

    appends = 0

    def append(self, fd: int, data: bytes, end: int) -> None:
        self.appends += 1
        super().append(fd, data, end)


def test_requests_that_arrived_together_are_kept_with_one_sync(tmp_path: Path) -> None:
    """And are taken in their order, no more of them than may wait."""

    files = CountedFiles()

    async def body(at: Office) -> None:
        await at.ask("read", tags=["Speed"])
        appends = files.appends
        at.server.holds = asyncio.Event()
        values = [1.0 + n / 8 for n in range(6)]
        bodies = [
            {"id": str(n), "operation": "write", "writes": [{"tag": "Speed", "value": value}]}
            for n, value in enumerate(values)
        ]
        packets = [
            Packet("gateways/edge/commands/mes/shop", orjson.dumps(each), expiry_s=30) for each in (*bodies, bodies[0])
        ]
        await at.desk.take("broker", *packets)
        assert files.appends - appends <= 3  # the request before, all of these, and what the refused ones have to say
        at.server.holds.set()
        told = {str(each["id"]): each for n in range(1, 7) for each in [await at.answer(n)]}
        assert [told[str(n)].get("reason", "done") for n in range(6)] == ["done"] * 4 + ["busy"] * 2
        assert [value for _, value in at.server.written] == values[:4]

    run(tmp_path, body, commands(ALL, verify_within="50ms", waiting=4), files=files)


class HeldFiles(Files):
    """A disk that takes nothing until it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()

    def append(self, fd: int, data: bytes, end: int) -> None:
        assert self.let.wait(20)
        super().append(fd, data, end)


@pytest.mark.parametrize("source", ["shop", "away"])
def test_nobody_is_told_what_is_not_on_the_disk_also_not_who_asks_again(source: str, tmp_path: Path) -> None:
    """A crash in between would give the same id another outcome."""
    files = HeldFiles()

    async def body(at: Office) -> None:
        await at.ask("read", tags=["Speed"])
        body = {"id": "twice", "operation": "read", "tags": ["Speed"]}
        topic = f"gateways/edge/commands/mes/{source}"
        packet = Packet(topic, orjson.dumps(body), expiry_s=30)
        if source == "shop":
            await at.desk.take("broker", packet)
            files.let.clear()
            entry = at.journal.known(("mes", "twice"))
            assert entry is not None
            async with asyncio.timeout(10):
                await _until(lambda: entry.answer is not None)
            taking = asyncio.create_task(at.desk.take("broker", packet))
        else:
            files.let.clear()
            taking = asyncio.create_task(at.desk.take("broker", packet, packet))
        await asyncio.sleep(0.05)
        told_early = len(at.got)
        files.let.set()
        await taking
        assert (await at.answer(1))["id"] == "twice"
        assert told_early == 1

    run(tmp_path, body, commands(ALL, {"source": "away", "node": "i=1", "read": True}), files=files)


def test_a_request_whose_session_ends_while_it_is_written_is_done_all_the_same(tmp_path: Path) -> None:
    """It is on the disk then, so it must get an outcome; its repeat gets the answer."""
    files = HeldFiles()

    async def body(at: Office) -> None:
        await at.ask("read", tags=["Speed"])
        body = {"id": "cut", "operation": "write", "writes": SPEED}
        files.let.clear()
        taking = asyncio.create_task(at.take(body))
        await asyncio.sleep(0.02)
        taking.cancel()
        await asyncio.wait([taking])
        files.let.set()
        answer = await at.answer(1)
        assert (answer["id"], answer["outcome"], len(at.server.written)) == ("cut", "done", 1)

    run(tmp_path, body, commands(ALL, verify_within="50ms"), files=files)


def test_what_goes_together_shares_an_answer_that_does_not_come_and_no_fault_of_another(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        server, targets = at.server, await at.server.find([])
        assert targets == []
        together = Together(server)
        one, two = Target("Speed", "s=press/Speed", 0), Target("Count", "s=press/Count", 0)
        asking = [asyncio.create_task(together.look([each])) for each in (one, two)]
        await asyncio.sleep(0)
        asking[0].cancel()
        assert (await asking[1])[0].built_in == 8  # it asks by itself
        server.loses_answers = True
        writes = [(one, Typed(11, 1.5)), (two, Typed(8, 6))]
        lost = await asyncio.gather(*(together.write([each], 5.0) for each in writes), return_exceptions=True)
        assert [type(each) for each in lost] == [Unsure, Unsure]
        assert server.requests == [2]
        server.loses_answers, server.holds, server.most_writes = False, asyncio.Event(), 1
        asking_to_write = [asyncio.create_task(together.write([each], 5.0)) for each in writes]
        await asyncio.sleep(0.01)
        asking_to_write[0].cancel()
        with pytest.raises(Unsure):
            await asking_to_write[1]
        assert server.requests == [2, 2]  # never again
        alone = Together(server)
        server.holds.set()
        assert await asyncio.gather(*(alone.write([each], 5.0) for each in writes)) == [[0], [0]]
        assert server.requests == [2, 2, 1, 1]

    run(tmp_path, body)


def test_a_command_whose_deadline_passes_before_it_starts_is_expired(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        at.server.holds = asyncio.Event()
        await at.take({"id": "1", "operation": "write", "writes": SPEED})
        await at.take({"id": "2", "operation": "write", "writes": SPEED, "deadline": _in_s(0.1)})
        await asyncio.sleep(0.15)
        at.server.holds.set()
        assert [(await at.answer(n))["outcome"] for n in (0, 1)] == ["done", "expired"]
        assert len(at.server.written) == 1

    run(tmp_path, body)


def test_a_deadline_that_passes_while_the_server_works_takes_nothing_back(tmp_path: Path) -> None:
    """It was sent in time; its answer says what came of it."""

    async def body(at: Office) -> None:
        at.server.holds = asyncio.Event()
        await at.take({"id": "1", "operation": "write", "writes": SPEED, "deadline": _in_s(0.2)})
        async with asyncio.timeout(10):
            await _until(lambda: at.server.asked == 1)
        await asyncio.sleep(0.25)
        at.server.holds.set()
        answer = await at.answer(0)
        assert (answer["outcome"], len(at.server.written)) == ("done", 1)

    run(tmp_path, body)


@pytest.mark.parametrize(("late", "within", "is_verified"), [(3, "60s", True), (100_000, "300ms", False)])
def test_a_value_that_the_server_shows_late_is_verified_within_the_time_for_it(
    tmp_path: Path, late: int, within: str, is_verified: bool
) -> None:
    async def body(at: Office) -> None:
        at.server.shows_late = late
        answer = await at.ask("write", writes=SPEED)
        assert (answer["outcome"], answer["results"][0]["verified"]) == ("done", is_verified)  # type: ignore[index]
        assert len(at.server.written) == 1  # reading again is not writing again

    run(tmp_path, body, commands(ALL, verify_within=within))


def test_two_requesters_of_one_variable_are_done_in_order_and_answered_apart(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        at.server.holds = asyncio.Event()
        for number, who in enumerate(("mes", "other", "mes", "other")):
            writes = [{"tag": "Speed", "value": 1.0 + number / 4}]
            await at.take({"id": str(number // 2), "operation": "write", "writes": writes}, requester=who)
        at.server.holds.set()
        told = [(await at.answer(n), at.got[n].topic) for n in range(4)]
        assert [value for _, value in at.server.written] == [1.0, 1.25, 1.5, 1.75]
        assert [(each["id"], each["outcome"], topic.rpartition("/")[2]) for each, topic in told] == [
            ("0", "done", "mes"), ("0", "done", "other"), ("1", "done", "mes"), ("1", "done", "other")
        ]  # fmt: skip
        assert [each["results"][0]["before"] for each, _ in told] == [1.0, 1.0, 1.25, 1.5]  # type: ignore[index]

    run(tmp_path, body)


def _in_s(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s := time.time() + seconds)) + f"{at_s % 1:.3f}"[1:] + "Z"


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"is_retained": True}, "retained"),
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"expiry_s": None}, "no_deadline"),
        ({"operation": "read", "tags": ["Speed"]}, {}, "no_id"),
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"response_topic": "$SYS/x"}, "response_topic"),
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"correlation": b"x" * 300}, "invalid"),
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"requester": "nobody"}, "requester_unknown"),
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"source": "nowhere"}, "source_unknown"),
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"source": "away"}, "source_away"),
        ({"id": "1", "operation": "read", "tags": ["Speed"]}, {"expiry_s": 301}, "deadline_too_far"),
        ({"id": "1", "operation": "write", "writes": [{"tag": "hidden", "value": 1}]}, {}, "not_allowed"),
        ({"id": "1", "operation": "write", "writes": [{"tag": "s=hidden", "value": 1}]}, {}, "not_allowed"),
        ({"id": "1", "operation": "write", "writes": [{"tag": "Fixed", "value": "y"}]}, {}, "not_writable"),
        ({"id": "1", "operation": "write", "writes": [{"tag": "Theirs", "value": "y"}]}, {}, "access_denied"),
        ({"id": "1", "operation": "call", "method": "Off"}, {}, "access_denied"),
        ({"id": "1", "operation": "call", "method": "Start"}, {}, "argument"),
        ({"id": "1", "operation": "call", "method": "Start", "arguments": {"Factor": "x"}}, {}, "type"),
        ({"id": "1", "operation": "write", "writes": [*SPEED, {"tag": "s=press/Speed", "value": 1}]}, {}, "invalid"),
    ],
)  # fmt: skip
def test_each_refusal_has_its_reason(
    body: dict[str, object], more: dict[str, object], reason: str, tmp_path: Path
) -> None:
    async def scene(at: Office) -> None:
        await at.take(body, **more)  # type: ignore[arg-type]
        answer = await at.answer(0)
        assert (answer["outcome"], answer["reason"]) == ("refused", reason)
        assert at.got[0].topic.startswith("gateways/edge/replies/")
        assert (at.server.written, at.server.called) == ([], [])

    run(tmp_path, scene, commands(ALL, {"source": "away", "node": "i=1", "read": True}))


@pytest.mark.parametrize(
    "response_topic",
    [
        "gateways/edge/commands/mes/shop", "gateways/edge/replies/mes/#", "gateways/edge/replies/mes/+/a", "$SYS/x",
        "gateways/edge/replies/mes/", "gateways/edge/replies/mesx", "gateways/edge/replies/other", "values/shop",
        "gateways/edge/replies/mes/\x00", "gateways/edge/replies/mes/" + "x" * 1000, "gateways/edge/replies",
    ],
)  # fmt: skip
def test_a_response_topic_outside_the_allowed_ones_is_not_used(response_topic: str) -> None:
    assert not lies_below(response_topic, "gateways/edge/replies/mes")


def test_answers_may_go_below_the_requesters_own_topic() -> None:
    for topic in ("gateways/edge/replies/mes", "gateways/edge/replies/mes/{a}/b"):
        assert lies_below(topic, "gateways/edge/replies/mes")


def test_a_repeated_command_is_answered_and_not_executed_again_even_after_a_restart(tmp_path: Path) -> None:
    request = {"id": "1", "operation": "write", "writes": SPEED}

    async def first(at: Office) -> None:
        await at.take(request)
        await at.take(request)  # while it runs
        assert (await at.answer(0))["outcome"] == "done"
        assert len(at.server.written) == 1

    async def second(at: Office) -> None:
        await at.take(request, response_topic="gateways/edge/replies/mes/again", correlation=b"2")
        answer = await at.answer(0)
        assert (answer["outcome"], at.got[0].topic, at.got[0].correlation) == (
            "done", "gateways/edge/replies/mes/again", b"2"
        )  # fmt: skip
        assert at.server.written == []
        await at.take({**request, "deadline": _in_s(60)})  # until when is not part of what is asked
        assert (await at.answer(1))["outcome"] == "done"
        await at.take({**request, "all_or_nothing": False})
        assert (await at.answer(2))["reason"] == "id_reused"
        await at.take({**request, "id": "1"}, requester="other")  # his ids are his own
        assert (await at.answer(3))["outcome"] == "done"

    run(tmp_path, first)
    run(tmp_path, second)


def test_a_command_left_open_by_a_crash_gets_its_outcome_after_the_restart(tmp_path: Path) -> None:
    """Unknown where it may have happened, refused where it has not begun; told once the broker is there."""

    async def first(at: Office) -> None:
        at.server.holds = asyncio.Event()
        for number in ("1", "2"):
            await at.take({"id": number, "operation": "write", "writes": SPEED})
        await asyncio.wait_for(_until(lambda: at.journal.unfinished[0].is_executing), 10)
        await asyncio.sleep(0.05)
        for path in (tmp_path / "commands").iterdir():
            (crashed / "commands" / path.name).write_bytes(path.read_bytes())
        at.server.holds.set()

    async def second(at: Office) -> None:
        answers = [await at.answer(n) for n in (0, 1)]
        assert [(each["id"], each["outcome"]) for each in answers] == [("1", "unknown"), ("2", "refused")]
        assert answers[1]["reason"] == "restarted"
        assert answers[0]["operation"] == "write"

    crashed = tmp_path / "crashed"
    (crashed / "commands").mkdir(parents=True)
    run(tmp_path, first)
    run(crashed, second)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


def test_an_answer_waits_for_its_broker_until_it_expires(tmp_path: Path) -> None:
    async def first(at: Office) -> None:
        at.is_there = False
        assert at.server.written == []
        await at.take({"id": "1", "operation": "write", "writes": SPEED})
        await asyncio.wait_for(_until(lambda: bool(at.journal.untold) and at.attempts > 0), 10)
        await asyncio.sleep(0.05)
        assert at.attempts == 1  # a session that broke is not tried again and again

    async def second(at: Office) -> None:
        assert (await at.answer(0))["id"] == "1"
        assert not at.journal.untold

    run(tmp_path, first)
    run(tmp_path, second)


def test_a_lost_server_makes_only_sent_commands_unknown(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        at.server.holds, at.is_there = asyncio.Event(), False
        for number in ("1", "2"):
            await at.take({"id": number, "operation": "write", "writes": SPEED})
        await asyncio.wait_for(_until(lambda: at.server.asked == 1), 10)
        at.server.is_open = False
        async with at.desk.attending("shop", press()):  # it is back
            at.server.holds.set()
        assert at.journal.entries == 2

    async def after(at: Office) -> None:
        outcomes = [(await at.answer(n))["outcome"] for n in (0, 1)]
        assert outcomes in (["done", "refused"], ["unknown", "refused"])

    run(tmp_path, body)
    run(tmp_path, after)


def test_commands_follow_clock_doubts_and_reloads(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        answer = await at.ask("read", tags=["Speed"])
        assert answer["reason"] == "clock"  # our own clock was set back by 6 s
        at.desk.configure(None)
        assert not at.desk.is_taken_from("broker")

    async def reloaded(at: Office) -> None:
        assert (await at.ask("write", writes=SPEED))["outcome"] == "done"
        at.desk.configure(commands({"source": "shop", "node": "s=press/Count", "read": True}))
        assert (await at.ask("write", writes=SPEED))["reason"] == "not_allowed"
        at.desk.configure(commands({"source": "shop", "node": "s=press/Count", "read": True}, brokers=["else"]))
        assert (await at.ask("read", tags=["Count"]))["reason"] == "stopped"

    run(tmp_path / "a", body, latest_ns=lambda: time.time_ns() + 6 * S)
    run(tmp_path / "b", reloaded)


def test_an_error_in_a_command_ends_only_that_command(tmp_path: Path) -> None:
    class Faulty(FakeServer):
        async def values(self, targets: object) -> list[object]:  # type: ignore[override]
            raise KeyError("a bug")

    async def body(at: Office) -> None:
        assert (await at.ask("read", tags=["Speed"]))["reason"] == "fault"
        assert (await at.ask("write", writes=SPEED, dry_run=True))["outcome"] == "done"

    server = press()
    run(tmp_path, body, server=Faulty(server.nodes, server.methods))
    with pytest.raises(Unavailable):
        asyncio.run(FakeServer(is_open=False).look([]))


def test_each_line_of_the_audit_is_published_as_it_stands_in_the_file(tmp_path: Path) -> None:
    async def body(at: Office) -> None:
        await at.ask("write", writes=SPEED)
        await at.take({"operation": "none"})
        while len(at.got) < 4:
            await at.answer(len(at.got))
        published = [message.payload for message in at.got if message.topic == "gateways/edge/audit"]
        assert published == [line for _, _, line in lines_in(tmp_path / "commands")]
        assert [orjson.loads(line)["outcome"] for line in published] == ["done", "refused"]

    run(tmp_path, body, commands(ALL, audit_topic="gateways/{gateway}/audit", verify_within="50ms"))


NODES = [f"s={path}" for path in ("a", "a/x", "a/y", "b/x", "b/y/z", "c")]
HOUR = ("2026-11-30T06:00:00Z", "2026-11-30T07:00:00Z")
NAMES = st.sampled_from(
    ["Hot", "s=b/Hot", *NODES, *(n[2:] for n in NODES), "x", "y", "/a/x", "i=1", "s=A/x", "ns=0;s=a/x", "a/../b/x", "*"]
)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.just("shop"), "write": st.just({}), "read": st.booleans(), "refresh": st.booleans(),
            "browse": st.sampled_from([None, {}]), "history": st.sampled_from([None, {}]), "acknowledge": st.booleans(),
            "confirm": st.booleans(), "subscribe": st.sampled_from([None, {}, {"events": True}]),
        },
        optional={"requesters": st.sampled_from([["mes"], ["other"]])},
    ).flatmap(
        lambda rule: st.one_of(
            st.sampled_from(NODES).map(lambda node: {**rule, "node": node}),
            st.sampled_from(["s=a", "s=b"]).map(lambda node: {**rule, "subtree": node}),
        )
    ),
    min_size=1, max_size=3,
)  # fmt: skip


OF_CLOUDS: dict[str, dict[str, object]] = {name: {"requester": "mes"} for name in CODECS_OF_CLOUDS}
EVERY_CODEC = [{"format": name, **OF_CLOUDS.get(name, {})} for name in sorted(CODECS) if name != "native"]


def in_every_codec(tag: str) -> dict[str, tuple[str, dict[str, object]]]:
    """The same write as users of each codec say it, with its topic."""
    now, own_id = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), str(uuid.uuid4())
    found: dict[str, tuple[str, dict[str, object]]] = {
        "omp": (
            "gateways/edge/omp/mes/commands",
            {"id": own_id, "namespace": "iot.models.messages.x", "metadata": {"timestamp": now},
             "payload": {"requestTarget": {"endpointUrl": "shop"},
                         "requests": [{"commandType": "write", "nodeId": tag, "value": "1.0"}]}},
        ),
        "opc-publisher": (
            "gateways/edge/opc-publisher/mes/methods/ValueWrite",
            {"connection": {"endpoint": {"url": "shop"}}, "request": {"nodeId": tag, "value": 1.0}},
        ),
        "opcua-actions": (
            "opcua/json/action-request/edge/mes",
            {"MessageId": own_id, "MessageType": "ua-action-request", "Timestamp": now,
             "Messages": [{"DataSetWriterName": "shop", "ActionTargetId": 3, "RequestId": 1,
                           "Payload": {"Tags": [tag], "Values": [1.0]}}]},
        ),
        "sparkplug": (  # as an edge node resolves a DCMD
            "spBv1.0/factory/DCMD/edge/shop",
            {"source": "shop", "device": "shop", "timestamp": time.time_ns() // 1_000_000, "writes": [[tag, 1.0]]},
        ),
        "iot-hub": (
            f"$iothub/methods/POST/write/?$rid={own_id}",
            {"source": "shop", "writes": [{"tag": tag, "value": 1.0}]},
        ),
        "iotda": (
            f"$oc/devices/edge/sys/commands/request_id={own_id}",
            {"service_id": "opcua", "command_name": "write",
             "paras": {"source": "shop", "writes": [{"tag": tag, "value": 1.0}]}},
        ),
    }  # fmt: skip
    version, writes = time.time_ns(), [{"tag": tag, "value": 1.0}]
    found |= {
        "iot-hub-twin": (
            f"$iothub/twin/PATCH/properties/desired/?$version={version}", {"shop": {tag: 1.0}, "$version": version},
        ),
        "aws-shadow": ("$aws/things/edge/shadow/update/delta", {"version": version, "state": {"shop": {tag: 1.0}}}),
        "aws-jobs": (
            "$aws/things/edge/jobs/notify-next",
            {"execution": {"jobId": "j", "executionNumber": version,
                           "jobDocument": {"source": "shop", "operation": "write", "writes": writes}}},
        ),
        "iotda-properties": (
            f"$oc/devices/edge/sys/properties/set/request_id={own_id}",
            {"services": [{"service_id": "shop", "properties": {tag: 1.0}}]},
        ),
        "tencent": (
            "$thing/down/property/P1/edge", {"method": "control", "clientToken": own_id, "params": {tag: 1.0}},
        ),
        "alibaba": (
            "/sys/P1/edge/thing/service/property/set", {"id": own_id, "version": "1.0", "params": {tag: 1.0}},
        ),
    }  # fmt: skip
    assert found.keys() == CODECS.keys() - {"native"}, "a codec that this property does not try"
    return found


@settings(max_examples=12, deadline=None)
@given(RULES, st.lists(NAMES, min_size=1, max_size=6, unique=True), st.booleans())
def test_no_request_reaches_a_node_without_a_rule(
    rules: list[dict[str, object]], tags: list[str], all_or_nothing: bool
) -> None:
    from tests.support.commands import facts

    named = {
        node
        for rule in rules
        if rule.get("requesters") != ["other"]
        for node in NODES
        if node == rule.get("node") or node.startswith(f"{rule.get('subtree')}/")
    }

    roots = {rule.get("subtree") or rule["node"] for rule in rules if rule.get("requesters") != ["other"]}
    itself = Self()

    async def body(at: Office) -> None:
        writes = [{"tag": tag, "value": 1.0} for tag in tags]
        await at.ask("write", writes=writes, all_or_nothing=all_or_nothing)
        for operation in ("read", "refresh", "unsubscribe"):
            await at.ask(operation, tags=tags)
        for tag in tags:
            await at.ask("write", writes=[{"tag": tag, "value": 1.0}])
            await at.ask("browse", below=tag, levels=5)
            for number, (topic, request) in enumerate(in_every_codec(tag).values()):
                told = sum(not message.retain for message in at.got)
                await at.take(request, topic=topic, correlation=f"{tag}{number}".encode())
                while sum(not message.retain for message in at.got) == told:
                    await at.answer(len(at.got))
            await at.ask("history", tag=tag, start=HOUR[0], end=HOUR[1])
            for operation in ("acknowledge", "confirm"):
                await at.ask(operation, condition=tag, event="AAAB")
            await at.ask("subscribe", tags=[tag])
        for every in ("variables", "events"):
            itself.subscribed |= set(NODES)
            await at.ask("unsubscribe", every=every)
            assert set(NODES) - itself.subscribed <= named | roots
        assert {node for node, _ in at.server.written} <= named
        assert {wanted.target.node_id for wanted in itself.wanted} <= named | roots
        assert at.server.reached <= named | roots | {f"{root}/Hot" for root in roots}

    with tempfile.TemporaryDirectory() as folder:
        run(
            Path(folder),
            body,
            commands(*rules, verify_within="1ms", codecs=EVERY_CODEC),
            FakeServer({node: facts(11, 0.0) for node in NODES}),
            itself=itself,
        )
