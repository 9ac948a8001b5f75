"""A TLS listener in front of a cloud sees the server's name, the protocol of port 443, and whose certificate it is."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.emulator.broker import emulated
from gateway.emulator.policy import Devices
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from gateway.profiles import profile_named
from tests.support.mqtt_certificates import Authority
from tests.support.mqtt_sessions import message, reason_of
from tests.support.ports import free_port

ALPN = "x-amzn-mqtt-ca"


@dataclass
class Seen:
    """What the listener saw of the latest client."""

    server_name: str | None = None
    protocol: str | None = None
    client: str = ""


@asynccontextmanager
async def tls_listener(port: int, target: int, authority: Authority, seen: Seen) -> AsyncIterator[None]:
    """Ends TLS as a cloud does, and hands the bytes on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("cloud", "localhost")
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols([ALPN])

    def on_name(_: ssl.SSLObject | ssl.SSLSocket, name: str | None, __: ssl.SSLContext) -> None:
        seen.server_name = name

    context.sni_callback = on_name

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured = writer.get_extra_info("ssl_object")
        seen.protocol = secured.selected_alpn_protocol()
        seen.client = dict(part[0] for part in secured.getpeercert()["subject"])["commonName"]
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", target)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hand_on(reader, their_writer))
            tasks.create_task(hand_on(their_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize("is_ours", [True, False], ids=["a device's certificate", "a stranger's certificate"])
def test_aws_on_its_port_with_alpn(is_ours: bool, tmp_path: Path) -> None:
    port, seen = free_port(), Seen()
    authority = Authority(tmp_path)
    (tmp_path / "others").mkdir()
    stranger = Authority(tmp_path / "others", "others")
    pair = (authority if is_ours else stranger).issue("edge-1")
    own = tmp_path / "own.yaml"
    own.write_text(f"extends: aws-iot-core\nname: own\nlogin: {{ports: [{{port: {port}, alpn: {ALPN}}}]}}\n")
    tls = {"ca": str(authority.path), "certificate": str(pair.certificate), "key": str(pair.key)}

    async def body() -> None:
        config = BrokerConfig.model_validate({"profile": str(own), "endpoint": f"localhost:{port}", "tls": tls})
        async with (
            emulated(profile_named(str(own)), Devices({"edge-1": ""})) as cloud,
            tls_listener(port, cloud.port, authority, seen),
        ):
            opening = open_sink(config, Link("cloud", config.url), "edge-1")
            if not is_ours:
                assert await reason_of(opening.__aenter__())
                assert cloud.cloud.counts == {}
                return
            async with opening as sink:
                assert (await sink.send(message())).verdict is Verdict.DELIVERED
            assert seen == Seen("localhost", ALPN, "edge-1")

    asyncio.run(asyncio.wait_for(body(), 60))
