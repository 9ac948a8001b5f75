"""The way of the README: a plant, a cloud on this machine, the gateway with an example's configuration, its data."""

import asyncio
import socket
from pathlib import Path

import pytest
import yaml

from gateway.delivery import Packet
from gateway.payload.read import PayloadReader
from tests.support.cloud_runs import CLOUDS, KEY
from tests.support.mqtt_collect import collecting
from tests.support.ports import free_port
from tests.support.programs import Factory, Gateway, Program, running, wait_until

HOST = "contoso.azure-devices.net"


def test_from_emulate_to_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_KEY", KEY)
    port, watch = free_port(), free_port()
    example = yaml.safe_load((CLOUDS / "azure-iot-hub.yaml").read_text(encoding="utf-8"))
    plant = Factory(tmp_path)
    hub = Program(
        "hub", tmp_path, "gateway", "emulate", "azure-iot-hub", "--endpoint", HOST, "--port", str(port),
        "--watch-port", str(watch),
    )  # fmt: skip
    with running(plant), running(hub):
        plant.wait_said("serving")
        example["sources"][0]["url"] = plant.url
        broker = {**example["broker"], "url": f"mqtt://127.0.0.1:{port}"}
        kept = {key: example[key] for key in ("name", "sources", "payload")}

        async def arrived() -> list[tuple[str, bytes]]:
            async with collecting(watch, "#") as got:
                with running(Gateway(tmp_path, plant.url, "", **kept, broker=broker)) as gateway:
                    await asyncio.to_thread(gateway.wait_said, "connected", peer="broker")
                    await got.wait_count(6)
            return list(got.messages)

        wait_until(lambda: _listens(watch), "the emulator to listen")
        found = asyncio.run(asyncio.wait_for(arrived(), 100))
    reader = PayloadReader()
    readings = [reader.read(Packet(topic, payload)) for topic, payload in found]
    assert all(topic.startswith("devices/edge-1/messages/events/$.ct=application%2Fjson&") for topic, _ in found)
    assert sum(len(each.values) for each in readings) > 20


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
