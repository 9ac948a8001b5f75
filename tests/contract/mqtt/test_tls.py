"""TLS against a real broker: who is let in, who is not, and that the reason is said."""

import asyncio
import datetime
import math
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mqtt5
import pytest
from cryptography.x509 import load_pem_x509_certificate

from docker.mosquitto.make_certificate import make
from gateway.advice import advice_for
from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from tests.support import brokers
from tests.support.mqtt_certificates import Authority, Pair
from tests.support.mqtt_sessions import message, reason_of
from tests.support.ports import free_port

WAYS = ("mqtts-5", "mqtts-3.1.1", "wss-5")
every_way = pytest.mark.parametrize("way", WAYS)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


@dataclass
class Secured:
    """mosquitto with TLS, and what its clients need."""

    authority: Authority
    process: brokers.Process
    web_port: int

    def config(self, way: str, host: str = "localhost", **tls: object) -> BrokerConfig:
        scheme, version = way.split("-")
        url = f"mqtts://{host}:{self.process.port}" if scheme == "mqtts" else f"wss://{host}:{self.web_port}/mqtt"
        settings = {"ca": str(self.authority.path), **tls}
        return BrokerConfig.model_validate({"url": url, "version": version, "connect_timeout": 5, "tls": settings})


@contextmanager
def secured(folder: Path, *options: str, server: Callable[[Authority], Pair] | None = None) -> Iterator[Secured]:
    authority = Authority(folder)
    pair = server(authority) if server else authority.issue("server", "localhost", "127.0.0.1")
    lines = "\n".join([authority.listener(pair), *options])
    web_port = free_port()
    web = f"listener {web_port} 127.0.0.1\nprotocol websockets\n{lines}"
    with brokers.mosquitto(folder, listener=f"{lines}\n{web}", more_ports=(web_port,)) as process:
        yield Secured(authority, process, web_port)


async def seen_end(config: BrokerConfig) -> float:
    """When the certificate ends that the broker shows."""
    async with open_sink(config, Link("broker", config.url), "edge") as sink:
        return sink.certificate_ends_s


async def delivers(config: BrokerConfig) -> bool:
    async with open_sink(config, Link("broker", config.url), "edge") as sink:
        return (await sink.send(message())).verdict is Verdict.DELIVERED


async def refusal(config: BrokerConfig) -> str:
    return await reason_of(open_sink(config, Link("broker", config.url), "edge").__aenter__())


@every_way
def test_a_broker_with_a_good_certificate_gets_the_data(way: str, tmp_path: Path) -> None:
    with secured(tmp_path) as broker:
        for host in ("localhost", "127.0.0.1"):
            run(expect(delivers(broker.config(way, host)), True))


@every_way
def test_the_expiry_of_the_brokers_certificate_is_known(way: str, tmp_path: Path) -> None:
    lasts = datetime.timedelta(days=9)
    ends_s = (datetime.datetime.now(datetime.UTC) + lasts).timestamp()
    with secured(tmp_path, server=lambda ca: ca.issue("server", "localhost", lasts=lasts)) as broker:
        assert asyncio.run(asyncio.wait_for(seen_end(broker.config(way)), 240)) == pytest.approx(ends_s, abs=120)


def test_without_tls_no_certificate_expiry_is_known(tmp_path: Path) -> None:
    with brokers.mosquitto(tmp_path) as plain:
        for version in ("5", "3.1.1"):
            config = BrokerConfig.model_validate({"url": plain.url, "version": version})
            assert math.isnan(asyncio.run(asyncio.wait_for(seen_end(config), 240)))


def test_the_certificate_of_the_compose_stack_is_accepted(tmp_path: Path) -> None:
    make(tmp_path, tmp_path, os.getuid())
    lines = f"certfile {tmp_path / 'broker.crt'}\nkeyfile {tmp_path / 'broker.key'}"
    with brokers.mosquitto(tmp_path, listener=lines) as process:
        for host in ("localhost", "127.0.0.1"):
            settings = {"url": f"mqtts://{host}:{process.port}", "tls": {"ca": str(tmp_path / "ca.crt")}}
            run(expect(delivers(BrokerConfig.model_validate(settings)), True))


@every_way
def test_a_certificate_of_another_name_is_refused(way: str, tmp_path: Path) -> None:
    async def body() -> None:
        assert "it is not for the name localhost" in await refusal(broker.config(way))
        assert await delivers(broker.config(way, server_name="broker.example.com"))

    with secured(tmp_path, server=lambda ca: ca.issue("server", "broker.example.com")) as broker:
        run(body())


@every_way
def test_a_certificate_of_an_unknown_authority_is_refused(way: str, tmp_path: Path) -> None:
    async def body() -> None:
        other = Authority(tmp_path, "other")
        text = await refusal(broker.config(way, ca=str(other.path)))
        assert "certificate that is not accepted" in text
        text = await refusal(broker.config(way, ca=None))
        assert "certificate that is not accepted" in text
        assert "tls.ca" in advice_for(text)

    with secured(tmp_path) as broker:
        run(body())


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    past = -datetime.timedelta(days=1)
    with secured(tmp_path, server=lambda ca: ca.issue("server", "localhost", lasts=past)) as broker:
        run(expect_text(refusal(broker.config("mqtts-5")), "certificate has expired"))


@pytest.mark.parametrize(
    ("lists", "why"),
    [
        ("others", ""), ("revoked", "it is revoked"), ("old", "is out of date"),
        ("none", "there is no revocation list"), ("damaged", "no revocation list can be read"),
    ],
)  # fmt: skip
def test_with_revocation_lists_a_revoked_certificate_is_refused(lists: str, why: str, tmp_path: Path) -> None:
    with secured(tmp_path) as broker:
        path, other = tmp_path / "lists.pem", Authority(tmp_path, "other")
        serial = load_pem_x509_certificate((tmp_path / "server.crt").read_bytes()).serial_number
        path.write_bytes(
            (other if lists == "none" else broker.authority).revoking(
                serial if lists == "revoked" else 1, -datetime.timedelta(1) if lists == "old" else datetime.timedelta(1)
            )[: 100 if lists == "damaged" else None]
        )
        config = broker.config("mqtts-5", crl=str(path))
        run(expect_text(refusal(config), why)) if why else run(expect(delivers(config), True))


@every_way
def test_a_broker_that_requires_a_client_certificate_gets_it_or_is_named_in_the_error(way: str, tmp_path: Path) -> None:
    async def body() -> None:
        ours = broker.authority.issue("edge")
        both = {"certificate": str(ours.certificate), "key": str(ours.key)}
        assert await delivers(broker.config(way, **both))
        text = await refusal(broker.config(way))
        assert broker.config(way).url in text
        if way == "mqtts-5":
            assert "asks for a client certificate" in text

    with secured(tmp_path, "require_certificate true") as broker:
        run(body())


def test_a_renewed_certificate_is_used_at_the_next_connect_and_a_broken_one_retried(tmp_path: Path) -> None:
    async def body() -> None:
        ours = broker.authority.issue("edge")
        config = broker.config("mqtts-5", certificate=str(ours.certificate), key=str(ours.key))
        good = ours.certificate.read_bytes()
        ours.certificate.write_bytes(good[:100])
        assert "cannot read our certificate" in await refusal(config)
        ours.certificate.write_bytes(good)
        assert await delivers(config)
        broker.authority.issue("edge", lasts=datetime.timedelta(days=9))
        assert await delivers(config)

    with secured(tmp_path, "require_certificate true") as broker:
        run(body())


def test_an_encrypted_key_is_opened_with_its_password_and_never_prompts(tmp_path: Path) -> None:
    async def body() -> None:
        ours = broker.authority.issue("edge", password=b"open sesame")
        secret = tmp_path / "secret"
        secret.touch(mode=0o600)
        secret.write_text("open sesame\n")
        files = {"certificate": str(ours.certificate), "key": str(ours.key)}
        assert await delivers(broker.config("mqtts-5", **files, key_password={"file": str(secret)}))
        assert "cannot read our certificate" in (text := await refusal(broker.config("mqtts-5", **files)))
        assert "the key is encrypted: tls.key_password" in text
        (tmp_path / "wrong").touch(mode=0o600)
        (tmp_path / "wrong").write_text("sesame")
        wrong = broker.config("mqtts-5", **files, key_password={"file": str(tmp_path / "wrong")})
        assert "tls.key_password is not the password of the key" in await refusal(wrong)
        ours.key.chmod(0o644)
        assert f"chmod 600 {ours.key}" in await refusal(broker.config("mqtts-5", **files))

    with secured(tmp_path, "require_certificate true") as broker:
        run(body())


@every_way
def test_tls_to_a_port_without_tls_is_named_in_the_error(way: str, tmp_path: Path) -> None:
    with brokers.mosquitto(tmp_path) as plain:
        authority = Authority(tmp_path)
        run(expect_text(refusal(Secured(authority, plain, plain.port).config(way)), f":{plain.port}"))


@asynccontextmanager
async def answering(context: ssl.SSLContext, chosen: list[object]) -> AsyncIterator[int]:
    """A port that shakes hands by `context` and takes one session; what ALPN chose goes to `chosen`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await reader.read(100)
        writer.write(mqtt5.ConnAckPacket().write())
        await reader.read(100)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


def context_of(pair: Pair) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def test_a_broker_with_older_tls_than_allowed_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        authority = Authority(tmp_path)
        context = context_of(authority.issue("server", "localhost"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with answering(context, []) as port:
            url, ca = f"mqtts://localhost:{port}", str(authority.path)
            old = BrokerConfig.model_validate({"url": url, "tls": {"ca": ca}})
            async with open_sink(old, Link("broker", url), "edge"):
                pass
            new = BrokerConfig.model_validate({"url": url, "tls": {"ca": ca, "minimum": "1.3"}})
            text = await refusal(new)
            assert "does not agree on TLS" in text or "cut the connection in the TLS handshake" in text

    run(body())


def test_server_name_and_alpn_protocols_are_sent(tmp_path: Path) -> None:
    """What cloud brokers on port 443 decide by."""

    async def body() -> None:
        authority = Authority(tmp_path)
        context = context_of(authority.issue("server", "broker.example.com"))
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
        names: list[object] = []
        context.sni_callback = lambda _, name, __: names.append(name)
        chosen: list[object] = []
        async with answering(context, chosen) as port:
            tls = {"ca": str(authority.path), "server_name": "broker.example.com", "alpn": ["x-amzn-mqtt-ca"]}
            config = BrokerConfig.model_validate({"url": f"mqtts://127.0.0.1:{port}", "tls": tls})
            async with open_sink(config, Link("broker", config.url), "edge"):
                pass
        assert names == ["broker.example.com"]
        assert chosen == ["x-amzn-mqtt-ca"]

    run(body())


def test_a_port_without_websocket_is_named_in_the_error(tmp_path: Path) -> None:
    async def body() -> None:
        config = BrokerConfig.model_validate({"url": f"ws://127.0.0.1:{plain.port}/mqtt"})
        assert "no web socket" in await refusal(config)

    with brokers.mosquitto(tmp_path) as plain:
        run(body())


async def expect(result: Coroutine[object, object, bool], value: bool) -> None:
    assert await result is value


async def expect_text(result: Coroutine[object, object, str], part: str) -> None:
    assert part in await result
