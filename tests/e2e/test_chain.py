"""The whole chain as a user runs it: real processes, real signals, and what arrived compared with what was served."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Process, mosquitto
from tests.support.chain import complete
from tests.support.programs import SOURCE, Factory, Gateway, running, wait_until
from tests.support.proxy import Proxy
from tests.support.record import arrived, served
from tests.support.subscriber import subscriber
from tests.support.threaded import proxy_thread

SPEED = ("--speed", "5")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Process]:
    with mosquitto(tmp_path, "max_inflight_messages 0") as process:
        yield process


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    program = Factory(tmp_path, *SPEED)
    with running(program):
        program.wait_said("serving")
        yield program


def test_every_value_arrives_in_order_and_the_counters_balance(
    tmp_path: Path, broker: Process, factory: Factory
) -> None:
    with subscriber(broker.url) as checker, running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        checker.wait_values(300)
        complete(factory, checker)
        assert gateway.total("gateway_values_dropped_total") == 0
        assert gateway.balanced
        assert gateway.stop() == 0
        assert gateway.said("stopped", stored_values=0) == 1


def test_a_broker_away_at_start_is_waited_for(tmp_path: Path, broker: Process, factory: Factory) -> None:
    broker.kill()
    with running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        gateway.wait_said("not connected", peer="broker")
        wait_until(lambda: gateway.total("gateway_outbox_values") > 100, "values in the outbox")
        assert not gateway.ready
        broker.restart()
        gateway.wait_ready()
        wait_until(lambda: gateway.total("gateway_outbox_values") == 0, "the backlog to drain")
        assert gateway.said("not connected", peer="broker") == 1
        assert gateway.total("gateway_values_dropped_total") == 0


@pytest.mark.slow
def test_a_broker_killed_for_twenty_seconds_loses_no_value(tmp_path: Path, broker: Process, factory: Factory) -> None:
    # The proxy keeps the gateway out until the checking subscriber is back: the broker forgets subscriptions.
    with (
        proxy_thread(broker.port) as proxy,
        subscriber(broker.url) as checker,
        running(Gateway(tmp_path, factory.url, f"mqtt://127.0.0.1:{proxy.port}")) as gateway,
    ):
        checker.wait_values(100)
        proxy.do(Proxy.refuse)
        broker.kill()
        down_since = time.monotonic()
        gateway.wait_said("not connected", peer="broker")
        assert gateway.metrics['gateway_sink_connected{sink="broker"}'] == 0
        wait_until(lambda: time.monotonic() - down_since > 20, "twenty seconds to pass")
        broker.restart()
        assert checker.connected.wait(60)
        proxy.do(Proxy.heal)
        gateway.wait_said("connected", times=2, peer="broker")
        complete(factory, checker)
        assert gateway.balanced


def test_a_refused_topic_is_kept_and_delivered_once_it_is_allowed(tmp_path: Path, factory: Factory) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite factory/hall-1/line-1/test\ntopic read #\n")
    rules.chmod(0o644)
    with (
        mosquitto(tmp_path, "max_inflight_messages 0", f"acl_file {rules}") as broker,
        subscriber(broker.url) as checker,
        running(Gateway(tmp_path, factory.url, broker.url)) as gateway,
    ):
        gateway.wait_said("refused for now")
        checker.wait_values(50)  # what is allowed goes on meanwhile
        assert {topic for topic, _ in checker.messages} == {"factory/hall-1/line-1/test"}
        rules.write_text("topic readwrite #\n")
        broker.process.send_signal(signal.SIGHUP)
        complete(factory, checker)
        assert gateway.total("gateway_sink_refusals_total") > 0
        assert gateway.total("gateway_values_dropped_total") == 0
        assert gateway.balanced


def test_a_server_killed_and_restarted_is_read_again_and_the_gap_is_announced(
    tmp_path: Path, broker: Process, factory: Factory
) -> None:
    with subscriber(broker.url) as checker, running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        checker.wait_values(100)
        factory.kill()
        gateway.wait_said("not connected", peer="line-1")
        before = served(factory.record)
        factory.restart()
        factory.wait_said("serving", times=2)
        gateway.wait_said("connected", times=2, peer="line-1")
        wait_until(lambda: bool(checker.gaps), "the gap to be announced")
        assert {gap["cause"] for gap in checker.gaps} == {"subscription_recreated"}
        got = arrived(checker.changes)
        assert all(set(changes) <= {*before[name], *served(factory.record)[name]} for name, changes in got.items())
        assert checker.missing == []
        assert gateway.balanced


def test_a_server_away_at_start_is_waited_for(tmp_path: Path, broker: Process, factory: Factory) -> None:
    factory.kill()
    with subscriber(broker.url) as checker, running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        gateway.wait_said("not connected", peer="line-1")
        factory.restart()
        checker.wait_values(100)
        assert checker.gaps == []


def test_a_gateway_killed_and_restarted_loses_nothing(tmp_path: Path, broker: Process, factory: Factory) -> None:
    with subscriber(broker.url) as checker, running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        for round_number in range(1, 6):
            checker.wait_values(150 * round_number)
            gateway.kill()
            gateway.restart()
            gateway.wait_ready()
        checker.wait_values(1000)
        complete(factory, checker)
        assert checker.gaps == []
        assert gateway.balanced


def test_a_variable_that_does_not_exist_is_reported_and_affects_no_other(
    tmp_path: Path, broker: Process, factory: Factory
) -> None:
    missing = {
        "node": "nsu=urn:connected-factory:simulator;s=line-1/assembly/Presure",
        "fields": {"line": "x", "machine": "y"},
    }
    (selection,) = SOURCE["select"] if isinstance(SOURCE["select"], list) else []
    sources = [{**SOURCE, "url": factory.url, "select": [selection, missing]}]
    with (
        subscriber(broker.url) as checker,
        running(Gateway(tmp_path, factory.url, broker.url, sources=sources)) as gateway,
    ):
        checker.wait_values(100)
        assert "line-1/assembly/Presure" in gateway.log
        assert gateway.total('gateway_source_monitored_items{source="line-1",state="failed"}') == 1
        complete(factory, checker)


def test_an_http_port_in_use_is_reported_and_values_are_delivered(
    tmp_path: Path, broker: Process, factory: Factory
) -> None:
    http = {"port": broker.port}
    with (
        subscriber(broker.url) as checker,
        running(Gateway(tmp_path, factory.url, broker.url, http=http)) as gateway,
    ):
        checker.wait_values(50)
        gateway.wait_said("not connected", peer="http")
        assert "another program has it" in gateway.log
        assert gateway.stop() == 0
