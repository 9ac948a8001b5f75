"""Two brokers, two routes: a Unified Namespace beside columns of fewer tags, through outage, reload and kill -9."""

from pathlib import Path

from tests.support.brokers import mosquitto
from tests.support.programs import SINK, SOURCE, Factory, Gateway, running, wait_until
from tests.support.proxy import Proxy
from tests.support.record import Change, arrived, losses, served
from tests.support.subscriber import Subscriber, subscriber
from tests.support.threaded import ThreadedProxy, proxy_thread

NAMESPACE: dict[str, object] = {"topic": "factory/{site}/{line}/{machine}/{tag}"}
COLUMNS: dict[str, object] = {
    "payload": {"format": "json-columns", "topic": "factory/{site}/{line}/{machine}"},
    "tags": [{"include": ["Good", "Scrap"]}],
}
LATER: dict[str, object] = {
    "payload": {"format": "json", "topic": "factory/later/{line}/{machine}"},
    "tags": [{"include": ["Good", "Energy"]}],
}
Value = tuple[str, object, str]
"""Variable, value, time."""


def values_at(checker: Subscriber) -> dict[Value, None]:
    """Each value that arrived, in order of arrival; of a Unified Namespace the name is also in the topic."""
    found: dict[Value, None] = {}
    for topic, name, value, time in checker.changes:
        machine = "/".join(topic.split("/")[2:4])
        found[f"{machine}/{name}", value, time] = None
    return found


def by_variable(values: dict[Value, None]) -> dict[str, list[Change]]:
    split = [(variable.rpartition("/"), value, time) for variable, value, time in values]
    return arrived([(machine, name, value, time) for (machine, _, name), value, time in split])


def wanted(values: dict[Value, None], at_cloud: dict[Value, None]) -> dict[Value, None]:
    """What a cloud should have of all values: one instant divides what it wanted first from what it wanted then."""

    def is_after(value: Value) -> bool:
        name = value[0].rpartition("/")[2]
        return value in at_cloud if name == "Energy" else name == "Scrap" and value not in at_cloud

    ordered = list(values)
    cut = next(number for number, value in enumerate(ordered) if is_after(value))
    before = {value: None for value in ordered[:cut] if value[0].endswith(("/Good", "/Scrap"))}
    return before | {value: None for value in ordered[cut:] if value[0].endswith(("/Good", "/Energy"))}


def rest(gateway: Gateway, server_link: ThreadedProxy) -> None:
    """Nothing comes any more, and nothing is under way."""
    server_link.do(Proxy.stall)
    wait_until(
        lambda: not gateway.total("gateway_outbox_values") and not gateway.total("gateway_sink_in_flight"),
        "everything stored to be acknowledged",
    )


def test_each_broker_has_every_value_of_its_route_and_no_other(tmp_path: Path) -> None:
    def brokers(cloud: dict[str, object]) -> dict[str, object]:
        near = {"name": "plant", "url": plant.url, **SINK}
        return {"brokers": [near, {"name": "cloud", "url": f"mqtt://127.0.0.1:{way.port}", **SINK, **cloud}]}

    def stored(broker: str) -> float:
        return gateway.metrics[f'gateway_outbox_values{{sink="{broker}"}}']

    with (
        mosquitto(tmp_path / "plant", "max_inflight_messages 0") as plant,
        mosquitto(tmp_path / "cloud", "max_inflight_messages 0") as cloud,
        running(Factory(tmp_path, "--speed", "5")) as factory,
        proxy_thread(cloud.port) as way,
        proxy_thread(factory.port) as server_link,
        subscriber(plant.url) as at_plant,
        subscriber(cloud.url) as at_cloud,
    ):
        factory.wait_said("serving")
        source = {**SOURCE, "url": f"opc.tcp://127.0.0.1:{server_link.port}"}
        first = {"broker": None, "sources": [source], "payload": NAMESPACE, **brokers(COLUMNS)}
        with running(Gateway(tmp_path, "", "", **first)) as gateway:
            at_cloud.wait_values(10)
            rest(gateway, server_link)
            assert len(at_plant.changes) == gateway.total("gateway_values_received_total")
            left_out = gateway.metrics['gateway_values_not_routed_total{sink="cloud"}']
            assert len(at_cloud.changes) == len(at_plant.changes) - left_out < len(at_plant.changes)
            assert gateway.balanced
            way.do(Proxy.refuse)  # the cloud is away from here on
            server_link.do(Proxy.heal)
            at_plant.wait_values(len(at_plant.changes) + 100)
            wait_until(lambda: stored("cloud") > 5, "a backlog of columns")
            gateway.reload(**brokers(LATER))
            at_plant.wait_values(len(at_plant.changes) + 100)
            assert gateway.balanced
            gateway.kill()
            gateway.restart()
            gateway.wait_said("connected", times=2, peer="plant")
            at_plant.wait_values(len(at_plant.changes) + 100)
            way.do(Proxy.heal)
            wait_until(lambda: stored("cloud") < 20, "the backlog to drain")
            at_plant.wait_values(len(at_plant.changes) + 50)
            rest(gateway, server_link)
            assert gateway.balanced
            assert gateway.total("gateway_values_dropped_total") == 0
            plant_has, cloud_has = values_at(at_plant), values_at(at_cloud)
            assert losses(served(factory.record), by_variable(plant_has)) == []
            assert cloud_has.keys() == wanted(plant_has, cloud_has).keys()
            assert at_plant.missing == at_cloud.missing == []
