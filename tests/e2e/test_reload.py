"""SIGHUP under live data: the file as it is then is in effect, nothing is lost, and nobody is touched without need."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Process, mosquitto
from tests.support.chain import complete
from tests.support.programs import SINK, SOURCE, Factory, Gateway, running, wait_until
from tests.support.record import arrived, losses, served
from tests.support.subscriber import subscriber


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Process]:
    with mosquitto(tmp_path, "max_inflight_messages 0") as process:
        yield process


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    program = Factory(tmp_path)
    with running(program):
        program.wait_said("serving")
        yield program


def connects(gateway: Gateway, kind: str, name: str) -> float:
    return gateway.metrics[f'gateway_{kind}_connects_total{{{kind}="{name}"}}']


def names_of(gap: dict[str, object]) -> list[str]:
    return gap["names"] if isinstance(gap["names"], list) else []


def variable_of(loss: str) -> str:
    return loss.split(":")[0].rsplit("/", 1)[-1]


def test_nothing_is_lost_by_reloads_in_the_middle(tmp_path: Path, broker: Process, factory: Factory) -> None:
    source = {**SOURCE, "url": factory.url}
    with subscriber(broker.url) as checker, running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        checker.wait_values(100)
        gateway.reload(outbox={"path": str(tmp_path / "outbox"), "max_bytes": "64MiB"}, log_level="debug")
        gateway.reload(payload={"max_values": 7})
        assert gateway.said("configuration taken", brokers_changed=["broker"]) == 1
        assert connects(gateway, "source", "line-1") == 1
        assert gateway.metrics["gateway_outbox_capacity_bytes"] == 64 * 2**20
        checker.wait_values(200)
        gateway.reload(sources=[{**source, "request_timeout": "9s"}])
        gateway.wait_said("subscription transferred")
        assert gateway.said("configuration taken", sources_connected_again=["line-1"]) == 1
        checker.wait_values(400)
        complete(factory, checker)
        assert checker.gaps == []
        assert connects(gateway, "sink", "broker") == 1
        assert gateway.balanced
        assert gateway.stop() == 0


def test_the_gap_of_a_changed_selection_is_read_from_history_or_announced(
    tmp_path: Path, broker: Process, factory: Factory
) -> None:
    (everything,) = SOURCE["select"] if isinstance(SOURCE["select"], list) else []
    narrow = {**SOURCE, "url": factory.url, "select": [{**everything, "exclude": ["**/Temperature"]}]}
    with (
        subscriber(broker.url) as checker,
        running(Gateway(tmp_path, factory.url, broker.url, sources=[narrow])) as gateway,
    ):
        checker.wait_values(100)
        assert "Temperature" not in {name for _, name, _, _ in checker.changes}
        gateway.reload(sources=[{**SOURCE, "url": factory.url}])
        wait_until(lambda: any(name == "Temperature" for _, name, _, _ in checker.changes), "what was added")
        before = len(checker.changes)
        checker.wait_values(before + 100)
        got = arrived(checker.changes)  # before the record is read: what arrives later may not be in it
        named = {name for gap in checker.gaps for name in names_of(gap)}
        lost = [loss for loss in losses(served(factory.record), got) if variable_of(loss) not in named]
        assert lost == []
        assert {gap["cause"] for gap in checker.gaps} == {"subscription_recreated"}
        assert checker.missing == []


def test_other_shaping_takes_effect_on_the_same_connection(tmp_path: Path, broker: Process, factory: Factory) -> None:
    with subscriber(broker.url) as checker, running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        checker.wait_values(50)
        renamed = {"rename": {"Temperature": "Warmth"}, "aggregate": {"window": "1s", "functions": ["mean"]}}
        gateway.reload(sources=[{**SOURCE, "url": factory.url, "shape": renamed}])
        wait_until(lambda: any("Warmth" in name for _, name, _, _ in checker.changes), "the new name to arrive")
        gateway.reload(sources=[{**SOURCE, "url": factory.url}])
        before = len(checker.changes)
        checker.wait_values(before + 100)
        assert connects(gateway, "source", "line-1") == 1
        assert checker.missing == []
        wait_until(lambda: gateway.balanced, "the books to balance")


def test_an_invalid_file_changes_nothing_and_every_mistake_is_reported(
    tmp_path: Path, broker: Process, factory: Factory
) -> None:
    with subscriber(broker.url) as checker, running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        checker.wait_values(50)
        good = dict(gateway.config)
        gateway.reload(brokr={}, name="two words", broker={"url": "http://x"})
        assert gateway.metrics["gateway_config_last_reload_success"] == 0
        (refused,) = [e for e in gateway.events if str(e["event"]).startswith("the new configuration is refused")]
        problems = refused["problems"]
        assert isinstance(problems, list)
        assert len(problems) >= 3
        gateway.config = good
        secret = {"username": "u", "password": {"file": str(tmp_path / "nowhere")}}
        gateway.reload(broker={"url": broker.url, **secret})
        assert any("nowhere" in str(event) for event in gateway.events)
        gateway.config = good
        gateway.reload()
        assert gateway.metrics["gateway_config_last_reload_success"] == 1
        assert gateway.metrics['gateway_config_reloads_total{result="refused"}'] == 2
        assert gateway.metrics['gateway_config_reloads_total{result="taken"}'] == 1
        assert gateway.said("configuration taken", what="nothing changed") == 1
        assert connects(gateway, "source", "line-1") == connects(gateway, "sink", "broker") == 1
        complete(factory, checker)


def test_a_new_password_while_a_topic_is_refused_delays_nothing(tmp_path: Path, factory: Factory) -> None:
    allowed, secret = tmp_path / "acl", tmp_path / "secret"
    allowed.write_text("pattern read #\npattern write gateways/#\npattern write factory/hall-1/line-1/test\n")
    secret.write_text("one")
    for file in (allowed, secret):
        file.chmod(0o600)
    login = {"username": "u", "password": {"file": str(secret)}, **SINK}
    with (
        mosquitto(tmp_path, f"acl_file {allowed}", "max_inflight_messages 0") as broker,
        subscriber(broker.url) as checker,
        running(Gateway(tmp_path, factory.url, broker.url, broker={"url": broker.url, **login})) as gateway,
    ):
        gateway.wait_said("refused for now")
        checker.wait_values(60)  # meanwhile it was offered again
        secret.write_text("two")
        gateway.reload()
        assert gateway.said("configuration taken", brokers_connected_again=["broker"]) == 1
        checker.wait_values(len(checker.changes) + 20)
        allowed.write_text("pattern readwrite #\n")
        os.kill(broker.process.pid, signal.SIGHUP)
        complete(factory, checker)
        assert connects(gateway, "source", "line-1") == 1
        assert gateway.balanced


def test_keys_that_need_a_restart_are_named_and_not_applied(tmp_path: Path, broker: Process, factory: Factory) -> None:
    with running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
        gateway.wait_ready()
        gateway.reload(name="other", outbox={"path": str(tmp_path / "elsewhere")})
        gateway.wait_said("changes that need a restart are not in effect")
        assert "outbox.path (" in gateway.log
        assert not (tmp_path / "elsewhere").exists()


def test_peers_are_added_and_removed_without_affecting_others(
    tmp_path: Path, broker: Process, factory: Factory
) -> None:
    second = {**SOURCE, "name": "line-2", "url": factory.url, "fields": {"site": "hall-2"}}
    first, near = {**SOURCE, "url": factory.url}, {"url": broker.url}
    (tmp_path / "far").mkdir()
    with (
        mosquitto(tmp_path / "far", "max_inflight_messages 0") as far,
        subscriber(broker.url) as at_near,
        running(Gateway(tmp_path, factory.url, broker.url)) as gateway,
    ):
        at_near.wait_values(50)
        both = [{"name": "broker", **near}, {"name": "far", "url": far.url}]
        del gateway.config["broker"]
        gateway.reload(sources=[first, second], brokers=both)
        with subscriber(far.url) as at_far:
            at_far.wait_values(50)
            wait_until(lambda: any("hall-2" in topic for topic, _ in at_far.messages), "the second source")
            assert set(gateway.metrics) >= {'gateway_books_imbalance_values{sink="far"}'}
            wait_until(lambda: gateway.metrics['gateway_books_imbalance_values{sink="far"}'] == 0, "books")
            gateway.reload(sources=[first], brokers=both[:1])
            seen = len(at_far.messages)
            before = len(at_near.changes)
            at_near.wait_values(before + 100)
            assert len(at_far.messages) <= seen + 20  # what was on its way
        assert not [name for name in gateway.metrics if 'sink="far"' in name]
        assert not [n for n in gateway.metrics if n.startswith("gateway_source_connected") and "line-2" in n]
        assert connects(gateway, "source", "line-1") == 1
        assert gateway.ready
        assert at_near.missing == []
        wait_until(
            lambda: gateway.metrics['gateway_books_imbalance_values{sink="broker"}'] == 0, "the books to balance"
        )


def test_systemd_is_notified_when_a_reload_begins_and_ends(
    tmp_path: Path, broker: Process, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def next_state() -> str:
            while (state := systemd.recv(200).decode()) == "WATCHDOG=1":
                pass
            return state

        with running(Gateway(tmp_path, factory.url, broker.url)) as gateway:
            assert next_state() == "READY=1"
            os.kill(gateway.process.pid, signal.SIGHUP)
            reloading, monotonic = next_state().split("\n")
            assert (reloading, monotonic.split("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
            assert next_state() == "READY=1"
            gateway.process.send_signal(signal.SIGTERM)
            assert next_state() == "STOPPING=1"
