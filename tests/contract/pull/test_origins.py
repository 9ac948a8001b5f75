"""Configurations pulled from a real HTTPS server, a real NATS, and by a real gateway that tells what came of them."""

import asyncio
import json
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import nats
import pytest

from gateway.errors import ConfigError, Unavailable
from gateway.pull import PullFile, origin_of
from gateway.pull.origin import Origin
from tests.support.brokers import mosquitto
from tests.support.mqtt_certificates import Authority
from tests.support.mqtt_collect import collecting
from tests.support.nats_cluster import nats_cluster
from tests.support.programs import Program, running


@dataclass
class Https:
    """An HTTPS server of one file, with a token, and what it was asked."""

    authority: Authority
    port: int = 0
    content: bytes = b"name: a\n"
    behaviour: str = ""
    asked: list[str] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def origin(self, **settings: object) -> Origin:
        plain = {
            "from": f"https://127.0.0.1:{self.port}/gateways/munich.yaml", "tls": {"ca": str(self.authority.path)},
            "timeout": "5s", "max_bytes": 1000, "token": {"env": "PULL_TOKEN"},
        }  # fmt: skip
        return origin_of(PullFile.model_validate({"configuration": plain | settings}).configuration)


def handler_of(server: Https) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tag = f'"{hash(server.content)}"'
            is_known = self.headers.get("If-None-Match") == tag
            server.asked.append(f"{self.path}{' known' if is_known else ''}")
            match server.behaviour:
                case "redirects":
                    self.send_response(302)
                    self.send_header("Location", "https://evil.example/")
                    self.end_headers()
                    return
                case "drips":
                    self.send_response(200)
                    self.send_header("Content-Length", "900")
                    self.end_headers()
                    while not server.over.wait(0.05):
                        try:
                            self.wfile.write(b"#")
                        except OSError:
                            return
                    return
            if self.headers.get("Authorization") != "Bearer right":
                status, body = 401, b""
            elif self.path != "/gateways/munich.yaml":
                status, body = 404, b""
            else:
                status, body = (304, b"") if is_known else (200, server.content)
            self.send_response(status)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            return

    return Handler


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *arguments: object) -> None:
        """Of clients that do not trust it, or hang up."""


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Https]:
    monkeypatch.setenv("PULL_TOKEN", "right")
    found = Https(Authority(tmp_path))
    pair = found.authority.issue("hq", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with Quiet(("127.0.0.1", 0), handler_of(found)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        found.port = server.server_port
        serving = Thread(target=lambda: server.serve_forever(0.05))
        serving.start()
        try:
            yield found
        finally:
            found.over.set()
            server.shutdown()
            serving.join()


def test_https_is_asked_for_what_is_new_with_the_token(https: Https) -> None:
    async def body() -> None:
        origin = https.origin()
        assert await origin.read() == await origin.read() == b"name: a\n"
        https.content = b"name: b\n"
        assert (await origin.read(), await origin.approved()) == (b"name: b\n", b"")
        path = "/gateways/munich.yaml"
        assert https.asked == [path, f"{path} known", path, f"{path}.approved"]

    asyncio.run(body())


@pytest.mark.parametrize(
    ("behaviour", "settings", "told"),
    [
        ("", {"token": None}, "answers 401: is the token right"),
        ("", {"tls": None}, "certificate verify failed"),
        ("", {"max_bytes": 5}, "larger than 5 bytes"),
        ("", {"token": {"env": "NOT_SET"}}, "NOT_SET is not set"),
        ("redirects", {}, "302: write the address that it redirects to"),
        ("drips", {"timeout": "300ms"}, "no whole answer within 0.3 s"),
    ],
)
def test_what_https_does_instead_ends_in_words(
    https: Https, behaviour: str, settings: dict[str, object], told: str
) -> None:
    https.behaviour = behaviour
    with pytest.raises((Unavailable, ConfigError), match=told):
        asyncio.run(https.origin(**settings).read())


def test_a_key_of_nats_is_read(tmp_path: Path) -> None:
    async def body() -> None:
        def origin(bucket: str = "gateways") -> Origin:
            settings = {"from": f"nats-kv://127.0.0.1:{port}/{bucket}/munich", "max_bytes": 50, "timeout": "3s"}
            return origin_of(PullFile.model_validate({"configuration": settings}).configuration)

        port = cluster.nodes[0].port
        client = await nats.connect(cluster.servers)
        bucket = await client.jetstream().create_key_value(bucket="gateways")
        with pytest.raises(Unavailable, match="no such key"):
            await origin().read()
        await bucket.put("munich", b"name: a\n")
        await bucket.put("munich.approved", b"sha256:1\n")
        assert (await origin().read(), await origin().approved()) == (b"name: a\n", b"sha256:1\n")
        await bucket.put("munich", b"#" * 51)
        with pytest.raises(ConfigError, match="larger than 50 bytes"):
            await origin().read()
        with pytest.raises(Unavailable, match="no bucket nowhere"):
            await origin("nowhere").read()
        await client.close()
        cluster.nodes[0].kill()
        with pytest.raises(Unavailable, match="NATS"):
            await origin().read()

    with nats_cluster(tmp_path, nodes=1) as cluster:
        asyncio.run(asyncio.wait_for(body(), 60))


def test_a_gateway_tells_what_came_of_each_and_starts_without_any(tmp_path: Path) -> None:
    """A good one is taken, a bad one refused while the good one stays; and the last good one needs no origin."""
    origin, pull = tmp_path / "hq", tmp_path / "pull.yaml"
    origin.mkdir()

    def offer(**changes: object) -> None:
        source = {"name": "press", "url": "opc.tcp://127.0.0.1:9", "insecure": True, "select": [{"node": "i=1"}]}
        config = {
            "sources": [source],
            "broker": {"url": broker.url, "presence": {"heartbeat": "200ms"}},
            "outbox": {"path": str(tmp_path / "outbox")}, "http": {"port": 0},
            "payload": {"topic": "x/{source}/{tag}"}, **changes,
        }  # fmt: skip
        fresh = origin / "fresh"
        fresh.write_text(json.dumps(config))
        fresh.replace(origin / "gateway.yaml")

    settings = {"from": str(origin), "every": "100ms", "keep": str(tmp_path / "kept")}
    pull.write_text(json.dumps({"name": "edge", "configuration": settings}))

    def told(outcome: str | None, config: object = None) -> dict[str, object]:
        """The first presence that tells of this outcome, or of none but of this configuration."""

        def is_so(payload: bytes) -> bool:
            said = json.loads(payload)
            pulled = said.get("health", {}).get("pulled", {}).get("outcome")
            return bool(said["state"] == "online" and pulled == outcome and config in (None, said["config"]))

        async def wait() -> dict[str, object]:
            async with collecting(broker.port, "gateways/edge/presence") as got:
                await got.wait_for(is_so)
                found: dict[str, object] = json.loads(next(each for each in reversed(got.payloads) if is_so(each)))
                return found

        return asyncio.run(asyncio.wait_for(wait(), 60))

    with mosquitto(tmp_path) as broker:
        offer()
        with running(Program("gateway", tmp_path, "gateway", "run", str(pull), "--log-format", "json")) as gateway:
            first = told("taken")
            offer(surces=[])
            refused = told("refused")
            assert refused["config"] == first["config"]
            assert "surces" in str(refused["health"])
            offer(log_level="warning")
            second = told("taken")
            assert second["config"] != first["config"]
            assert "refused" not in json.dumps(second["health"])
            gateway.kill()
            shutil.rmtree(origin)
            gateway.restart()
            told(None, second["config"])
