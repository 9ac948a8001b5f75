"""Opening a session with the first broker of the list that takes us, in the best MQTT version it speaks.

MQTT 5 comes first: only there does a PUBACK say whether the broker took a message.  A broker that refuses it, or
hangs up on it without a word, is asked for 3.1.1 in the same attempt, and `Link.notice` says once what is lost by that.
Every attempt starts afresh: addresses in order, version 5 first, secrets and certificates read again.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.config import BrokerConfig
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.model import Message
from gateway.mqtt import dial
from gateway.mqtt.general import VersionRefusedError, open_general
from gateway.mqtt.sink import Sink, Terms, Version

_LOST_BY_3 = (
    "the broker speaks MQTT 3.1.1 only: it cannot say that it refuses a message, what it refuses counts as delivered;"
    " user properties and content types are not sent; its limits are not known"
)


@asynccontextmanager
async def open_sink(
    config: BrokerConfig, link: Link, default_client_id: str, *, will: Message | None = None
) -> AsyncIterator[Sink]:
    """One session with the broker.  Entering it means that the broker said CONNACK with success; `link` is then up.

    Raises `Unavailable` with one sentence per address.  Leaving it disconnects in bounded time, also when cancelled
    half way; a broken session is not repaired: open another.
    """
    terms = _terms(config, default_client_id, will)
    async with AsyncExitStack() as stack:
        sink = await _open_first(stack, config, terms)
        link.up()
        if sink.version != config.version and sink.version == "3.1.1":
            link.notice(_LOST_BY_3)
        yield sink


async def _open_first(stack: AsyncExitStack, config: BrokerConfig, terms: Terms) -> Sink:
    return await _open(stack, config, dial.parse(config.url), terms)


async def _open(stack: AsyncExitStack, config: BrokerConfig, address: dial.Address, terms: Terms) -> Sink:
    if config.version != "auto":
        return await _open_version(stack, config, address, terms, config.version)
    try:
        return await _open_version(stack, config, address, terms, "5")
    except VersionRefusedError:
        return await _open_version(stack, config, address, terms, "3.1.1")


async def _open_version(
    stack: AsyncExitStack, config: BrokerConfig, address: dial.Address, terms: Terms, version: Version
) -> Sink:
    with dial.translated(address, config.connect_timeout):
        async with asyncio.timeout(config.connect_timeout):
            sock = await dial.connect(address)
            return await stack.enter_async_context(open_general(sock, None, address, terms, version))


def _terms(config: BrokerConfig, default_client_id: str, will: Message | None) -> Terms:
    try:
        password = config.password.read() if config.password else None
    except ConfigError as error:  # it was there when the process started: somebody is changing it
        raise Unavailable(f"cannot log in to {config.url}: {error}") from error
    return Terms(
        client_id=config.client_id or default_client_id,
        username=config.username,
        password=password,
        keep_alive_s=max(1, math.ceil(config.keep_alive)),
        ack_timeout_s=config.ack_timeout,
        window=config.window,
        will=will,
    )
