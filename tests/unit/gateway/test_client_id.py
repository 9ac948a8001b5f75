"""Who we are to a broker where the configuration does not say."""

import pytest

from gateway.config import Config
from gateway.run.sink_unit import client_id_of


def config(**keys: object) -> Config:
    source = {"name": "line", "url": "opc.tcp://localhost:4840", "insecure": True, "select": [{"node": "i=2258"}]}
    return Config.model_validate({"name": "edge", "sources": [source], **keys})


def test_one_broker_knows_us_by_the_gateways_name() -> None:
    one = config(broker={"url": "mqtt://a"})
    assert client_id_of(one, one.all_brokers[0]) == "edge"


@pytest.mark.parametrize("name", ["hall", "cloud"])
def test_several_brokers_which_may_be_one_under_two_names_know_us_by_different_ids(name: str) -> None:
    several = config(brokers=[{"name": "hall", "url": "mqtt://a"}, {"name": "cloud", "url": "mqtt://a.example"}])
    [broker] = [each for each in several.all_brokers if each.name == name]
    assert client_id_of(several, broker) == f"edge-{name}"
