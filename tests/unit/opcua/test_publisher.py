"""How many PublishRequests wait at the server."""

from types import SimpleNamespace

import pytest

import gateway.opcua.subscription.publisher as publisher
from gateway.opcua.session.publish_channel import Acknowledgements


class FakeChannel:
    """Takes every request, and answers none."""

    waiting = 0

    def request(self, acknowledgements: Acknowledgements) -> None:
        self.waiting += 1


@pytest.mark.parametrize("requests", [1, 3, 100, 104])
def test_as_many_requests_wait_as_configured(monkeypatch: pytest.MonkeyPatch, requests: int) -> None:
    channel = FakeChannel()
    monkeypatch.setattr(publisher, "PublishChannel", lambda *given: channel)
    session = SimpleNamespace(where="fake", is_open=True, protocol=None)
    made = publisher.Publisher(session)  # type: ignore[arg-type]  # all of it that is used
    made.fill(requests)
    assert channel.waiting == requests
