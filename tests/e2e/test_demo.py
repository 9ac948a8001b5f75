"""The demo as the README shows it: one command, real parts, one JSON object at the end."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.opcua.session.certificates import load
from tests.support.programs import ROOT, processes_that_name, ran, wait_until

pytestmark = pytest.mark.xdist_group("usual ports")  # one demo at a time has them

DEMO = [sys.executable, "-m", "gateway", "demo"]
PROMISED = {
    "received", "delivered", "stored", "filtered", "dropped", "messages", "parts_good", "parts_scrap",
    "endpoint", "broker", "http",
}  # fmt: skip


def run_demo(*options: str) -> dict[str, object]:
    done = subprocess.run(
        [*DEMO, *options, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout
    summary = json.loads(done.stdout)
    assert isinstance(summary, dict)
    return summary


def balanced(summary: dict[str, object]) -> bool:
    parts = [summary[name] for name in ("delivered", "stored", "filtered", "dropped")]
    return summary["received"] == sum(part for part in parts if isinstance(part, int))


@pytest.fixture(scope="module")
def twenty_seconds(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], Path]:
    """The sums of a demo, and the folder of its state."""
    state = tmp_path_factory.mktemp("state")
    return run_demo("--duration", "20", "--state", str(state)), state


def test_twenty_seconds_of_demo_carry_hundreds_of_values_and_lose_none(
    twenty_seconds: tuple[dict[str, object], Path],
) -> None:
    summary, _ = twenty_seconds
    assert set(summary) >= PROMISED
    assert balanced(summary)
    assert summary["dropped"] == 0
    assert isinstance(summary["received"], int)
    assert summary["received"] >= 300
    assert isinstance(summary["parts_good"], int)
    assert summary["parts_good"] > 0


def test_gateway_and_simulators_are_encrypted_and_exchange_only_certificates(
    twenty_seconds: tuple[dict[str, object], Path],
) -> None:
    summary, state = twenty_seconds
    strongest = json.loads((state / "pki" / "strongest.json").read_text())
    assert strongest == {summary["endpoint"]: [1, 2]}  # SignAndEncrypt, Aes256_Sha256_RsaPss
    shown = [*(state / "pki" / "trusted").iterdir(), *(state / "simulator-pki" / "trusted").iterdir()]
    assert len({load(path.read_bytes()).fingerprint(SHA256()) for path in shown}) == 2
    assert not [path for path in shown if b"PRIVATE" in path.read_bytes()]


def test_an_outage_of_the_broker_loses_nothing() -> None:
    summary = run_demo("--duration", "30", "--outage", "8")
    assert balanced(summary)
    assert (summary["dropped"], summary["stored"]) == (0, 0)
    history = summary["history"]
    assert isinstance(history, dict)
    delivered, stored, up = history["delivered"], history["stored"], history["broker_up"]
    begin = next(second for second, count in enumerate(delivered) if count) + 2  # the first values come in a crowd
    away = [second for second, is_up in enumerate(up) if not is_up and second >= begin]
    assert len(away) >= 7
    middle = away[2:-2]
    assert not any(delivered[second] for second in middle)
    climb = [stored[second] for second in middle]
    assert climb == sorted(climb)
    assert climb[-1] > climb[0]
    assert max(delivered[away[-1] :]) > max(delivered[begin : away[0]])  # the backlog, on top of what is new
    assert min(stored[away[-1] :]) < climb[0]
    assert sum(delivered) == summary["delivered"]


@contextlib.contextmanager
def usual_ports_taken() -> Iterator[set[int]]:
    """Those of them that nobody else has are taken: that serves as well."""
    taken = set()
    with contextlib.ExitStack() as takers:
        for port in (4840, 1883, 9464):
            taker = takers.enter_context(socket.socket())
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                taker.bind(("127.0.0.1", port))
                taker.listen()
                taken.add(port)
        yield taken


@contextlib.contextmanager
def demo_shown(folder: Path, *options: str) -> Iterator[Path]:
    """A demo that shows its flow in a log, ended as Ctrl-C does."""
    log = folder / "demo.log"
    with log.open("wb") as out:
        command = [*DEMO, "--state", str(folder / "state"), *options]
        demo = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until(lambda: "good parts" in log.read_text(), "the demo to show the flow")
        yield log
        os.kill(demo.pid, signal.SIGINT)
        assert demo.wait(60) == 0
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait(60)


def delivered(address: str) -> float:
    """How many values have been delivered, by the metrics."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
        return sum(map(float, re.findall(r"^gateway_values_delivered_total{.*} (.*)$", answer.read().decode(), re.M)))


def browsed(log: Path) -> int:
    """The exit code of an OPC UA client without a certificate."""
    endpoint = re.findall(r"(opc\.tcp://127\.0\.0\.1:\d+)\D", log.read_text())[-1]
    return ran("gateway", "browse", endpoint, "--insecure", within_s=60).returncode


def test_open_lets_any_opc_ua_client_in_and_taken_ports_are_replaced_by_free_ones(tmp_path: Path) -> None:
    with usual_ports_taken() as taken, demo_shown(tmp_path, "--open") as log:
        assert browsed(log) == 0
        used = {int(port) for port in re.findall(r"(?:opc\.tcp|mqtt|http)://127\.0\.0\.1:(\d+)", log.read_text())}
        assert len(used) >= 3
        assert not used & taken


def test_clients_without_a_certificate_are_refused_and_ctrl_c_ends_everything_and_prints_the_sums(
    tmp_path: Path,
) -> None:
    with demo_shown(tmp_path) as log:
        assert browsed(log) == 69
        address = re.findall(r"http://127\.0\.0\.1:\d+", log.read_text())[-1]
        wait_until(lambda: delivered(address) > 0, "values to flow")
        tapped = ran("gateway", "tap", address, "--count", "100", "--json", "--source", "demo", within_s=60)
        assert tapped.returncode == 0, tapped.stderr
        passed = [json.loads(line) for line in tapped.stdout.splitlines()]
        assert ({each["stage"] for each in passed}, len(passed)) == ({"decode", "shape", "encode"}, 100)
    assert "delivered" in log.read_text().splitlines()[-11]
    wait_until(lambda: not processes_that_name(str(tmp_path)), "every process to end")


def test_mistakes_in_the_configuration_exit_with_78(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("sources: [{name: a, url: http://x, select: []}]\nbrokr: {url: mqtt://x}\n")
    for command in ("validate", "run"):
        done = ran("gateway", command, str(path))
        assert done.returncode == 78
        assert len([line for line in done.stderr.splitlines() if f"{path}:" in line]) >= 3


def test_validate_reports_a_valid_configuration() -> None:
    done = ran("gateway", "validate", "config/gateway.yaml")
    assert done.returncode == 0
    assert "is fine" in done.stdout
