"""Who we are to a broker where the configuration does not say."""

import pytest

from gateway.config import Config
from gateway.run.gateway import client_id_of


def config(**keys: object) -> Config:
    source = {"name": "line", "url": "opc.tcp://localhost:4840", "insecure": True, "select": [{"node": "i=2258"}]}
    return Config.model_validate({"name": "edge", "sources": [source], **keys})


def test_with_one_broker_the_client_id_is_the_gateways_name() -> None:
    one = config(broker={"url": "mqtt://a"})
    assert client_id_of(one, one.all_brokers[0]) == "edge"


@pytest.mark.parametrize("name", ["hall", "cloud"])
def test_with_several_brokers_each_has_its_own_client_id(name: str) -> None:
    several = config(brokers=[{"name": "hall", "url": "mqtt://a"}, {"name": "cloud", "url": "mqtt://a.example"}])
    [broker] = [each for each in several.all_brokers if each.name == name]
    assert client_id_of(several, broker) == f"edge-{name}"
