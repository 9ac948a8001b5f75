"""What a configuration of a broker may say, and that its secrets stay where they are."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from gateway import tls
from gateway.cli import cli
from gateway.config import BrokerConfig, Secret
from gateway.errors import EXIT_CONFIG, ConfigError
from gateway.run.sink_kinds import check_sinks


def broker(**keys: object) -> BrokerConfig:
    return BrokerConfig.model_validate({"url": "mqtt://localhost", **keys})


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "http://broker"},
        {"url": "mqtt://user:secret@broker"},
        {"url": "mqtt://broker:99999"},
        {"fallback": ["broker:1883"]},
        {"keep_alive": "0.5s"},
        {"keep_alive": "20h"},
        {"window": 65_001},
        {"tls": {"key": "edge.key"}},
        {"tls": {"insecure": True}},
        {"password": {"file": "a", "env": "B"}},
    ],
    ids=str,
)
def test_a_setting_that_cannot_work_is_refused_before_any_connection(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        broker(**keys)


@pytest.mark.parametrize("url", ["mqtt://broker.example.com", "ws://10.0.0.1/mqtt"])
def test_a_password_crosses_a_network_in_clear_text_only_if_configured(url: str) -> None:
    keys = {"url": url, "username": "u", "password": {"env": "PASSWORD"}}
    with pytest.raises(ValidationError, match="unencrypted"):
        broker(**keys)
    with pytest.raises(ValidationError, match="unencrypted"):
        broker(**{**keys, "url": "mqtts://broker.example.com", "fallback": [url]})
    assert broker(**keys, insecure=True).insecure
    assert broker(**{**keys, "url": url.replace("mqtt:", "mqtts:").replace("ws:", "wss:")})
    assert broker(**{**keys, "url": "mqtt://localhost"})


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Secret(file=path).read()
    path.chmod(0o600)
    assert Secret(file=path).read() == "hunter2"


def test_a_missing_secret_says_where_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_SECRET"):
        Secret(env="NO_SUCH_SECRET").read()
    with pytest.raises(ConfigError, match="nowhere"):
        Secret(file=tmp_path / "nowhere").read()


def test_no_text_of_a_configuration_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2")
    config = broker(username="u", password={"env": "PASSWORD"})
    assert config.password is not None
    assert config.password.read() == "hunter2"
    assert "hunter2" not in f"{config!r} {config.model_dump_json()}"


def test_all_missing_files_are_reported_before_the_first_connection(tmp_path: Path) -> None:
    check_sinks([broker()])
    secure = {"url": "mqtts://h", "tls": {"ca": str(tmp_path / "ca.pem"), "ciphers": "NO-SUCH-SUITE"}}
    with pytest.raises(ConfigError) as caught:
        check_sinks([broker(name="a", password={"file": str(tmp_path / "password")}), broker(name="b", **secure)])
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["a", "b", "b"]
    assert "NO-SUCH-SUITE" in caught.value.problems[1]


def test_a_key_readable_by_others_is_reported_with_the_remedy(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {key}"):
        check_sinks([broker(url="mqtts://h", tls={"certificate": str(key)})])


def test_tls_files_are_ignored_without_tls(tmp_path: Path) -> None:
    check_sinks([broker(url="mqtt://127.0.0.1", tls={"ca": str(tmp_path / "ca.pem")})])


def test_a_gateway_with_an_impossible_broker_exits_with_78_and_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "sources: [{name: a, url: opc.tcp://h, insecure: true, select: [{node: i=1}]}]\n"
        f"broker: {{url: 'mqtts://h', tls: {{ca: {tmp_path}/nowhere.pem}}}}\n"
        f"outbox: {{path: {tmp_path}/outbox}}\npayload: {{topic: a}}\n"
    )
    result = CliRunner().invoke(cli, ["run", str(path)])
    assert result.exit_code == EXIT_CONFIG
    assert f"tls.ca: {tmp_path}/nowhere.pem: contains no readable certificate authority" in result.output
    assert not (tmp_path / "outbox").exists()


def test_every_unusable_tls_file_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    config = broker(tls={"ca": str(tmp_path / "no-ca.pem"), "certificate": str(tmp_path / "no-cert.pem")})
    with pytest.raises(ConfigError) as caught:
        tls.context(config.tls)
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match=r"empty\.pem: contains no readable certificate authority"):
        tls.context(broker(tls={"ca": str(empty)}).tls)
