"""Commands through a whole gateway: a real broker, our simulated machines, both versions of MQTT."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from asyncua import ua
from asyncua.client import Client

from gateway.commands.audit import lines_in, verify
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.model import Message
from gateway.run.gateway import Gateway
from gateway.run.taking import Reload
from tests.support.brokers import Process, mosquitto
from tests.support.commanded import Body, Requester, config_of, in_s, requester, running
from tests.support.mqtt_collect import collecting
from tests.support.mqtt_sessions import Session
from tests.support.served import Plant, plant_served

MIXED = Path(__file__).parents[1] / "simulators" / "mixed.yaml"
LINE = "nsu=urn:connected-factory:simulator;s=line-1"
FILLER = f"{LINE}/filler"
RULES: list[Body] = [
    {
        "source": "shop", "subtree": LINE, "include": ["*/SpeedFactor"], "read": True,
        "write": {"minimum": 0.5, "maximum": 2.0, "step": 0.05},
    },
    {"source": "shop", "node": f"{FILLER}/State", "name": "filler/State", "read": True, "write": {}},
    {"source": "shop", "node": "nsu=urn:connected-factory:simulator;s=line-1/plain/Good", "read": True},
    {
        "source": "shop", "subtree": LINE, "include": ["filler/*"], "exclude": ["*/Clear"], "requesters": ["mes"],
        "call": {"arguments": {}},
    },
    {
        "source": "shop", "node": f"{LINE}/mill/SpeedFactor", "name": "rare", "requesters": ["mes"],
        "write": {"rate": {"times": 1, "within": "1h"}},
    },
    {"source": "shop", "subtree": LINE, "exclude": ["mill/**"], "browse": {"levels": 3, "nodes": 500}},
    {"source": "shop", "node": "i=2258", "name": "clock", "refresh": True},
    {"source": "shop", "node": f"{FILLER}/SpeedFactor", "name": "line-1/speed", "subscribe": {"fastest": "50ms"}},
    {"diagnostics": True},
    {"requesters": ["mes"], "reload": True},
]  # fmt: skip


class Scene:
    def __init__(self, plant: Plant, broker: Process, gateway: Gateway, mes: Requester, client: Client) -> None:
        self.plant, self.broker, self.gateway, self.mes, self.client = plant, broker, gateway, mes, client

    async def speed(self, machine: str = "filler") -> object:
        content: object = await self.client.get_node(self.plant.id(f"line-1/{machine}/SpeedFactor")).read_value()
        return content


@asynccontextmanager
async def scene(folder: Path, session: Session = "lean", **commands: object) -> AsyncIterator[Scene]:
    with mosquitto(folder) as broker:
        async with plant_served(MIXED) as plant:
            config = config_of(folder, broker.url, plant.url, {"rules": RULES, **commands})
            assert config.broker is not None
            presence = {"presence": config.broker.presence.model_copy(update={"heartbeat": 1.0})}
            config = config.model_copy(update={"broker": config.broker.model_copy(update=presence)})
            client = Client(plant.url, timeout=30, watchdog_intervall=60.0)
            async with running(config) as gateway, requester("mes", broker.url, session) as mes, client:
                yield Scene(plant, broker, gateway, mes, client)


def run(folder: Path, body: Callable[[Scene], Awaitable[None]], session: Session = "lean", **commands: object) -> None:
    async def whole() -> None:
        async with scene(folder, session, **commands) as each:
            await body(each)

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_a_codec_reaches_the_machine_and_its_answer_the_requester(tmp_path: Path) -> None:
    """In the form of the Open Manufacturing Platform's connector, over a real broker."""

    async def body(at: Scene) -> None:
        node = f"{FILLER}/SpeedFactor"
        wants: list[Body] = [{"commandType": "write", "nodeId": node, "value": "1.1"}]
        request = {
            "id": "0f8fad5b-d9cb-469f-a165-70867728950e", "namespace": "iot.models.messages.request",
            "metadata": {"timestamp": in_s(0)},
            "payload": {"requestTarget": {"endpointUrl": at.plant.url}, "requests": wants},
        }  # fmt: skip
        await at.mes.sink.send(
            Message("gateways/edge/omp/mes/commands", orjson.dumps(request), stream="", seq=0, values=0)
        )
        told, packet = await at.mes.next()
        assert packet.topic == "gateways/edge/replies/mes/omp"
        payload = told["payload"]
        assert isinstance(payload, dict)
        assert (payload["responseStatus"], payload["responses"][0]["nodeId"]) == ("Good", node)
        assert await at.speed() == 1.1

    replies = "gateways/{gateway}/replies/{requester}/omp"
    run(tmp_path, body, codecs=[{"format": "omp", "replies": replies}], audit_topic="gateways/{gateway}/audit")


@pytest.mark.parametrize("session", ["lean", "general-3.1.1"])
def test_each_operation_is_done_and_answered(session: Session, tmp_path: Path) -> None:
    async def body(at: Scene) -> None:
        answer = await at.mes.ask("read", tags=["filler/SpeedFactor", "filler/State"])
        assert [result["outcome"] for result in results(answer)] == ["done", "done"]
        assert results(answer)[0]["value"] == 1.0
        answer = await at.mes.write("filler/SpeedFactor", 1.1)
        [result] = results(answer)
        assert answer["outcome"] == "done"
        assert (result["before"], result["value"], result["verified"]) == (1.0, 1.1, True)
        assert await at.speed() == 1.1
        answer = await at.mes.ask("call", method="filler/SetSpeed", arguments={"Factor": 1.5})
        assert answer["outcome"] == "done", answer
        assert at.plant.factory.machine("line-1/filler").speed == 1.5
        answer = await at.mes.ask("call", method="filler/Reset")  # a running machine has nothing to reset
        assert (answer["outcome"], answer["status"]) == ("failed", ua.StatusCodes.BadInvalidState)
        [seen] = results(await at.mes.ask("browse", below="line-1", levels=2, limit=1000, attributes=True))
        own: Any = seen["attributes"]
        assert (own["displayName"]["text"], own["nodeClass"], "dataType" in own) == ("line-1", 1, False)
        paths = {node["path"]: node for node in seen["nodes"]}  # type: ignore[attr-defined]
        assert paths["filler/SpeedFactor"]["node"] == f"{FILLER}/SpeedFactor"
        assert (paths["mill"]["class"], paths["filler/SetSpeed"]["class"]) == ("Object", "Method")
        assert not [path for path in paths if path.startswith("mill/")]
        assert (await at.mes.ask("refresh", tags=["clock"]))["outcome"] == "done"
        [state] = results(await at.mes.ask("diagnostics", source="_gateway"))
        told: Any = state["value"]
        assert (told["sources"]["shop"]["state"], told["brokers"]["broker"]["state"]) == ("up", "up")
        assert (await at.mes.ask("reload", source="_gateway"))["reason"] == "unsupported"
        assert at.gateway.metrics.registry.get_sample_value(
            "gateway_commands_total", {"operation": "call", "outcome": "failed"}
        ) == 1  # fmt: skip

    run(tmp_path, body, session)


def results(answer: Body) -> list[Body]:
    found = answer["results"]
    assert isinstance(found, list)
    return found


def test_a_refused_command_says_why_and_changes_nothing(tmp_path: Path) -> None:
    async def body(at: Scene) -> None:
        for tag, value, reason in (
            ("filler/SpeedFactor", 2.5, "out_of_range"),
            ("filler/SpeedFactor", 1.11, "off_step"),
            ("filler/SpeedFactor", "1.1", "type"),
            ("filler/SpeedFactor", True, "type"),
            ("filler/SpeedFactor", "NaN", "not_finite"),
            ("filler/SpeedFactor", [1.0], "rank"),
            ("filler/State", "held", "not_writable"),
            ("plain/Good", 1, "not_allowed"),
            (f"{LINE}/plain/State", "x", "not_allowed"),
            ("i=2258", "x", "not_allowed"),
            ("/Objects/line-1/filler/SpeedFactor", 1.0, "not_allowed"),
            ("rare", 9.0, "out_of_range"),  # by the server's own EURange
        ):
            answer = await at.mes.write(tag, value)
            assert (answer["outcome"], answer["reason"]) == ("refused", reason), (tag, value, answer)
        for operation, more, reason in (
            ("call", {"method": "filler/Clear"}, "not_allowed"),
            ("call", {"method": "mill/Abort"}, "not_allowed"),
            ("call", {"method": "filler/SetSpeed"}, "argument"),
            ("call", {"method": "filler/SetSpeed", "arguments": {"Factor": 1.0, "More": 1}}, "argument"),
            ("call", {"method": "filler/SpeedFactor"}, "not_allowed"),
            ("read", {"tags": ["filler/Good"]}, "not_allowed"),
            ("read", {"tags": ["filler/State"], "source": "nowhere"}, "source_unknown"),
            ("read", {"tags": ["filler/State"], "deadline": in_s(3600)}, "deadline_too_far"),
            ("read", {"tags": ["filler/State"], "sent": in_s(60)}, "clock"),
            ("read", {"tags": ["filler/State"], "respond_to": "gateways/edge/replies/mes2"}, "response_topic"),
            ("read", {"tags": ["filler/State"], "more": 1}, "invalid"),
        ):
            answer = await at.mes.ask(operation, **more)
            assert (answer["outcome"], answer["reason"]) == ("refused", reason), (operation, more, answer)
        answer = await at.mes.write("filler/SpeedFactor", 1.2, deadline=in_s(-1))
        assert answer["outcome"] == "expired"
        writes = [{"tag": "filler/SpeedFactor", "value": 1.2}, {"tag": "mill/SpeedFactor", "value": 9}]
        answer = await at.mes.ask("write", writes=writes)
        assert [result["reason"] for result in results(answer)] == ["others_refused", "out_of_range"]
        answer = await at.mes.write("filler/SpeedFactor", 1.2, dry_run=True)
        assert (answer["outcome"], answer["dry_run"]) == ("done", True)
        assert await at.speed() == 1.0
        answer = await at.mes.ask("write", writes=writes, all_or_nothing=False)
        assert [result["outcome"] for result in results(answer)] == ["done", "refused"]
        assert answer["outcome"] == "refused"
        assert await at.speed() == 1.2
        assert (await at.mes.write("rare", 1.3))["outcome"] == "done"
        assert (await at.mes.write("rare", 1.4))["reason"] == "too_fast"
        assert await at.speed("mill") == 1.3
        folder = at.gateway.desk.journal.folder if at.gateway.desk else Path()
        assert not verify(folder).problems
        last = orjson.loads(list(lines_in(folder))[-1][2])
        assert (last["requester"], last["outcome"], last["reason"], last["rules"]) == (
            "mes",
            "refused",
            "too_fast",
            [4],
        )

    run(tmp_path, body)


def test_a_repeat_gets_the_same_answer_and_is_not_done_again(tmp_path: Path) -> None:
    """On the response topic that it names, with its correlation data; also by another version and after a restart."""

    async def body(at: Scene) -> None:
        request = {"id": "one", "operation": "write", "writes": [{"tag": "filler/SpeedFactor", "value": 1.5}]}
        home = "gateways/edge/replies/mes"
        await at.mes.send(request, response_topic=f"{home}/a", correlation=b"\x01", expiry_s=60)
        first, packet = await at.mes.next()
        assert (packet.topic, packet.correlation, first["outcome"]) == (f"{home}/a", b"\x01", "done")
        assert packet.expiry_s is not None
        assert 50 < packet.expiry_s <= 70
        await at.client.get_node(at.plant.id("line-1/filler/SpeedFactor")).write_value(2.0)
        await at.mes.send(request, response_topic=f"{home}/b", correlation=b"\x02", expiry_s=60)
        second, packet = await at.mes.next()
        assert (second, packet.topic, packet.correlation) == (first, f"{home}/b", b"\x02")
        assert await at.speed() == 2.0
        await at.mes.send({**request, "dry_run": True}, expiry_s=60)
        third, _ = await at.mes.next()
        assert (third["outcome"], third["reason"]) == ("refused", "id_reused")

    run(tmp_path, body)


def test_a_reload_by_command_says_what_has_changed_or_what_is_wrong(tmp_path: Path) -> None:
    async def whole() -> None:
        with mosquitto(tmp_path) as broker:
            async with plant_served(MIXED) as plant:
                config = config_of(tmp_path, broker.url, plant.url, {"rules": RULES})
                wanted: list[Config | ConfigError] = []

                def read() -> Config:
                    found = wanted.pop(0)
                    if isinstance(found, ConfigError):
                        raise found
                    return found

                async with running(config, Reload(asyncio.Event(), read)), requester("mes", broker.url) as mes:
                    wanted += [
                        config,
                        config.model_copy(update={"log_level": "warning"}),
                        ConfigError(["x.yaml:7: no"]),
                    ]
                    for told in ({"what": "nothing changed"}, {"settings": ["log_level"]}):
                        [result] = results(await mes.ask("reload", source="_gateway"))
                        assert result["value"] == told
                    answer = await mes.ask("reload", source="_gateway")
                    assert (answer["outcome"], answer["reason"]) == ("refused", "configuration")
                    assert answer["detail"] == "x.yaml:7: no"

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_what_is_subscribed_to_at_run_time_is_sent_without_another_connection_and_after_a_restart(
    tmp_path: Path,
) -> None:
    async def whole() -> None:
        with mosquitto(tmp_path) as broker:
            async with plant_served(MIXED) as plant, collecting(broker.port, "values/#") as got:
                config = config_of(tmp_path, broker.url, plant.url, {"rules": RULES})

                async def sent(value: float) -> None:
                    await got.wait_for(lambda payload: b'"line-1/speed"' in payload and f":{value}".encode() in payload)

                async def subscribed(mes: Requester) -> list[str]:
                    [result] = results(await mes.ask("diagnostics", source="_gateway"))
                    value: Any = result["value"]
                    return [each["name"] for each in value["subscribed"]]

                async with running(config) as gateway, requester("mes", broker.url) as mes:
                    answer = await mes.ask("subscribe", tags=["line-1/speed"], publishing_interval=0.05)
                    assert answer["outcome"] == "done", answer
                    await sent(1.0)
                    assert (await mes.write("filler/SpeedFactor", 1.25))["outcome"] == "done"
                    await sent(1.25)
                    assert gateway.sources["shop"].connects == 1
                    assert not any(b"gap" in payload for payload in got.payloads)
                async with running(config), requester("other", broker.url) as mes:
                    assert await subscribed(mes) == ["line-1/speed"]
                    assert (await mes.write("filler/SpeedFactor", 1.5))["outcome"] == "done"
                    await sent(1.5)
                    assert (await mes.ask("unsubscribe", tags=["line-1/speed"]))["outcome"] == "done"
                    assert await subscribed(mes) == []

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_commands_begin_and_end_with_a_reload_and_what_was_retained_before_is_refused(tmp_path: Path) -> None:
    """The source stays connected; the broker connects again, since a session subscribes at its beginning."""

    async def whole() -> None:
        with mosquitto(tmp_path) as broker:
            async with plant_served(MIXED) as plant, requester("mes", broker.url) as mes:
                config = config_of(tmp_path, broker.url, plant.url, {"rules": RULES})
                wanted = [config, config.model_copy(update={"commands": None}), config]
                writes = [{"tag": "filler/SpeedFactor", "value": 1.5}]
                kept = {"id": "kept", "operation": "write", "writes": writes, "deadline": in_s(60)}
                await mes.send(kept, retain=True)
                reload = Reload(asyncio.Event(), lambda: wanted.pop(0))
                async with running(wanted[1], reload) as gateway:
                    assert gateway.desk is None
                    for _ in range(2):
                        reload.asked.set()
                        answer, _ = await mes.next(20)
                        assert (answer["id"], answer["outcome"], answer["reason"]) == ("kept", "refused", "retained")
                        [value] = results(await mes.ask("read", tags=["filler/SpeedFactor"]))
                        assert value["value"] == 1.0
                        if wanted:
                            told = await reload.take()
                            assert told["brokers_connected_again"] == ["broker"]
                    assert gateway.sources["shop"].connects == 1

    asyncio.run(asyncio.wait_for(whole(), 60))


def test_each_requester_may_do_what_its_rules_allow(tmp_path: Path) -> None:
    async def body(at: Scene) -> None:
        async with requester("other", at.broker.url, "general") as other:
            assert (await other.ask("call", method="filler/Abort"))["reason"] == "not_allowed"
            assert (await other.write("rare", 1.0))["reason"] == "not_allowed"
            assert (await other.write("filler/SpeedFactor", 1.05))["outcome"] == "done"
        async with requester("stranger", at.broker.url) as stranger:
            assert (await stranger.write("filler/SpeedFactor", 2.0))["reason"] == "requester_unknown"
        assert await at.speed() == 1.05

    run(tmp_path, body)


def test_the_client_asks_from_the_terminal_and_its_shell_completes(tmp_path: Path) -> None:
    """Exit code and table for what is done or refused; names from the retained presence."""

    async def body(at: Scene) -> None:
        async def told(*words: str, **env: str) -> tuple[int | None, str]:
            process = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("gateway"), *words, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, env={**os.environ, "GATEWAY_BROKER": at.broker.url, **env},
            )  # fmt: skip
            out, _ = await process.communicate()
            return process.returncode, out.decode()

        shop = ("command", "edge", "shop")
        who = ("--requester", "mes")
        async with collecting(at.broker.port, "gateways/edge/presence") as presence:
            (done, out), (refused, said) = await asyncio.gather(
                told(*shop, "write", "filler/SpeedFactor", "1.25", *who),
                told(*shop, "ack", "filler/Hot", "AAAB", *who),
            )
            await presence.wait_for(lambda payload: b'"commands"' in payload)
        typed = "gateway command edge shop write filler/Sp"
        _, names = await told(_GATEWAY_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD="5")
        assert (done, out.splitlines()[0]) == (0, "done")
        assert "1.0 to 1.25, now 1.25, verified" in out
        assert (refused, said.splitlines()[0].partition(":")[0]) == (1, "refused (not_allowed)")
        assert names.split() == ["filler/SpeedFactor"]
        assert await at.speed() == 1.25

    run(tmp_path, body)
