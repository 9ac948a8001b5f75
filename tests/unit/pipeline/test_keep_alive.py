"""Keep-alives: a silent topic says that it is there, but only while its server is."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

from gateway.config import OutboxConfig, PayloadConfig
from gateway.link import Link
from gateway.outbox import Record, open_outbox
from gateway.payload.frames import FramesEncoder
from gateway.payload.pubsub import NetworkEnvelope
from gateway.payload.splitting import FormatSettings
from gateway.pipeline.keep_alive import keeping_alive
from gateway.pipeline.routing import SourceRoutes
from tests.support.payloads import batch_of, one_route


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


def form() -> FramesEncoder:
    return FramesEncoder(FormatSettings("e.1", "f/{machine}", "edge"), NetworkEnvelope("edge", "opcua", "raw"))


def routes(encoder: FramesEncoder, every_s: float) -> SourceRoutes:
    payload = PayloadConfig.model_validate({"format": "opcua-pubsub", "pubsub": {"keep_alive": every_s}})
    return one_route(encoder, payload)


def test_a_silent_writer_sends_a_keep_alive_through_the_outbox(tmp_path: Path) -> None:
    async def body() -> None:
        config, encoder, link = OutboxConfig(path=tmp_path / "outbox"), form(), Link("line-1", "opc.tcp://h")
        async with open_outbox(config, readers=("broker",)) as outbox:
            await outbox.append(encoder.encode(batch_of([(6, 1)]), outbox.next_seq))
            link.up()
            async with keeping_alive(routes(encoder, 0.01), outbox, link):
                records: list[Record] = []
                while len(records) < 4:
                    records += await outbox.reader("broker").read(10, 10**6)
            assert b"ua-keepalive" in records[2].message.payload
            assert [r.message.seq for r in records[2:4]] == [1, 2]

    run(body())


def test_a_format_without_keep_alives_sends_none(tmp_path: Path) -> None:
    async def body() -> None:
        link = Link("line-1", "opc.tcp://h")
        async with open_outbox(OutboxConfig(path=tmp_path / "outbox"), readers=("broker",)) as outbox:
            async with keeping_alive(one_route(form()), outbox, link):
                pass
            assert outbox.messages == 0

    run(body())


def test_keep_alives_end_even_while_the_server_is_away(tmp_path: Path) -> None:
    async def body() -> None:
        encoder, link, asked = form(), Link("line-1", "opc.tcp://h"), asyncio.Event()
        async with open_outbox(OutboxConfig(path=tmp_path / "outbox"), readers=("broker",)) as outbox:
            await outbox.append(encoder.encode(batch_of([(6, 1)]), outbox.next_seq))
            encoder.keep_alives(outbox.next_seq)
            link.down("away")
            async with keeping_alive(routes(encoder, 0.001), outbox, link):
                asyncio.get_running_loop().call_later(0.05, asked.set)
                await asked.wait()
            assert outbox.messages == 2

    run(body())


def test_keep_alives_end_though_the_routes_change_in_the_same_instant(tmp_path: Path) -> None:
    async def body() -> None:
        link, made = Link("line-1", "opc.tcp://h"), routes(form(), 1000)
        async with open_outbox(OutboxConfig(path=tmp_path / "outbox"), readers=("broker",)) as outbox:
            for turns in range(4):
                async with asyncio.timeout(10), keeping_alive(made, outbox, link):
                    await asyncio.sleep(0.01)  # until it waits
                    made._routing.change(made._routing.routes, made._routing.sources)
                    for _ in range(turns):
                        await asyncio.sleep(0)

    run(body())
