"""A cloud's console gets what it needs to know a gateway, and no more rights than the configuration uses."""

import json
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from typer.testing import CliRunner

from gateway.cli import cli
from tests.support.programs import ROOT


def enroll(name: str, folder: Path) -> str:
    file = ROOT / "config" / "clouds" / f"{name}.yaml"
    result = CliRunner().invoke(cli, ["profile", "enroll", str(file), "--folder", str(folder)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_policy_for_aws_lets_publish_to_the_topics_of_the_file_alone(tmp_path: Path) -> None:
    text = enroll("aws-iot-core", tmp_path)
    policy = json.loads(text[text.index("{") : text.index("\n\n")])
    connect, publish = policy["Statement"]
    arn = "arn:aws:iot:REGION:ACCOUNT:"
    assert connect == {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}client/edge-1"}
    rule = "$aws/rules/factory/"
    topics = [f"{rule}*/*/*", f"{rule}gateways/edge-1/losses", "gateways/edge-1/presence"]
    assert publish["Resource"] == [f"{arn}topic/{topic}" for topic in topics]
    assert f"file://{tmp_path}/edge-1.csr" in text


def test_with_commands_the_policy_lets_hear_them_and_answer(tmp_path: Path) -> None:
    """Without these rights AWS cuts the connection at the subscription."""
    given = yaml.safe_load((ROOT / "config" / "clouds" / "aws-iot-core.yaml").read_text(encoding="utf-8"))
    given["broker"]["device"] = "press-shop"
    given["commands"] = {
        "requesters": ["aws"], "rules": [{"reload": True}], "codecs": [{"format": "aws-jobs", "requester": "aws"}],
    }  # fmt: skip
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    text = CliRunner().invoke(cli, ["profile", "enroll", str(file), "--folder", str(tmp_path)]).stdout
    _, _, subscribe, receive, answer = json.loads(text[text.index("{") : text.index("\n\n")])["Statement"]
    arn, jobs = "arn:aws:iot:REGION:ACCOUNT:", "$aws/things/press-shop/jobs"
    native = "gateways/edge-1/commands/+/+"
    heard = [native, f"{jobs}/notify-next", f"{jobs}/$next/get/accepted"]
    assert subscribe["Resource"] == [f"{arn}topicfilter/{topic}" for topic in heard]
    assert receive["Resource"] == [f"{arn}topic/{topic.replace('+', '*')}" for topic in heard]
    assert {f"{arn}topic/{jobs}/*", f"{arn}topic/{jobs}/$next/get"} <= set(answer["Resource"])


def test_a_request_is_for_the_device_and_its_key_is_private_and_stays(tmp_path: Path) -> None:
    enroll("azure-event-grid", tmp_path)
    key = tmp_path / "edge-1.key"
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    request = x509.load_pem_x509_csr((tmp_path / "edge-1.csr").read_bytes())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=edge-1"
    enroll("azure-event-grid", tmp_path)
    assert key.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("azure-iot-hub", "az iot hub device-identity create --hub-name contoso --device-id edge-1"),
        ("huawei-iotda", '"device_id": "factory_edge-1"'),
        ("tencent-iot", "Create the device 'edge-1' in the console of Tencent"),
        ("azure-event-grid", "permission-binding create --namespace-name contoso"),
    ],
)
def test_each_cloud_gets_its_own_lines(name: str, words: str, tmp_path: Path) -> None:
    assert words in enroll(name, tmp_path)
