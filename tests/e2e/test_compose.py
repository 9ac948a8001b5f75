"""The stack of docker/compose.yaml as a user starts it, in real containers: values, OEE, a broker away, nothing lost.

Grafana is left out: the laboratory has no stand-in for it.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.grafana.render.board import Span
from tests.support.compose import LAB, Stack, make_nats_image, stack_up
from tests.support.panels import wait_answers
from tests.support.programs import wait_until
from tests.support.subscriber import Subscriber, subscriber
from tests.support.systemd import CONFIG, UNIT, machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROFILES = ("--profile", "two-sites", "--profile", "chaos")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    if os.geteuid() != 0 or not LAB.exists():
        pytest.skip("needs root and the container laboratory")
    with stack_up() as made:
        yield made


@pytest.fixture
def viewer(stack: Stack) -> Iterator[Subscriber]:
    """What any consumer sees; the broker keeps its session while it is away."""
    password = stack.inside("mosquitto", "cat /secrets/viewer").strip()
    with subscriber(stack.mqtt, "factory/#", "sites/#", user=("viewer", password), kept_s=600) as made:
        yield made


def nothing_lost(stack: Stack, viewer: Subscriber) -> None:
    assert viewer.holes == []
    assert viewer.gaps == []
    assert stack.figure("sum(gateway_values_dropped_total)") == 0
    assert stack.figure("max(abs(gateway_books_imbalance_values))") == 0


def test_two_plants_run_and_their_oee_is_shown_within_a_minute(stack: Stack) -> None:
    def left_s() -> float:
        return 60 - (time.monotonic() - stack.up_at_s)

    stack.wait_figure("count(line:factory_oee:ratio_1h > 0)", lambda lines: lines == 2, left_s())
    stack.wait_figure("min(gateway_ready)", lambda ready: ready == 1, left_s())
    stack.wait_figure("sum(gateway_values_delivered_total)", lambda values: values > 200, left_s())


def test_every_query_of_every_panel_has_a_finite_and_plausible_answer(stack: Stack) -> None:
    wait_answers(stack.prometheus, Span(0.0, 300.0, 5.0), 120)  # scrapes are 5 s apart


def test_every_service_with_a_health_check_is_healthy(stack: Stack) -> None:
    for service in ("mosquitto", "factory-munich", "factory-seattle", "gateway", "prometheus"):
        stack.wait_healthy(service)


def test_opc_ua_is_encrypted_and_only_certificates_are_exchanged(stack: Stack) -> None:
    strongest = stack.inside("gateway", "cat pki/strongest.json").split()
    assert strongest.count("2") == strongest.count("1,") == 2  # both plants: SignAndEncrypt, Aes256_Sha256_RsaPss
    files = "cd pki/trusted && find . -type f | sort"
    assert stack.inside("gateway", files).split() == ["./munich/munich.der", "./seattle/seattle.der"]
    assert stack.inside("factory-munich", files).split() == ["./edge-1/edge-1.der"]
    keys = "grep -rl PRIVATE pki /certificates 2>/dev/null || true"
    assert stack.inside("gateway", keys).split() == ["pki/own/private_key.pem"]
    assert stack.inside("factory-munich", keys).split() == ["pki/own.pem"]


def test_the_gateway_uses_tls_to_the_broker_and_cannot_read_its_key(stack: Stack) -> None:
    left_s = 'min(gateway_sink_certificate_expires_timestamp_seconds{certificate="broker"}) - time()'
    assert stack.wait_figure(left_s, lambda left: left > 0, 30) > 300 * 86_400
    assert "mqtts://mosquitto:8883" in stack.inside("gateway", "cat /etc/connected-factory/gateway.yaml")
    others = " ".join(f"/secrets/{name}" for name in ("broker.key", "ca.key", "passwords", "viewer", "gateway-seattle"))
    told = stack.inside("gateway", f"cat /secrets/gateway /secrets/ca.crt >/dev/null && cat {others} 2>&1 || true")
    assert told.count("No such file") == 5
    plants = "touch /certificates/x pki/trusted/edge-1/x 2>&1; rm /certificates/x; ls /certificates"
    told = stack.inside("factory-munich", plants)
    assert "Read-only" in told
    assert told.split()[-1] == "munich.der"  # and no other plant's


def test_the_viewer_reads_and_anonymous_access_is_refused(stack: Stack, viewer: Subscriber) -> None:
    wait_until(lambda: len(viewer.messages) > 20, "messages at the viewer")
    nameless = "mosquitto_sub -t '#' -C 1 -W 5 2>&1 || true"
    assert "authoris" in stack.inside("mosquitto", nameless)


def test_a_broker_disconnected_and_reconnected_loses_no_value(stack: Stack, viewer: Subscriber) -> None:
    # The gateway stands still while the broker goes and comes: what this broker took in between it may forget.
    with stack.paused("gateway"):
        stack.compose("stop", "mosquitto")
    assert stack.inspect("mosquitto")["State"]["ExitCode"] == 0  # killed, it would forget what it took
    stack.wait_figure("min(gateway_sink_connected)", lambda up: up == 0, 40)
    stack.wait_figure("sum(gateway_outbox_values)", lambda values: values > 50, 60)
    with stack.paused("gateway"):
        stack.compose("start", "mosquitto")
        wait_until(viewer.connected.is_set, "the viewer to be back")
    stack.wait_figure("min(gateway_sink_connected)", lambda up: up == 1, 60)
    stack.wait_figure("sum(gateway_outbox_values)", lambda values: values < 50, 60)
    nothing_lost(stack, viewer)


def test_sigterm_ends_a_service_at_once_and_the_gateway_continues_where_it_ended(
    stack: Stack, viewer: Subscriber
) -> None:
    for service in ("gateway", "factory-munich"):
        begun_s = time.monotonic()
        stack.compose("stop", "-t", "60", service)
        assert time.monotonic() - begun_s < 40  # the engine's own time included, on a busy machine
        assert stack.inspect(service)["State"]["ExitCode"] == 0
    stack.compose("start", "factory-munich", "gateway")
    stack.wait_healthy("gateway")
    stack.wait_figure("min(gateway_ready)", lambda ready: ready == 1, 60)
    assert viewer.holes == []


def test_a_second_site_and_a_broker_that_freezes(stack: Stack, viewer: Subscriber) -> None:
    up = ("up", "-d", "gateway-seattle-certificate", "gateway-seattle", "chaos")
    stack.compose(*PROFILES, *up, CHAOS_EVERY_S="15", CHAOS_FOR_S="30")
    wait_until(lambda: any(topic.startswith("sites/seattle/") for topic, _ in viewer.messages), "the second site", 60)
    known = stack.inside("factory-seattle", "cd pki/trusted && find . -type f | sort").split()
    assert known == ["./edge-1/edge-1.der", "./edge-seattle/edge-seattle.der"]
    stack.wait_figure("max(gateway_sink_connected)", lambda up: up == 0, 90)
    wait_until(lambda: "goes on" in stack.compose(*PROFILES, "logs", "chaos"), "the broker to go on", 60)
    stack.compose(*PROFILES, "rm", "-sf", "chaos")
    stack.wait_figure("min(gateway_ready)", lambda ready: ready == 1, 60)
    stack.wait_figure("sum(gateway_outbox_values)", lambda values: values < 50, 60)
    nothing_lost(stack, viewer)


def test_a_group_of_three_goes_on_when_a_member_is_killed(stack: Stack, tmp_path: Path) -> None:
    make_nats_image(stack, tmp_path)
    cluster = ("--profile", "cluster")
    members = ("member-a", "member-b", "member-c")
    password = stack.inside("mosquitto", "cat /secrets/viewer").strip()
    with subscriber(stack.mqtt, "halls/#", user=("viewer", password)) as hall:
        stack.compose(*cluster, "up", "-d", "nats-1", "nats-2", "nats-3", "hall-certificate", *members)

        def works(asked: str) -> dict[str, str]:
            told = stack.inside(asked, "gateway group status /etc/connected-factory/gateway-hall.yaml --json")
            return {each["work"]: each["member"] for each in json.loads(told)["works"]}

        def plants() -> set[str]:
            return {stream.split("/")[1] for stream in hall.streams}

        wait_until(lambda: {"munich", "seattle"} <= plants(), "values of both plants", 180)
        for work in ("source/munich", "broker/broker"):
            killed = works("member-a")[work]
            stack.compose(*cluster, "kill", f"member-{killed}")
            left = next(member for member in members if member != f"member-{killed}")
            wait_until(lambda: killed not in works(left).values(), "the others to take over", 90)  # noqa: B023
            known = len(hall.changes)
            wait_until(lambda: len(hall.changes) > known + 100, "values after that", 90)  # noqa: B023
            stack.compose(*cluster, "up", "-d", f"member-{killed}")
            wait_until(lambda: killed in works(left).values(), "the member to take part again", 180)  # noqa: B023
        assert hall.missing == []
        assert hall.gaps == []
    stack.compose(*cluster, "rm", "-sf", *members, "nats-1", "nats-2", "nats-3")


def test_the_unit_file_works_under_a_real_systemd(stack: Stack, tmp_path: Path) -> None:
    with machine(stack, tmp_path) as host:
        wait_until(lambda: host.shown("ExecMainStatus") == "78", "a gateway without a configuration to end", 90)
        assert host.shown("ActiveState") == "failed"  # and is not started again
        host.configure(CONFIG)
        host.says(f"systemctl start {UNIT}")
        wait_until(lambda: host.shown("ActiveState") == "active", "the gateway to say that it is ready", 60)
        assert "CapEff:\t0000000000000000" in host.says(f"cat /proc/{host.shown('MainPID')}/status")
        host.configure({**CONFIG, "name": "other", "log_level": "debug"})
        host.says(f"systemctl reload {UNIT}")
        wait_until(lambda: "changes that need a restart" in host.says(f"journalctl -u {UNIT} -o cat"), "the reload", 60)
        host.says(f"kill -STOP {host.shown('MainPID')}")
        wait_until(lambda: host.shown("NRestarts") == "1", "the watchdog to start it again", 60)
        assert "Watchdog timeout" in host.says(f"journalctl -u {UNIT} -o cat")
        wait_until(lambda: host.shown("ActiveState") == "active", "the gateway to be back", 60)
        host.says(f"systemctl stop {UNIT}")
        assert (host.shown("ActiveState"), host.shown("ExecMainStatus")) == ("inactive", "0")


def test_every_service_has_minimal_privileges(stack: Stack) -> None:
    for service in ("gateway", "mosquitto", "factory-munich", "prometheus"):
        host = stack.inspect(service)["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"]
        told = stack.inside(service, "id -u; grep CapEff /proc/self/status; touch /x 2>/dev/null || echo no")
        uid, capabilities, refused = told.split("\n")[:3]
        assert uid != "0"
        assert capabilities.split()[1].strip("0") == ""
        assert refused == "no"
    labels = stack.inspect("gateway")["Config"]["Labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.version"]
