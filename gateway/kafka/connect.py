"""Opens a session: a producer that has reached the cluster, and has seen the topic."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from gateway.config import BrokerConfig
from gateway.delivery import LateStage, Presence, Session
from gateway.delivery.presence import present
from gateway.errors import ConfigError, Unavailable
from gateway.in_thread import in_thread
from gateway.kafka.registry import header_of
from gateway.kafka.session import KafkaSession
from gateway.kafka.settings import MESSAGE_BYTES, NEEDS, settings_of, token_ends_s
from gateway.link import Link

if TYPE_CHECKING:
    from confluent_kafka import Producer

_GOODBYE_S = 1.5
_NOT_PRESENT = "the presence message is not stored: {}"


@asynccontextmanager
async def open_sink(
    config: BrokerConfig,
    link: Link,
    default_client_id: str,
    presence: Presence | None = None,
    late: Callable[[], LateStage] | None = None,
) -> AsyncIterator[Session]:
    """One session.  Entered when a broker has answered.  Raises `Unavailable` with the reason.

    A broken session is not repaired: open another one.
    """
    since, kafka = datetime.now(UTC), config.kafka_or_default
    most = config.max_packet or MESSAGE_BYTES
    session = KafkaSession(config.url, kafka.topic, config.window, most, config.ack_timeout, late)
    try:
        if kafka.token is not None:
            link.credential_ends_s = await in_thread(partial(token_ends_s, kafka.token), f"login of {config.name}")
        session.header = await in_thread(partial(header_of, config), f"schema of {config.name}")
        making = partial(_made, config, config.client_id or default_client_id, session)
        producer, refusal = await in_thread(making, f"producer of {config.name}")
        session.attach(producer, refusal)
        await in_thread(partial(_reach, producer, config, session), f"metadata of {config.name}")
        async with present(session, presence, since) as refused:
            if refused is not None:
                link.notice(_NOT_PRESENT.format(refused.detail))
            yield session
        if not session.in_flight.is_broken:
            await in_thread(partial(producer.flush, _GOODBYE_S), f"goodbye of {config.name}")
    except ConfigError as error:  # it was valid at the start: somebody is changing it
        raise Unavailable(f"cannot log in to {config.url}: {'; '.join(error.problems)}") from error
    finally:
        session.in_flight.break_off(f"the session with {config.url} was closed")
        await asyncio.sleep(0)


def _made(config: BrokerConfig, client_id: str, session: KafkaSession) -> "tuple[Producer, type[Exception]]":
    try:
        from confluent_kafka import KafkaException, Producer
    except ImportError as error:
        raise ConfigError([NEEDS]) from error
    settings: dict[str, object] = {**settings_of(config, client_id), "error_cb": session.failed}
    if (token := config.kafka_or_default.token) is not None:

        def renewed(_: str) -> tuple[str, float]:
            return token.read(), token_ends_s(token)

        settings["oauth_cb"] = renewed
    try:
        return Producer(settings), KafkaException
    except KafkaException as error:
        raise Unavailable(f"librdkafka refuses the settings for {config.url}: {error.args[0]}") from error


def _reach(producer: "Producer", config: BrokerConfig, session: KafkaSession) -> None:
    """Ask for the topic.  Raises `Unavailable`.  Blocks."""
    from confluent_kafka import KafkaException

    topic = config.kafka_or_default.topic
    try:
        found = producer.list_topics(topic, timeout=config.connect_timeout).topics.get(topic)
    except KafkaException as error:
        why = session.last_error or str(error.args[0])
        raise Unavailable(f"{config.url} cannot be reached: {why}", "unreachable") from error
    if found is None or (found.error is not None and not found.error.retriable()) or not found.partitions:
        why = found.error.str() if found is not None and found.error is not None else "it is not there"
        raise Unavailable(f"{config.url} gives no topic {topic!r}: {why}; create it, and let this user write to it")
