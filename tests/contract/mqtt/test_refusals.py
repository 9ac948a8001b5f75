"""What brokers do not take: by access list, by size, by window; each with what we make of it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Outcome, Verdict
from gateway.link import Link
from gateway.model import Message
from gateway.mqtt.connect import open_sink
from gateway.mqtt.limits import packet_bytes
from tests.support import brokers
from tests.support.mqtt_collect import collecting
from tests.support.mqtt_sessions import ALL, SPEAKS_5, Session, message, opened, reason_of

speaks_5 = pytest.mark.parametrize("session", SPEAKS_5)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


def access_list(folder: Path) -> str:
    path = folder / "acl"
    path.write_text("topic write open/#\n")
    path.chmod(0o600)
    return f"acl_file {path}"


@speaks_5
def test_a_message_refused_by_the_access_list_is_kept_for_later(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(session, broker.url) as sink:
            assert (await sink.send(message("open/x"))).verdict is Verdict.DELIVERED
            outcome = await sink.send(message("closed/x"))
            assert (outcome.verdict, outcome.reason) == (Verdict.LATER, "not_authorized")

    with brokers.mosquitto(tmp_path, access_list(tmp_path)) as broker:
        run(body())


async def deliver(url: str, left: list[Message], **login: object) -> dict[str, Outcome]:
    """Until everything has a verdict, on as many sessions as that takes."""
    config = BrokerConfig.model_validate({"url": url, "ack_timeout": 3.0, **login})
    link = Link("broker", url)
    outcomes: dict[str, Outcome] = {}
    while left:
        assert link.connects < 20, f"no end to it: {left}"
        link.down("between two sessions")
        async with open_sink(config, link, "edge") as sink:
            link.up()
            batch = left[: sink.window]
            futures = [sink.send(each) for each in batch]
            await asyncio.wait(futures)
            got = [
                (each, future.result()) for each, future in zip(batch, futures, strict=True) if not future.exception()
            ]
            outcomes |= {each.topic: outcome for each, outcome in got}
            left = [each for each in left if each.topic not in outcomes]
    return outcomes


def test_a_refused_topic_does_not_delay_the_others_even_if_mosquitto_disconnects(tmp_path: Path) -> None:
    """mosquitto 2.0.11 says 0x87 and hangs up; with more in the pipe the reset destroys even the 0x87."""

    async def body() -> None:
        topics = [f"open/{number}" for number in range(30)]
        outcomes = await deliver(
            broker.url, [message(t, seq=n) for n, t in enumerate([*topics[:5], "closed/x", *topics[5:]])]
        )
        assert outcomes.pop("closed/x").reason == "not_authorized"
        assert len(outcomes) == 30
        assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.DELIVERED}

    with brokers.mosquitto(tmp_path, access_list(tmp_path)) as broker:
        run(body())


@pytest.mark.parametrize(
    ("start", "login", "poison"),
    [
        pytest.param(brokers.aedes, {}, message("refused/x", seq=9), id="aedes-topic"),
        pytest.param(
            brokers.nats, {"username": "u", "password": {"env": "NATS"}}, message("a b/c", seq=9), id="nats-topic"
        ),
        pytest.param(brokers.iotcore, {}, message("a", bytes(2**20), seq=9), id="iotcore-size"),
    ],
)
def test_a_message_for_which_a_broker_disconnects_becomes_a_dead_letter_and_the_others_arrive(
    start: Callable[[Path], AbstractContextManager[brokers.Process]],
    login: dict[str, object],
    poison: Message,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NATS", "p")

    async def body() -> None:
        good = [message(f"good/{number}", seq=number) for number in range(4)]
        outcomes = await deliver(broker.url, [*good[:2], poison, *good[2:]], **login)
        verdict = outcomes.pop(poison.topic)
        assert (verdict.verdict, verdict.reason) == (Verdict.NEVER, "refused")
        assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.DELIVERED}

    with start(tmp_path) as broker:
        run(body())


def test_without_version_5_a_refusal_cannot_be_seen(tmp_path: Path) -> None:
    """Not a wish but a fact of MQTT 3.1.1, and why version 5 comes first."""

    async def body() -> None:
        async with opened("general-3.1.1", broker.url) as sink:
            assert (await sink.send(message("closed/x"))).verdict is Verdict.DELIVERED

    with brokers.mosquitto(tmp_path, access_list(tmp_path)) as broker:
        run(body())


def test_a_broker_that_disconnects_instead_of_refusing_is_unavailable(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened("general-3.1.1", broker.url) as sink:
            assert "cut the connection" in await reason_of(sink.send(message("refused/x")))

    with brokers.aedes(tmp_path) as broker:
        run(body())


@speaks_5
def test_the_announced_packet_size_is_respected_to_the_byte(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(session, broker.url) as sink:
            assert sink.limits.maximum_packet_bytes == 1000
            overhead = packet_bytes(message(payload=bytes(500))) - 500
            exact = message(payload=bytes(1000 - overhead))
            assert packet_bytes(exact) == 1000
            assert (await sink.send(exact)).verdict is Verdict.DELIVERED
            outcome = await sink.send(message(payload=bytes(1001 - overhead)))
            assert (outcome.verdict, outcome.reason, outcome.code) == (Verdict.NEVER, "too_large", None)
            assert (await sink.send(exact)).verdict is Verdict.DELIVERED

    with brokers.mosquitto(tmp_path, "max_packet_size 1000") as broker:
        run(body())


@speaks_5
def test_an_unannounced_size_limit_is_learned_from_the_puback(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(session, broker.url) as sink:
            outcome = await sink.send(message(payload=bytes(2000)))
            assert (outcome.verdict, outcome.reason, outcome.code) == (Verdict.NEVER, "too_large", 0x95)

    with brokers.mosquitto(tmp_path, "message_size_limit 1000") as broker:
        run(body())


@speaks_5
def test_with_receive_maximum_1_everything_still_arrives_in_order(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with collecting(broker.port) as got, opened(session, broker.url) as sink:
            assert sink.window == 1
            for number in range(100):
                assert (await sink.send(message(payload=b"%d" % number))).verdict is Verdict.DELIVERED
            await got.wait_count(100)
            assert got.payloads == [b"%d" % number for number in range(100)]

    with brokers.mosquitto(tmp_path, "max_inflight_messages 1") as broker:
        run(body())


@pytest.mark.parametrize("session", ALL)
def test_a_wrong_password_is_named_in_the_error(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        text = await reason_of(opened(session, broker.url, login=("nobody", "wrong")).__aenter__())
        assert "refuses the session" in text
        assert "not authorized" in text
        assert "wrong" not in text.replace("password is wrong", "")

    with brokers.mosquitto(tmp_path, anonymous=False) as broker:
        run(body())


@speaks_5
def test_a_broker_without_retained_messages_gets_none(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(session, broker.url) as sink:
            assert not sink.limits.retain_available
            assert (await sink.send(message(retain=True))).verdict is Verdict.DELIVERED

    with brokers.mosquitto(tmp_path, "retain_available false") as broker:
        run(body())
