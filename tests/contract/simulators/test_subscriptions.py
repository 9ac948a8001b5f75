"""Subscriptions keep what a client is owed: through overflow, transfer, republish and a lost connection."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.client import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from simulators.server.endpoint import access_for
from simulators.server.items import OVERFLOW
from simulators.server.pki import own_certificate
from simulators.server.subscriptions import Subscription
from tests.support.served import Served, Subscriber, connected, items, served, until, values


def run(body: Callable[[Served], Awaitable[None]], variables: int = 1) -> None:
    async def whole() -> None:
        async with served(variables) as fixture:
            await body(fixture)

    asyncio.run(asyncio.wait_for(whole(), 240))


def queue_of(fixture: Served, subscription_id: int) -> int:
    subscription = fixture.server.iserver.subscriptions.subscriptions[subscription_id]
    assert isinstance(subscription, Subscription)
    return sum(len(queue.waiting) for queue in subscription.items.queues.values())


def test_every_value_is_delivered_in_order() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as client:
            await client.subscribe(fixture.variables[0].node_id)
            for n in range(1, 51):
                fixture.write(0, float(n))
            assert values(await client.publish()) == [float(n) for n in range(51)]

    run(body)


@pytest.mark.parametrize(("oldest", "kept", "marked"), [(True, [7.0, 8.0, 9.0], 7.0), (False, [0.0, 1.0, 9.0], 9.0)])
def test_full_queue_marks_the_loss(oldest: bool, kept: list[float], marked: float) -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as client:
            await client.subscribe(fixture.variables[0].node_id, queue=3, oldest=oldest)
            for n in range(1, 10):
                fixture.write(0, float(n))
            result = await client.publish()
        assert values(result) == kept
        flagged = [i.Value.Value.Value for i in items(result) if i.Value.StatusCode.value & OVERFLOW == OVERFLOW]
        assert flagged == [marked]

    run(body)


def test_queue_of_one_keeps_the_latest_without_a_mark() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as client:
            await client.subscribe(fixture.variables[0].node_id, queue=1)
            fixture.write(0, 1.0)
            fixture.write(0, 2.0)
            result = await client.publish()
        assert values(result) == [2.0]
        assert items(result)[0].Value.StatusCode.value == 0

    run(body)


def test_large_backlog_comes_in_bounded_messages() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as client:
            await client.subscribe(*(v.node_id for v in fixture.variables), queue=10, most=7)
            for n in range(10):
                for number in range(3):
                    fixture.write(number, n + 1.0)
            results = [await client.publish() for _ in range(5)]
        assert [len(items(r)) for r in results] == [7, 7, 7, 7, 2]
        assert [bool(r.MoreNotifications) for r in results] == [True, True, True, True, False]
        assert [r.NotificationMessage.SequenceNumber for r in results] == [1, 2, 3, 4, 5]

    run(body, variables=3)


def test_a_transferred_subscription_continues_with_live_data() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as old, connected(fixture.server.url) as new:
            await old.subscribe(fixture.variables[0].node_id)
            first = await old.publish()
            fixture.write(0, 1.0)
            moved = await new.take_over(old.subscription_id)
            fixture.write(0, 2.0)
            assert moved.AvailableSequenceNumbers == [first.NotificationMessage.SequenceNumber]
            assert values(await new.publish()) == [1.0, 2.0]
            fixture.write(0, 3.0)
            assert values(await new.publish()) == [3.0]
            with pytest.raises(ua.uaerrors.BadNoSubscription):
                await old.publish()

    run(body)


def test_a_transfer_repeats_the_present_value_if_requested() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as old, connected(fixture.server.url) as new:
            await old.subscribe(*(v.node_id for v in fixture.variables))
            await old.publish()
            fixture.write(0, 5.0)
            await new.take_over(old.subscription_id, initial=True)
            assert values(await new.publish()) == [5.0, 0.0]

    run(body, variables=2)


def test_values_written_while_disconnected_are_kept_for_the_next_session() -> None:
    async def body(fixture: Served) -> None:
        old = Client(fixture.server.url, timeout=30)
        await old.connect()
        async with connected(fixture.server.url) as new:
            lost = Subscriber(old)
            await lost.subscribe(fixture.variables[0].node_id)
            await lost.publish()
            outstanding = asyncio.ensure_future(old.uaclient.session.publish([]))
            await new.client.nodes.server_state.read_value()  # the publish request above has been received by now
            old.disconnect_socket()
            await asyncio.gather(outstanding, return_exceptions=True)
            await until(lambda: len(fixture.clients) == 1)
            for n in range(1, 6):
                fixture.write(0, float(n))
            await new.take_over(lost.subscription_id)
            assert values(await new.publish()) == [1.0, 2.0, 3.0, 4.0, 5.0]

    run(body)


def test_a_subscription_outlives_the_session_that_timed_out() -> None:
    async def body(fixture: Served) -> None:
        core = fixture.server.iserver
        core.min_session_timeout_ms = 100.0
        old = Client(fixture.server.url, timeout=30)
        old.session_timeout = 2000
        await old.connect()
        lost = Subscriber(old)
        await lost.subscribe(fixture.variables[0].node_id)
        await lost.publish(1)
        old.disconnect_socket()
        await until(lambda: not core.sessions)
        fixture.write(0, 1.0)
        async with connected(fixture.server.url) as new:
            await new.take_over(lost.subscription_id)
            assert values(await new.publish()) == [1.0]

    run(body)


def test_republish_returns_unacknowledged_messages_and_refuses_others() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as client:
            await client.subscribe(fixture.variables[0].node_id)
            await client.publish()
            fixture.write(0, 1.0)
            second = await client.publish(1)
            message = await client.session.republish(client.subscription_id, 2)
            assert message == second.NotificationMessage
            assert await client.session.republish(client.subscription_id, 2) == message
            for number in (1, 3):
                with pytest.raises(ua.uaerrors.BadMessageNotAvailable):
                    await client.session.republish(client.subscription_id, number)

    run(body)


def test_acknowledging_an_unsent_number_is_refused() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as client:
            await client.subscribe(fixture.variables[0].node_id)
            await client.publish()
            fixture.write(0, 1.0)
            result = await client.publish(1, 99)
        assert [code.value for code in result.Results] == [0, ua.StatusCodes.BadSequenceNumberUnknown]

    run(body)


def test_bad_values_are_delivered_with_their_status() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url) as client:
            await client.subscribe(fixture.variables[0].node_id)
            await client.publish()
            fixture.write(0, 1.0, ua.StatusCodes.BadSensorFailure)
            fixture.write(0, 2.0, ua.StatusCodes.UncertainSensorNotAccurate)
            result = await client.publish()
        assert values(result) == [None, 2.0]
        codes = [item.Value.StatusCode.value for item in items(result)]
        assert codes == [ua.StatusCodes.BadSensorFailure, ua.StatusCodes.UncertainSensorNotAccurate]

    run(body)


def test_session_tokens_cannot_be_guessed() -> None:
    async def body(fixture: Served) -> None:
        async with connected(fixture.server.url), connected(fixture.server.url):
            tokens = [session.auth_token.Identifier for session in fixture.server.iserver.sessions]
        assert all(isinstance(token, bytes) and len(token) == 32 for token in tokens)
        assert len(set(tokens)) == 2

    run(body)


@pytest.mark.parametrize(
    ("policy", "uri", "is_moved"),
    [
        ("Basic256Sha256", "urn:test:client", True),
        ("Basic256Sha256", "urn:test:other", False),
        (None, "urn:test:client", False),
    ],
)
def test_an_anonymous_subscription_transfers_only_to_the_same_application_on_a_signed_channel(
    policy: str | None, uri: str, is_moved: bool, tmp_path: Path
) -> None:
    """Part 4, 5.14.7: of anonymous clients the ApplicationUri counts, and messages that are signed at least."""
    access = access_for(("None", "Basic256Sha256"), tmp_path / "server", {}, None)

    async def client(fixture: Served, policy: str | None, uri: str) -> Client:
        made = Client(fixture.server.url, timeout=30)
        made.application_uri = uri
        if policy:
            certificate, key = own_certificate(tmp_path / uri.rpartition(":")[2], uri)
            await made.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(key))
        return made

    async def whole() -> None:
        async with served(access=access) as fixture:
            first, second = (
                await client(fixture, "Basic256Sha256", "urn:test:client"),
                await client(fixture, policy, uri),
            )
            async with first, second:
                old, new = Subscriber(first), Subscriber(second)
                await old.subscribe(fixture.variables[0].node_id)
                moved = await new.take_over(old.subscription_id)
                assert moved.StatusCode.value == (0 if is_moved else ua.StatusCodes.BadUserAccessDenied)

    asyncio.run(asyncio.wait_for(whole(), 240))
