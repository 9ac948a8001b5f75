"""A kind of sink is one line and one package: its scheme, and what keeps the contract of `gateway/delivery`."""

import pytest

from gateway import mqtt
from gateway.config import BrokerConfig
from gateway.config.broker import BROKER_SCHEMES
from gateway.errors import ConfigError
from gateway.run import sink_kinds
from gateway.run.sink_kinds import SINK_KINDS, check_sinks, kind_of


def broker(**keys: object) -> BrokerConfig:
    return BrokerConfig.model_validate({"url": "mqtt://localhost", **keys})


def test_every_allowed_scheme_has_a_kind_of_sink() -> None:
    assert set(SINK_KINDS) == set(BROKER_SCHEMES)


@pytest.mark.parametrize("url", ["mqtt://b", "mqtts://b", "ws://b/mqtt", "wss://b/mqtt"])
def test_the_url_scheme_selects_the_kind_of_sink(url: str) -> None:
    assert kind_of(broker(url=url)) is mqtt


def test_all_problems_of_all_brokers_are_reported_at_once() -> None:
    missing = [broker(name=name, username="u", password={"env": f"NOT_SET_{name}"}) for name in ("A", "B")]
    with pytest.raises(ConfigError) as told:
        check_sinks(missing)
    assert len(told.value.problems) == 2


def test_a_fallback_of_another_kind_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        problems_with = staticmethod(mqtt.problems_with)
        open_sink = staticmethod(mqtt.open_sink)
        credential_expires_s = staticmethod(mqtt.credential_expires_s)
        certificate_expires_s = staticmethod(mqtt.certificate_expires_s)

    monkeypatch.setattr(sink_kinds, "SINK_KINDS", {"mqtt": mqtt, "ws": Other()})
    with pytest.raises(ConfigError, match="another kind of sink"):
        check_sinks([broker(fallback=["ws://other/mqtt"])])
    check_sinks([broker(fallback=["mqtt://other"])])
