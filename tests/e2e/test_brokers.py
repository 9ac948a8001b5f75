"""Several brokers side by side: one that is away does not hold up the others, and gets everything when it is back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.brokers import mosquitto
from tests.support.programs import SINK, Factory, Gateway, running, wait_until
from tests.support.proxy import Proxy
from tests.support.record import arrived, losses, served
from tests.support.subscribed import subscribed
from tests.support.subscriber import subscriber
from tests.support.threaded import proxy_thread


def test_a_disconnected_broker_does_not_delay_the_other(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path / "near") as near,
        mosquitto(tmp_path / "far") as far,
        proxy_thread(far.port) as way,
        running(Factory(tmp_path, "--speed", "5")) as factory,
        subscriber(near.url) as at_near,
        subscriber(far.url) as at_far,
    ):
        factory.wait_said("serving")
        common = {"ack_timeout": "3s", "keep_alive": "3s"}
        brokers = [
            {"name": "near", "url": near.url, **common},
            {"name": "far", "url": f"mqtt://127.0.0.1:{way.port}", **common},
        ]
        way.do(Proxy.refuse)
        with running(Gateway(tmp_path, factory.url, "", broker=None, brokers=brokers)) as gateway:
            at_near.wait_values(300)
            assert at_far.messages == []
            assert gateway.metrics['gateway_outbox_values{sink="far"}'] >= 300
            way.do(Proxy.heal)
            count = len(at_near.changes)
            at_far.wait_values(count)
            wait_until(lambda: gateway.metrics['gateway_outbox_values{sink="far"}'] < 100, "the backlog to drain")
            for checker in (at_near, at_far):
                got = arrived(checker.changes)  # before the record is read: what arrives later may not be in it
                assert losses(served(factory.record), got) == []
                assert checker.missing == []
            assert gateway.stop() == 0


def test_presence_distinguishes_no_change_from_no_gateway(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        running(Factory(tmp_path)) as factory,
        subscriber(broker.url, "gateways/#") as checker,
    ):
        factory.wait_said("serving")

        def states() -> list[object]:
            return [body["state"] for topic, body in checker.messages if topic == "gateways/edge/presence"]

        with running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
            wait_until(lambda: states() == ["online"], "the birth message")
            gateway.stop()
            wait_until(lambda: states() == ["online", "offline"], "the goodbye")
            gateway.restart()
            wait_until(lambda: len(states()) == 3, "the second birth message")
            gateway.kill()
            wait_until(lambda: len(states()) == 4, "the last will")
        assert [body.get("reason") for _, body in checker.messages] == [None, "stopped", None, "lost"]


RETAINED = {
    "values": {"topic": "values/{line}/{machine}/{tag}"},
    "columns": {"format": "json-columns", "topic": "columns/{machine}"},
    "frames": {"format": "opcua-pubsub", "topic": "frames/{machine}"},
}


def test_what_is_retained_comes_back_when_gateway_and_broker_are_restarted_together(tmp_path: Path) -> None:
    """Nobody remembers then what the broker had: values, lists of tags, metadata, presence."""
    brokers = [{"name": name, **SINK, "payload": payload} for name, payload in RETAINED.items()]
    with mosquitto(tmp_path) as broker, running(Factory(tmp_path)) as factory:
        factory.wait_said("serving")
        brokers = [{**each, "url": broker.url} for each in brokers]
        with (
            topics_of(broker.url) as had,
            running(Gateway(tmp_path, factory.url, "", brokers=brokers, broker=None)) as g,
        ):
            wait_until(lambda: any("metadata" in topic for topic in had), "the last of the formats")
            wait_until(lambda: g.total("gateway_outbox_values") == 0, "everything to be delivered")
            g.kill()
            broker.restart()
            g.restart()
            wanted = {topic for topic in had if is_retained(topic)}
            for _ in range(2):  # whoever was there, and who comes later
                with topics_of(broker.url) as has:
                    wait_until(lambda: wanted <= has, "the topics that the broker had", 30)
    assert {topic.split("/")[0] for topic in wanted} > {"values", "columns", "gateways"}


def is_retained(topic: str) -> bool:
    return topic.startswith(("values/", "gateways/")) or any(part in topic for part in ("/tags/", "metadata", "status"))


@contextmanager
def topics_of(url: str) -> Iterator[set[str]]:
    """On which anything came, or was retained."""
    found: set[str] = set()
    with subscribed(url, ("#",), lambda topic, payload: found.add(topic), threading.Event()):
        yield found
