"""A session within the limits of a profile: rates kept in order, a bad topic costs one message, logins are renewed."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.model import UNIX_EPOCH_TICKS
from gateway.mqtt.connect import open_sink
from gateway.mqtt.gate import Gate, Limits
from gateway.payload.presence import presence_of
from gateway.profiles import profile_named
from gateway.profiles.names import Who
from gateway.profiles.wire import Wire
from tests.support.mqtt_fake import FakeBroker, fake_broker
from tests.support.mqtt_sessions import message, opened, reason_of

PER_S = 40


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


@asynccontextmanager
async def gated(
    broker: FakeBroker, folder: Path, link: Link, ends_in_s: float = math.nan, per_s: int = PER_S
) -> AsyncIterator[Gate]:
    file = folder / "own.yaml"
    file.write_text(
        f"extends: aws-iot-core\nname: own\nlimits:\n  messages_per_s: {{value: {per_s}, source: quotas}}\n"
        "  bytes_per_s: {value: 100000, source: quotas}\n"
    )
    profile = profile_named(str(file))
    wire = Wire(profile, Who("d", "h"))
    async with opened("lean", broker.url) as session:
        limits = Limits(profile, wire, time.time() + ends_in_s, 5.0, least_renewal_s=0.0)
        gate = Gate(session, session, limits, link)  # type: ignore[arg-type]  # `opened` knows less of its session
        try:
            yield gate
        finally:
            gate.close()


def test_what_exceeds_the_rate_waits_in_order_and_is_counted(tmp_path: Path) -> None:
    held, link = list[float](), Link("cloud", "here")
    link.on_held = held.append

    async def body() -> None:
        arrived = list[float]()
        async with fake_broker() as broker, gated(broker, tmp_path, link) as gate:
            loop = asyncio.get_running_loop()
            broker.verdict = lambda publish: arrived.append(loop.time()) or 0  # type: ignore[func-returns-value]
            sent = [gate.send(message(payload=b"%d" % n, seq=n)) for n in range(60)]
            outcomes = await asyncio.gather(*sent)
            assert {each.verdict for each in outcomes} == {Verdict.DELIVERED}
            assert [publish.payload for publish in broker.publishes] == [b"%d" % n for n in range(60)]
            assert max(sum(start <= at_s < start + 0.95 for at_s in arrived) for start in arrived) <= PER_S
            assert 40 < len(held) < 60

    run(body())


def test_a_topic_that_the_cloud_refuses_costs_one_message(tmp_path: Path) -> None:
    async def body() -> None:
        async with fake_broker() as broker, gated(broker, tmp_path, Link("cloud", "here")) as gate:
            bad = await gate.send(message("a/b/c/d/e/f/g/h/i"))
            assert (bad.verdict, bad.reason) == (Verdict.NEVER, "topic_invalid")
            assert "8 slashes, AWS IoT Core allows 7" in bad.detail
            assert (await gate.send(message("a/b"))).verdict is Verdict.DELIVERED
            assert [publish.topic for publish in broker.publishes] == ["a/b"]

    run(body())


def test_what_cannot_be_told_is_known_at_once_behind_a_gate_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with fake_broker() as broker, gated(broker, tmp_path, Link("cloud", "here")) as gate:
            refused = gate.tell(message("a/+"))
            assert refused is not None
            assert refused.verdict is Verdict.NEVER
            assert gate.tell(message("a/b")) is None

    run(body())


def test_values_that_are_too_old_for_whoever_reads_them_are_not_sent(tmp_path: Path) -> None:
    """SiteWise takes seven days; a backlog that is older is told as such, and not tried for ever."""
    now = UNIX_EPOCH_TICKS + int(time.time() * 1e7)

    async def body() -> None:
        async with fake_broker() as broker:
            config = BrokerConfig.model_validate({"url": broker.url, "max_value_age": "7d"})
            async with open_sink(config, Link("cloud", broker.url), "edge") as sink:
                old, young = (replace(message(), oldest_ticks=now - days * 864_000_000_000) for days in (8, 6))
                outcome = await sink.send(old)
                assert (outcome.verdict, outcome.reason) == (Verdict.NEVER, "too_old")
                assert "8.0 days old, no more than 7 are accepted" in outcome.detail
                assert (await sink.send(young)).verdict is Verdict.DELIVERED
            assert len(broker.publishes) == 1

    run(body())


def test_before_the_login_ends_what_is_open_is_acknowledged_and_nothing_more_is_sent(tmp_path: Path) -> None:
    async def body() -> None:
        async with fake_broker() as broker, gated(broker, tmp_path, Link("cloud", "here"), ends_in_s=0.5) as gate:
            broker.verdict = lambda publish: None
            first = gate.send(message(seq=1))
            closed = asyncio.create_task(reason_of(gate.wait_closed()))
            await broker.wait_publishes(1)
            while not gate._is_closing:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            second = gate.send(message(seq=2))
            assert not closed.done()
            broker.say(b"\x40\x02" + (broker.publishes[0].packet_id or 0).to_bytes(2, "big"))
            assert (await first).verdict is Verdict.DELIVERED
            assert "logging in with new ones" in await closed
            assert len(broker.publishes) == 1
        with pytest.raises(Unavailable):
            await second

    run(body())


def test_a_session_is_left_with_a_goodbye_for_a_new_login(tmp_path: Path) -> None:
    """The token of a file that something else renews: read anew at each connect."""
    token, profile = tmp_path / "token", tmp_path / "own.yaml"
    profile.write_text("extends: generic\nname: own\nlogin: {password: token}\n")
    token.touch(0o600)

    def write(name: str) -> None:
        token.write_text(f"SharedAccessSignature sr={name}&sig=x&se={int(time.time()) + 8}")

    async def renewed(config: BrokerConfig, link: Link) -> None:
        presence = presence_of(config.presence, "edge", "1", lambda: "sha256:0")
        async with open_sink(config, link, "edge", presence) as sink:
            assert link.credential_ends_s > time.time()
            sink.renews.set_result(None)  # type: ignore[attr-defined]  # the gate's own time would take 6 s
            await sink.wait_closed()

    async def body() -> None:
        async with fake_broker() as broker:
            keys = {"profile": str(profile), "url": broker.url, "username": "u", "password": {"file": str(token)}}
            config, link = BrokerConfig.model_validate(keys), Link("cloud", broker.url)
            for name in ("a", "b"):
                write(name)
                with pytest.raises(Unavailable, match="logging in") as error:
                    await renewed(config, link)
                assert error.value.cause == "renewal"
            assert [(each.password or b"").split(b"&")[0][-1:] for each in broker.connects] == [b"a", b"b"]
            assert len(broker.goodbyes) == 2
            states = [json.loads(each.payload)["state"] for each in broker.publishes]
            assert states == ["online", "online"]  # nobody is told that the gateway stopped

    run(body())


def test_a_refused_login_that_holds_the_time_says_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "12345678")
    profile = tmp_path / "own.yaml"
    profile.write_text('extends: huawei-iotda\nname: own\nlogin: {versions: ["5"]}\n')

    async def body() -> None:
        async with fake_broker() as broker:
            broker.connack = b"\x20\x03\x00\x87\x00"
            keys = {"profile": str(profile), "url": broker.url, "credentials": {"key": {"env": "KEY"}}}
            opening = open_sink(BrokerConfig.model_validate(keys), Link("cloud", broker.url), "edge")
            said = await reason_of(opening.__aenter__())
            assert "this client is not authorized" in said
            assert f"its password holds the time, which is {time.strftime('%Y-%m-%dT', time.gmtime())}" in said

    run(body())
