"""A subscriber for people: every message as it comes, with its MQTT 5 properties.  It is not part of the data path."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from gateway.delivery import Packet
from gateway.errors import ConfigError, Unavailable
from gateway.mqtt.dial import parse

CONNECT_S = 10.0
_UNSUPPORTED = (0x01, 0x84)
"""Reason codes of a broker that does not speak MQTT 5."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who subscribes, and whom to trust."""

    username: str | None = None
    password: str | None = None
    ca: Path | None = None

    def __repr__(self) -> str:
        return f"Login({self.username!r})"


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message."""

    packet: Packet
    retained: bool
    """The broker kept it from before: it is not news."""


@asynccontextmanager
async def watching(url: str, topic: str, login: Login) -> AsyncIterator[AsyncIterator[Arrived]]:
    """Every message from now on, for ever: in MQTT 5, or 3.1.1 where that is all there is.

    Raises `Unavailable` when the broker is lost or does not take us, `ConfigError` for what can never work.
    """
    try:
        async with AsyncExitStack() as stack:
            try:
                opening = _subscribed(url, topic, login, aiomqtt.ProtocolVersion.V5)
                client = await stack.enter_async_context(opening)
            except aiomqtt.MqttError as error:
                if not _is_old(error):
                    raise
                opening = _subscribed(url, topic, login, aiomqtt.ProtocolVersion.V311)
                client = await stack.enter_async_context(opening)
            yield _messages(client)
    except aiomqtt.MqttError as error:
        raise Unavailable(f"{url} is lost: {error}") from error


def _is_old(error: aiomqtt.MqttError) -> bool:
    return isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", error.rc) in _UNSUPPORTED


@asynccontextmanager
async def _subscribed(
    url: str, topic: str, login: Login, version: aiomqtt.ProtocolVersion
) -> AsyncIterator[aiomqtt.Client]:
    try:
        address = parse(url)
        context = ssl.create_default_context(cafile=login.ca) if address.tls else None
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    except OSError as error:
        raise ConfigError([f"{login.ca}: holds no certificates to trust: {error.strerror}"]) from error
    async with aiomqtt.Client(
        address.host,
        address.port,
        username=login.username,
        password=login.password,
        timeout=CONNECT_S,
        protocol=version,
        tls_context=context,
        transport="websockets" if address.web_socket else "tcp",
        websocket_path=address.path if address.web_socket else None,
    ) as client:
        try:
            await client.subscribe(topic, qos=1)
        except ValueError as error:
            raise ConfigError([f"{topic}: nothing to subscribe to: # comes last, # and + alone in a level"]) from error
        yield client


async def _messages(client: aiomqtt.Client) -> AsyncIterator[Arrived]:
    async for message in client.messages:
        yield Arrived(_packet(message), bool(message.retain))


def _packet(message: aiomqtt.Message) -> Packet:
    payload = message.payload if isinstance(message.payload, bytes) else b""
    said = message.properties.__dict__ if message.properties is not None else {}  # paho keeps them as attributes
    return Packet(str(message.topic), payload, str(said.get("ContentType", "")), dict(said.get("UserProperty", ())))
