"""`gateway validate` looks at files too, and warns of what can work and is likely not meant."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import cli

SOURCE = "sources: [{name: a, url: opc.tcp://h, insecure: true, select: [{node: i=1}]}]\n"


def told(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["validate", *arguments])
    return result.exit_code, result.output


def written(folder: Path, text: str, name: str = "gateway.yaml") -> str:
    path = folder / name
    path.write_text(
        f"{SOURCE}payload: {{topic: a}}\noutbox: {{path: {folder}/{name}-outbox}}\n{text}", encoding="utf-8"
    )
    return str(path)


def certificate(folder: Path, *, ours: bool = True) -> tuple[str, str]:
    """A certificate and its key, or that of somebody else."""
    names = [folder / f"{n}.{kind}" for n in ("own", "other") for kind in ("pem", "key")]
    for pem, key in (names[:2], names[2:]):
        make = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -days 1 -out {pem} -keyout {key}"
        subprocess.run(make.split(), check=True, capture_output=True)
    return str(names[0]), str(names[1] if ours else names[3])


def test_a_missing_file_is_reported_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "pki").touch()
    text = f"""\
name: edge
brokers:
  - name: one
    url: mqtts://one
    username: u
    password: {{file: {tmp_path}/password}}
    tls:
      ca: {tmp_path}/ca.pem
      certificate: {tmp_path}/own.pem
  - name: two
    url: mqtts://two
    password: {{env: NOT_SET}}
"""
    path = written(tmp_path, text).replace(SOURCE, "")
    Path(path).write_text(
        Path(path).read_text().replace("insecure: true", f"security: {{pki: {tmp_path}/pki}}"), encoding="utf-8"
    )
    code, output = told(path)
    assert code == 78
    lines = [line.removeprefix(f"gateway: {path}:").split(" ")[:2] for line in output.splitlines()]
    assert lines == [
        ["1:", "sources[0].security.pki:"],
        ["9:", "brokers[0].password:"],
        ["11:", "brokers[0].tls.ca:"],
        ["12:", "brokers[0].tls.certificate:"],
        ["15:", "brokers[1].password:"],
    ]
    assert told(path, "--no-files")[0] == 0


def test_a_file_of_the_wrong_form_is_reported(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, ours=False)
    tls = f"tls: {{ca: {tmp_path}/gateway.yaml, certificate: {pem}, key: {key}}}"
    code, output = told(written(tmp_path, f"name: edge\nbroker:\n  url: mqtts://b\n  {tls}\n"))
    assert code == 78
    assert "broker.tls.ca: " in output
    assert "contains no readable certificate authority" in output
    assert "broker.tls.certificate: " in output
    assert "key values mismatch" in output


def test_an_unusable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "outbox"):
        path = tmp_path / "gateway.yaml"
        path.write_text(
            f"{SOURCE}payload: {{topic: a}}\nname: edge\nbroker: {{url: mqtt://b}}\noutbox: {{path: {folder}}}\n",
            encoding="utf-8",
        )
        code, output = told(str(path))
        assert code == 78
        assert f"{path}:5: outbox.path: {tmp_path}/file is not a folder" in output


def test_validate_says_why_a_secret_file_is_accepted_and_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, key = certificate(tmp_path)
    password = tmp_path / "password"
    password.touch(0o640)
    password.write_text("hunter2", encoding="utf-8")
    Path(key).chmod(0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    before = list(tmp_path.iterdir())
    text = f"""\
name: edge
broker:
  url: mqtts://b
  username: u
  password: {{file: {password}}}
  tls: {{certificate: {pem}, key: {key}}}
"""
    path = written(tmp_path, text)
    code, output = told(path)
    assert code == 0
    assert f"{path}:8: broker.password: {password}: others may not read it (mode 0640)" in output
    assert (
        f"{path}:9: broker.tls.key: {key}: others may read it (mode 0444), in the credential folder {tmp_path}"
        in output
    )
    assert "hunter2" not in output
    assert set(tmp_path.iterdir()) == {*before, Path(path)}


TWO = """\
name: edge
brokers:
  - {name: one, url: 'mqtt://broker.example'}
  - {name: two, url: 'mqtt://%s'}
"""


def test_validate_warns_if_a_disconnected_broker_would_stop_the_others(tmp_path: Path) -> None:
    text = TWO % "other.example"
    assert "warning" not in told(written(tmp_path, text))[1]
    path = Path(written(tmp_path, text))
    path.write_text(path.read_text().replace("-outbox}", "-outbox, when_full: block}"), encoding="utf-8")
    code, output = told(str(path))
    assert code == 0
    assert f"gateway: warning: {path}:3: outbox.when_full: with several brokers, one that is away" in output


@pytest.mark.parametrize("url", ["broker.example:1883", "Broker.Example.", "x', fallback: ['mqtt://broker.example"])
def test_validate_warns_of_one_broker_under_two_names(tmp_path: Path, url: str) -> None:
    text = TWO.replace("%s'", "%s") % (url + ("']" if "fallback" in url else "'"))
    code, output = told(written(tmp_path, text))
    assert code == 0
    assert "brokers[1]: two and one are the same broker (broker.example:1883): everything arrives twice" in output


def test_all_loopback_names_count_as_one_host(tmp_path: Path) -> None:
    text = TWO.replace("broker.example", "localhost") % "127.0.0.1"
    assert "two and one are the same broker (localhost:1883)" in told(written(tmp_path, text))[1]


def test_validate_warns_of_the_default_gateway_name(tmp_path: Path) -> None:
    code, output = told(written(tmp_path, "broker: {url: 'mqtt://b'}\n"))
    assert code == 0
    assert "warning" in output
    assert ": name: not set, so it is 'gateway'" in output
    assert "warning" not in told(written(tmp_path, "broker: {url: 'mqtt://b', client_id: x}\n"))[1]


def test_validate_warns_of_gateways_with_the_same_client_id(tmp_path: Path) -> None:
    first = written(tmp_path, "name: edge\nbroker: {url: 'mqtt://b', client_id: x}\n")
    second = written(tmp_path, "name: edge-2\nbroker: {url: 'mqtt://B:1883', client_id: x}\n", "two.yaml")
    third = written(tmp_path, "name: edge\nbroker: {url: 'mqtt://b'}\n", "three.yaml")
    Path(third).write_text(Path(third).read_text().replace("three.yaml-outbox", "two.yaml-outbox"), encoding="utf-8")
    code, output = told(first, second, third)
    assert code == 0
    warnings = [line.removeprefix("gateway: warning: ") for line in output.splitlines() if "warning" in line]
    assert warnings == [
        f"{second}:5: broker: both are 'x' at the same broker: they disconnect each other (beside {first})",
        f"{third}:3: outbox.path: on the same machine both would use {tmp_path}/two.yaml-outbox (beside {second})",
        f"{third}:4: name: both are named 'edge': they overwrite each other's presence message (beside {first})",
    ]


def test_mistakes_of_all_files_are_reported(tmp_path: Path) -> None:
    bad = [written(tmp_path, "broker: 1\n", name) for name in ("a.yaml", "b.yaml")]
    code, output = told(*bad)
    assert code == 78
    assert output.count("broker: write keys with values here") == 2


def test_a_password_in_the_wrong_place_is_reported_with_the_right_keys(tmp_path: Path) -> None:
    code, output = told(written(tmp_path, "broker: {url: 'mqtt://b', password: hunter2}\n"))
    assert code == 78
    assert "broker.password: write keys with values here: file, env" in output
    assert "hunter2" not in output
