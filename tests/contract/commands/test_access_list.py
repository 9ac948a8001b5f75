"""The access list of the compose stack binds a requester to his user: nobody asks, or hears, in another's name."""

import asyncio
import subprocess
from pathlib import Path

from gateway.delivery import Verdict
from gateway.model import Message
from tests.support.brokers import mosquitto, program_of
from tests.support.mqtt_collect import collecting
from tests.support.mqtt_sessions import opened

ACL = Path(__file__).parents[3] / "docker" / "mosquitto" / "acl"
USERS = ("gateway", "operator", "viewer", "other")


def test_a_requester_publishes_and_receives_under_its_own_name_only(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.touch()
    for user in USERS:
        subprocess.run([program_of("mosquitto_passwd"), "-b", str(passwords), user, user], check=True, timeout=30)

    async def taken(url: str, user: str, topic: str) -> bool:
        async with opened("lean", url, client_id=f"{user}-asks", login=(user, user)) as sink:
            outcome = await sink.send(Message(topic, b"{}", "", 0, 0))
            return outcome.verdict is Verdict.DELIVERED

    async def body() -> None:
        options = (f"acl_file {ACL}", f"password_file {passwords}")
        with mosquitto(tmp_path, *options, anonymous=False) as broker:
            port, url = broker.port, broker.url
            async with (
                collecting(port, "gateways/edge-1/commands/#", username="gateway", password="gateway") as heard,
                collecting(port, "gateways/edge-1/replies/#", username="operator", password="operator") as own,
                collecting(port, "gateways/edge-1/replies/#", username="other", password="other") as others,
            ):
                for user, topic, is_taken in (
                    ("other", "gateways/edge-1/commands/operator/munich", False),
                    ("viewer", "gateways/edge-1/commands/operator/munich", False),
                    ("operator", "gateways/edge-1/replies/operator", False),
                    ("other", "gateways/edge-1/commands/other/munich/more", False),
                    ("operator", "gateways/edge-1/commands/operator/munich", True),
                    ("gateway", "gateways/edge-1/replies/operator/a", True),
                ):
                    assert await taken(url, user, topic) == is_taken, (user, topic)
                await asyncio.wait_for(heard.wait_count(1), 30)
                await asyncio.wait_for(own.wait_count(1), 30)
                assert [topic for topic, _ in heard.messages] == ["gateways/edge-1/commands/operator/munich"]
                assert [topic for topic, _ in own.messages] == ["gateways/edge-1/replies/operator/a"]
                assert others.messages == []

    asyncio.run(asyncio.wait_for(body(), 60))
