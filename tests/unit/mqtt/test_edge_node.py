"""CONNECT, will and DISCONNECT of an edge node of Sparkplug, as MQTT 5 has them on the wire."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import mqtt5
import pytest

from gateway.config import BrokerConfig
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from gateway.payload.sparkplug.deaths import EdgeDeaths
from gateway.payload.sparkplug.library import Library
from gateway.payload.sparkplug.node import Names
from gateway.payload.sparkplug.numbers import Numbers
from tests.support.mqtt_fake import fake_broker
from tests.support.ports import free_port
from tests.support.sparkplug import Tahu, tahu

NDEATH = "spBv1.0/g/NDEATH/n"


@pytest.fixture(scope="module")
def reader() -> Iterator[Tahu]:
    with tahu() as found:
        yield found


def config(url: str, *fallback: str) -> BrokerConfig:
    return BrokerConfig.model_validate({"url": url, "fallback": fallback, "version": "5"})


def test_each_connect_has_a_will_of_its_own_and_the_end_is_told(reader: Tahu, tmp_path: Path) -> None:
    """tck-id-payloads-ndeath-will-message, tck-id-payloads-ndeath-will-message-qos,
    tck-id-payloads-ndeath-will-message-retain, tck-id-payloads-ndeath-bdseq,
    tck-id-payloads-ndeath-will-message-publisher, tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt50,
    tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath,
    tck-id-operational-behavior-edge-node-intentional-disconnect-packet,
    tck-id-message-flow-edge-node-birth-publish-will-message,
    tck-id-message-flow-edge-node-birth-publish-will-message-topic,
    tck-id-message-flow-edge-node-birth-publish-will-message-payload,
    tck-id-message-flow-edge-node-birth-publish-will-message-qos,
    tck-id-message-flow-edge-node-birth-publish-will-message-will-retained,
    tck-id-principles-persistence-clean-session-50, tck-id-message-flow-edge-node-birth-publish-connect
    """
    deaths = EdgeDeaths(Names("g", "n"), Library(tmp_path).next_bd_seq)

    def number(payload: bytes) -> object:
        [metric] = reader.read(NDEATH, payload)["metrics"]
        assert (metric["name"], metric["type"]) == ("bdSeq", "Int64")
        return int(metric["value"])

    async def body() -> None:
        link = Link("broker", "mqtt://h")
        async with fake_broker() as broker:
            for _ in range(2):
                async with open_sink(config(broker.url), link, "edge", deaths, Numbers):
                    pass
                await broker.ended.wait()
            for expected, connect in enumerate(broker.connects):
                assert connect.clean_start
                assert not connect.session_expiry_interval
                assert connect.will is not None
                assert (connect.will.topic, connect.will.qos, connect.will.retain) == (
                    NDEATH, mqtt5.QoS.AT_LEAST_ONCE, False
                )  # fmt: skip
                assert number(connect.will.payload or b"") == expected
            told = [(each.topic, number(each.payload)) for each in broker.publishes]
            assert told == [(NDEATH, 0), (NDEATH, 1)]
            assert [packet.reason_code for packet in broker.goodbyes] == [0x04, 0x04]

    asyncio.run(asyncio.wait_for(body(), 60))


def test_where_the_host_is_offline_the_next_address_is_tried_first(tmp_path: Path) -> None:
    """tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server"""
    deaths = EdgeDeaths(Names("g", "n"), Library(tmp_path).next_bd_seq)

    async def body() -> None:
        link = Link("broker", "mqtt://h")
        async with fake_broker() as first, fake_broker() as second:
            for _ in range(3):
                async with open_sink(config(first.url, second.url), link, "edge", deaths, Numbers):
                    link.turn += 1
            assert (len(first.connects), len(second.connects)) == (2, 1)
            nobody = f"mqtt://127.0.0.1:{free_port()}"
            async with open_sink(config(first.url, nobody), link, "edge", deaths, Numbers):
                assert len(first.connects) == 3

    asyncio.run(asyncio.wait_for(body(), 60))
