"""Opens a session with the first address that accepts it, in the best MQTT version of the broker.

MQTT 5 is tried first, since only there a PUBACK says whether the broker accepted a message.  If the broker refuses it,
or cuts the connection without an answer, 3.1.1 is tried in the same attempt, and `Link.notice` reports the restrictions
once.  Every attempt starts anew: addresses in order, version 5 first, secrets and certificates read again.

The lean session speaks MQTT 5 over TCP and TLS; the general one speaks 3.1.1 and web sockets.
"""

import asyncio
import math
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import msgspec

import gateway.mqtt.credentials as credentials
import gateway.mqtt.dial as dial
import gateway.mqtt.provisioning as provisioning
import gateway.tls as tls
from gateway.config import BrokerConfig
from gateway.delivery import LateStage, Presence
from gateway.errors import ConfigError, Unavailable
from gateway.in_thread import in_thread
from gateway.link import Link
from gateway.model import Message
from gateway.mqtt.disconnect_guard import BrokerHistory, GuardedSink, InnerSink
from gateway.mqtt.gate import Gate, Limits
from gateway.mqtt.general import open_general
from gateway.mqtt.lean import open_lean
from gateway.mqtt.patience import Patience
from gateway.mqtt.presence import Speaking
from gateway.mqtt.sink import RetainRefusedError, SessionSettings, Sink, Version, VersionRefusedError
from gateway.profiles import Profile, profile_named
from gateway.profiles.names import Credentials, is_signed
from gateway.profiles.wire import Wire
from gateway.yaml_positions import Place, Problem

_LOST_BY_3 = (
    "the broker speaks MQTT 3.1.1 only: it cannot report refusals, so a refused message counts as delivered;"
    " user properties and content types are not sent; the broker's limits are unknown"
)
_CAUTION = (
    "the broker cut the connection with messages open: sending one at a time for a while, to find out whether one"
    " of them was the cause"
)
_LOST_BY_SLOWNESS = "the line is slow: messages are split to fit it, and have more time for their acknowledgement"
_LOST_PRESENCE = "the presence message is not published: the broker refuses it"
_LOST_WITHOUT_RETAIN = "the broker does not support retained messages: they are sent without the retain flag"


def problems_with(config: BrokerConfig) -> list[Problem]:
    """Files and secrets that a session needs and cannot use.  Reads all of them, and blocks."""
    secrets: list[tuple[Place, Callable[[], object]]] = []
    if config.password is not None:
        secrets.append((("password",), config.password.read))
    if config.query is not None:
        secrets.append((("query",), partial(credentials.query_of, config.query)))
    if config.credentials is not None:
        secrets.append((("credentials",), partial(credentials.key_of, config.credentials, config.device or "device")))
    problems: list[Problem] = []
    for place, read in secrets:
        try:
            read()
        except ConfigError as error:
            problems += [(place, text) for text in error.problems]
    if any(dial.parse(url).tls for url in (config.url, *config.fallback)):
        problems += [(("tls", *place), text) for place, text in tls.problems_with(config.tls)]
    return problems


@asynccontextmanager
async def open_sink(
    config: BrokerConfig,
    link: Link,
    default_client_id: str,
    presence: Presence | None = None,
    late: Callable[[], LateStage] | None = None,
) -> AsyncIterator[Sink]:
    """One session with the broker.  Entered after a CONNACK with success.

    Raises `Unavailable` with one sentence per address.  Leaving disconnects within a second, also when cancelled.  A
    broken session is not repaired: open another one.  `presence` is published, renewed and taken back; `late` creates
    the stage that changes all outgoing messages.
    """
    since, experience, left = datetime.now(UTC), _experience_of(link), list[Unavailable]()
    config = await _at_its_hub(config, experience, default_client_id)
    device = config.client_id or default_client_id
    cloud = None if config.table is None else _Cloud.of(config.table, config, device)
    await _wait_apart(cloud, experience)
    speaking = Speaking(presence, since, experience.presence)
    settings, ends_s = await _ready(config, device, cloud, speaking, late, experience)
    link.credential_ends_s = ends_s
    link.hint = f"another client with the client id {settings.client_id!r}"
    async with AsyncExitStack() as stack:
        with _refusal_noted(config, cloud, experience):
            session = await _open_first(stack, config, settings, link.turn)
        stack.callback(partial(_note_session, experience, session))
        await speaking.begin(stack, session, is_final=lambda: not left)
        sink = GuardedSink(session, experience, config.retry_refused) if experience.is_bad else session
        stack.callback(sink.session_over if isinstance(sink, GuardedSink) else partial(_learn, experience, session))
        if less := _what_is_less(config, session, experience, speaking):
            link.notice("; ".join(less))
        with _until_renewal(_gate(sink, session, config, cloud, ends_s, link), left) as within:
            yield sink if within is None else within
    if left:
        raise left[0]


@dataclass(frozen=True, slots=True)
class _Cloud:
    """A broker with limits, and how messages are written to it."""

    profile: Profile
    wire: Wire

    @classmethod
    def of(cls, profile: Profile, config: BrokerConfig, device: str) -> "_Cloud":
        return cls(profile, Wire(profile, config.who(device), config.wire_topic))


def _experience_of(link: Link) -> BrokerHistory:
    """What earlier sessions of the link have shown."""
    experience = link.memory if isinstance(link.memory, BrokerHistory) else BrokerHistory()
    link.memory = experience
    experience.line.on_change = partial(_tell_limits, link)
    return experience


async def _at_its_hub(config: BrokerConfig, experience: BrokerHistory, default_device: str) -> BrokerConfig:
    """The broker where a provisioning service has put this device; it is asked once, and again after a refusal."""
    if config.credentials is None or config.credentials.provisioning is None:
        return config
    if experience.assigned is None:
        asking = partial(provisioning.register, config, config.client_id or default_device)
        try:
            experience.assigned = await in_thread(asking, f"registration of {config.name}")
        except ConfigError as error:
            raise Unavailable(f"cannot register {config.name}: {'; '.join(error.problems)}") from error
    return provisioning.placed(config, experience.assigned)


async def _wait_apart(cloud: _Cloud | None, experience: BrokerHistory) -> None:
    """Keep the least time between two connects."""
    least_s = None if cloud is None else cloud.profile.limit("connect_interval_s")
    if least_s is None:
        return
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(0.0, experience.connected_s + least_s * random.uniform(1.05, 1.3) - loop.time()))
    experience.connected_s = loop.time()


async def _ready(
    config: BrokerConfig, device: str, cloud: _Cloud | None, speaking: Speaking,
    late: Callable[[], LateStage] | None, experience: BrokerHistory,
) -> tuple[SessionSettings, float]:  # fmt: skip
    """The settings of a session, and Unix time at which its login ends (NaN: it does not).  Reads secrets."""
    will = speaking.will if cloud is None or cloud.profile.allows("will") else None
    if cloud is not None and not cloud.wire.is_plain:
        assert late is None, "a format that numbers within the session cannot be sent to a cloud with topics of its own"
        wire = cloud.wire
        late, will = (lambda: wire), None if will is None else wire.dress(will)
    read = partial(_settings, config, None if cloud is None else cloud.profile, device, will)
    settings, ends_s = await in_thread(read, f"secrets of {config.name}")
    resume = experience.has_session and not speaking.is_will_alone
    more = replace(settings, late=late, line=experience.line, resume=resume, new_will=speaking.new_will)
    return more, ends_s


def _gate(
    sink: GuardedSink | InnerSink, session: InnerSink, config: BrokerConfig, cloud: _Cloud | None, ends_s: float,
    link: Link,
) -> Gate | None:  # fmt: skip
    """What keeps the limits of a cloud, and the age of values; None where there are none."""
    if cloud is None and config.max_value_age is not None:
        cloud = _Cloud.of(profile_named("generic"), config, "")
    if cloud is None:
        return None
    limits = Limits(cloud.profile, cloud.wire, ends_s, config.ack_timeout, most_age_s=config.max_value_age)
    return Gate(sink, session, limits, link) if limits.is_needed else None


@contextmanager
def _until_renewal(gate: Gate | None, left: list[Unavailable]) -> Iterator[Gate | None]:
    """A session that is left for new credentials gets a goodbye first, so that no last will is published."""
    if gate is None:
        yield None
        return
    try:
        yield gate
    except Unavailable as error:
        if not gate.renews.done():
            raise
        left.append(error)
    finally:
        gate.close()


@contextmanager
def _refusal_noted(config: BrokerConfig, cloud: _Cloud | None, experience: BrokerHistory) -> Iterator[None]:
    """What a refused session means: a device may have another hub now; a login that holds the time may have a wrong
    one, so ours is said."""
    try:
        yield
    except Unavailable as error:
        if "refuses the session" not in str(error):
            raise
        experience.assigned = None
        has_key = config.credentials is not None and config.credentials.is_key
        if cloud is None or not has_key or not is_signed(cloud.profile):
            raise
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        raise Unavailable(f"{error}; its password holds the time, which is {now} here", error.cause) from error


def _tell_limits(link: Link) -> None:
    """To whoever wants to know by now."""
    link.on_limits()


def _note_session(experience: BrokerHistory, session: InnerSink) -> None:
    experience.has_session = session.may_resume


def _what_is_less(config: BrokerConfig, session: InnerSink, experience: BrokerHistory, speaking: Speaking) -> list[str]:
    less = []
    if session.version == "3.1.1" and config.version != "3.1.1":
        less.append(_LOST_BY_3)
    if not session.limits.retain_available:
        less.append(_LOST_WITHOUT_RETAIN)
    if experience.is_guarded:
        less.append(_CAUTION)
    if experience.line.bytes_per_s is not None:
        less.append(_LOST_BY_SLOWNESS)
    if speaking.is_refused:
        less.append(_LOST_PRESENCE)
    return less


def _learn(experience: BrokerHistory, session: InnerSink) -> None:
    experience.session_over(session.in_flight, session.window)


async def _open_first(stack: AsyncExitStack, config: BrokerConfig, settings: SessionSettings, turn: int) -> InnerSink:
    """A session with the first address that accepts one, counted from the one whose turn it is.

    Each address has its own `connect_timeout`, and more while bytes move.
    """
    problems, cause = list[str](), ""
    urls = (config.url, *config.fallback)
    for number in range(turn, turn + len(urls)):
        address = dial.parse(urls[number % len(urls)])
        try:
            context = await _context(config, address)
            with dial.translated(address, patience := Patience(config.connect_timeout)):
                async with patience:
                    return await _open(
                        stack, config, address, settings, partial(_line, config, address, context, patience)
                    )
        except Unavailable as error:
            problems.append(str(error))
            cause = error.cause
    raise Unavailable("; ".join(problems), cause)


async def _open(
    stack: AsyncExitStack,
    config: BrokerConfig,
    address: dial.Address,
    settings: SessionSettings,
    connect: Callable[[], Awaitable[dial.Socket]],
) -> InnerSink:
    versions: tuple[Version, ...] = ("5", "3.1.1") if config.version == "auto" else (config.version,)
    if settings.method:
        versions = ("5",)
    for version in versions:
        try:
            sink = await _enter(stack, connect, settings, version)
        except VersionRefusedError:
            if version == versions[-1]:
                raise
            continue
        if sink.limits.maximum_qos < 1:
            raise Unavailable(f"{address} offers QoS 0 only: it cannot acknowledge what it takes")
        return sink
    raise AssertionError("there is always a last version")


async def _line(
    config: BrokerConfig, address: dial.Address, context: ssl.SSLContext | None, patience: Patience
) -> dial.Socket:
    sock = await dial.connect(address)
    patience.watch(sock)
    return dial.Socket(sock, address, context, config.tls.server_name or address.host)


async def _enter(
    stack: AsyncExitStack, connect: Callable[[], Awaitable[dial.Socket]], settings: SessionSettings, version: Version
) -> InnerSink:
    """A session in one MQTT version; without a retained will if the broker does not support it."""
    try:
        return await stack.enter_async_context(_session(await connect(), settings, version))
    except RetainRefusedError:
        if settings.will is None or not settings.will.retain:
            raise
        plain = replace(settings, will=msgspec.structs.replace(settings.will, retain=False))
        return await stack.enter_async_context(_session(await connect(), plain, version))


def _session(line: dial.Socket, settings: SessionSettings, version: Version) -> AbstractAsyncContextManager[InnerSink]:
    if settings.new_will is not None:
        settings = replace(settings, will=settings.new_will())
    if version == "5" and not line.address.web_socket:
        return open_lean(line, settings)
    return open_general(line, settings, version)


async def _context(config: BrokerConfig, address: dial.Address) -> ssl.SSLContext | None:
    if not address.tls:
        return None
    try:
        return await in_thread(partial(tls.context, config.tls), f"certificates for {address.host}")
    except ConfigError as error:  # it was valid at the start: somebody is changing it
        raise Unavailable(f"cannot prepare TLS to {address}: {'; '.join(error.problems)}") from error


def _settings(
    config: BrokerConfig, profile: Profile | None, device: str, will: Message | None
) -> tuple[SessionSettings, float]:
    """The settings, and Unix time at which the login ends (NaN: it does not)."""
    try:
        password = config.password.read() if config.password else None
        query = credentials.query_of(config.query) if config.query else None
        login = Credentials(device, config.username, password)
        if profile is not None:
            login = credentials.login_of(config, profile, device, password)
    except ConfigError as error:
        raise Unavailable(f"cannot log in to {config.url}: {'; '.join(error.problems)}") from error
    settings = SessionSettings(
        client_id=login.client_id,
        username=login.username,
        password=login.password,
        keep_alive_s=math.ceil(config.keep_alive),
        ack_timeout_s=config.ack_timeout,
        window=config.window,
        maximum_packet_bytes=config.max_packet,
        will=will,
        topic_aliases=config.topic_aliases,
        method=login.method,
        query=query,
    )
    return settings, login.ends_s
