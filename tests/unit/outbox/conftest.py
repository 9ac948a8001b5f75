"""What tests of the outbox share."""

import pytest


@pytest.fixture
def kept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the outbox does once a second, more often: nobody has to wait for it."""
    monkeypatch.setattr("gateway.outbox.outbox._KEEP_INTERVAL_S", 0.05)
