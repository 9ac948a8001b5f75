"""The round trip of a command over each broker: mosquitto, the embedded one, and in 3.1.1 aedes and NATS."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Packet
from tests.support import brokers
from tests.support.commanded import Body, Requester, config_of, in_s, requester, running
from tests.support.mqtt_sessions import Session
from tests.support.opcua_peers import standing_server

LOGINS: dict[str, tuple[str, str]] = {"nats": ("u", "p")}
RULES: list[Body] = [{"source": "shop", "subtree": "/Objects/recipes", "read": True, "write": {}}]


async def answered(mes: Requester) -> tuple[Body, Packet]:
    """The next answer; a broker may repeat the retained message by which the requester knew that it was subscribed."""
    while True:
        answer, packet = await mes.next(20)
        if "id" in answer:
            return answer, packet


@contextmanager
def served(broker: str, session: Session, folder: Path) -> Iterator[str]:
    """The URL of the broker, in the version of the session."""
    serving = {"mosquitto": brokers.mosquitto, "iotcore": brokers.iotcore, "aedes": brokers.aedes, "nats": brokers.nats}
    with serving[broker](folder) as process:  # type: ignore[operator]  # each is called with the folder alone
        port = process.ports[1] if (broker, session) == ("iotcore", "general-3.1.1") else process.port
        yield f"mqtt://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("broker", "session"),
    [
        ("mosquitto", "lean"), ("iotcore", "lean"), ("iotcore", "general-3.1.1"), ("aedes", "general-3.1.1"),
        ("nats", "general-3.1.1"),
    ],
)  # fmt: skip
def test_a_command_goes_round_over_each_broker(broker: str, session: Session, tmp_path: Path) -> None:
    """Done, repeated, refused, and retained where the broker says so."""
    login = LOGINS.get(broker)

    async def body() -> None:
        async with standing_server() as server:
            access = {"username": login[0], "password": {"env": "BROKER_PASSWORD"}} if login else {}
            version = "3.1.1" if session == "general-3.1.1" else "auto"
            wanted = BrokerConfig.model_validate({"url": url, "version": version, **access})
            config = config_of(tmp_path, url, server, {"rules": RULES}).model_copy(update={"broker": wanted})
            async with running(config), requester("mes", url, session, login) as mes:
                writes = [{"tag": "Doors", "value": ["Front"]}]
                request: Body = {"id": "one", "operation": "write", "writes": writes, "deadline": in_s(30)}
                home = "gateways/edge/replies/mes/a"
                await mes.send({**request, "respond_to": home})
                first, packet = await answered(mes)
                assert (packet.topic, first["outcome"]) == (home, "done"), first
                await mes.send({**request, "respond_to": home})
                assert (await answered(mes))[0] == first
                await mes.send({**request, "writes": [{"tag": "Doors", "value": []}]})
                assert (await answered(mes))[0]["reason"] == "id_reused"
                for outside in ("gateways/edge/replies/other", "gateways/edge/replies/mes/#", "$SYS/mes"):
                    answer: Any = await mes.ask("read", tags=["Doors"], respond_to=outside)
                    assert answer["reason"] == "response_topic"
                answer = await mes.ask("read", tags=["Doors"])
                assert answer["results"][0]["value"] == 1
                assert (await mes.write("Doors", ["Roof"]))["reason"] == "not_in_enumeration"

    with served(broker, session, tmp_path) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKER_PASSWORD", "p")
        asyncio.run(asyncio.wait_for(body(), 60))
