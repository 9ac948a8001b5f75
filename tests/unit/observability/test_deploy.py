"""What a user starts: configurations that load, plants that are plants, no secret and no open port in the files."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from threading import Thread
from typing import Any

import kubernetes_validate
import pytest
import yaml

from docker.prometheus.receiver import server
from gateway.loading import load
from simulators.plant import load as load_plant

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
UNIT = DOCKER / "systemd" / "connected-factory-gateway.service"


@pytest.mark.parametrize("path", sorted((DOCKER / "gateway").glob("*.yaml")), ids=lambda p: p.name)
def test_a_configuration_of_the_stack_loads(path: Path) -> None:
    assert load(path).http.host == "0.0.0.0"


@pytest.mark.parametrize(("name", "ideal_s"), [("munich", 6), ("seattle", 10)])
def test_the_plants_of_the_stack_are_valid(name: str, ideal_s: float) -> None:
    (line,) = load_plant(ROOT / "config" / "plants" / f"{name}.yaml").lines
    assert {station.ideal for station in line.stations} == {ideal_s}


def test_every_service_is_hardened_and_listens_on_loopback_only() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ":latest" not in service["image"], name


def test_no_service_writes_a_volume_or_sees_a_secret_of_another() -> None:
    """Of those who stay: what runs once, without a network, hands things over."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    once = {
        name
        for service in services.values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert all(services[name]["network_mode"] == "none" for name in once)
    writers: dict[str, set[str]] = {}
    secrets: dict[str, set[str]] = {}
    for name in services.keys() - once:
        for volume, _, *mode in (each.split(":") for each in services[name].get("volumes", []) if each[0] not in "./"):
            if mode != ["ro"]:
                writers.setdefault(volume, set()).add(name)
            if "secrets" in volume or volume == "authority":
                secrets.setdefault(volume, set()).add(name)
    assert {volume: who for volume, who in writers.items() if len(who) > 1} == {}
    assert secrets == {
        "secrets": {"mosquitto"}, "gateway-secrets": {"gateway"}, "gateway-seattle-secrets": {"gateway-seattle"},
        "gateway-hall-secrets": {"member-a", "member-b", "member-c"},  # one gateway, on three hosts
    }  # fmt: skip


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
def test_kubernetes_manifests_follow_the_published_schemas(version: str) -> None:
    for manifest in yaml.safe_load_all((DOCKER / "kubernetes" / "gateway.yaml").read_text(encoding="utf-8")):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_is_hardened() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-500:]


def workload_and_service() -> tuple[dict[str, Any], dict[str, Any]]:
    documents = yaml.safe_load_all((DOCKER / "kubernetes" / "gateway.yaml").read_text(encoding="utf-8"))
    found = {each["kind"]: each for each in documents}
    return found["StatefulSet"], found["Service"]


def test_kubernetes_manifests_are_yaml_with_limits() -> None:
    workload, service = workload_and_service()
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert service["spec"]["selector"] == workload["spec"]["selector"]["matchLabels"]


def test_folders_are_mounted_so_that_an_edited_file_is_seen() -> None:
    """But for what runs once: an editor writes a new file, and a mounted file stays the old one."""
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    mounted = [
        (name, each.split(":")[0])
        for name, service in services.items()
        for each in service.get("volumes", [])
        if each[0] == "." and service.get("network_mode") != "none"
    ]
    assert mounted
    assert [pair for pair in mounted if not (DOCKER / pair[1]).is_dir()] == []


def test_a_service_has_the_host_name_that_its_certificate_carries() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for gateway in ("gateway", "gateway-seattle"):
        assert services[gateway]["hostname"] == services[f"{gateway}-certificate"]["hostname"]
    for factory in ("factory-munich", "factory-seattle"):
        assert services[factory]["hostname"] == factory


def test_kubernetes_secrets_are_files_and_no_pod_waits_for_another() -> None:
    workload, service = workload_and_service()
    pod = workload["spec"]["template"]["spec"]
    assert "env" not in pod["containers"][0]
    assert "envFrom" not in pod["containers"][0]
    assert [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each] == ["gateway"]
    assert workload["spec"]["podManagementPolicy"] == "Parallel"
    assert service["spec"]["publishNotReadyAddresses"]


def test_the_receiver_of_alerts_writes_each_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    serving = server(file, "127.0.0.1", 0)
    Thread(target=serving.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{serving.server_port}/"
        alerts = [{"labels": {"alertname": name}, "status": "firing"} for name in ("Watchdog", "DataLoss")]
        urllib.request.urlopen(url, json.dumps({"alerts": alerts}).encode(), timeout=30).close()
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(url, b"[]", timeout=30)
    finally:
        serving.shutdown()
        serving.server_close()
    assert [json.loads(line) for line in file.read_text().splitlines()] == alerts


def test_what_grafana_shows_leads_to_the_runbook_that_is_set(tmp_path: Path) -> None:
    boards, address = DOCKER / "grafana" / "dashboards", "https://wiki.example.com/r?a=1&b=x|y"
    for name, told in (("set", address), ("unset", "")):
        subprocess.run(
            [DOCKER / "grafana" / "place", boards, tmp_path / name], env={"RUNBOOK_URL": told}, check=True, timeout=60
        )
        for path in boards.glob("*.json"):
            text = (tmp_path / name / path.name).read_text(encoding="utf-8")
            (asked,) = (v["query"] for v in json.loads(text)["templating"]["list"] if v["name"] == "runbook")
            assert asked == (told or "docker/prometheus/RUNBOOK.md")
            assert "${runbook}#" in text
