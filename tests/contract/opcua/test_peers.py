"""The servers of these tests are no more lenient than real ones."""

import asyncio

import pytest
from asyncua import Client, ua

from tests.support.opcua_peers import standing_server


class Unheard:
    """Takes what a subscription sends."""

    def datachange_notification(self, node: object, value: object, data: object) -> None: ...


@pytest.mark.parametrize(
    ("uri", "expected"), [("urn:tests:one", "Good"), ("urn:tests:other", "BadUserAccessDenied")], ids=["owner", "other"]
)
def test_a_subscription_is_transferred_to_a_client_of_the_same_name_only(uri: str, expected: str) -> None:
    async def body() -> None:
        async with standing_server() as url:
            first, second = Client(url), Client(url)
            first.application_uri, second.application_uri = "urn:tests:one", uri
            async with first, second:
                subscription = await first.create_subscription(100, Unheard())
                number = subscription.subscription_id
                asked = ua.TransferSubscriptionsParameters([number], SendInitialValues=False)
                (result,) = await second.uaclient.transfer_subscriptions(asked)
                assert result.StatusCode.name == expected

    asyncio.run(asyncio.wait_for(body(), 60))
