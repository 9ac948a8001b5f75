"""Against librdkafka's mock cluster: what we do with a broker's answers.  `tests/support/kafka_mock.py` says what this
proves and what it cannot; `make kafka-check` asks a real cluster."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Outcome, Session, Verdict
from gateway.errors import Unavailable
from tests.support.kafka_check import check_order, message, opened, read_back, send_all
from tests.support.kafka_mock import MockCluster, kafka_mock


def config_of(cluster: MockCluster, **keys: object) -> BrokerConfig:
    kafka = {"topic": "values", **keys.pop("kafka", {})}  # type: ignore[dict-item]
    urls = [f"kafka://{each}" for each in cluster.bootstrap.split(",")]
    return BrokerConfig.model_validate({"url": urls[0], "fallback": urls[1:], "kafka": kafka, **keys})


def test_streams_keep_their_order_and_nothing_is_lost_while_leaders_change() -> None:
    with kafka_mock(3) as cluster:
        cluster.tell("topic values 4")
        config = config_of(cluster)

        def trouble() -> None:
            for partition in range(4):
                cluster.tell(f"leader values {partition} {partition % 2 + 2}")
            cluster.tell("refuse 6 3")  # no leader any more
            cluster.tell("refuse 19 2")  # too few replicas in sync
            cluster.tell("refuse 7 2")  # timed out
            cluster.tell("down 1")

        async def body() -> None:
            async with opened(config) as session:
                assert await send_all(session, trouble) == {Verdict.DELIVERED}

        asyncio.run(asyncio.wait_for(body(), 60))
        check_order(config)


REFUSED = [
    (10, Verdict.NEVER, "too_large"),
    (87, Verdict.NEVER, "payload_invalid"),
    (29, Verdict.LATER, "not_authorized"),
    (44, Verdict.LATER, "implementation"),
    (89, Verdict.LATER, "quota_exceeded"),
    (99, Verdict.LATER, "unknown"),
]


def test_every_refusal_has_its_verdict_and_the_next_message_gets_through() -> None:
    async def body(cluster: MockCluster) -> None:
        with pytest.raises(Unavailable, match="gives no topic 'others'"):
            async with opened(config_of(cluster, kafka={"topic": "others"})):
                pass
        async with opened(config_of(cluster, retry_refused="100ms")) as session:
            for number, (code, verdict, reason) in enumerate(REFUSED):
                cluster.tell(f"refuse {code} 1")
                outcome: Outcome = await session.send(message(0, 2 * number + 1))
                assert (outcome.verdict, outcome.reason, outcome.code) == (verdict, reason, code)
                while (outcome := await session.send(message(0, 2 * number + 2))).verdict is not Verdict.DELIVERED:
                    assert outcome.code == code == 29, "only of a topic librdkafka remembers it, until its next look"
                    await asyncio.sleep(0.05)

    with kafka_mock() as cluster:
        cluster.tell("topic values 1")
        asyncio.run(asyncio.wait_for(body(cluster), 60))


def test_a_frozen_broker_ends_the_session_and_the_next_one_delivers() -> None:
    async def lost(session: Session) -> str:
        with pytest.raises(Unavailable) as told:
            await session.send(message(0, 1))
        return told.value.cause

    async def body(cluster: MockCluster) -> None:
        config = config_of(cluster, ack_timeout="1500ms", connect_timeout="1s")
        async with opened(config) as session:
            os.kill(cluster.process.pid, signal.SIGSTOP)
            assert await lost(session) in ("timeout", "cut"), "whichever librdkafka notices first"
        with pytest.raises(Unavailable, match="cannot be reached"):
            async with opened(config):
                pass
        os.kill(cluster.process.pid, signal.SIGCONT)
        async with opened(config) as session:
            assert (await session.send(message(0, 1))).verdict is Verdict.DELIVERED

    with kafka_mock() as cluster:
        cluster.tell("topic values 1")
        asyncio.run(asyncio.wait_for(body(cluster), 60))


class Registry(ThreadingHTTPServer):
    """A schema registry as far as we need it; the software itself cannot be had from the registries of packages."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, str, object]] = []
        self.status = 200


class Answers(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, str(self.headers["Authorization"]), body))
        answer = json.dumps({"id": 258} if self.server.status == 200 else {"message": "incompatible"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words: object) -> None:
        return


@contextmanager
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_payloads_begin_with_the_number_of_their_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "secret")
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')

    async def body(config: BrokerConfig, server: Registry) -> None:
        async with opened(config) as session:
            assert (await session.send(message(0, 1, b'{"a":1}'))).verdict is Verdict.DELIVERED
        _, _, payloads = await asyncio.to_thread(read_back, config, 1)
        assert payloads == [b"\0\0\0\x01\x02" + b'{"a":1}']
        sent = {"schemaType": "JSON", "schema": '{"type": "object"}'}
        assert server.asked == [("/subjects/values-value/versions", "Basic dTpzZWNyZXQ=", sent)]
        server.status = 409
        with pytest.raises(Unavailable, match="refuses the schema with 409"):
            async with opened(config):
                pass

    with kafka_mock() as cluster, registry() as server:
        cluster.tell("topic values 1")
        at = {"url": f"http://127.0.0.1:{server.server_port}", "schema_file": str(schema), "username": "u",
              "password": {"env": "REGISTRY_PASSWORD"}}  # fmt: skip
        asyncio.run(asyncio.wait_for(body(config_of(cluster, kafka={"registry": at}), server), 60))
