"""A subscriber for people: every message with its MQTT 5 properties.  Not part of the data path."""

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
"""The reason codes of a broker without MQTT 5."""


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password, and the trusted authorities."""

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
    """Whether the broker had retained it, so that it is not new."""


@asynccontextmanager
async def watching(url: str, topic: str, login: Login) -> AsyncIterator[AsyncIterator[Arrived]]:
    """Every message from now on, until cancelled: with MQTT 5, or 3.1.1 if the broker has nothing else.

    Raises `Unavailable` when the broker is lost or refuses us, `ConfigError` when the settings cannot work.
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
            raise ConfigError([f"{topic}: invalid topic filter: # comes last, # and + fill a level"]) from error
        yield client


async def _messages(client: aiomqtt.Client) -> AsyncIterator[Arrived]:
    async for message in client.messages:
        yield Arrived(_packet(message), bool(message.retain))


def _packet(message: aiomqtt.Message) -> Packet:
    payload = message.payload if isinstance(message.payload, bytes) else b""
    said = message.properties.__dict__ if message.properties is not None else {}  # paho keeps properties as attributes
    return Packet(str(message.topic), payload, str(said.get("ContentType", "")), dict(said.get("UserProperty", ())))
