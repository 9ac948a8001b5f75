"""The chart of the gateway: linted, rendered by Helm's own engine and validated, for every example of values."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from docker.helm.render import MANIFEST, chart_folder, manifests, plain_manifest, rendered, values_of
from gateway.loading import load
from gateway.pull import load_pull

helm_python = pytest.importorskip("helm_python", reason="the wheel of Helm's engine is not for this machine")
EXAMPLES = ("existing", "one", "group", "pulled")
OF_OTHERS = ("PodMonitor",)
"""Kinds whose schema is not Kubernetes' own."""
NO_SUCH_ANY = {"image": {"tag": "1"}, "existingConfigMap": "x"}


def by_kind(values: dict[str, Any]) -> dict[str, Any]:
    return {each["kind"]: each for each in manifests(values)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_linted_rendered_and_valid(name: str, tmp_path: Path) -> None:
    values = values_of(name)
    with chart_folder() as folder:
        told = helm_python.lint(folder, values, strict=True)
    assert [each for each in told["messages"] if each["severity"] > 1] == []
    found = manifests(values)
    for version in ("1.29", kubernetes_validate.latest_version()):
        for manifest in found:
            if manifest["kind"] not in OF_OTHERS:
                kubernetes_validate.validate(manifest, version, strict=True)
    for manifest in found:
        for file, text in manifest.get("data", {}).items():
            (tmp_path / file).write_text(text)
            if file == "pull.yaml":
                assert load_pull(tmp_path / file) is not None
            else:
                assert load(tmp_path / file).http.host == "0.0.0.0"


def test_a_group_is_spread_and_updated_one_by_one_and_knows_its_log(tmp_path: Path) -> None:
    found = by_kind(values_of("group"))
    workload = found["StatefulSet"]["spec"]
    assert (workload["replicas"], workload["podManagementPolicy"]) == (3, "Parallel")
    spread = workload["template"]["spec"]["affinity"]["podAntiAffinity"]
    (rule,) = spread["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert found["PodDisruptionBudget"]["spec"]["selector"] == workload["selector"] == {
        "matchLabels": rule["labelSelector"]["matchLabels"]
    }  # fmt: skip
    config = yaml.safe_load(found["ConfigMap"]["data"]["gateway.yaml"])
    assert config["group"]["servers"] == [f"nats://edge-nats-{n}.edge-nats-headless:4222" for n in range(3)]
    egress = found["NetworkPolicy"]["spec"]["egress"]
    assert [port["port"] for rule in egress[:2] for port in rule["ports"]] == [53, 53, 4222, 8222]


def test_no_peer_that_is_away_holds_up_a_pod() -> None:
    for name, path in (("group", "/health/live"), ("pulled", "/health/ready")):
        (container,) = by_kind(values_of(name))["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"]["path"] == path
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"existingConfigMap": "x"}, "image.tag: name the version"),
        ({"image": {"tag": "1"}}, "give the configuration once"),
        (NO_SUCH_ANY | {"config": {"name": "a"}}, "give the configuration once"),
        ({"image": {"tag": "1"}, "config": {"name": "a"}, "replicas": 2}, "fight over the client id"),
        ({"image": {"tag": "1"}, "config": {"name": "a"}, "nats": {"enabled": True}}, "name it in config.group"),
        (NO_SUCH_ANY | {"replica": 2}, "replica"),
        (NO_SUCH_ANY | {"readiness": "never"}, "readiness"),
        (NO_SUCH_ANY | {"persistence": {"size": "much"}}, "size"),
    ],
)
def test_mistakes_in_values_are_told(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(helm_python.HelmError, match=problem):
        rendered(values)


def test_the_manifest_for_kubectl_is_the_chart_and_the_dependency_is_conditional() -> None:
    assert MANIFEST.read_text(encoding="utf-8") == plain_manifest(), "make generated"
    chart = yaml.safe_load((MANIFEST.parents[1] / "helm/gateway/Chart.yaml").read_text(encoding="utf-8"))
    assert [(each["name"], each["condition"]) for each in chart["dependencies"]] == [("nats", "nats.enabled")]
    assert "sync_interval: always" in (MANIFEST.parents[1] / "helm/gateway/values.yaml").read_text(encoding="utf-8")
